"""The inside of a mouth as a function of the pixel: cavity, tongue, lower teeth, upper teeth.

Each dental arch is a curved wall z = -k x^2, its front tooth at the origin, x to the picture's right, y up and
z out of the face, in millimetres. The head's pose makes an affine map from there to the canvas, so that every
pixel's line of sight meets the wall in closed form: teeth turn with the head and keep their edges at any size.
Edges are as wide as the photo is soft, so nothing flickers and nothing is crisper than its surroundings.
"""

from __future__ import annotations

import numpy as np
from numba import njit

RIM = 0.75
"""How much of the rim of a mouth that was open is replaced where its lips now meet."""


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _step(d, width):
    """0 below -width/2, 1 above width/2, smooth between."""
    t = d / width + 0.5
    if t <= 0.0:
        return 0.0
    if t >= 1.0:
        return 1.0
    return t * t * (3.0 - 2.0 * t)


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _decay(x):
    """About exp(-x) for x >= 0, many times faster."""
    return 1.0 / (1.0 + x * (1.0 + x * (0.5 + x * (0.145 + x * 0.065))))


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _shine(cosine, power):
    """About cosine ** power for large powers."""
    return _decay(power * max(1.0 - cosine, 0.0))


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _log(x):
    """About log(x) for x from 0.15 to 3."""
    return 2.0 * (x - 1.0) / (x + 1.0)


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _look_up(table, t):
    """Linear interpolation at t in 0..1 of an even table, clamped."""
    n = table.shape[0] - 1
    f = min(max(t, 0.0), 1.0) * n
    i = min(int(f), n - 1)
    return table[i] + (table[i + 1] - table[i]) * (f - i)


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _noise(lattice, x, y):
    """Smooth noise of unit spacing, about -1..1, endless; lattice (64, 64)."""
    i, j = int(np.floor(y)), int(np.floor(x))
    wy, wx = y - i, x - j
    wy, wx = wy * wy * (3.0 - 2.0 * wy), wx * wx * (3.0 - 2.0 * wx)
    i0, i1, j0, j1 = i & 63, (i + 1) & 63, j & 63, (j + 1) & 63
    above = lattice[i0, j0] * (1.0 - wx) + lattice[i0, j1] * wx
    below = lattice[i1, j0] * (1.0 - wx) + lattice[i1, j1] * wx
    return 0.6 * (above * (1.0 - wy) + below * wy)


@njit(cache=True, nogil=True, fastmath=True)
def _tooth(x0, y0, ex, ey, curve, table, sign, foot, light, lattice):
    """Where a line of sight meets an arch. sign +1: upper (edge below, gum above), -1: lower.

    Returns coverage, gum share, brightness of enamel, highlight, depth z."""
    disc = 1.0 + 4.0 * curve * ex * x0
    if disc <= 0.02:
        return 0.0, 0.0, 0.0, 0.0, -99.0
    root = np.sqrt(disc)
    x = 2.0 * x0 / (1.0 + root)
    z = -curve * x * x
    y = (y0 + z * ey) * sign
    reach = abs(x)
    last = table.shape[0] - 1
    k = 0
    while k < last and reach > table[k, 1]:
        k += 1
    begin, end, edge, height, cusp, rounding = (
        table[k, 0],
        table[k, 1],
        table[k, 2],
        table[k, 3],
        table[k, 4],
        table[k, 5],
    )
    u = 2.0 * (reach - begin) / (end - begin) - 1.0
    slope = np.sqrt(1.0 + 4.0 * curve * curve * x * x)
    wide = foot / max(root, 0.25) * slope  # footprint along the arch, mm
    au = abs(u)
    u4 = au * au * au * au
    # the outer corner is rounder than the one towards the middle
    bow = rounding * u4 * (1.25 if u > 0 else 0.8) + cusp * (np.sqrt(u * u + 0.06) - 0.245)
    if k == 0 and sign > 0:
        bow = rounding * u4 * (1.1 if u > 0 else 0.75)
    h = y - edge - bow
    cover = _step(h, foot) * _step((table[last, 1] - reach) * 0.5, 1.0 + foot)
    if cover <= 0.0:
        return 0.0, 0.0, 0.0, 0.0, z
    up = y - edge
    gum = _step(up - height + 2.6 * au * au * au, foot + 0.5)
    # thin valley between neighbours, its darkness spread when a pixel is wider than it
    gap = (1.0 - au) * 0.5 * table[k, 7]
    sigma = np.sqrt(0.2 * 0.2 + 0.16 * wide * wide)
    valley = _decay(0.5 * (gap / sigma) ** 2) * 0.2 / sigma
    broad = _decay(0.5 * (gap / (0.75 + 0.3 * wide)) ** 2)
    # shape of the surface: arch, bulge across, bulge along, slight waviness
    fine = 1.0 / (1.0 + 4.0 * foot * foot)
    wave = _noise(lattice, x * 0.55 + 7.0 * k, up * 0.4) + 0.5 * fine * _noise(lattice, x * 1.9, up * 0.7)
    v = up / height
    nx = 2.0 * curve * x / slope + (0.16 * u + 0.3 * u * u * u + 0.05 * wave) * (1.0 if x > 0 else -1.0)
    ny = (0.75 * (v - 0.3) - (0.35 * _decay(up * up / 1.2))) * sign + 0.04 * wave
    nz = 1.0 / slope
    norm = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz)
    lit = (nx * light[0] + ny * light[1] + nz * light[2]) * norm
    bright = 0.66 + 0.34 * max(lit, 0.0) / light[2]
    bright *= 1.0 - 0.30 * valley - 0.09 * broad
    bright *= table[k, 6] * (1.0 - 0.09 * _decay(max(up, 0.0) / 1.1)) * (1.0 + 0.012 * wave)
    # highlight of wet enamel: half-way vector between light and eye
    hx, hy, hz = light[0], light[1], light[2] + 1.0
    hn = 1.0 / np.sqrt(hx * hx + hy * hy + hz * hz)
    spec = max((nx * hx + ny * hy + nz * hz) * norm * hn, 0.0)
    spec = (0.35 * _shine(spec, 30.0) + 0.65 * _shine(spec, 30.0 + 150.0 * fine)) * (1.0 - 0.7 * broad)
    return cover, gum, bright, spec, z


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _sample(texture, at, x, y, into):
    """Bilinear sample of a texture in millimetres; nothing beyond its border."""
    rows, cols, depth = texture.shape
    fx, fy = (x - at[0]) * at[2], (at[1] - y) * at[2]
    inside = at[2] > 0.0 and fx >= 0.0 and fy >= 0.0 and fx < cols - 1 and fy < rows - 1
    if inside:
        i, j = int(fy), int(fx)
        wy, wx = fy - i, fx - j
        for k in range(depth):
            above = texture[i, j, k] * (1.0 - wx) + texture[i, j + 1, k] * wx
            below = texture[i + 1, j, k] * (1.0 - wx) + texture[i + 1, j + 1, k] * wx
            into[k] = above * (1.0 - wy) + below * wy
    return inside


@njit(cache=True, nogil=True, fastmath=True)
def shade(
    canvas,
    alpha,
    top,
    left,
    upper_map,
    lower_map,
    upper_table,
    lower_table,
    lips,
    span,
    tongue,
    soft,
    light,
    colours,
    open_mm,
    grain,
    grain_scale,
    grain_amount,
    half,
    own_upper,
    own_upper_at,
    own_lower,
    own_lower_at,
):
    """Paint the box of `alpha` into canvas, in place.

    canvas (H, W, 3) uint8 or float32; alpha (h, w) float32, its corner at (top, left) of the canvas;
    upper_map, lower_map (8,): pixel -> mm on the plane z = 0 (6 numbers, row by row) and the shift in x and y per
    mm of depth; lips (2, n): height in mm of upper and lower lip along the mouth, over x = span[0]..span[1];
    tongue (6,): centre and half axes of an ellipsoid; soft: width of an edge in mm; light (3,) unit, towards the light;
    colours (6, 3): teeth, gum, tongue, cavity, glow, exponents of shade per channel; open_mm: greatest opening;
    grain (64, 64) noise, its scale per mm, its amount; half: 0.5 where the canvas truncates; own_*: textures of an
    open mouth in the photo and their places, see `OwnInterior`."""
    rows, cols = alpha.shape
    lo, hi = span[0], span[1]
    room = open_mm / (open_mm + 5.0)
    out = np.zeros(3)
    own, low_own = np.zeros(5), np.zeros(4)
    glance = 1.0 / np.sqrt(2.0 + 2.0 * light[2])
    fine = 1.0 / (1.0 + 6.0 * soft * soft)
    open_photo = own_upper_at[2] > 0.0
    for r in range(rows):
        py = top + r
        for c in range(cols):
            a = alpha[r, c]
            if a <= 0.002:
                continue
            px = left + c
            x0 = upper_map[0] * px + upper_map[1] * py + upper_map[2]
            y0 = upper_map[3] * px + upper_map[4] * py + upper_map[5]
            t = (x0 - lo) / max(hi - lo, 1e-3)
            above = max(_look_up(lips[0], t) - y0, 0.0)  # distance below the upper lip
            below = max(y0 - _look_up(lips[1], t), 0.0)
            corner = max(min(x0 - lo, hi - x0), 0.0)
            height = above + below + 1e-3
            # the closer to a lip or a corner, the less light comes in
            shadow = 1.0 - 0.42 * _decay(above / (0.55 + 0.05 * open_mm))
            shadow *= 1.0 - 0.25 * _decay(below / 0.8)
            side = 1.0 - _decay(corner / 4.0)
            # upper teeth first: what they cover needs no drawing
            cover_up, gum_up, bright_up, spec_up, z_up = _tooth(
                x0, y0, upper_map[6], upper_map[7], upper_table[0, 8], upper_table, 1.0, soft, light, grain
            )
            seen, own_cover = False, 0.0
            if open_photo:
                z = max(z_up, -14.0)
                seen = _sample(
                    own_upper,
                    own_upper_at,
                    x0 + z * (upper_map[6] - own_upper_at[3]),
                    y0 + z * (upper_map[7] - own_upper_at[4]),
                    own,
                )
                if seen:
                    cover_up *= 1.0 - own[4]
                    own_cover = own[3]
            if max(cover_up, own_cover) < 0.999:
                # cavity, darkest in the throat
                v = (below / height - 0.55) / 0.5
                throat = _decay((x0 / 15.0) ** 2 + v * v)
                depth = 0.92 + 0.45 * room * room * (1.0 - throat) - 0.25 * throat
                depth *= (0.45 + 0.55 * side * (1.0 - 0.35 * _decay(corner / 9.0))) * (0.6 + 0.4 * shadow)
                log = _log(depth)
                for i in range(3):
                    out[i] = colours[3, i] * depth * (1.0 + (colours[5, i] - 1.0) * log)
                lx = lower_map[0] * px + lower_map[1] * py + lower_map[2]
                ly = lower_map[3] * px + lower_map[4] * py + lower_map[5]
                # tongue: an ellipsoid in the jaw's frame
                ex, ey = lower_map[6], lower_map[7]
                ax, ay, az = tongue[3], tongue[4], tongue[5]
                qx, qy = (lx - tongue[0] + tongue[2] * ex) / ax, (ly - tongue[1] + tongue[2] * ey) / ay
                dx, dy = az * ex / ax, az * ey / ay
                dd = dx * dx + dy * dy + 1.0
                qd = qx * dx + qy * dy
                disc = qd * qd - dd * (qx * qx + qy * qy - 1.0)
                # about the distance to the outline, in mm
                rim = disc / (2.0 * np.sqrt(max((qx / ax) ** 2 + (qy / ay) ** 2, 1e-6)) * dd)
                edge = _step(rim - 0.5 * soft, soft + 2.6)
                if edge > 0.0:
                    s = (-qd + np.sqrt(max(disc, 0.0))) / dd
                    nx, ny, nz = (qx + s * dx) / ax, (qy + s * dy) / ay, s / az
                    norm = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz)
                    nx, ny, nz = nx * norm, ny * norm, nz * norm
                    tx = (qx + s * dx) * ax
                    tz = tongue[2] + s * az
                    lit = max(nx * light[0] + ny * light[1] + nz * light[2], 0.0)
                    groove = _decay((tx / (1.0 + soft)) ** 2) / (1.0 + soft)
                    tone = (0.35 + 0.68 * lit) * (0.45 + 0.55 * _decay(max(-tz - 4.0, 0.0) / 22.0))
                    tone *= (0.5 + 0.5 * shadow) * (0.35 + 0.65 * room) * (0.55 + 0.45 * _step(rim, 7.0))
                    # velvet of the tongue: coarse unevenness, fine papillae where the picture can show them
                    bumps = 0.6 * _noise(grain, tx * 0.33, tz * 0.25) + fine * _noise(grain, tx * 1.7, tz * 1.2)
                    tone *= (1.0 + 0.07 * bumps) * (1.0 - 0.14 * groove)
                    wet = nx * light[0] + (ny + 0.10 * bumps) * light[1] + nz * (light[2] + 1.0)
                    wet = _shine(wet * glance, 30.0) * (1.0 - 0.6 * groove) * room
                    wet = min(max(wet * (0.16 + 0.08 * fine * bumps), 0.0), 1.0)
                    log = _log(tone)
                    for i in range(3):
                        value = colours[2, i] * tone * (1.0 + (colours[5, i] - 1.0) * log)
                        value += (colours[4, i] - value) * wet
                        out[i] += (value - out[i]) * edge
                cover, gum, bright, spec, z = _tooth(
                    lx, ly, ex, ey, lower_table[0, 8], lower_table, -1.0, soft, light, grain
                )
                if cover > 0.0:
                    dim = (0.35 + 0.65 * shadow) * (0.6 + 0.4 * side) * (0.42 + 0.58 * _decay(-z / 12.0))
                    dim *= (0.6 + 0.4 * room) * (1.0 - 0.25 * _decay(above / 3.0))
                    log = 0.7 * _log(dim)
                    shine = min(spec * 0.35 * dim * (1.0 - 0.5 * gum), 1.0)
                    for i in range(3):
                        value = colours[0, i] * bright * (1.0 - gum) + colours[1, i] * gum * (0.3 + 0.7 * bright)
                        value *= dim * (1.0 + (colours[5, i] - 1.0) * log)
                        value += (colours[4, i] - value) * shine
                        out[i] += (value - out[i]) * cover
                if open_photo:
                    z = max(-0.015 * lx * lx, -6.0)
                    mx, my = lx + z * (ex - own_lower_at[3]), ly + z * (ey - own_lower_at[4])
                    if _sample(own_lower, own_lower_at, mx, my, low_own):
                        for i in range(3):
                            out[i] += (low_own[i] - out[i]) * low_own[3]
            if cover_up > 0.0:
                dim = (0.3 + 0.7 * shadow) * (0.6 + 0.4 * side) * (0.36 + 0.64 * _decay(-z_up / 13.0))
                dim *= 0.88 + 0.12 * room
                log = 0.7 * _log(dim)
                shine = min(spec_up * 0.5 * dim * (1.0 - 0.5 * gum_up), 1.0)
                for i in range(3):
                    value = colours[0, i] * bright_up * (1.0 - gum_up) + colours[1, i] * gum_up * (
                        0.3 + 0.7 * bright_up
                    )
                    value *= dim * (1.0 + (colours[5, i] - 1.0) * log)
                    value += (colours[4, i] - value) * shine
                    out[i] += (value - out[i]) * cover_up
            if own_cover > 0.0:
                for i in range(3):
                    out[i] += (own[i] - out[i]) * own_cover
            # the photo's own grain, fixed to the skull
            if grain_amount > 0.0:
                noise = 1.9 * _noise(grain, x0 * grain_scale, y0 * grain_scale)
                for i in range(3):
                    out[i] += noise * grain_amount * (0.25 + 0.75 * out[i] / 255.0)
            slit = 0.42 + 0.58 * _step(height - 0.9, 1.8)  # hardly any light enters a slit
            for i in range(3):
                out[i] *= slit
                value = canvas[py, px, i] + (out[i] - canvas[py, px, i]) * a
                canvas[py, px, i] = min(max(value, 0.0), 255.0) + half


@njit(cache=True, nogil=True)
def coverage(polygon, rows, cols, lines):
    """Share of each pixel that lies inside a closed polygon (n, 2), pixel centres at whole numbers: exact along the
    row, `lines` samples across it. (rows, cols) float32; a polygon without area covers nothing."""
    out = np.zeros((rows, cols), np.float32)
    n = len(polygon)
    cross = np.empty(n)
    for k in range(rows * lines):
        y = (k + 0.5) / lines - 0.5
        row, count = k // lines, 0
        for i in range(n):
            ax, ay = polygon[i - 1]
            bx, by = polygon[i]
            if (ay <= y) != (by <= y):
                cross[count] = ax + (bx - ax) * (y - ay) / (by - ay)
                count += 1
        ends = np.sort(cross[:count])
        for i in range(0, count - 1, 2):
            a, b = max(ends[i], -0.5), min(ends[i + 1], cols - 0.5)
            if b <= a:
                continue
            first, last = int(a + 0.5), min(int(b + 0.5), cols - 1)
            for x in range(first, last + 1):
                out[row, x] += (min(b, x + 0.5) - max(a, x - 0.5)) / lines
    return out


@njit(cache=True, nogil=True, fastmath=True)
def draw_line(canvas, top, left, rows, cols, plane, lips, span, strength, width, lip, half):
    """Draw the line where closed lips meet, in place: the rim that an open mouth leaves on them, bright with teeth or
    dark, gets the lips' colour lip (3,), and the line is a darker shade of it. strength 0..1, width in mm, the rest as
    in `shade`."""
    lo, hi = span[0], span[1]
    for r in range(rows):
        py = top + r
        for c in range(cols):
            px = left + c
            x = plane[0] * px + plane[1] * py + plane[2]
            if x <= lo or x >= hi:
                continue
            y = plane[3] * px + plane[4] * py + plane[5]
            t = (x - lo) / (hi - lo)
            up, low = _look_up(lips[0], t), _look_up(lips[1], t)
            d = (y - 0.5 * (up + low)) / width
            if abs(d) > 4.5:
                continue
            ends = min(x - lo, hi - x) / (0.12 * (hi - lo))
            whole = min(ends, 1.0) * (1.0 - _step(up - low - 1.5, 2.0))
            heal = RIM * whole * _decay(0.5 * (d / 1.5) ** 2)
            fade = strength * whole * _decay(0.5 * (d / 0.7) ** 2)
            for i in range(3):
                own = canvas[py, px, i] * 1.0
                own += heal * (lip[i] - own)
                shade = fade * (0.8 if i == 0 else 1.1)  # the dark between lips is red
                canvas[py, px, i] = min(max(own * (1.0 - shade), 0.0), 255.0) + half
