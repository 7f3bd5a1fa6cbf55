"""The mesh as skin: it follows what it hangs on, and doesn't fold over itself."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from avatars.facemesh import MEAN, TRIANGLES

LEAST_AREA = 0.25
"""A triangle seen from the front keeps at least this share of its area."""

CORNERS = (62, 292)
"""Corners of the mouth, right and left, in the middle of the lips' rings there."""

CORNER_RINGS = ((61, 76, 78), (291, 306, 308))

KNOT = 0.06
"""Radius of the piece of flesh at a corner of the mouth that moves as one, eye spans."""

FACING = 0.35
"""Triangles whose normal has less than this towards the camera are seen edge-on: they may turn away."""


@lru_cache(maxsize=1)
def neighbours() -> list[set[int]]:
    """For each point those that it shares an edge with; lips and lids of one opening share none."""
    near: list[set[int]] = [set() for _ in range(len(MEAN))]
    for a, b, c in TRIANGLES.tolist():
        near[a] |= {b, c}
        near[b] |= {a, c}
        near[c] |= {a, b}
    return near


def rings_round(loop: np.ndarray, rings: int) -> list[list[int]]:
    """Rings of points round a loop, the loop itself first, by steps on the mesh."""
    current = set(map(int, loop))
    seen, out = set(current), [sorted(current)]
    for _ in range(rings):
        current = set().union(*(neighbours()[i] for i in current)) - seen
        seen |= current
        out.append(sorted(current))
    return out


def spread_weights(margin: np.ndarray, other: np.ndarray, rings: int) -> np.ndarray:
    """How much (468, M) each point follows the points of a ``margin`` (M,): they fully, those on ``rings`` of points
    round them ever less. ``other`` is the margin across the opening: it and what is nearer to it stay."""
    return _spread_weights(tuple(map(int, margin)), tuple(map(int, other)), rings)


@lru_cache(maxsize=16)
def _spread_weights(margin: tuple[int, ...], other: tuple[int, ...], rings: int) -> np.ndarray:
    step = {i: 0 for i in (*margin, *other)}
    owner = {i: {i} for i in margin} | {i: {-1} for i in other}
    current = set(step)
    for distance in range(1, rings + 1):
        reached: dict[int, set[int]] = {}
        for i in current:
            for j in neighbours()[i] - step.keys():
                reached.setdefault(j, set()).update(owner[i])
        for j, owners in reached.items():
            step[j], owner[j] = distance, owners
        current = set(reached)
    column = {i: k for k, i in enumerate(margin)}
    out = np.zeros((len(MEAN), len(margin)))
    for i, owners in owner.items():
        mine = [column[o] for o in owners if o >= 0]
        if mine:
            t = 1 - step[i] / (rings + 1)
            out[i, mine] = t * t * (3 - 2 * t) / len(owners)
    return out


@lru_cache(maxsize=1)
def modiolus() -> np.ndarray:
    """How much (468,) of its own motion each point keeps near a corner of the mouth, where muscles knot into one piece:
    0 at the corner, 1 farther than `KNOT` from it."""
    distance = np.min([np.linalg.norm(MEAN - MEAN[corner], axis=1) for corner in CORNERS], 0)
    t = np.clip((distance - 0.4 * KNOT) / (0.6 * KNOT), 0, 1)
    return t * t * (3 - 2 * t)


def knot(field: np.ndarray) -> np.ndarray:
    """The displacement field (468, 3) with the skin round each corner of the mouth moving with the corner."""
    own = modiolus()[:, None]
    side = (MEAN[:, :1] > 0).astype(int)[:, 0]
    corner = np.array([field[[c, *ring]].mean(0) for c, ring in zip(CORNERS, CORNER_RINGS)])
    return own * field + (1 - own) * corner[side]


def frontal_areas(points: np.ndarray) -> np.ndarray:
    """Signed areas (852,) of the triangles as seen from the front; negative ones face away."""
    a, b, c = (points[TRIANGLES[:, k], :2] for k in range(3))
    return 0.5 * ((b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]))


def facing(points: np.ndarray) -> np.ndarray:
    """Which triangles (852,) look towards the camera, not edge-on."""
    a, b, c = (points[TRIANGLES[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    return normal[:, 2] > FACING * np.linalg.norm(normal, axis=1)


def least_areas(neutral: np.ndarray) -> np.ndarray:
    """(852,) areas that triangles of a face keep; minus infinity for those seen edge-on."""
    return np.where(facing(neutral), LEAST_AREA * frontal_areas(neutral), -np.inf)


def unfold(
    neutral: np.ndarray, field: np.ndarray, least: np.ndarray, pinned: np.ndarray | None = None, rounds: int = 200
) -> np.ndarray:
    """The displacement field (468, 3) changed as little as keeps ``neutral``'s skin from folding.

    Triangles that the field turns over or shrinks to almost nothing push their corners apart in the picture plane
    (position based dynamics, Mueller et al. 2007, with area constraints) until none is left or ``rounds`` are over.
    ``least`` are the neutral's `least_areas`; ``pinned`` points keep their motion. A field that folds nothing comes
    back as it was.
    """
    from avatars.unfolding import relax

    start = np.ascontiguousarray(neutral + field, np.float64)
    if (frontal_areas(start) >= least).all():
        return field
    free = np.ones(len(neutral))
    if pinned is not None:
        free[pinned] = 0.0
    points = start.copy()
    relax(points, TRIANGLES, least, free, rounds)
    return field + (points - start)
