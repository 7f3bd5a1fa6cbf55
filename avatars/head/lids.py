"""Eyelids against the eyeball: they lie on it, slide over it, and meet.

Subdivision pulls the edges of an opening apart, and a lid that moves straight would cut through the ball; both are
repaired on the refined skin. Eye spans.
"""

from __future__ import annotations

import numpy as np

from avatars.facemesh import EYE_LEFT, EYE_RIGHT
from studio.arkit import ARKIT, INDEX

EYE_RADIUS = 0.163
"""14.7 mm: a little larger than life, so that lids lie on it from corner to corner."""

EYES = {"eye_left": np.array([0.342, 0.004, -0.078]), "eye_right": np.array([-0.342, 0.004, -0.078])}
CLEAR = 0.016
"""How far the outer skin of a lid stays off the eyeball."""

REACH = 0.045
"""How far from its edge a lid follows it when it is brought to meet the other."""


def settle_lids(points: np.ndarray, deltas: np.ndarray, rims: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Skin (V, 3) and its shapes (S, V, 3), the first 52 ARKit's, with lids that lie on the eyeballs and meet in a
    blink. rims: the refined edge loop (32,) of each eye, from a corner along the lower lid and back. Returns copies."""
    rest = points.copy()
    out = deltas.copy()
    for name in EYES:
        rest = _outside(rest, name)
    for name, rim in rims.items():
        side = "Left" if name == "eye_left" else "Right"
        blink = INDEX[f"eyeBlink{side}"]
        out[blink] += _meeting(points, points + deltas[blink], rim)
    for index, shape in enumerate(ARKIT):
        if not shape.startswith("eye"):
            continue
        eye = "eye_left" if shape.endswith("Left") else "eye_right"
        out[index] = _outside(rest + out[index], eye) - rest
    return rest, out


def _outside(points: np.ndarray, eye: str) -> np.ndarray:
    """Points near the front of an eyeball moved out of it."""
    ray = points - EYES[eye]
    distance = np.linalg.norm(ray, axis=1)
    least = EYE_RADIUS + CLEAR
    inside = (distance < least) & (ray[:, 2] > 0.25 * distance)
    # what lies deep within is the lids' inside: it keeps its order under the skin
    depth = np.clip((distance - EYE_RADIUS + 0.004) / (CLEAR + 0.004), 0, 1)
    wanted = EYE_RADIUS + 0.005 + (CLEAR - 0.005) * np.sqrt(depth)
    scale = np.where(inside, np.maximum(wanted / np.maximum(distance, 1e-9), 1.0), 1.0)
    return EYES[eye] + ray * scale[:, None]


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
    for name, loop in (("eye_left", EYE_LEFT), ("eye_right", EYE_RIGHT)):
        rim = []
        for a, b in zip(loop, np.roll(loop, -1)):
            rim += [int(a), loop_of_edge[min(int(a), int(b)), max(int(a), int(b))]]
        out[name] = np.array(rim)
    return out
