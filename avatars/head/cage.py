"""The cage of the head: a coarse mesh of polygons round which the skin is drawn by subdivision.

The face is the FaceMesh with its fields of displacement (`avatars.fields`). Code carries it on: from its outline a tube
of quads runs over the skull and down the neck, lids and lips turn inwards, ears are dishes. All lengths are eye spans
in the head's frame (`avatars.facemesh`).
"""

from __future__ import annotations

import numpy as np

from avatars.facemesh import EYE_LEFT, EYE_RIGHT, LIPS_INNER, MEAN, OVAL, TRIANGLES
from avatars.head.ears import add_ear
from avatars.head.lids import EYE_RADIUS, eye_centres
from avatars.head.mesh import Cage

SKULL = np.array([0.0, 0.19, -0.80])
"""Middle of the cranium."""

SKULL_RADII = np.array([0.885, 1.17, 1.08])
NECK_BASE = np.array([0.0, -2.10, -1.42])
NECK_RADII = np.array([0.76, 0.66])  # sideways, fore and aft, at the base
NECK_TOP = np.array([0.0, -1.40, -1.14])
NECK_WAIST = np.array([0.57, 0.62])  # under the jaw
ROWS, NECK_ROWS = 12, 5
"""Rows of quads from the outline to the base of the neck, and how many of them the back of the neck has."""

JAW_HINGE = np.array([0.0, -0.29, -0.83])

FACE_SCALE = 0.315
"""Texture coordinates for an eye span of the face. The picture is symmetric: the face in the middle, ears and lids in a
column of `COLUMN` at either side of it, below that the mouth's bag, and at the bottom skull and neck."""

COLUMN = 0.15
BOTTOM = 0.40


def face_uv(points: np.ndarray) -> np.ndarray:
    """(N, 2) texture coordinates of the face's island: unrolled from a cylinder, which keeps cheeks unstretched."""
    angle = np.arctan2(points[:, 0], points[:, 2] + 0.75)
    return np.stack([0.5 + FACE_SCALE * 0.75 * angle, 0.405 + FACE_SCALE * (points[:, 1] + 1.266)], 1)


def build_cage(face: np.ndarray, shapes: np.ndarray) -> Cage:
    """The cage with all its parts of skin: a neutral face (468, 3) and what shapes (K, 468, 3) do to it."""
    cage = Cage(np.asarray(face, np.float64), np.asarray(shapes, np.float64))
    uv = face_uv(MEAN.astype(np.float64))
    for triangle in TRIANGLES:
        cage.put(tuple(triangle), uv[triangle], "face")
    _skull(cage)
    for loop, side in ((EYE_LEFT, 1), (EYE_RIGHT, -1)):
        _lids(cage, loop, side)
    _mouth_bag(cage)
    grow = proportions(cage.points[: len(MEAN)])
    for side, cheek in ((1, 454), (-1, 234)):
        add_ear(cage, side, cage.points[cheek] - MEAN[cheek], grow, (0.5 + side * 0.427, 0.885), 0.083)
    return cage


def _smooth(t: np.ndarray | float) -> np.ndarray:
    t = np.clip(t, 0.0, 1.0)
    return t * t * (3 - 2 * t)


def proportions(face: np.ndarray) -> np.ndarray:
    """(3,) how much wider, taller and deeper than the mean head's the head of a face (468, 3) is taken to be."""
    wide, tall = (np.ptp(face[OVAL, k]) / np.ptp(MEAN[OVAL, k]) for k in (0, 1))
    return np.clip(np.array([wide, tall, 0.5 * (wide + tall)]), 0.8, 1.25)


def _skull(cage: Cage) -> None:
    """A tube of quads from the face's outline over the skull to the base of the neck."""
    count = len(OVAL)
    grow = proportions(cage.points[: len(MEAN)])
    start = cage.points[OVAL] / grow  # in the mean head's measure
    turn = np.radians(180 - 360 * np.arange(count) / count)  # round the neck: 0 in front, positive on the left
    base = NECK_BASE + np.stack([NECK_RADII[0] * np.sin(turn), 0 * turn, NECK_RADII[1] * np.cos(turn)], 1)
    waist = NECK_TOP + np.stack([NECK_WAIST[0] * np.sin(turn), 0 * turn, NECK_WAIST[1] * np.cos(turn)], 1)
    # the front of the neck begins under the chin and higher up towards the ears
    waist[:, 1] += 0.50 * (1 - np.cos(turn)) / 2 + 0.1 * np.sin(turn) ** 2
    over = _smooth((np.abs(turn) - np.radians(78)) / np.radians(34))  # 1: the column goes over the skull
    rows = [start]
    share = np.arange(1, ROWS + 1) / ROWS
    for t in share:
        rows.append((1 - over[:, None]) * _under(start, waist, base, t) + over[:, None] * _over(start, base, t))
    rows = _rounded(_relaxed(np.array(rows)), over)
    loops = [OVAL]
    for number, row in enumerate(rows[1:], 1):
        # the jaw takes the skin under it along, ever less
        fade = (1 - over) * (1 - _smooth(number / 6.0)) + over * (1 - _smooth(number / 2.5))
        loops.append(cage.add(row * grow, cage.shapes[:, OVAL] * fade[None, :, None]))
    across = np.linspace(0.98, 0.02, count + 1)
    for number in range(ROWS):
        high, low = (0.30 - 0.28 * k / ROWS for k in (number, number + 1))
        uv = np.stack([np.stack([across, np.full(count + 1, v)], 1) for v in (high, low)])
        cage.strip(loops[number], loops[number + 1], uv, "skull")


def _relaxed(rows: np.ndarray, rounds: int = 12) -> np.ndarray:
    """A tube (rows, around, 3) with its inner rows smoothed; first and last stay."""
    rows = rows.copy()
    for _ in range(rounds):
        mean = (np.roll(rows, 1, 1) + np.roll(rows, -1, 1))[1:-1] + rows[:-2] + rows[2:]
        rows[1:-1] += 0.5 * (mean / 4 - rows[1:-1])
    return rows


def _rounded(rows: np.ndarray, over: np.ndarray) -> np.ndarray:
    """The tube with its cranium blown up to the skull's ellipsoid, which meets the face's outline smoothly."""
    local = (rows - SKULL) / SKULL_RADII
    length = np.linalg.norm(local, axis=2)
    share = np.arange(len(rows))[:, None] / ROWS
    wanted = 1 + (length[0] - 1) * (1 - _smooth(share / 0.45))
    round_ = over * (1 - _smooth((share - 0.50) / 0.30)) * _smooth(share / 0.1)
    return rows + (round_ * (wanted / length - 1))[..., None] * (rows - SKULL)


def _under(start: np.ndarray, waist: np.ndarray, base: np.ndarray, t: float) -> np.ndarray:
    """From the jaw inwards to the neck and down."""
    u = t * 1.0
    if u < 0.4:
        k = _smooth(u / 0.4) if u else 0.0
        return start + (waist - start) * [[k, k**1.7, k]]
    return waist + (base - waist) * ((u - 0.4) / 0.6)


def _over(start: np.ndarray, base: np.ndarray, t: float) -> np.ndarray:
    """From the hairline over the skull, round the axis through the ears, down the nape."""
    local = (start - SKULL) / SKULL_RADII
    first = np.arctan2(local[:, 1], local[:, 2])
    nape = np.radians(214)
    cut = 1 - NECK_ROWS / ROWS
    side = np.clip(local[:, 0], -0.97, 0.97)
    if t <= cut:
        k = t / cut
        angle = first + (nape - first) * k
        narrow = side * (1 - 0.25 * _smooth((k - 0.55) / 0.45))
        on = lambda a, x: (
            SKULL + SKULL_RADII * np.stack([x, np.sqrt(1 - x * x) * np.sin(a), np.sqrt(1 - x * x) * np.cos(a)], 1)
        )
        off = start - on(first, side)
        return on(angle, narrow) + off * (1 - _smooth(k / 0.6))
    k = (t - cut) / (1 - cut)
    end = _over(start, base, cut)
    bend = end + (base - end) * k
    bend[:, 2] += 0.30 * np.sin(np.pi * k) * np.cos(np.pi * 0.5 * np.abs(side))  # the nape is hollow
    return bend


def _lids(cage: Cage, loop: np.ndarray, side: int) -> None:
    """The edge of the lids is thick, and behind it their inside runs round the eyeball."""
    rim = cage.points[loop]
    middle, count = rim.mean(0), len(loop)
    centre = eye_centres(cage.points[: len(MEAN)])["eye_left" if side > 0 else "eye_right"]
    rows = []
    for back, wide, share, off in ((0.016, 0.985, 0.4, 0.0), (0.03, 0.99, 1.0, 0.006), (0.05, 1.35, 1.0, 0.004)):
        row = middle + (rim - middle) * wide
        row[:, 2] = rim[:, 2] - back
        ray = row - centre
        on_ball = centre + ray / np.linalg.norm(ray, axis=1, keepdims=True) * (EYE_RADIUS + off)
        rows.append((1 - share) * row + share * on_ball)
    inner = [cage.add(row, cage.shapes[:, loop] * fade) for row, fade in zip(rows, (1.0, 1.0, 0.6))]
    cage.inside = np.concatenate([cage.inside, *inner[1:]])
    u = 0.5 + side * (0.367 + 0.12 * np.arange(count + 1) / count)
    top = 0.76
    loops = [loop, *inner]
    for number in range(3):
        uv = np.stack([np.stack([u, np.full(count + 1, top - 0.016 * k)], 1) for k in (number, number + 1)])
        outer, next_ = loops[number], loops[number + 1]
        if _clockwise(rim):
            cage.strip(next_, outer, uv[::-1], "lid")
        else:
            cage.strip(outer, next_, uv, "lid")


def _clockwise(loop: np.ndarray) -> bool:
    x, y = loop[:, 0], loop[:, 1]
    return bool((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() < 0)


def _mouth_bag(cage: Cage) -> None:
    """Behind the lips: their wet inside, then a bag whose floor goes with the jaw."""
    rim = cage.points[LIPS_INNER]
    count = len(LIPS_INNER)
    half = count // 2
    low = np.zeros(count)
    low[1:half] = 1.0  # the lower lip
    up = np.zeros(count)
    up[half + 1 :] = 1.0
    loops, wide = [LIPS_INNER], [1.0]
    jaw = cage.shapes[:, LIPS_INNER]
    arch = np.sqrt(np.abs(np.sin(np.pi * np.linspace(0, 2, count, endpoint=False))))
    for depth, spread, tall, share in (
        (0.045, 1.0, -0.010, 1.0),  # thickness of the lips
        (0.065, 1.06, 0.12, 0.95),  # up and down before the teeth
        (0.12, 1.18, 0.23, 0.85),
        (0.36, 1.10, 0.25, 0.6),
        (0.62, 0.70, 0.20, 0.4),
        (0.75, 0.30, 0.08, 0.3),
    ):
        row = rim.copy()
        row[:, 0] *= spread
        row[:, 1] += tall * (up - low) * arch
        row[:, 2] = rim[:, 2] - depth - 0.25 * (rim[half // 2, 2] - rim[:, 2])
        loops.append(cage.add(row, jaw * share))
        wide.append(min(1.0, spread))  # in the picture too: what is squeezed there is drawn from its neighbours
    u = np.linspace(0.30, -0.30, count + 1)
    flip = _clockwise(rim)
    for number in range(len(loops) - 1):
        rows = (number, number + 1)
        uv = np.stack([np.stack([0.5 + wide[k] * u, np.full(count + 1, 0.385 - 0.011 * k)], 1) for k in rows])
        if flip:
            cage.strip(loops[number + 1], loops[number], uv[::-1], "mouth")
        else:
            cage.strip(loops[number], loops[number + 1], uv, "mouth")
    turn = 2 * np.pi * np.arange(count) / count
    uv = 0.002 * np.stack([np.cos(turn), np.sin(turn)], 1) + [0.5, 0.314]
    last = np.arange(count) if flip else np.arange(count)[::-1]
    cage.put(tuple(loops[-1][last[::-1]]), uv[last[::-1]], "mouth")
