"""The FaceMesh of 468 points: topology, mirror pairs, named loops and the mean face.

`MEAN` is the mean of detected neutral faces with pose removed, mirrored to be symmetric. Its frame is the
head's frame of `studio.motion`, in eye spans: the outer eye corners (33, 263) lie at x = -0.5 and +0.5,
y = z = 0; +X the subject's left (the picture's right), +Y up, +Z out of the face.

Left and right are the subject's own. Loops run in order round their opening.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np

with files("avatars").joinpath("data/facemesh.npz").open("rb") as _file, np.load(_file) as _data:
    MEAN: np.ndarray = _data["mean"]  # (468, 3) float32
    TRIANGLES: np.ndarray = _data["triangles"].astype(np.int32)  # (852, 3), counter-clockwise seen from outside
    MIRROR: np.ndarray = _data["mirror"].astype(np.int32)  # (468,) the same point on the other side

OVAL = np.array([10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
                 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109])  # fmt: skip
LIPS_OUTER = np.array([61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185])
LIPS_INNER = np.array([78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191])
EYE_RIGHT = np.array([33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246])
EYE_LEFT = np.array([263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466])
IRIS_RIGHT = np.array([468, 469, 470, 471, 472])
IRIS_LEFT = np.array([473, 474, 475, 476, 477])
BROW_RIGHT = np.array([70, 63, 105, 66, 107, 55, 65, 52, 53, 46])
BROW_LEFT = np.array([300, 293, 334, 296, 336, 285, 295, 282, 283, 276])
POINTS_68 = np.array([127, 93, 132, 58, 172, 150, 149, 148, 152, 377, 378, 379, 397, 288, 361, 323, 356,
                      70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 168, 197, 5, 4, 98, 97, 2, 326, 327,
                      33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
                      61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
                      78, 81, 13, 311, 308, 402, 14, 178])  # fmt: skip
"""Which FaceMesh points stand for the 68 of the 300-W annotation (Sagonas et al. 2013), in its order: contour from the
subject's right ear over the chin (8) to the left; brows, nose, right eye, left eye, outer and inner lips. On
ICT-FaceKit's head they lie .03 eye spans from its own 68 inside the face, .1 along the contour. Points there, not the
same detector: contour points of a detector of 68 follow the silhouette."""
RIGID = np.array([33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 10, 151, 9, 67, 297, 103, 332,
                  127, 356, 234, 454, 116, 345])  # fmt: skip
"""Points that expressions hardly move: they carry the head's pose."""


def to_head_frame(landmarks: np.ndarray) -> np.ndarray:
    """Pixel landmarks (x right, y down, z away) -> the axes of the head's frame (x right, y up, z towards
    the camera), still in pixels and with pose. Shape is kept."""
    return landmarks * np.array([1.0, -1.0, -1.0], landmarks.dtype)
