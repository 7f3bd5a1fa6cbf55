"""The lids of one eye: their edges as curves, the skin between lash line and crease, the lashes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatars.photo.eyeball import Patch, Rim, fill, luminance, smoothstep

X_FIRST, X_LAST = -0.62, 0.62
"""Ends of the tables along x, eye widths."""
LASH_UP, LASH_IN = 0.10, 0.06
"""Reach of the lashes' darkening above the upper lid's edge and onto the eyeball, eye widths."""
LASH_ROWS = 33


@dataclass(frozen=True)
class Lids:
    """skin (m, 3): colour of the lid along x; lash (rows, m): darkening, middle row at the lid's edge, first
    row LASH_IN below it, last LASH_UP above; line (m,): strength of the line where closed lids meet;
    upper, lower (m,): the edges in the photo."""

    skin: np.ndarray
    lash: np.ndarray
    line: np.ndarray
    upper: np.ndarray
    lower: np.ndarray


def edge_table(points: np.ndarray, columns: int) -> np.ndarray:
    """Height of an edge (n, 2) local points from left to right, as (columns,) over x: a smooth curve through
    them, held level beyond the ends."""
    dense = _basis(len(points)) @ points
    x = np.maximum.accumulate(dense[:, 0])
    return np.interp(np.linspace(X_FIRST, X_LAST, columns), x, dense[:, 1]).astype(np.float32)


_BASES: dict[int, np.ndarray] = {}


def _basis(count: int, per: int = 6) -> np.ndarray:
    """Catmull-Rom matrix ((count - 1) * per + 1, count)."""
    if count not in _BASES:
        t = np.linspace(0, count - 1, (count - 1) * per + 1)
        i = np.minimum(t.astype(int), count - 2)
        f = t - i
        weights = np.stack([-0.5 * f + f**2 - 0.5 * f**3, 1 - 2.5 * f**2 + 1.5 * f**3,
                            0.5 * f + 2 * f**2 - 1.5 * f**3, -0.5 * f**2 + 0.5 * f**3], 1)  # fmt: skip
        out = np.zeros((len(t), count + 2))
        for k in range(4):
            out[np.arange(len(t)), i + k] += weights[:, k]
        out[:, 1] += 2 * out[:, 0]
        out[:, 2] -= out[:, 0]
        out[:, -2] += 2 * out[:, -1]
        out[:, -3] -= out[:, -1]
        _BASES[count] = out[:, 1:-1]
    return _BASES[count]


def analyse_lids(patch: Patch, local: np.ndarray, rim: Rim, upper: np.ndarray, lower: np.ndarray, ball_seen: np.ndarray,
                 columns: int) -> Lids:  # fmt: skip
    """local (478, 2) landmarks in the local frame; upper, lower (columns,) edges; ball_seen (h, w, 3): the
    eyeball as the plates show it with the lids as in the photo."""
    import cv2

    x = np.linspace(X_FIRST, X_LAST, columns)
    brow = np.interp(x, local[rim.brow, 0], local[rim.brow, 1])
    room = np.clip(upper - brow, 0.15, 0.5)
    # skin: middle brightness between lashes and brow, per column, smooth along the lid
    heights = np.linspace(0.12, 0.6, 14)
    xs = np.broadcast_to(x[None], (14, columns))
    ys = upper[None] - heights[:, None] * room[None]
    strip = _sample(patch, patch.colour, xs, ys)
    order = np.argsort(luminance(strip), axis=0)
    skin = np.take_along_axis(strip, order[6:10, :, None], 0).mean(0)
    sigma = 0.06 * columns
    skin = cv2.GaussianBlur(skin[None], (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)[0]
    typical = np.median(strip.reshape(-1, 3), axis=0)
    skin = skin * np.minimum(1, 1.15 * luminance(typical) / np.maximum(luminance(skin), 1))[:, None]

    half = LASH_ROWS // 2
    d = np.concatenate([np.linspace(LASH_IN, 0, half, endpoint=False), np.linspace(0, -LASH_UP, half + 1)])
    ys = upper[None] + d[:, None]
    xs = np.broadcast_to(x[None], ys.shape)
    seen = luminance(_sample(patch, patch.colour, xs, ys))
    under = luminance(_sample(patch, ball_seen, xs, ys))
    skin_lum = luminance(skin)[None]
    # per column, darkening on skin counts against the skin next to the lashes, not the ideal colour
    model = np.where(d[:, None] > 0, under, np.minimum(skin_lum, seen[-6:].mean(0)[None]))
    lash = np.clip(seen / np.maximum(model, 1), 0.08, 1.0)
    taper = np.where(d > 0, 1 - smoothstep(d, 0.5 * LASH_IN, LASH_IN), 1 - smoothstep(-d, 0.5 * LASH_UP, LASH_UP))
    ends = smoothstep(0.56 - np.abs(x), 0.0, 0.1)
    lash = 1 - (1 - lash) * taper[:, None] * ends[None]
    low, high = half - 5, half + 6
    line = 1 - cv2.GaussianBlur(lash[low:high].min(0)[None], (0, 0), 0.05 * columns)[0]
    line = np.clip(line, 0.3, 0.85) * np.sqrt(smoothstep(0.5 - np.abs(x), 0.0, 0.18))
    return Lids(np.ascontiguousarray(skin, np.float32), np.ascontiguousarray(lash, np.float32),
                line.astype(np.float32), upper.astype(np.float32), lower.astype(np.float32))  # fmt: skip


def _sample(patch: Patch, image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    import cv2

    u = (x * patch.to_plate[0, 0] + patch.to_plate[0, 2]).astype(np.float32)
    v = (y * patch.to_plate[1, 1] + patch.to_plate[1, 2]).astype(np.float32)
    return cv2.remap(image.astype(np.float32), u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


__all__ = ["LASH_IN", "LASH_UP", "X_FIRST", "X_LAST", "Lids", "analyse_lids", "edge_table", "fill"]
