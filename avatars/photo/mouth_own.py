"""What an open mouth in the portrait shows: its own teeth stay on the skull, the rest moves with the jaw.

Both are kept as flat textures in the frame of an arch (millimetres), so that they reappear wherever the lips
reveal them again, and give way to the drawn mouth where the photo never showed anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatars.photo.mouth_palette import to_lab

_HALF_WIDTH = 33.0  # mm


@dataclass(frozen=True)
class OwnInterior:
    """upper (n, m, 5) float32: red, green, blue, alpha of the upper teeth, and where the photo knows what is there;
    lower (n, m, 4): colour and alpha of all else. upper_at, lower_at (5,): x of the first column, y of the first row
    (downwards), samples per mm, and the photo's own shift in x and y per mm of depth. edge: height in mm at which
    the front teeth end, None where no teeth show; teeth, tongue: colours seen (3,) or None."""

    upper: np.ndarray
    lower: np.ndarray
    upper_at: np.ndarray
    lower_at: np.ndarray
    edge: float | None
    teeth: np.ndarray | None
    tongue: np.ndarray | None

    @classmethod
    def nothing(cls) -> OwnInterior:
        """For a portrait with closed lips."""
        at = np.array([0.0, 0.0, 0.0, 0.0, 0.0])
        return cls(np.zeros((2, 2, 5), np.float32), np.zeros((2, 2, 4), np.float32), at, at, None, None, None)


def read_own(
    image: np.ndarray, lips_px: np.ndarray, upper: np.ndarray, lower: np.ndarray, pixel_mm: float
) -> OwnInterior:
    """Take the open mouth of a photo apart.

    image (H, W, 3) uint8 RGB; lips_px (n, 2) contour of the opening in its pixels; upper, lower (8,) the photo's maps
    from pixel to the plane of each arch; pixel_mm millimetres per pixel."""
    step = float(np.clip(0.8 * pixel_mm, 0.06, 0.6))
    sky, origin = _flatten(image, lips_px, upper, step)
    hole = _fill(lips_px, upper, origin, step, sky.shape)
    if hole.sum() * step * step < 25.0:
        return OwnInterior.nothing()
    lab = to_lab(sky)
    row = _teeth_edge(lab, hole, step)
    rows = np.arange(len(sky))[:, None]
    teeth = hole & (rows < row[None])
    inner = _eroded(hole, 0.5 / step)
    solid = teeth & inner
    has_teeth = solid.sum() * step * step > 6.0
    colour = np.percentile(sky[solid], 70, axis=0).astype(np.float64) if has_teeth else None
    if has_teeth and (hole & ~teeth).sum() < 0.2 * hole.sum():
        teeth, solid = hole, inner  # a smile: the dark corners stay with the teeth
    # no drawn tooth where the photo knows better, nor below its own teeth
    columns = hole.any(0)
    first = np.where(columns, hole.argmax(0), len(hole))
    under = columns[None] & (rows >= first[None])
    known = _blur(under.astype(np.float32), 0.4 / step)
    reach = np.where(rows < first[None] + 1, 6.0, 1.2)  # teeth go on under the upper lip
    alpha = _soft(teeth, reach, step) if has_teeth else np.zeros(teeth.shape, np.float32)
    above = _extended(sky, solid if has_teeth else inner, 1.6 / step)
    upper_texture = np.dstack([above, alpha, np.maximum(known, alpha)]).astype(np.float32)
    middle = slice(*np.searchsorted(np.arange(sky.shape[1]) * step - _HALF_WIDTH, [-5.0, 5.0]))
    seen = row[middle][hole[:, middle].any(0)]
    edge = origin[1] - float(np.median(seen)) * step if has_teeth and len(seen) else None

    ground, origin_low = _flatten(image, lips_px, lower, step)
    hole_low = _fill(lips_px, lower, origin_low, step, ground.shape)
    # carry the border between upper teeth and the rest over to the jaw's frame
    to_low = _between(upper, lower, origin, origin_low, step)
    teeth_low = _carry(teeth, to_low, ground.shape) if has_teeth else np.zeros(ground.shape[:2], bool)
    rest = hole_low & ~_grow(teeth_low, 0.3 / step)
    tongue = None
    if rest.sum() * step * step < 12.0:
        lower_texture = np.zeros((2, 2, 4), np.float32)
    else:
        core = rest & _eroded(hole_low, 0.5 / step) & ~_grow(teeth_low, 1.3 / step)
        core = core if core.any() else rest
        below = _extended(ground, core, 2.0 / step)
        clean = core | (rest & ~_grow(teeth_low, 0.6 / step))
        # lips may slide further than the jaw turns: continue under them, but not under the upper teeth
        top = np.flatnonzero(clean.any(1))[0] + 3.0 / step
        reach = 1.6 + 4.4 * np.clip((np.arange(len(clean))[:, None] - top) * step / 4.0, 0.0, 1.0)
        lower_texture = np.dstack([below, _soft(clean, reach, step)]).astype(np.float32)
        tongue = _flesh(ground[core], colour)
    upper_at = np.array([*origin, 1.0 / step, upper[6], upper[7]])
    lower_at = np.array([*origin_low, 1.0 / step, lower[6], lower[7]])
    return OwnInterior(upper_texture, lower_texture, upper_at, lower_at, edge, colour, tongue)


def _matrix(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return plane[[0, 1, 3, 4]].reshape(2, 2), plane[[2, 5]]


def _flatten(image: np.ndarray, lips_px: np.ndarray, plane: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """The mouth seen straight on: (rows, columns, 3) float32, (x, y) mm of its first sample."""
    import cv2

    turn, shift = _matrix(plane)
    y = (lips_px @ turn.T + shift)[:, 1]
    origin = np.array([-_HALF_WIDTH, y.max() + 4.0])
    size = int(2 * _HALF_WIDTH / step) + 1, int((y.max() - y.min() + 11.0) / step) + 1
    back = np.linalg.inv(turn)
    affine = np.c_[back @ np.diag([step, -step]), back @ (origin - shift)]
    flat = cv2.warpAffine(
        image, affine, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    return flat.astype(np.float32), origin


def _fill(
    lips_px: np.ndarray, plane: np.ndarray, origin: np.ndarray, step: float, shape: tuple[int, ...]
) -> np.ndarray:
    import cv2

    turn, shift = _matrix(plane)
    at = ((lips_px @ turn.T + shift) - origin) / np.array([step, -step])
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(at * 16).astype(np.int32)], (1,), shift=4)
    return mask > 0


def _between(
    source: np.ndarray, target: np.ndarray, origin: np.ndarray, origin_to: np.ndarray, step: float
) -> np.ndarray:
    """(2, 3) affine from samples of the target's grid to samples of the source's."""
    a, s = _matrix(source)
    b, t = _matrix(target)
    turn = a @ np.linalg.inv(b)
    flip = np.diag([step, -step])
    linear = np.linalg.inv(flip) @ turn @ flip
    shift = np.linalg.inv(flip) @ (turn @ (origin_to - t) + s - origin)
    return np.c_[linear, shift]


def _carry(mask: np.ndarray, affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    import cv2

    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(mask.astype(np.float32), affine, shape[1::-1], flags=flags) > 0.5


def _disc(radius: float) -> np.ndarray:
    import cv2

    n = 2 * max(round(radius), 0) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (n, n))


def _eroded(mask: np.ndarray, radius: float) -> np.ndarray:
    import cv2

    return cv2.erode(mask.astype(np.uint8), _disc(radius)) > 0


def _grow(mask: np.ndarray, radius: float) -> np.ndarray:
    import cv2

    return cv2.dilate(mask.astype(np.uint8), _disc(radius)) > 0


def _blur(values: np.ndarray, sigma: float) -> np.ndarray:
    import cv2

    return cv2.GaussianBlur(values, (0, 0), max(sigma, 0.3))


def _soft(mask: np.ndarray, reach_mm: float | np.ndarray, step: float) -> np.ndarray:
    """1 on the mask, fading over reach_mm beyond it."""
    import cv2

    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3) * step
    t = np.clip(1.0 - away / reach_mm, 0.0, 1.0)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def _extended(colour: np.ndarray, mask: np.ndarray, reach: float) -> np.ndarray:
    """Colours of the mask continued outwards: each outer sample is a weighted mean of the ones within `reach`."""
    weight = mask.astype(np.float32)
    out, total = colour * weight[..., None], weight
    for sigma in (0.25 * reach, reach, 4 * reach):
        spread, mean = _blur(weight, sigma), _blur(colour * weight[..., None], sigma)
        fresh = np.maximum(1.0 - total, 0.0) * np.clip(spread * 8.0, 0, 1)
        out = out + mean / np.maximum(spread, 1e-4)[..., None] * fresh[..., None]
        total = total + fresh
    return np.where(total[..., None] > 1e-3, out / np.maximum(total, 1e-3)[..., None], colour)


def _teeth_edge(lab: np.ndarray, hole: np.ndarray, step: float) -> np.ndarray:
    """Per column the row at which the upper teeth end; the hole's first row where none are seen."""
    white = _blur((lab[..., 0] - 1.1 * np.maximum(lab[..., 1], 0.0)).astype(np.float32), 0.25 / step)
    inside = white[_eroded(hole, 0.4 / step)] if _eroded(hole, 0.4 / step).any() else white[hole]
    high, low = np.percentile(inside, 96), np.percentile(inside, 5)
    bright = hole & (white > high - 0.42 * max(high - low, 16.0))
    first = hole.argmax(0)
    last = len(hole) - hole[::-1].argmax(0)
    found = np.full(hole.shape[1], np.nan)
    slack, tallest = max(int(0.7 / step), 1), int(11.5 / step)
    for column in np.flatnonzero(hole.any(0)):
        top, bottom = first[column], last[column]
        run = bright[top:bottom, column]
        start = np.flatnonzero(run[: max(int(4.5 / step), int(0.35 * len(run)))])
        if not len(start):
            continue
        dark = ~run[start[0] :]
        gap = np.convolve(dark, np.ones(slack), "valid") >= slack if len(dark) >= slack else np.zeros(1, bool)
        end = start[0] + (int(gap.argmax()) if gap.any() else len(dark))
        found[column] = top + min(end, start[0] + tallest)
    seen = np.flatnonzero(np.isfinite(found))
    if len(seen) < 6 / step:  # less than 6 mm of teeth: none worth keeping
        return first.astype(float)
    wide = max(int(0.6 / step), 1)
    whole = np.pad(np.interp(np.arange(len(found)), seen, found[seen]), wide, mode="edge")
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(whole, 2 * wide + 1), axis=-1)
    outside = (np.arange(len(found)) < seen[0]) | (np.arange(len(found)) > seen[-1])
    return np.where(outside, first, smooth)


def _flesh(pixels: np.ndarray, teeth: np.ndarray | None) -> np.ndarray | None:
    """The tongue's colour if one is plainly seen: the brighter part of what is neither teeth nor dark."""
    if len(pixels) < 50:
        return None
    lab = to_lab(pixels[None])[0]
    limit = to_lab(teeth[None, None])[0, 0, 0] if teeth is not None else 90.0
    pick = (lab[:, 0] > 0.35 * limit) & (lab[:, 0] < 0.9 * limit) & (lab[:, 1] > 6)
    return np.percentile(pixels[pick], 65, axis=0).astype(np.float64) if pick.mean() > 0.25 else None
