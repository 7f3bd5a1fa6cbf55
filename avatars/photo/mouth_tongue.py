"""A tongue put out over the lower lip, with its shadow on lip and chin."""

from __future__ import annotations

import numpy as np
from numba import njit

from avatars.photo.mouth_shader import _look_up, _step


@njit(cache=True, nogil=True, fastmath=True)
def draw_tongue(canvas, top, left, rows, cols, plane, lips, span, out, soft, light, colours, half):
    """Paint the box of (rows, cols) at (top, left) of the canvas, in place.

    plane (8,) pixel -> mm in front of the teeth; lips (2, n), span (2,) heights of the lips as in `shade`;
    out 0..1 how far; soft width of an edge in mm; light (3,); colours (6, 3) as in `shade`."""
    lo, hi = span[0], span[1]
    n = lips.shape[1] // 2
    start = lips[1, n] + 0.6 * min(lips[0, n] - lips[1, n], 12.0)  # inside the mouth
    end = lips[1, n] - 3.0 - 21.0 * out
    wide = min(15.0, 0.42 * (hi - lo)) * (0.82 + 0.18 * out)
    presence = _step(out - 0.06, 0.12)
    long = max(start - end, 1.0)
    for r in range(rows):
        py = top + r
        for c in range(cols):
            px = left + c
            x = plane[0] * px + plane[1] * py + plane[2]
            y = plane[3] * px + plane[4] * py + plane[5]
            t = (x - lo) / max(hi - lo, 1e-3)
            over = _look_up(lips[0], t) - y  # below the upper lip
            v = (y - end) / long  # 0 at the tip, 1 inside
            if over <= -soft or v > 1.2:
                continue
            k = min(max(v * long / (1.15 * wide), 0.0), 1.0)
            half_wide = wide * (0.9 + 0.1 * min(max(v, 0.0), 1.0))
            down = min(y - end - half_wide, 0.0)  # below the centre of the round tip
            near = half_wide - np.hypot(x, down)
            # where the tongue is not: its shadow on the lip and the chin
            fall = presence * 0.30 * np.exp(-max(-near - 0.2, 0.0) / 2.2) if v < 0.85 else 0.0
            cover = presence * _step(near, soft) * _step(over, soft + 0.8) * (1.0 - _step(v - 0.95, 0.3))
            if cover <= 0.002 and fall <= 0.004:
                continue
            s = x / max(np.sqrt(max(half_wide * half_wide - down * down, 0.0)), 2.0)
            s = min(max(s, -1.2), 1.2)
            nx = 0.75 * s * s * s
            ny = -0.9 * (1.0 - k) ** 2 + 0.25
            nz = 1.0
            norm = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz)
            lit = max((nx * light[0] + ny * light[1] + nz * light[2]) * norm, 0.0)
            groove = np.exp(-((x / (0.9 + soft)) ** 2)) / (1.0 + 0.6 * soft) * _step(v - 0.35, 0.5)
            tone = (0.32 + 0.74 * lit) * (1.0 - 0.13 * groove)
            tone *= 1.0 - 0.5 * _step(v - 0.75, 0.6)
            tone *= 0.45 + 0.55 * (1.0 - np.exp(-max(over, 0.0) / 3.0))
            wet = max((nx * light[0] + ny * light[1] + nz * (light[2] + 1.0)) * norm, 0.0)
            wet = (wet / np.sqrt(2.0 + 2.0 * light[2])) ** 40 * (1.0 - 0.7 * groove) * (1.0 - _step(v - 0.6, 0.4))
            for i in range(3):
                base = canvas[py, px, i] * (1.0 - fall * (1.0 - cover))
                value = colours[2, i] * 1.04 * tone ** colours[5, i]
                value += (colours[4, i] - value) * 0.17 * wet
                canvas[py, px, i] = min(max(base + (value - base) * cover, 0.0), 255.0) + half
