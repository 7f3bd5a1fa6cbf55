"""Cameras of face reconstruction, and how they are said elsewhere.

FLAME's frame: metres, +X the subject's left, +Y up, +Z out of the face. The weak-perspective camera of DECA and SMIRK
is (s, tx, ty): x' = s (x + tx), y' = -s (y + ty), z' = -s z; x' right and y' down span -1..1 over a square crop, and
smaller z' is nearer. A perspective camera far away sees the same (see `perspective`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

FLIP = np.diag([1.0, -1.0, -1.0])
"""Between camera axes of OpenGL and Blender (y up, looking along -z) and of OpenCV (y down, looking along z)."""


def project(points: Tensor, camera: Tensor) -> Tensor:
    """Weak perspective: points (B, N, 3) metres, camera (B, 3) -> (B, N, 3), x right, y down, -1..1 over the crop."""
    scale = camera[:, None, :1]
    moved = points[..., :2] + camera[:, None, 1:]
    return scale * points.new_tensor([1.0, -1.0, -1.0]) * _joined(moved, points[..., 2:])


def _joined(first: Any, second: Any) -> Any:
    import torch

    return torch.cat([first, second], -1)


def to_pixels(points: Any, size: int = 224) -> Any:
    """-1..1 over a crop -> its pixels: (value 0.5 + 0.5) size, as DECA counts them."""
    return (points * 0.5 + 0.5) * size


@dataclass(frozen=True)
class PerspectiveCamera:
    """A pinhole camera in OpenCV's terms: x right, y down, z forward.

    K (3, 3): pixels of a picture of `size` (width, height), whose top left pixel's corner is (0, 0).
    rotation (3, 3), translation (3,): FLAME's frame to the camera's, metres.
    """

    K: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    size: tuple[int, int]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) metres in FLAME's frame -> (..., 2) pixels."""
        seen = points @ self.rotation.T + self.translation
        return (seen[..., :2] / seen[..., 2:]) @ self.K[:2, :2].T + self.K[:2, 2]

    def opencv(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """K (3, 3), R (3, 3), t (3,): pixel ~ K (R X + t)."""
        return self.K, self.rotation, self.translation

    def opengl_view(self) -> np.ndarray:
        """(4, 4) view matrix: FLAME's frame to a camera with y up that looks along -z; columns multiply points."""
        view = np.eye(4)
        view[:3, :3], view[:3, 3] = FLIP @ self.rotation, FLIP @ self.translation
        return view

    def opengl_projection(self, near: float = 0.01, far: float = 100.0) -> np.ndarray:
        """(4, 4) projection to clip space with z in -1..1: picture's left edge x = -1, top edge y = +1."""
        width, height = self.size
        out = np.zeros((4, 4))
        out[0] = [2 * self.K[0, 0] / width, 0, 1 - 2 * self.K[0, 2] / width, 0]
        out[1] = [0, 2 * self.K[1, 1] / height, 2 * self.K[1, 2] / height - 1, 0]
        out[2] = [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)]
        out[3, 2] = -1
        return out

    def blender(self, sensor_width: float = 36.0) -> dict[str, Any]:
        """Of Blender's camera, with sensor fit "HORIZONTAL": matrix_world (4, 4) in Blender's world (z up, the face
        towards -y), lens and sensor_width in millimetres, shift_x and shift_y.
        """
        width, height = self.size
        world = np.eye(4)
        world[:3, :3] = (FLIP @ self.rotation).T
        world[:3, 3] = -self.rotation.T @ self.translation
        upright = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
        return {
            "matrix_world": upright @ world,
            "lens": float(self.K[0, 0] * sensor_width / width),
            "sensor_width": sensor_width,
            "shift_x": float(0.5 - self.K[0, 2] / width),
            "shift_y": float((self.K[1, 2] - 0.5 * height) / width),
        }


def perspective(
    camera: np.ndarray, to_picture: np.ndarray, size: tuple[int, int], *, distance: float = 1.0, crop: int = 224
) -> PerspectiveCamera:
    """The pinhole camera that sees what a weak-perspective one does at the depth of FLAME's origin.

    camera (3,): s, tx, ty; to_picture (3, 3): pixels of the crop to pixels of the picture, a similarity without turn;
    size (width, height) of the picture; distance in metres: the larger, the nearer both are. A point at depth z off the
    origin's plane moves away from the centre by z / distance of its distance to it.
    """
    scale, shift_x, shift_y = (float(v) for v in camera)
    zoom = float(to_picture[0, 0])
    focal = scale * distance * crop / 2 * zoom
    centre = to_picture @ np.array([crop / 2, crop / 2, 1.0])
    K = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1.0]])
    return PerspectiveCamera(K, FLIP.copy(), np.array([shift_x, -shift_y, distance]), size)
