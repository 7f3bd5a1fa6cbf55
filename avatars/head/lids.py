"""Eyelids against the eyeball: they lie on it, slide over it, and meet.

Subdivision pulls the edges of an opening apart, and a lid that moves straight would cut through the ball; both are
repaired on the refined skin. Eye spans.
"""

from __future__ import annotations

import numpy as np

from avatars.facemesh import EYE_LEFT, EYE_RIGHT, MEAN
from studio.arkit import ARKIT, INDEX

EYE_RADIUS = 0.163
"""14.7 mm: a little larger than life, so that lids lie on it from corner to corner."""

EYES = {"eye_left": np.array([0.350, 0.006, -0.088]), "eye_right": np.array([-0.350, 0.006, -0.088])}
HOLDERS = {"eye_left": EYE_LEFT, "eye_right": EYE_RIGHT}
"""The edge of the lids that hold an eyeball, as a loop of FaceMesh points."""

CLEAR = 0.020
"""How far the outer skin of a lid stays off the eyeball."""

REACH = 0.045
"""How far from its edge a lid follows it when it is brought to meet the other."""


def eye_centres(face: np.ndarray) -> dict[str, np.ndarray]:
    """Middles of the eyeballs of a face (468, 3)."""
    return {name: EYES[name] + face[loop].mean(0) - MEAN[loop].mean(0) for name, loop in HOLDERS.items()}


def settle_lids(
    points: np.ndarray,
    deltas: np.ndarray,
    rims: dict[str, np.ndarray],
    centres: dict[str, np.ndarray],
    clearance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Skin (V, 3) and its shapes (S, V, 3), the first 52 ARKit's, with lids that lie on the eyeballs and meet in a
    blink. rims: the refined edge loop (32,) of each eye, from a corner along the lower lid and back; centres of the
    eyeballs; clearance (V,) as for `outside`. Returns copies."""
    rest, out = points, deltas.copy()
    for name in HOLDERS:
        rest = outside(rest, centres[name], clearance)
    for name, rim in rims.items():
        blink = INDEX["eyeBlinkLeft" if name == "eye_left" else "eyeBlinkRight"]
        closed = outside(rest + deltas[blink], centres[name], clearance)
        near = np.linalg.norm(rest - centres[name], axis=1) < 0.45
        out[blink] = np.where(near[:, None], closed + _meeting(rest, closed, rim) - rest, deltas[blink])
    for index, shape in enumerate(ARKIT):
        if shape.startswith("eye"):
            centre = centres["eye_left" if shape.endswith("Left") else "eye_right"]
            near = np.linalg.norm(rest - centre, axis=1) < 0.4
            out[index] = np.where(near[:, None], outside(rest + out[index], centre, clearance) - rest, out[index])
    return rest, out


def outside(points: np.ndarray, centre: np.ndarray, clearance: np.ndarray) -> np.ndarray:
    """Points (V, 3) near the front of an eyeball moved out of it, to `clearance` (V,) above it."""
    ray = points - centre
    distance = np.linalg.norm(ray, axis=1)
    inside = (distance < EYE_RADIUS + clearance) & (ray[:, 2] > 0.2 * distance)
    scale = np.where(inside, (EYE_RADIUS + clearance) / np.maximum(distance, 1e-9), 1.0)
    return centre + ray * scale[:, None]


def _meeting(rest: np.ndarray, closed: np.ndarray, rim: np.ndarray) -> np.ndarray:
    """(V, 3) what brings both edges of a closed eye together; each side's skin follows its own edge."""
    half = len(rim) // 2
    lower, upper = rim[1:half], rim[:half:-1]
    line = 0.35 * closed[upper] + 0.65 * closed[lower]
    edges = np.concatenate([lower, upper])
    moves = np.concatenate([line - closed[lower], line - closed[upper]])
    near = np.flatnonzero(np.linalg.norm(rest - rest[edges].mean(0), axis=1) < 0.45)
    gap = np.linalg.norm(rest[near, None] - rest[edges][None], axis=2)
    own = gap.argmin(1)
    same = (own[:, None] < len(lower)) == (np.arange(len(edges))[None] < len(lower))
    weight = np.exp(-((gap / 0.03) ** 2) / 2) * same + 1e-12 * same
    weight /= weight.sum(1, keepdims=True)
    out = np.zeros_like(rest)
    out[near] = np.exp(-((gap.min(1) / REACH) ** 2) / 2)[:, None] * (weight @ moves)
    out[edges] = moves
    return out


def rim_loops(loop_of_edge: dict[tuple[int, int], int]) -> dict[str, np.ndarray]:
    """The refined edge loops of the eyes: the cage's points and the points between them."""
    out = {}
    for name, loop in HOLDERS.items():
        rim = []
        for a, b in zip(loop, np.roll(loop, -1)):
            rim += [int(a), loop_of_edge[min(int(a), int(b)), max(int(a), int(b))]]
        out[name] = np.array(rim)
    return out
