"""Crop and paste-back: the square round a face, upright, that the networks see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIZE = 512
"""Pixels of the published crop; the networks see half of it."""

BAND = 128
"""Rows that are pasted at a time."""

_PARTS = {
    203: ((0, 6, 12, 18), (24, 30, 36, 42), (48, 66)),
    106: ((33, 35, 40, 39), (87, 89, 94, 93), (52, 61)),
    101: ((39, 42, 45, 48), (51, 54, 57, 60), (75, 81)),
    68: ((36, 39), (42, 45), (48, 54)),
    9: ((2, 3), (0, 1), (5, 6)),
    5: ((0,), (1,), (3, 4)),
    478: ((33, 133, 159, 145), (362, 263, 386, 374), (61, 291)),
}
"""By number of landmarks: left eye, right eye (as seen in the picture) and ends of the lips."""


@dataclass(frozen=True)
class Crop:
    """Where a crop lies.

    to_crop (3, 3) float32 takes picture pixels to crop pixels; to_picture is its inverse; size of the crop's side in
    its own pixels; angle (radians), centre (x, y) and side in the picture.
    """

    to_crop: np.ndarray
    size: int
    angle: float
    centre: tuple[float, float]
    side: float

    @property
    def to_picture(self) -> np.ndarray:
        """(3, 3) float32."""
        return np.linalg.inv(self.to_crop.astype(np.float64)).astype(np.float32)

    def points(self, landmarks: np.ndarray) -> np.ndarray:
        """Landmarks (N, 2 or more) of the picture, in the crop: (N, 2) float32."""
        xy = np.asarray(landmarks, np.float64)[:, :2]
        return (xy @ self.to_crop[:2, :2].T + self.to_crop[:2, 2]).astype(np.float32)


@dataclass(frozen=True)
class CropSettings:
    """scale      side of the crop over the landmarks' extent.
    up         shift along the face's own upright, in sides; negative is up.
    upright    turn the crop with the face; where not, its size is still measured along the face.
    """

    scale: float = 2.3
    up: float = -0.125
    upright: bool = True


DRIVING = CropSettings(scale=2.2, up=-0.1, upright=False)
"""For a driving video."""


def axes(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (2,) along the face, to its right and down in the picture, from the eyes and lips."""
    left, right, lips = (np.mean(landmarks[list(part), :2], axis=0) for part in _PARTS[len(landmarks)])
    down = lips - (left + right) / 2
    length = np.linalg.norm(down)
    down = np.array([0.0, 1.0]) if length <= 1e-3 else down / length
    return np.array([down[1], -down[0]]), down


def crop_of(landmarks: np.ndarray, settings: CropSettings = CropSettings(), size: int = SIZE) -> Crop:
    """The crop round landmarks (N, 2 or more) in pixels: 203, 106, 101, 68, 9 or 5 published ones, or MediaPipe's 478.

    MediaPipe's points reach from chin to hairline, as the published 106 and 203 reach from chin to forehead.
    """
    points = np.asarray(landmarks, np.float64)[:, :2]
    ux, uy = axes(points)
    angle = float(np.arccos(np.clip(ux[0], -1, 1)))
    if ux[1] < 0:
        angle = -angle
    frame = np.array([ux, uy])
    middle = points.mean(0)
    local = (points - middle) @ frame.T
    low, high = local.min(0), local.max(0)
    side = float((high - low).max() * settings.scale)
    centre = middle + (low + high) / 2 @ frame + uy * (settings.up * side)
    return placed(centre, side, angle if settings.upright else 0.0, size)


def placed(centre: np.ndarray, side: float, angle: float = 0.0, size: int = SIZE) -> Crop:
    """The crop with a centre (x, y) and side in pixels, turned by an angle (radians)."""
    s = size / side
    c, n = np.cos(angle), np.sin(angle)
    x, y = float(centre[0]), float(centre[1])
    matrix = [
        [s * c, s * n, size / 2 - s * (c * x + n * y)],
        [-s * n, s * c, size / 2 - s * (-n * x + c * y)],
        [0, 0, 1],
    ]
    return Crop(np.array(matrix, np.float32), size, angle, (x, y), side)


def crop_of_box(box: tuple[float, float, float, float], size: int = SIZE) -> Crop:
    """The smallest square round a box x0, y0, x1, y1, upright, with the same middle; edges fall on the crop's edges."""
    x0, y0, x1, y1 = box
    side = max(x1 - x0, y1 - y0)
    half = (side / size - 1) / 2  # pixels count from their middles
    return placed(np.array([x0 + x1, y0 + y1]) / 2 + half, side, size=size)


def cut_out(image: np.ndarray, crop: Crop, size: int | None = None) -> np.ndarray:
    """The crop (size, size, C) uint8 of a picture (H, W, C): bilinear, black outside, halved by area where asked."""
    import cv2

    out = cv2.warpAffine(image, crop.to_crop[:2], (crop.size, crop.size), flags=cv2.INTER_LINEAR)
    if size is None or size == crop.size:
        return out
    return cv2.resize(out, (size, size), interpolation=cv2.INTER_AREA)


def soft_mask(size: int = SIZE, width: float = 40.0) -> np.ndarray:
    """(size, size) float32: 0 at the edge, 1 from `width` pixels inwards."""
    place = np.arange(size)
    edge = np.minimum(place, size - 1 - place)
    near = np.minimum(edge[:, None], edge[None, :])
    return (np.minimum(255, np.trunc(near / width * 255)) / 255).astype(np.float32)


def paste_back(picture: np.ndarray, crop: Crop, painted: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture (H, W, C) uint8 with a painted crop (size, size, C) laid over it where the mask (size, size) says.

    Only the box that the crop covers is touched, at the picture's own resolution, whatever that is.
    """
    import cv2

    height, width = picture.shape[:2]
    corners = np.array([[0, 0], [crop.size, 0], [0, crop.size], [crop.size, crop.size]], np.float64)
    reach = corners @ crop.to_picture[:2, :2].astype(np.float64).T + crop.to_picture[:2, 2]
    low = np.clip(np.floor(reach.min(0)) - 1, 0, (width, height)).astype(int)
    high = np.clip(np.ceil(reach.max(0)) + 2, 0, (width, height)).astype(int)
    out = picture.copy()
    if (high <= low).any():
        return out
    for top in range(low[1], high[1], BAND):  # large pictures pass through the cache a band at a time
        bottom = min(top + BAND, high[1])
        shift = np.array([[1, 0, -low[0]], [0, 1, -top], [0, 0, 1]], np.float64)
        matrix = (shift @ crop.to_picture.astype(np.float64))[:2]
        size = (int(high[0] - low[0]), int(bottom - top))
        weight = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LINEAR)[..., None]
        over = cv2.warpAffine(painted, matrix, size, flags=cv2.INTER_LINEAR).reshape(size[1], size[0], -1)
        under = out[top:bottom, low[0] : high[0]]
        under[:] = np.clip(under + weight * (over - under.astype(np.float32)), 0, 255)
    return out
