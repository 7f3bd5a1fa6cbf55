"""What the head holds besides skin: eyeballs, teeth and gums, tongue. Lengths in eye spans, the head's frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatars.facemesh import MEAN
from avatars.head.cage import JAW_HINGE
from avatars.head.lids import EYE_RADIUS, EYES
from studio.arkit import INDEX

JAW_ANGLE = np.radians(25.3)
"""Turn of the jaw at jawOpen = 1."""


@dataclass(frozen=True)
class Part:
    """points (V, 3); polygons (P, 4), -1 last in a triangle; uv (V, 2) in its material's picture; moves (K, V, 3)."""

    name: str
    points: np.ndarray
    polygons: np.ndarray
    uv: np.ndarray
    material: str
    moves: np.ndarray


def eyeball(name: str, shapes: int, around: int = 24, rings: int = 13) -> Part:
    """A sphere with a bulging cornea; its pole looks out of the face. uv: distance from the pole is distance from the
    picture's middle."""
    polar = np.pi * np.arange(1, rings) / rings * np.linspace(0.72, 1.0, rings - 1)  # finer at the iris
    turn = 2 * np.pi * np.arange(around) / around
    radius = EYE_RADIUS * (1 + 0.035 * np.exp(-((polar / 0.36) ** 2)))
    ring = np.stack(
        [
            np.sin(polar)[:, None] * np.cos(turn),
            np.sin(polar)[:, None] * np.sin(turn),
            np.cos(polar)[:, None] * np.ones(around),
        ],
        -1,
    )
    points = np.concatenate(
        [[[0, 0, EYE_RADIUS * 1.035]], (radius[:, None, None] * ring).reshape(-1, 3), [[0, 0, -EYE_RADIUS]]]
    )
    flat = polar[:, None, None] / (2 * np.pi) * np.stack([np.cos(turn), np.sin(turn)], -1)
    uv = 0.5 + np.concatenate([[[0.0, 0.0]], flat.reshape(-1, 2), [[0.0, 0.5]]])
    ids = 1 + np.arange((rings - 1) * around).reshape(rings - 1, around)
    after = np.roll(ids, -1, 1)
    quads = np.stack([ids[:-1], ids[1:], after[1:], after[:-1]], -1).reshape(-1, 4)
    last = len(points) - 1
    front = np.stack([np.zeros(around, int), ids[0], after[0], np.full(around, -1)], 1)
    back = np.stack([ids[-1], np.full(around, last), after[-1], np.full(around, -1)], 1)
    polygons = np.concatenate([quads, front, back])
    moves = np.zeros((shapes, len(points), 3))
    return Part(name, points + EYES[name], polygons.astype(np.int32), uv, "eye", moves)


def teeth(upper: bool, shapes: int, chin: np.ndarray) -> Part:
    """A row of teeth with its gum: a bent band whose edge is cut into teeth. chin (K, 3): what the chin does in each
    shape, which the lower row follows."""
    along = np.linspace(-1, 1, 57)
    x = 0.275 * np.sin(1.35 * along) / np.sin(1.35)
    sign = 1.0 if upper else -1.0
    line = -0.836 if upper else -0.822
    front = 0.118 if upper else 0.096
    z = front - 3.1 * x * x
    crown = np.abs(np.sin(np.pi * 7 * along))  # fourteen teeth
    notch = 0.005 * (1 - crown) ** 3
    dent = 0.010 * (1 - crown) ** 4
    height = 0.115 * (1 - 0.25 * np.abs(along))
    rows = (
        # (share of the height from the edge, inwards)
        (1.55, 0.045),
        (1.0, 0.018),
        (0.55, 0.0),
        (0.06, 0.004),
        (0.0, 0.02),
        (0.25, 0.055),
        (1.2, 0.075),
    )
    points, uv = [], []
    for k, (tall, inwards) in enumerate(rows):
        edge = line + sign * (notch + 0.012 * np.abs(along) ** 3)
        y = edge + sign * tall * height
        points.append(np.stack([x, y, z - inwards - dent * (tall < 1.1)], 1))
        uv.append(np.stack([(along + 1) / 2, np.full(len(x), (1 - k / 6) * 0.5 + (0.5 if upper else 0.0))], 1))
    points, uv = np.concatenate(points), np.concatenate(uv)
    ids = np.arange(len(points)).reshape(len(rows), -1)
    quads = np.stack([ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]], -1).reshape(-1, 4)
    if not upper:
        quads = quads[:, ::-1]
    moves = np.zeros((shapes, len(points), 3)) if upper else with_jaw(points, shapes, chin)
    return Part(
        "teeth_upper" if upper else "teeth_lower", points, np.ascontiguousarray(quads, np.int32), uv, "teeth", moves
    )


def tongue(shapes: int, chin: np.ndarray, around: int = 16, rings: int = 12) -> Part:
    """A flat drop with a groove, its tip behind the lower teeth; tongueOut brings it over the lip."""
    t = np.linspace(0, 1, rings + 1)[1:-1] ** 1.6  # finer at the tip
    turn = 2 * np.pi * np.arange(around) / around
    width = 0.19 * np.sqrt(np.sin(np.pi * np.clip(t * 0.93 + 0.05, 0, 1)))
    thick = 0.055 * np.sqrt(np.sin(np.pi * np.clip(t * 0.9 + 0.05, 0, 1)))
    middle = np.stack([0 * t, -0.885 - 0.10 * (t - 0.45) ** 2 * 4, 0.02 - 0.56 * t], 1)
    c, s = np.cos(turn), np.sin(turn)
    groove = -0.012 * np.exp(-((c / 0.22) ** 2)) * (s > 0)
    ring = np.stack(
        [width[:, None] * c, thick[:, None] * s + groove * np.ones((len(t), 1)), np.zeros((len(t), around))], -1
    )
    tips = np.array([[0, middle[0, 1] - 0.004, 0.055], [0, middle[-1, 1], -0.60]])
    points = np.concatenate([(middle[:, None] + ring).reshape(-1, 3), tips])
    share = np.concatenate([np.repeat(t, around), [0.0, 1.0]])
    uv = np.stack([np.concatenate([np.tile(turn / (2 * np.pi), len(t)), [0.5, 0.5]]), share], 1)
    ids = np.arange(len(t) * around).reshape(len(t), around)
    after = np.roll(ids, -1, 1)
    quads = np.stack([ids[:-1], ids[1:], after[1:], after[:-1]], -1).reshape(-1, 4)
    tip, root = len(points) - 2, len(points) - 1
    front = np.stack([np.full(around, tip), ids[0], after[0], np.full(around, -1)], 1)
    back = np.stack([ids[-1], np.full(around, root), after[-1], np.full(around, -1)], 1)
    moves = with_jaw(points, shapes, chin)
    free = np.clip(1 - share / 0.75, 0, 1)[:, None]
    moves[INDEX["tongueOut"]] += free * [0.0, 0.15, 0.36] + free**3 * [0.0, -0.20, 0.04]
    return Part("tongue", points, np.concatenate([quads, front, back]).astype(np.int32), uv, "tongue", moves)


def with_jaw(points: np.ndarray, shapes: int, chin: np.ndarray) -> np.ndarray:
    """(K, V, 3) what bone that hangs on the lower jaw does: jawOpen turns it about the hinge, in the jaw's other shapes
    it goes along with the chin."""
    moves = np.zeros((shapes, len(points), 3))
    cos, sin = np.cos(JAW_ANGLE), np.sin(JAW_ANGLE)
    arm = points - JAW_HINGE
    turned = np.stack([arm[:, 0], cos * arm[:, 1] - sin * arm[:, 2], sin * arm[:, 1] + cos * arm[:, 2]], 1)
    moves[INDEX["jawOpen"]] = turned - arm
    for name in ("jawForward", "jawLeft", "jawRight"):
        moves[INDEX[name]] = chin[INDEX[name]]
    return moves


CHIN = int(np.argmin(np.abs(MEAN - MEAN[152]).sum(1)))
"""The FaceMesh point whose motion stands for the bone of the chin."""
