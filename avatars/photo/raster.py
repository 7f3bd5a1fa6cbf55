"""The mesh drawn as coordinates: for each output pixel the place of the photo that it comes from, with a depth buffer.

Kernels run without the interpreter's lock, so that frames can be made in several threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, fastmath=True)
def nearest_edges(at, points, edges):
    """For places (N, 2) the nearest edge (E, 2) of points (P, 2): its two points (N, 2), where between them (N,) and
    how far away (N,)."""
    near = np.empty((len(at), 2), np.int64)
    share = np.empty(len(at))
    distance = np.empty(len(at))
    for i in range(len(at)):
        x, y = at[i, 0], at[i, 1]
        best = 1e30
        for e in range(len(edges)):
            a, b = edges[e, 0], edges[e, 1]
            ax, ay = points[a, 0], points[a, 1]
            dx, dy = points[b, 0] - ax, points[b, 1] - ay
            t = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy + 1e-12)
            t = min(max(t, 0.0), 1.0)
            ex, ey = x - ax - t * dx, y - ay - t * dy
            d = ex * ex + ey * ey
            if d < best:
                best = d
                near[i, 0], near[i, 1] = a, b
                share[i] = t
        distance[i] = np.sqrt(best)
    return near, share, distance


@njit(cache=True, nogil=True, fastmath=True)
def move_points(
    points,
    source,
    moves,
    near,
    share,
    spread,
    turn,
    shift,
    pin,
    rotation,
    pivot,
    translation,
    centre,
    scale,
    distance,
    out,
):
    """Posed picture positions (N, 3: x, y, nearness) of face points followed by the sheet's.

    moves (F, 3) displacement of the face's points in the camera's frame; near, share, spread for the sheet's points;
    turn, shift, pin for all. Perspective by `distance`; pin draws a point back to its source."""
    faces = len(moves)
    for i in range(len(points)):
        if i < faces:
            dx, dy, dz = moves[i, 0], moves[i, 1], moves[i, 2]
        else:
            j = i - faces
            a, b, t, s = near[j, 0], near[j, 1], share[j], spread[j]
            dx = s * (moves[a, 0] * (1 - t) + moves[b, 0] * t)
            dy = s * (moves[a, 1] * (1 - t) + moves[b, 1] * t)
            dz = s * (moves[a, 2] * (1 - t) + moves[b, 2] * t)
        x, y, z = points[i, 0] + dx, points[i, 1] + dy, points[i, 2] + dz
        px, py, pz = x - pivot[0], y - pivot[1], z - pivot[2]
        w, v = turn[i], shift[i]
        x += w * (rotation[0, 0] * px + rotation[0, 1] * py + rotation[0, 2] * pz - px) + v * translation[0]
        y += w * (rotation[1, 0] * px + rotation[1, 1] * py + rotation[1, 2] * pz - py) + v * translation[1]
        z += w * (rotation[2, 0] * px + rotation[2, 1] * py + rotation[2, 2] * pz - pz) + v * translation[2]
        k = scale / (1.0 - z / distance)
        p = pin[i]
        out[i, 0] = source[i, 0] + p * (centre[0] + k * x - source[i, 0])
        out[i, 1] = source[i, 1] + p * (centre[1] - k * y - source[i, 1])
        out[i, 2] = z


@njit(cache=True, nogil=True, fastmath=True)
def moved_box(posed, source, gain, least, margin, width, height):
    """x0, y0, x1, y1 of all that moves by more than `least` pixels or changes its brightness, `margin` wider; empty
    when nothing does."""
    x0, y0, x1, y1 = 1e9, 1e9, -1e9, -1e9
    for i in range(len(posed)):
        dx, dy = posed[i, 0] - source[i, 0], posed[i, 1] - source[i, 1]
        if abs(dx) > least or abs(dy) > least or abs(gain[i] - 1.0) > 0.002:
            x0 = min(x0, posed[i, 0], source[i, 0])
            x1 = max(x1, posed[i, 0], source[i, 0])
            y0 = min(y0, posed[i, 1], source[i, 1])
            y1 = max(y1, posed[i, 1], source[i, 1])
    if x1 < x0:
        return 0, 0, 0, 0
    a, b = int(max(np.floor(x0 - margin), 0)), int(max(np.floor(y0 - margin), 0))
    return a, b, int(min(np.ceil(x1 + margin) + 1, width)), int(min(np.ceil(y1 + margin) + 1, height))


@njit(cache=True, nogil=True, fastmath=True)
def rasterise(posed, source, gain, triangles, faces, x0, y0, map_x, map_y, gains, near):
    """Fill the maps (h, w) of the box that starts at x0, y0; pixels without a triangle keep their own place.

    posed (N, 3) picture position and nearness, source (N, 2), gain (N,) brightness; the first `faces` triangles are the
    face's. Of the sheet, cells that don't move and have nothing moving near are left out. near (h, w) is scratch."""
    h, w = map_x.shape
    for y in range(h):
        for x in range(w):
            map_x[y, x] = x0 + x
            map_y[y, x] = y0 + y
            gains[y, x] = 1.0
            near[y, x] = -1e30
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = posed[a, 0] - x0, posed[a, 1] - y0
        bx, by = posed[b, 0] - x0, posed[b, 1] - y0
        cx, cy = posed[c, 0] - x0, posed[c, 1] - y0
        if t >= faces:
            still = 0.0
            for k in range(3):
                i = triangles[t, k]
                still = max(still, abs(posed[i, 0] - source[i, 0]), abs(posed[i, 1] - source[i, 1]), abs(gain[i] - 1.0))
            if still < 1e-3:
                continue
        left, right = min(ax, bx, cx), max(ax, bx, cx)
        top, bottom = min(ay, by, cy), max(ay, by, cy)
        first_x, last_x = max(int(np.ceil(left - 1e-3)), 0), min(int(np.floor(right + 1e-3)), w - 1)
        first_y, last_y = max(int(np.ceil(top - 1e-3)), 0), min(int(np.floor(bottom + 1e-3)), h - 1)
        if first_x > last_x or first_y > last_y:
            continue
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area <= 1e-9:  # turned away
            continue
        inverse = 1.0 / area
        u_x, u_y = -(cy - by) * inverse, (cx - bx) * inverse
        v_x, v_y = -(ay - cy) * inverse, (ax - cx) * inverse
        za, zb, zc = posed[a, 2], posed[b, 2], posed[c, 2]
        sax, say, sbx, sby = source[a, 0], source[a, 1], source[b, 0], source[b, 1]
        scx, scy = source[c, 0], source[c, 1]
        ga, gb, gc = gain[a], gain[b], gain[c]
        slack = -1e-3
        for y in range(first_y, last_y + 1):
            u0 = (y - by) * u_y - bx * u_x
            v0 = (y - cy) * v_y - cx * v_x
            for x in range(first_x, last_x + 1):
                u = u0 + x * u_x
                v = v0 + x * v_x
                s = 1.0 - u - v
                if u < slack or v < slack or s < slack:
                    continue
                z = u * za + v * zb + s * zc
                if z <= near[y, x]:
                    continue
                near[y, x] = z
                map_x[y, x] = u * sax + v * sbx + s * scx
                map_y[y, x] = u * say + v * sby + s * scy
                gains[y, x] = u * ga + v * gb + s * gc


@njit(cache=True, nogil=True, fastmath=True)
def compose(photo, warped, cover, plate, map_x, map_y, gains, x0, y0, layered, least, out):
    """The picture inside the box: the warped person over the plate, and the photo itself where nothing moves.

    photo, plate (h, w, 3) uint8 of the box; warped (h, w, 3) uint8, cover (h, w) uint8 matte of the warped person;
    without `layered` the warped photo is all there is. least: pixels of motion below which the photo is copied, from
    three times that much on nothing of it is."""
    h, w = map_x.shape
    for y in range(h):
        for x in range(w):
            dx, dy = map_x[y, x] - (x0 + x), map_y[y, x] - (y0 + y)
            moved = max(abs(dx), abs(dy))
            g = gains[y, x]
            if moved <= least and abs(g - 1.0) < 0.003:
                for c in range(3):
                    out[y, x, c] = photo[y, x, c]
                continue
            m = min(max((moved - least) / (2 * least), 0.0), 1.0)
            a = cover[y, x] / 255.0 if layered else 1.0
            for c in range(3):
                v = min(warped[y, x, c] * g, 255.0)
                if layered:
                    v = a * v + (1 - a) * plate[y, x, c]
                    still = photo[y, x, c] * (1.0 + a * (g - 1.0))
                    v = m * v + (1 - m) * still
                out[y, x, c] = np.uint8(min(v + 0.5, 255.0))


@njit(cache=True, nogil=True, fastmath=True)
def soften_steps(image, map_x, map_y, step, out):
    """Average over 3 x 3 pixels where neighbours come from places more than `step` pixels apart (the far edge of a
    turned face). image, out (h, w, 3) uint8; out holds a copy of image."""
    h, w = map_x.shape
    for y in range(1, h - 1):
        for x in range(1, w - 1):
            jump = max(
                abs(map_x[y, x + 1] - map_x[y, x]),
                abs(map_x[y, x] - map_x[y, x - 1]),
                abs(map_x[y + 1, x] - map_x[y, x]),
                abs(map_x[y, x] - map_x[y - 1, x]),
                abs(map_y[y, x + 1] - map_y[y, x]),
                abs(map_y[y, x] - map_y[y, x - 1]),
                abs(map_y[y + 1, x] - map_y[y, x]),
                abs(map_y[y, x] - map_y[y - 1, x]),
            )
            if jump > step:
                for c in range(3):
                    total = 4 * np.int32(image[y, x, c])
                    total += 2 * (
                        np.int32(image[y - 1, x, c]) + image[y + 1, x, c] + image[y, x - 1, c] + image[y, x + 1, c]
                    )
                    total += (
                        np.int32(image[y - 1, x - 1, c])
                        + image[y - 1, x + 1, c]
                        + image[y + 1, x - 1, c]
                        + image[y + 1, x + 1, c]
                    )
                    out[y, x, c] = np.uint8((total + 8) >> 4)
