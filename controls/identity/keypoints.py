"""InstantID's picture of five key points, and the size that its pictures have (instantX-research/InstantID)."""

from __future__ import annotations

import math

import numpy as np

from studio.errors import UsageError

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255))
"""RGB of left eye, right eye, nose, left and right mouth corner, as seen in the picture."""

_NOSE = 2
_HALF_WIDTH, _RADIUS, _DIM = 4, 10, 0.6  # pixels, pixels, brightness of the limbs
_FAR = 1 << 14


def draw_keypoints(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8 RGB: a limb from each eye and mouth corner to the nose, discs on the points, on black.

    points (5, 2): x, y in pixels of the face's picture, in the order of `COLOURS`; parts outside are cut off. Limbs
    and discs don't grow with the picture: they are meant for sides of 1024 to 1280. Raises UsageError for other points
    or a picture without pixels.
    """
    import cv2

    points = np.asarray(points, np.float32)
    if points.shape != (5, 2) or not np.isfinite(points).all() or np.abs(points).max() > _FAR:
        raise UsageError(f"key points {points.shape}: (5, 2) pixels in or near the picture expected")
    if width < 1 or height < 1:
        raise UsageError(f"a picture of {width} x {height} pixels")
    canvas = np.zeros((height, width, 3), np.uint8)
    for k in (0, 1, 3, 4):
        (x0, y0), (x1, y1) = points[k], points[_NOSE]
        centre = int(np.mean((x0, x1))), int(np.mean((y0, y1)))
        length = ((x0 - x1) ** 2 + (y0 - y1) ** 2) ** 0.5
        angle = int(math.degrees(math.atan2(y0 - y1, x0 - x1)))
        outline = cv2.ellipse2Poly(centre, (int(length / 2), _HALF_WIDTH), angle, 0, 360, 1)
        cv2.fillConvexPoly(canvas, outline, COLOURS[k])
    canvas = (canvas * _DIM).astype(np.uint8)
    for (x, y), colour in zip(points, COLOURS):
        cv2.circle(canvas, (int(x), int(y)), _RADIUS, colour, -1)
    return canvas


def fitted_size(width: int, height: int, *, longest: int = 1280, shortest: int = 1024) -> tuple[int, int]:
    """(width, height) of InstantID's picture for one of this size: scaled to `shortest`, then to `longest`, then down
    to multiples of 64, pixels. Raises UsageError for a picture that would have no pixels left.
    """
    if width < 1 or height < 1:
        raise UsageError(f"a picture of {width} x {height} pixels")
    by = shortest / min(width, height)
    width, height = round(by * width), round(by * height)
    by = longest / max(width, height)
    size = round(by * width) // 64 * 64, round(by * height) // 64 * 64
    if 0 in size:
        raise UsageError("a picture too long and narrow for InstantID: crop it to the face")
    return size
