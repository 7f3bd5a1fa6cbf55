"""What is seen of one face in one frame."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np


@dataclass(frozen=True)
class Observation:
    """One face in one picture.

    landmarks   (478, 3) float32, MediaPipe FaceMesh order with irises (468-472 the subject's right
                eye, 473-477 the left). Pixels of the picture: x right, y down; z in the same scale,
                negative towards the camera.
    size        (width, height) of the picture in pixels.
    head        (6,) float32: yaw, pitch, roll (radians) and x, y, z (metres) in the frame of
                `FaceMotion.head`: absolute angles against the camera, zero for a frontal face.
    weights     (52,) float32 ARKit estimate, or None where it was not asked for.
    confidence  0..1; 0 means that nothing was seen and the values are held or bridged.
    face_id     stable within a clip; 0 is the first face.
    time        seconds from the start of the clip.
    """

    landmarks: np.ndarray
    size: tuple[int, int]
    head: np.ndarray
    weights: np.ndarray | None = None
    confidence: float = 1.0
    face_id: int = 0
    time: Fraction = Fraction(0)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of the landmarks in pixels."""
        low, high = self.landmarks[:468, :2].min(0), self.landmarks[:468, :2].max(0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    @property
    def eye_span(self) -> float:
        """Distance of the outer eye corners (landmarks 33 and 263) in pixels, depth included."""
        return float(np.linalg.norm(self.landmarks[33] - self.landmarks[263]))


@dataclass(frozen=True)
class Head:
    """A head that somebody placed in a picture, because no tracker finds one there: an animal's, a drawing's.

    box      x0, y0, x1, y1 in pixels: all of the head.
    size     (width, height) of the picture in pixels.
    face_id  0 is the first.
    """

    box: tuple[float, float, float, float]
    size: tuple[int, int]
    face_id: int = 0
