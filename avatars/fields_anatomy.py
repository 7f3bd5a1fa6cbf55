"""Muscles on the face: the primitives that the displacement fields are made of.

A *muscle* moves the skin near its insertion. Where it acts is an ellipse on the unrolled face (a cylinder round
the head, so that the cheek is as long as it is on the skin), fading smoothly to nothing at its edge; what it does
there is one of a few actions:

    pull   every point moves along one vector
    ring   points move towards (or away from) the centre across and up, and straight out: orbicularis muscles
    turn   points turn about the axis of the jaw's hinge (pull then holds radians about x, y, z)
    roll   like pull, growing from the lip's outer border to its inner edge: the lip rolls about its border

and one of a few territories, which end at an opening: what pulls the lower lip doesn't touch the upper one.

The table of muscles (`data/muscles.json`) holds a few readable numbers for each: it is made by
`tests/benchmarks/fit_fields.py`. Left and right are exact mirrors of each other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np

from avatars.facemesh import EYE_LEFT, EYE_RIGHT, LIPS_INNER, LIPS_OUTER, MEAN, MIRROR
from avatars.fields_skin import neighbours, rings_round

JAW_HINGE = np.array([0.0, -0.30, -0.72])
"""A point of the axis (along x) about which the jaw turns, eye spans."""

CYLINDER = 0.75
"""Radius of the cylinder on which the face is unrolled, eye spans."""

TERRITORIES = ("face", "above mouth", "below mouth", "above eye", "below eye")
ACTIONS = ("pull", "ring", "turn", "roll")


@dataclass(frozen=True)
class Muscle:
    """One muscle of a shape. Lengths in eye spans on the mean face, head frame.

    at: centre of the insertion on the unrolled face (across towards the subject's left, up). reach: half axes of the
    ellipse in which it acts. tilt: the ellipse's turn, radians. pull: the vector of its action at weight 1 (for a
    ring: closing across, closing up, outwards; for a turn: radians about x, y, z). both: it has a twin on the
    other side.
    """

    name: str
    action: str
    territory: str
    at: tuple[float, float]
    reach: tuple[float, float]
    tilt: float
    pull: tuple[float, float, float]
    both: bool = False


def unroll(points: np.ndarray) -> np.ndarray:
    """Points (N, 3), eye spans -> (N, 2): length round the head from the middle, and height."""
    x, y, z = points.T
    return np.stack([CYLINDER * np.arctan2(x, np.maximum(z + CYLINDER - 0.1, 0.05)), y], 1)


def _loop_sides(points: np.ndarray, loop: np.ndarray) -> np.ndarray:
    """Angle (N,) round an opening's nearer corner as 0 above ... 1 below. ``loop`` runs from one corner along one
    side to the other corner (index len // 2) and back."""
    flat = unroll(points)
    a, b = sorted((loop[0], loop[len(loop) // 2]), key=lambda i: flat[i, 0])
    left, right = flat[a], flat[b]
    t = np.clip((flat[:, 0] - left[0]) / (right[0] - left[0]), 0, 1)
    line = left + t[:, None] * (right - left)
    beyond = np.abs(flat[:, 0] - line[:, 0])
    below = 0.5 - np.arctan2(flat[:, 1] - line[:, 1], beyond + 1e-9) / np.pi
    return below * below * (3 - 2 * below)


@lru_cache(maxsize=1)
def landmarks() -> dict[str, np.ndarray]:
    """Facts of the mesh that muscles need: for each point the unrolled place ``flat`` (468, 2), ``below mouth`` and
    ``below eye`` 0..1 and their complements, and ``lip`` 0 at the lips' outer border ... 1 at their inner edge."""
    mouth = _loop_sides(MEAN, LIPS_INNER)
    rings = rings_round(LIPS_INNER, 3)
    lip = np.zeros(len(MEAN))
    for step, ring in enumerate(rings):
        lip[ring] = 1 - step / 3
    # On the lips the side is a matter of the mesh, not of height: the two inner edges touch.
    half = len(LIPS_OUTER) // 2
    lower = set(map(int, [*LIPS_INNER[1:half], *LIPS_OUTER[1:half]]))
    upper = set(map(int, [*LIPS_INNER[half + 1 :], *LIPS_OUTER[half + 1 :]]))
    near = neighbours()
    loose = [i for ring in rings[1:3] for i in ring]
    for _ in range(8):  # the two rings between take the side of the edge that they are connected with
        for i in loose:
            votes = len(near[i] & lower) - len(near[i] & upper)
            if i not in lower and i not in upper and votes:
                (lower if votes > 0 else upper).add(i)
    corners = {int(i) for ring in rings for i in ring if abs(MEAN[i, 0]) > 0.9 * abs(MEAN[78, 0])}
    for i in lower - corners:
        mouth[i] = 1.0
    for i in upper - corners:
        mouth[i] = 0.0
    right, left = _loop_sides(MEAN, EYE_RIGHT), _loop_sides(MEAN, EYE_LEFT)
    eye = np.where(MEAN[:, 0] > 0, left, right)
    middle = np.clip(np.abs(MEAN[:, 0]) / 0.08, 0, 1)
    eye = eye * middle + 0.5 * (left + right) * (1 - middle)
    for loop in (EYE_RIGHT, EYE_LEFT):
        eye[loop[1:8]] = 1.0
        eye[loop[9:]] = 0.0
    symmetric = lambda v: 0.5 * (v + v[MIRROR])
    mouth, eye, lip = symmetric(mouth), symmetric(eye), symmetric(lip)
    return {
        "flat": unroll(MEAN),
        "lip": lip,
        "face": np.ones(len(MEAN)),
        "below mouth": mouth,
        "above mouth": 1 - mouth,
        "below eye": eye,
        "above eye": 1 - eye,
    }


def influence(at: np.ndarray, reach: np.ndarray, tilt: float, territory: str) -> np.ndarray:
    """How much (468,) of a muscle each point takes: (1 - q^2)^2 within its ellipse, times the territory."""
    facts = landmarks()
    d = facts["flat"] - at
    c, s = np.cos(tilt), np.sin(tilt)
    u = (c * d[:, 0] + s * d[:, 1]) / reach[0]
    v = (-s * d[:, 0] + c * d[:, 1]) / reach[1]
    return np.clip(1 - u * u - v * v, 0, None) ** 2 * facts[territory]


def action_columns(action: str, weight: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The action's three components (3, 468, 3): a muscle's displacement is ``pull`` times these."""
    facts = landmarks()
    out = np.zeros((3, len(MEAN), 3))
    if action in ("pull", "roll"):
        w = weight * facts["lip"] if action == "roll" else weight
        for axis in range(3):
            out[axis, :, axis] = w
    elif action == "ring":
        # Closing towards the middle of a mouth or eye: `at` is given unrolled, its place on the skin by the
        # nearest point.
        centre = MEAN[np.argmin(((facts["flat"] - at) ** 2).sum(1))]
        out[0, :, 0] = weight * (centre[0] - MEAN[:, 0])
        out[1, :, 1] = weight * (centre[1] - MEAN[:, 1])
        out[2, :, 2] = weight
    elif action == "turn":
        arm = MEAN - JAW_HINGE
        for axis in range(3):
            out[axis] = weight[:, None] * np.cross(np.eye(3)[axis], arm)
    else:
        raise ValueError(f"unknown action {action!r}; known: {', '.join(ACTIONS)}")
    return out


def mirrored(field: np.ndarray) -> np.ndarray:
    """A displacement field (..., 468, 3) on the other side."""
    return field[..., MIRROR, :] * np.array([-1.0, 1.0, 1.0])


def muscle_columns(muscle: Muscle) -> np.ndarray:
    """The three component fields (3, 468, 3) of a muscle, its twin included."""
    at = np.asarray(muscle.at)
    weight = influence(at, np.asarray(muscle.reach), muscle.tilt, muscle.territory)
    columns = action_columns(muscle.action, weight, at)
    if not muscle.both:
        return columns
    # on the middle line a muscle is its own twin
    return (columns + mirrored(columns)) * (0.5 if muscle.at[0] == 0 else 1.0)


def muscle_field(muscle: Muscle) -> np.ndarray:
    """Displacement (468, 3) of the mean face under one muscle at full."""
    return np.tensordot(np.asarray(muscle.pull), muscle_columns(muscle), 1)


def load_muscles() -> dict[str, list[Muscle]]:
    """The shipped table: ARKit shape name (left or unsided ones) -> its muscles."""
    table = json.loads(files("avatars").joinpath("data/muscles.json").read_text(encoding="utf-8"))
    return {
        shape: [
            Muscle(
                m["name"],
                m["action"],
                m["territory"],
                tuple(m["at"]),
                tuple(m["reach"]),
                m["tilt"],
                tuple(m["pull"]),
                m.get("both", False),
            )
            for m in muscles
        ]
        for shape, muscles in table.items()
    }
