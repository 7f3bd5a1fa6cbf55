"""The crop that the encoders of faces see, exactly as their authors make it: a square round landmarks, never turned.

Picture pixels are counted at their centres: (0, 0) is the middle of the top left one. Crop's pixels likewise, so that
the square's corners become the centres of the crop's corner pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avatars.facemesh import POINTS_68
from studio.errors import UsageError

SIZE = 224
"""Side of the crop in pixels."""


@dataclass(frozen=True)
class CropRule:
    """scale   side of the square over the mean of width and height of the landmarks' box.
    widen    a factor before it, whose product is not yet cut to whole pixels.
    points   "68": the box of 300-W's 68 landmarks; "all": of all that are there.
    levels   whether the crop's values are cut to whole levels of 0..255.
    lower    share of the box's size by which the square is moved down.
    """

    scale: float
    widen: float = 1.0
    points: str = "all"
    levels: bool = False
    lower: float = 0.0


DECA = CropRule(scale=1.25, widen=1.1, points="68")
"""Feng et al. 2021, as their demo crops round 68 landmarks."""

DECA_BOX = CropRule(scale=1.25, lower=0.12)
"""The same round a face detector's box, which lies higher on the face, instead of landmarks (for `crop_of_box`)."""

SMIRK = CropRule(scale=1.4, levels=True)
"""Retsinas et al. 2024, as their demo crops round MediaPipe's landmarks; TEASER's too."""


@dataclass(frozen=True)
class Crop:
    """to_crop (3, 3) float64: picture pixels to crop pixels; size: the crop's side; levels: as `CropRule`."""

    to_crop: np.ndarray
    size: int = SIZE
    levels: bool = False

    @property
    def to_picture(self) -> np.ndarray:
        """(3, 3) float64, the inverse."""
        return np.linalg.inv(self.to_crop)

    def points(self, landmarks: np.ndarray) -> np.ndarray:
        """Landmarks (..., N, 2 or more), picture pixels -> (..., N, 2) crop pixels."""
        return np.asarray(landmarks, np.float64)[..., :2] @ self.to_crop[:2, :2].T + self.to_crop[:2, 2]

    def on_picture(self, projected: np.ndarray) -> np.ndarray:
        """Projected points (..., N, 2 or more), -1..1 over the crop -> (..., N, 2) picture pixels."""
        pixels = (np.asarray(projected, np.float64)[..., :2] * 0.5 + 0.5) * self.size
        back = self.to_picture
        return pixels @ back[:2, :2].T + back[:2, 2]


def crop_of(landmarks: np.ndarray, rule: CropRule, size: int = SIZE) -> Crop:
    """The crop round landmarks (N, 2 or more) in picture pixels: 478 or 468 of FaceMesh, or a published 68.

    Raises UsageError for landmarks that are no numbers or lie on one spot.
    """
    points = np.asarray(landmarks, np.float64)
    if points.ndim != 2 or points.shape[1] < 2 or not np.isfinite(points[:, :2]).all():
        raise UsageError(f"landmarks {points.shape}: (N, 2) finite pixels expected")
    if rule.points == "68" and len(points) != 68:
        if len(points) < 468:
            raise UsageError(f"{len(points)} landmarks: 68, or FaceMesh's 468 or 478 expected")
        points = points[POINTS_68]
    return crop_of_box(np.r_[points[:, :2].min(0), points[:, :2].max(0)], rule, size)


def crop_of_box(box: Sequence[float] | np.ndarray, rule: CropRule = DECA_BOX, size: int = SIZE) -> Crop:
    """The crop round a box (left, top, right, bottom), picture pixels: a detector's with `DECA_BOX`, or that of
    landmarks with the rule for them.

    Raises UsageError for what is no box.
    """
    corners = np.asarray(box, np.float64).reshape(-1)
    if corners.shape != (4,) or not np.isfinite(corners).all():
        raise UsageError(f"box {np.shape(box)}: left, top, right, bottom expected")
    low, high = corners[:2], corners[2:]
    whole = (high - low).mean() * rule.widen
    side = int(whole * rule.scale)
    if side < 2:
        raise UsageError(f"a face of {side} pixels: too small to crop")
    zoom = (size - 1) / side
    shift = -zoom * ((low + high) / 2 + [0, rule.lower * whole] - side / 2)
    return Crop(np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]], [0, 0, 1.0]]), size, rule.levels)


def cut_out(picture: np.ndarray, crop: Crop) -> np.ndarray:
    """The crop (3, size, size) float32, 0..1, of a picture (H, W, 3) uint8 RGB: bilinear, black outside."""
    picture = np.asarray(picture)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise UsageError(f"picture {picture.shape} {picture.dtype}: (H, W, 3) uint8 expected")
    grid = np.arange(crop.size, dtype=np.float64)
    back = crop.to_picture  # has no turn: columns and rows are apart
    columns, rows = back[0, 0] * grid + back[0, 2], back[1, 1] * grid + back[1, 2]
    wide = np.pad(picture, ((1, 1), (1, 1), (0, 0)))
    across = _between(wide, columns + 1, 1)
    out = _between(across, rows + 1, 0)
    if crop.levels:
        out = np.floor(out + 1e-9)
    return (out.transpose(2, 0, 1) / 255).astype(np.float32)


def cut_out_all(pictures: Sequence[np.ndarray], crops: Sequence[Crop]) -> np.ndarray:
    """(B, 3, size, size) float32 of B pictures; none gives (0, 3, 224, 224)."""
    if len(pictures) != len(crops):
        raise UsageError(f"{len(pictures)} pictures and {len(crops)} crops")
    parts = [cut_out(picture, crop) for picture, crop in zip(pictures, crops, strict=True)]
    return np.stack(parts) if parts else np.zeros((0, 3, SIZE, SIZE), np.float32)


def smoothed(crops: Sequence[Crop], frames: float = 2.0) -> list[Crop]:
    """Crops of a video, their place and size smoothed over time by a Gaussian of `frames` frames: heads that are
    tracked frame by frame make the camera tremble. 0 leaves them as they are.
    """
    if frames <= 0 or len(crops) < 2:
        return list(crops)
    sides = np.array([np.log(c.to_picture[0, 0]) for c in crops])
    middle = np.array([c.to_picture[:2] @ [(c.size - 1) / 2, (c.size - 1) / 2, 1] for c in crops])
    reach = np.arange(-int(np.ceil(4 * frames)), int(np.ceil(4 * frames)) + 1)
    kernel = np.exp(-0.5 * (reach / frames) ** 2)

    def smooth(track: np.ndarray) -> np.ndarray:
        whole = np.convolve(track, kernel)[len(kernel) // 2 :][: len(track)]
        return whole / np.convolve(np.ones(len(track)), kernel)[len(kernel) // 2 :][: len(track)]

    sides, middle = np.exp(smooth(sides)), np.stack([smooth(axis) for axis in middle.T], 1)
    out = []
    for crop, pixel, centre in zip(crops, sides, middle, strict=True):
        corner = centre - pixel * (crop.size - 1) / 2
        back = np.array([[pixel, 0, corner[0]], [0, pixel, corner[1]], [0, 0, 1.0]])
        out.append(Crop(np.linalg.inv(back), crop.size, crop.levels))
    return out


def _between(values: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
    """Linear interpolation of an array along an axis; places beyond its ends take the end, which is padding."""
    places = np.clip(places, 0, values.shape[axis] - 1)
    low = np.minimum(np.floor(places).astype(np.int64), values.shape[axis] - 2)
    share = (places - low).reshape([-1 if k == axis else 1 for k in range(values.ndim)])
    before, after = np.take(values, low, axis), np.take(values, low + 1, axis)
    return before * (1 - share) + after * share
