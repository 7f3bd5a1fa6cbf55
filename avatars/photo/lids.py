"""The lids of one eye: their edges as curves, the skin between lash line and crease, the lashes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from avatars.photo.eyeball import Patch, Rim, fill, luminance, smoothstep

X_FIRST, X_LAST = -0.72, 0.72
"""Ends of the tables along x, eye widths."""
LASH_UP, LASH_IN = 0.10, 0.06
"""Reach of the lashes' darkening above the upper lid's edge and onto the eyeball, eye widths."""
LASH_ROWS = 33
RISE_ABOVE = 0.15
"""How far above the fold long lashes are cleared away, eye widths."""


@dataclass(frozen=True)
class Lids:
    """skin (h, w, 3): the patch as if it were all skin; tint (3, m): the lid's colour against it; lash (rows, m):
    darkening, middle row at the lid's edge, first row LASH_IN below it, last LASH_UP above; line, thick (m,):
    strength and reach of the line where closed lids meet; rise (m,): how far above the fold skin may be redone."""

    skin: np.ndarray
    tint: np.ndarray
    lash: np.ndarray
    line: np.ndarray
    thick: np.ndarray
    rise: np.ndarray


def edge_table(points: np.ndarray, columns: int) -> np.ndarray:
    """Height of an edge (n, 2) local points from left to right, as (columns,) over x: a smooth curve through
    them, held level beyond the ends."""
    dense = _basis(len(points)) @ points
    return np.interp(_columns(columns), np.maximum.accumulate(dense[:, 0]), dense[:, 1]).astype(np.float32)


@lru_cache(maxsize=8)
def _columns(count: int) -> np.ndarray:
    return np.linspace(X_FIRST, X_LAST, count)


@lru_cache(maxsize=8)
def _basis(count: int, per: int = 6) -> np.ndarray:
    """Catmull-Rom matrix ((count - 1) * per + 1, count)."""
    t = np.linspace(0, count - 1, (count - 1) * per + 1)
    i = np.minimum(t.astype(int), count - 2)
    f = t - i
    weights = np.stack(
        [
            -0.5 * f + f**2 - 0.5 * f**3,
            1 - 2.5 * f**2 + 1.5 * f**3,
            0.5 * f + 2 * f**2 - 1.5 * f**3,
            -0.5 * f**2 + 0.5 * f**3,
        ],
        1,
    )
    out = np.zeros((len(t), count + 2))
    for k in range(4):
        out[np.arange(len(t)), i + k] += weights[:, k]
    out[:, 1] += 2 * out[:, 0]
    out[:, 2] -= out[:, 0]
    out[:, -2] += 2 * out[:, -1]
    out[:, -3] -= out[:, -1]
    return out[:, 1:-1]


def passes_edge(patch: Patch, upper: np.ndarray, lower: np.ndarray) -> float:
    """How plainly the eyeball goes on below the lower lid's edge (local (n, 2) points): 0 for faces, near 1 for
    drawn figures whose eyes are larger than a detector of faces has them. Goes by hue."""
    import cv2

    def hue(colour: np.ndarray) -> np.ndarray:
        return colour[..., ::2] / np.maximum(colour.sum(-1, keepdims=True), 30)

    colour = cv2.GaussianBlur(patch.colour, (0, 0), 0.01 * patch.scale)
    around = ((patch.y > 0.3) | (patch.y < -0.45)) & (np.abs(patch.x) < 0.5)
    skin = np.median(patch.colour[around], axis=0)
    x = np.broadcast_to(np.linspace(-0.38, 0.38, 39), (5, 39))
    steps = np.linspace(0.02, 0.08, 5)[:, None]

    def foreign(points: np.ndarray, step: np.ndarray) -> float:
        strip = _sample(patch, colour, x, np.interp(x, np.maximum.accumulate(points[:, 0]), points[:, 1]) + step)
        return float((np.linalg.norm(hue(strip) - hue(skin), axis=-1) > 0.06).mean())

    inside = min(foreign(upper, steps), foreign(lower, -steps))
    return float(smoothstep(np.array(inside), 0.8, 0.95)) * foreign(lower, steps)


def grown_edges(
    patch: Patch, upper: np.ndarray, lower: np.ndarray, most: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """The lids' edges (local (n, 2) points, left to right), enlarged by up to `most` to where the line between lash
    (dark) and eyeball (lighter) is met best, and how much wider they have become."""
    import cv2

    lum = cv2.GaussianBlur(luminance(patch.colour), (0, 0), max(0.012 * patch.scale, 0.5 * patch.zoom))
    t = np.linspace(0.05, 0.95, 41)

    def grown(points: np.ndarray, up: float, wide: float) -> np.ndarray:
        return points * [1 + 2 * wide, up]

    def evidence(points: np.ndarray, inwards: float) -> float:
        x = points[0, 0] + (points[-1, 0] - points[0, 0]) * t
        y = np.interp(x, np.maximum.accumulate(points[:, 0]), points[:, 1])
        inside, on = _sample(patch, lum, x, y + inwards * 0.04), _sample(patch, lum, x, y - inwards * 0.015)
        return float(np.clip(inside - on, -20, 60).mean())

    sizes = np.arange(1.0, most + 0.051, 0.05)
    up = max(sizes, key=lambda k: evidence(grown(upper, k, 0.2 * (k - 1)), 1.0))
    down = max(sizes, key=lambda k: evidence(grown(lower, k, 0.2 * (k - 1)), -1.0))
    wide = 0.2 * (0.5 * (up + down) - 1)
    return grown(upper, up, wide), grown(lower, down, wide), float(1 + 2 * wide)


def analyse_lids(
    patch: Patch, local: np.ndarray, rim: Rim, upper: np.ndarray, lower: np.ndarray, ball_seen: np.ndarray
) -> Lids:
    """local (478, 2) landmarks in the local frame; upper, lower (m,) edges; ball_seen (h, w, 3): the
    eyeball as the plates show it with the lids as in the photo."""
    import cv2

    columns = len(upper)
    x = np.linspace(X_FIRST, X_LAST, columns)
    brow = np.interp(x, local[rim.brow, 0], local[rim.brow, 1])
    fold = np.minimum(np.interp(x, local[rim.above, 0], local[rim.above, 1]), upper - 0.05)
    skin = skin_plate(patch, x, np.minimum(brow + 0.05, fold - 0.05), fold, upper, lower)
    half = LASH_ROWS // 2
    d = np.concatenate([np.linspace(LASH_IN, 0, half, endpoint=False), np.linspace(0, -LASH_UP, half + 1)])
    ys = upper[None] + d[:, None]
    xs = np.broadcast_to(x[None], ys.shape)
    seen = luminance(_sample(patch, patch.colour, xs, ys))
    under = luminance(_sample(patch, ball_seen, xs, ys))
    # on skin darkening counts against the skin next to the lashes, not the ideal colour
    beside = np.minimum(luminance(_sample(patch, skin, xs, ys)), seen[-6:].mean(0)[None])
    lash = np.clip(seen / np.maximum(np.where(d[:, None] > 0, under, beside), 1), 0.08, 1.0)
    taper = np.where(d > 0, 1 - smoothstep(d, 0.5 * LASH_IN, LASH_IN), 1 - smoothstep(-d, 0.5 * LASH_UP, LASH_UP))
    ends = smoothstep(0.56 - np.abs(x), 0.0, 0.1)
    pixel = columns / (X_LAST - X_FIRST) * patch.zoom / patch.scale
    lash = 1 - (1 - lash) * taper[:, None] * ends[None]
    lash = cv2.GaussianBlur(lash, (0, 0), sigmaX=max(1.2 * pixel, 0.6), sigmaY=0.6)
    line = 1 - cv2.GaussianBlur(lash[half - 6 : half + 9].min(0)[None], (0, 0), 0.05 * columns)[0]
    thick = 0.02 + 0.07 * np.clip(line - 0.15, 0, 0.6)
    # single lashes, where the picture is fine enough to show them
    comb = np.sin(x * 178 + 2 * np.sin(x * 23)) * np.sin(x * 61 + 1.3)
    thick = thick * (1 + 0.35 * smoothstep(np.array(columns), 220, 420) * comb)
    side = smoothstep(0.52 - np.abs(x), 0.0, 0.25)
    line = np.clip(1.15 * line + 0.15, 0.35, 0.9) * np.sqrt(side)
    tint = lid_tint(patch, skin, x, fold, upper, lower)
    # room for long lashes above the fold, but not where a brow or the frame of glasses lies
    ys = fold[None] - np.linspace(0.03, RISE_ABOVE, 6)[:, None]
    xs = np.broadcast_to(x[None], ys.shape)
    shade = luminance(_sample(patch, patch.colour, xs, ys)) / np.maximum(luminance(_sample(patch, skin, xs, ys)), 1)
    rise = RISE_ABOVE * (1 - smoothstep((shade < 0.45).mean(0), 0.2, 0.5))
    rise = cv2.GaussianBlur(rise[None], (0, 0), 0.05 * columns, borderType=cv2.BORDER_REPLICATE)[0]
    parts = skin, tint, lash, line, thick * (0.4 + 0.6 * side), rise
    return Lids(*(np.ascontiguousarray(part, np.float32) for part in parts))


def skin_plate(
    patch: Patch, x: np.ndarray, brow: np.ndarray, fold: np.ndarray, upper: np.ndarray, lower: np.ndarray
) -> np.ndarray:
    """The patch (h, w, 3) as if it were all skin: eye, lashes and brow filled from the skin around them, with
    some of that skin's grain.

    brow, fold, upper, lower: heights along x of the brow's lower edge, the lid's fold and the lids' edges.
    """
    import cv2

    column = lambda table: np.interp(patch.x[0], x, table)[None]
    y, colour = patch.y, patch.colour
    lum = luminance(colour)
    above = smoothstep(column(fold) - y, 0.0, 0.04) * smoothstep(y - column(brow), 0.0, 0.05)
    below = smoothstep(y - column(lower), 0.08, 0.13) * smoothstep(0.4 - y, 0.0, 0.05)
    beside = smoothstep(np.abs(patch.x), 0.58, 0.68) * (y > column(brow)) * (y < 0.3)
    known = np.maximum(np.maximum(above, below), beside)
    # lashes, liner and creases are darker than skin: bright-biased means, and only what comes near them counts
    bright = known * (lum / 255 + 0.02) ** 3
    near = lambda a: cv2.GaussianBlur(a, (0, 0), 0.1 * patch.scale)
    weight = near(bright.astype(np.float32))
    typical = near((colour * bright[..., None]).astype(np.float32)) / np.maximum(weight, 1e-12)[..., None]
    level = lum / np.maximum(luminance(typical), 1)
    known = known * smoothstep(level, 0.82, 0.95) * (1 - smoothstep(level, 1.15, 1.35)) * (weight > 1e-9)
    smooth = fill(cv2.GaussianBlur(colour, (0, 0), 0.02 * patch.scale), known)
    smooth = cv2.GaussianBlur(smooth, (0, 0), 0.03 * patch.scale)
    detail = lum / np.maximum(cv2.GaussianBlur(lum, (0, 0), 0.012 * patch.scale), 1)
    rows, columns = np.indices(lum.shape, np.float32)
    # grain of the skin under the brow, folded back and forth over the lid
    room = np.maximum(column(fold) - column(brow) - 0.09, 0.02)
    way = (y - column(fold)) / room
    mirror = column(fold) - 0.06 - room * np.abs((way + 1) % 2 - 1)
    rows = np.where(way > -0.5, mirror * patch.to_plate[1, 1] + patch.to_plate[1, 2], rows).astype(np.float32)
    detail = cv2.remap(detail, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    grain = (detail - 1) * np.exp(-(((detail - 1) / 0.05) ** 2))  # pores and brush, not creases or hairs
    return smooth * (1 + grain)[..., None]


def lid_tint(
    patch: Patch, skin: np.ndarray, x: np.ndarray, fold: np.ndarray, upper: np.ndarray, lower: np.ndarray
) -> np.ndarray:
    """(3, m): colour of the lid that shows between fold and lashes against the filled skin; 1 where lashes and
    shadow hide it."""
    import cv2

    high, low = np.minimum(fold, upper - 0.12) + 0.02, upper - 0.06
    share = np.linspace(0, 1, 10)[:, None]
    xs, ys = np.broadcast_to(x[None], (10, len(x))), high[None] + share * (low - high)[None]
    strip, plain = _sample(patch, patch.colour, xs, ys), _sample(patch, skin, xs, ys)
    order = np.argsort(luminance(strip), axis=0)[5:9, :, None]
    ratio = np.take_along_axis(strip, order, 0).mean(0) / np.maximum(np.take_along_axis(plain, order, 0).mean(0), 1)
    ratio = cv2.GaussianBlur(ratio[None], (0, 0), 0.1 * len(x), borderType=cv2.BORDER_REPLICATE)[0]
    level = luminance(ratio)[:, None]
    trusted = smoothstep(level, 0.75, 0.95)
    hue = 0.5 + 0.5 * ratio / np.maximum(level, 0.1)
    ratio = trusted * hue * np.clip(level, 0.95, 1.06) + (1 - trusted)
    # a closed lid bulges out of the socket's shadow into the light that the cheek below has
    middle, cheek = (luminance(_sample(patch, skin, x[None], at[None]))[0] for at in (upper, lower + 0.16))
    lift = 1.02 + 0.45 * np.clip(cheek / np.maximum(middle, 1) - 1, 0, 0.7)
    lift = cv2.GaussianBlur(lift[None].astype(np.float32), (0, 0), 0.1 * len(x), borderType=cv2.BORDER_REPLICATE)[0]
    ratio = ratio * lift[:, None]
    return np.ascontiguousarray((1 + smoothstep(0.5 - np.abs(x), 0, 0.15)[:, None] * (ratio - 1)).T, np.float32)


def _sample(patch: Patch, image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    import cv2

    u = (x * patch.to_plate[0, 0] + patch.to_plate[0, 2]).astype(np.float32)
    v = (y * patch.to_plate[1, 1] + patch.to_plate[1, 2]).astype(np.float32)
    return cv2.remap(image.astype(np.float32), u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
