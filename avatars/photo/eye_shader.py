"""The per-pixel work of painting an eye (numba): eyeball inside the lids, lid skin and lashes around.

Coordinates of an eye ("local"): x along the line of its corners from picture left to right, y down, in eye
widths, origin midway between the corners; they belong to the photo, `canvas` reaches them by one affine map.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _step(t):
    t = min(max(t, 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _lut(table, row, u):
    """Linear look-up in a row of (n, m) at u in 0..m-1."""
    m = table.shape[1]
    u = min(max(u, 0.0), m - 1.001)
    i = int(u)
    f = u - i
    return table[row, i] * (1.0 - f) + table[row, i + 1] * f


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _pick(plate, x, y, out, c0, n):
    """Bilinear: channels c0..c0+n of plate (h, w, c) at x, y into out; edges hold."""
    h, w = plate.shape[0], plate.shape[1]
    x = min(max(x, 0.0), w - 1.001)
    y = min(max(y, 0.0), h - 1.001)
    i, j = int(x), int(y)
    f, g = x - i, y - j
    a, b, c, d = (1 - f) * (1 - g), f * (1 - g), (1 - f) * g, f * g
    for k in range(n):
        out[k] = (
            plate[j, i, c0 + k] * a
            + plate[j, i + 1, c0 + k] * b
            + plate[j + 1, i, c0 + k] * c
            + plate[j + 1, i + 1, c0 + k] * d
        )


@njit(cache=True, nogil=True, fastmath=True)
def shade(canvas, box, to_local, to_plate, ball, iris, skin, tint, lash, lut, place, number):
    """Paint one eye into canvas (h, w, 3) uint8, in place.

    box       x0, y0, x1, y1 of the canvas (integers) to visit
    to_local  (2, 3) canvas pixel -> local;  to_plate (2, 3) local -> pixel of ball and iris plates
    ball      (h, w, 3) f32: eyeball without iris and without the lid's shadow
    iris      (h, w, 8) f32: rgb without shadow and catch-light, coverage, rgb of the catch-light, pad
    skin      (h, w, 3) f32: the picture round the eye as if it were all skin
    tint      (3, m) f32 along x: colour of the visible lid against that skin
    lash      (rows, m) f32: how much the lashes darken, along x, over distance from the lid's edge
    lut       (7, m) f32 along x: upper and lower edge, share of the lid's skin to redo, top of that skin, how far
              the lid has come down (0..1), strength and reach of the line where closed lids meet
    place     (13,) f32: iris centre in the photo, now, (2, 2) plate offset of the iris, catch-light shift,
              iris radius (local), shadow strength and reach
    number    (6,) f32: x of lut's first and last column, softness, activity, lash reach up, reach down
    """
    m = lut.shape[1]
    x_first, x_last = number[0], number[1]
    soft, active, up, down = number[2], number[3], number[4], number[5]
    shadow, reach, radius = place[11], place[12], place[10]
    rows = lash.shape[0]
    colour = np.empty(8, np.float32)
    light = np.empty(8, np.float32)
    base = np.empty(8, np.float32)
    for py in range(box[1], box[3]):
        for px in range(box[0], box[2]):
            x = to_local[0, 0] * px + to_local[0, 1] * py + to_local[0, 2]
            if x <= x_first or x >= x_last:
                continue
            y = to_local[1, 0] * px + to_local[1, 1] * py + to_local[1, 2]
            u = (x - x_first) / (x_last - x_first) * (m - 1)
            upper, lower = _lut(lut, 0, u), _lut(lut, 1, u)
            top = _lut(lut, 3, u)
            if y < top or y > lower + down + soft:
                continue
            closed = _lut(lut, 4, u)
            r = float(canvas[py, px, 0])
            g = float(canvas[py, px, 1])
            b = float(canvas[py, px, 2])
            depth = y - upper  # > 0 below the edge of the upper lid
            hole = _step(0.5 + depth / (2 * soft)) * _step(0.5 + (lower - y) / (2 * soft))
            hole *= _step((lower - upper) / (2 * soft))
            # lashes: their darkening rides on the edge of the lid; as it closes they fold over and point down
            if depth <= 0:
                v = -depth / (up * (1.0 - 0.4 * closed))
                dark = 1.0 if v >= 1 else _lash(lash, rows, u, 0.5 + 0.5 * v)
            else:
                v = depth / down
                inner = 1.0 if v >= 1 else _lash(lash, rows, u, 0.5 - 0.5 * v)
                v = depth / (0.8 * up * closed + 1e-4)
                over = 1.0 if v >= 1 else 1.0 - (1.0 - _lash(lash, rows, u, 0.5 + 0.5 * v)) * (1.0 - v)
                dark = inner + (over - inner) * closed
            line = _lut(lut, 5, u)
            if line > 0:  # where lids meet: a dark line, lashes hanging from it
                t = depth / (0.018 + 0.5 * soft) if depth < 0 else depth / (_lut(lut, 6, u) + 0.5 * soft)
                dark = min(dark, 1.0 - line * np.exp(-t * t))
            if closed > 0:
                begun = _step((closed - 0.04) / 0.3)
                under = 0.055 * _step((closed - 0.6) / 0.35)  # shut lids hide the wet edge of the lower one
                if depth < under + soft:  # lid skin above the edge
                    v = min((y - top) / max(upper - top, 1e-3), 1.0)
                    lum = 0.3 * r + 0.59 * g + 0.11 * b
                    tx = to_plate[0, 0] * x + to_plate[0, 1] * y + to_plate[0, 2]
                    ty = to_plate[1, 0] * x + to_plate[1, 1] * y + to_plate[1, 2]
                    _pick(skin, tx, ty, base, 0, 3)
                    tinted = _step(v / 0.5)
                    sr = base[0] * (1 + tinted * (_lut(tint, 0, u) - 1))
                    sg = base[1] * (1 + tinted * (_lut(tint, 1, u) - 1))
                    sb = base[2] * (1 + tinted * (_lut(tint, 2, u) - 1))
                    ref = 0.3 * sr + 0.59 * sg + 0.11 * sb + 1.0
                    off = lum / ref - 1.0
                    free = (1 - v) * (1 - v)
                    if off < 0:
                        bound = 0.08 + (0.4 - 0.28 * closed) * free
                    else:
                        bound = 0.05 + 0.25 * free
                    tone = abs(r / (lum + 8) - sr / (ref + 8)) + abs(b / (lum + 8) - sb / (ref + 8))
                    size = max(abs(off), 0.7 * tone * bound / 0.09)
                    wrong = max(_step(size / bound - 0.5), 0.7 * _step((closed - 0.25) / 0.5) * _step(v / 0.5))
                    kept = 1.0 + 0.25 * bound * off / (bound + size)
                    round_ = 1.0 - 0.10 * _step((v - 0.7) / 0.3) * closed
                    weight = begun * _lut(lut, 2, u) * _step(v / 0.25)
                    weight *= _step(0.5 - (depth - under) / (2 * soft + under))
                    nr = r * round_ * (1 - wrong) + wrong * sr * kept * round_
                    ng = g * round_ * (1 - wrong) + wrong * sg * kept * round_
                    nb = b * round_ * (1 - wrong) + wrong * sb * kept * round_
                    r += weight * (nr - r)
                    g += weight * (ng - g)
                    b += weight * (nb - b)
                redo = _lut(lut, 2, u) if depth <= 0 else 1.0
                f = 1.0 - begun * redo * (1 - hole) * (1.0 - dark)
                r *= f
                g *= f
                b *= f
            if hole > 0:
                tx = to_plate[0, 0] * x + to_plate[0, 1] * y + to_plate[0, 2]
                ty = to_plate[1, 0] * x + to_plate[1, 1] * y + to_plate[1, 2]
                _pick(ball, tx, ty, base, 0, 3)
                dx, dy = x - place[2], y - place[3]
                ix = place[0] + place[4] * dx + place[5] * dy
                iy = place[1] + place[6] * dx + place[7] * dy
                qx = to_plate[0, 0] * ix + to_plate[0, 1] * iy + to_plate[0, 2]
                qy = to_plate[1, 0] * ix + to_plate[1, 1] * iy + to_plate[1, 2]
                _pick(iris, qx, qy, colour, 0, 4)
                cx, cy = x - place[8], y - place[9]
                qx = to_plate[0, 0] * cx + to_plate[0, 1] * cy + to_plate[0, 2]
                qy = to_plate[1, 0] * cx + to_plate[1, 1] * cy + to_plate[1, 2]
                _pick(iris, qx, qy, light, 4, 3)
                near = np.sqrt(dx * dx + dy * dy) / (radius + 1e-6)
                glint = _step((1.25 - near) / 0.3)
                shade_now = (1.0 - shadow * np.exp(-max(depth, 0.0) / reach)) * dark
                a = colour[3]
                br = (base[0] + a * (colour[0] - base[0])) * shade_now + glint * light[0]
                bg = (base[1] + a * (colour[1] - base[1])) * shade_now + glint * light[1]
                bb = (base[2] + a * (colour[2] - base[2])) * shade_now + glint * light[2]
                r += hole * (br - r)
                g += hole * (bg - g)
                b += hole * (bb - b)
            canvas[py, px, 0] = _byte(canvas[py, px, 0] + active * (r - canvas[py, px, 0]))
            canvas[py, px, 1] = _byte(canvas[py, px, 1] + active * (g - canvas[py, px, 1]))
            canvas[py, px, 2] = _byte(canvas[py, px, 2] + active * (b - canvas[py, px, 2]))


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _byte(v):
    return np.uint8(min(max(v + 0.5, 0.0), 255.0))


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _lash(lash, rows, u, v):
    """Darkening along x at v = 0 (deepest on the eyeball) .. 0.5 (the lid's edge) .. 1 (highest above it)."""
    m = lash.shape[1]
    t = min(max(v * (rows - 1), 0.0), rows - 1.001)
    u = min(max(u, 0.0), m - 1.001)
    j, i = int(t), int(u)
    g, f = t - j, u - i
    return (lash[j, i] * (1 - f) + lash[j, i + 1] * f) * (1 - g) + (
        lash[j + 1, i] * (1 - f) + lash[j + 1, i + 1] * f
    ) * g
