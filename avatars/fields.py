"""Displacement fields of the 52 ARKit shapes on the 468-point FaceMesh, and how they add up on a face.

`fields` gives them on the mean face, `fields_for` on a person's neutral face, `displace` moves a neutral face by
weights: sums of fields, bent where flesh moves in arcs, kept apart where lips and lids meet, and eased where
two shapes pull the same skin.

All lengths are eye spans, all vectors in the head's frame (see `avatars.facemesh`). What the fields are made of is in
`avatars.fields_anatomy`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from avatars.facemesh import EYE_LEFT, EYE_RIGHT, LIPS_INNER, MEAN
from avatars.fields_anatomy import load_muscles, mirrored, muscle_field
from avatars.fields_skin import knot, least_areas, modiolus, spread_weights, unfold
from studio.arkit import ARKIT, INDEX, mirror

UPPER_LID_SHARE = 0.93
"""How much of the opening the upper lid travels in a blink; the lower lid does the rest."""

LOWER_LID_SLIDE = 0.5
"""Share of the measured sideways (nasal) motion of the lower lid in a blink. All of it would shear the closed slit."""

EYEBALL_RADIUS = 0.15
JAW_ANGLE = np.radians(25.3)
"""Turn of the jaw at jawOpen = 1."""

LIP_LOWER, LIP_UPPER = LIPS_INNER[1:10], LIPS_INNER[:10:-1]
LIDS = {
    "Right": (EYE_RIGHT[:8:-1], EYE_RIGHT[1:8]),  # upper margin, lower margin, in pairs
    "Left": (EYE_LEFT[:8:-1], EYE_LEFT[1:8]),
}

LIPS_PRESSED = 0.05
"""How far mouthClose, which lifts lips that the jaw took along, may go beyond jawOpen."""

YIELDING = {"mouthRollLower": 0.0, "mouthRollUpper": 1.0, "mouthShrugLower": 0.25}
"""How much of the way the upper lip gives where a shape presses lips together; others 0.5."""

EASED = (
    # (shape, easing shape, how much of the first the second takes away when both are full)
    ("mouthStretch", "mouthSmile", 0.5),
    ("mouthDimple", "mouthSmile", 0.5),
    ("mouthFrown", "mouthSmile", 0.3),
    ("mouthPucker", "jawOpen", 0.35),
    ("mouthFunnel", "jawOpen", 0.5),
    ("mouthShrugLower", "mouthRollLower", 0.7),
    ("mouthDimple", "mouthRollUpper", 0.5),
    ("mouthUpperUp", "noseSneer", 0.4),
    ("mouthFunnel", "mouthPucker", 0.5),
    ("eyeSquint", "eyeBlink", 0.5),
    ("eyeLookDown", "eyeBlink", 0.8),
    ("eyeWide", "eyeBlink", 0.9),
    ("cheekSquint", "mouthSmile", 0.3),
    ("noseSneer", "browDown", 0.2),
    ("browOuterUp", "browInnerUp", 0.3),
)


@lru_cache(maxsize=1)
def fields() -> np.ndarray:
    """Displacements (52, 468, 3) float32 of the mean face at weight 1, eye spans. Read-only and cached."""
    out = _fitted_to_skin(MEAN.astype(np.float64), _pulled())
    for shape, index in INDEX.items():  # the mean face is symmetric: take rounding out
        other = mirrored(out[INDEX[mirror(shape)]])
        out[index] = 0.5 * (out[index] + other) if not shape.endswith("Right") else other
    out = out.astype(np.float32)
    out.flags.writeable = False
    return out


def fields_for(neutral: np.ndarray) -> np.ndarray:
    """The fields (52, 468, 3) float32 for a person's neutral face (468, 3), eye spans.

    Motions keep their size relative to the features that move: mouth width and lower face height, the distance
    from brow to eye, each eye's width and opening. Lids close fully in a blink, and mouthClose undoes jawOpen,
    whatever the gaps of ``neutral`` are.
    """
    neutral = np.asarray(neutral, np.float64)
    if neutral.shape != MEAN.shape:
        raise ValueError(f"neutral must be {MEAN.shape}, got {neutral.shape}")
    mouth = np.array([_ratio(neutral, 61, 291), _ratio(neutral, 2, 152), _ratio(neutral, 2, 152)])
    mouth[2] = np.sqrt(mouth[0] * mouth[1])
    out = _pulled().copy()
    for name, index in INDEX.items():
        left = name.endswith("Left")
        if name.startswith(("mouth", "jaw", "cheekPuff")):
            out[index] *= mouth
        elif name.startswith("brow"):
            # high brows have little more way to go
            sides = [np.sqrt(_ratio(neutral, *pair)) for pair in ((105, 159), (334, 386))]
            out[index] *= sides[left] if mirror(name) != name else np.mean(sides)
        elif name.startswith("eye"):
            out[index] *= _ratio(neutral, *((263, 362) if left else (33, 133)))
        elif name.startswith("noseSneer"):
            out[index] *= _ratio(neutral, 168, 2)
    return _fitted_to_skin(neutral, out).astype(np.float32)


def displace(neutral: np.ndarray, weights: np.ndarray, fields: np.ndarray | None = None) -> np.ndarray:
    """The face (468, 3) float32 that ``weights`` (52,) make of ``neutral`` (468, 3), eye spans.

    ``fields`` are this person's (`fields_for`, made once and passed in; that of the mean face if absent).
    Zero weights give ``neutral`` back exactly. The jaw swings round its hinge, lids slide round the eyeball, lips
    and lids touch but don't pass through each other.
    """
    table = _mean_fields() if fields is None else fields
    neutral = np.asarray(neutral, np.float32)
    weights = eased(weights)
    moved = (weights @ table.reshape(len(table), -1)).reshape(-1, 3)
    jaw, close = weights[_JAW], weights[_CLOSE]
    if jaw > 0:  # a chord becomes an arc: its middle lies farther from the hinge
        chord = jaw * table[_JAW] + min(close, jaw) * table[_CLOSE]
        bulge = (1 - jaw) * (JAW_ANGLE / 2)
        moved[:, 1] += bulge * chord[:, 2]
        moved[:, 2] -= bulge * chord[:, 1]
    for blink in _BLINKS:
        b = weights[blink]
        if 0 < b < 1:  # the lid's chord would cut through the eyeball
            d = table[blink]
            moved[:, 2] += (b * (1 - b) / (2 * EYEBALL_RADIUS)) * (d[:, 1] * d[:, 1])
    out = neutral + moved
    for upper, lower, share, spread in _contacts():
        limit = np.minimum(neutral[upper, 1] - neutral[lower, 1], 0)
        overlap = limit - (out[upper, 1] - out[lower, 1])
        if overlap.max() > 1e-7:
            np.maximum(overlap, 0, out=overlap)
            points, up, low = spread
            out[points, 1] += up @ (share * overlap) - low @ ((1 - share) * overlap)
    return out


def eased(weights: np.ndarray) -> np.ndarray:
    """Weights (52,) after shapes that pull the same skin have given way to each other; a copy, float32."""
    weights = np.array(weights, np.float32)
    shapes, by, amount = _easing()
    np.subtract.at(weights, shapes, amount * weights[shapes] * np.clip(weights[by], 0, 1))
    weights[_CLOSE] = min(weights[_CLOSE], max(weights[_JAW], 0) + LIPS_PRESSED)
    return weights


_JAW, _CLOSE = INDEX["jawOpen"], INDEX["mouthClose"]
_BLINKS = (INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"])


def lid_opening(points: np.ndarray, side: str) -> float:
    """Mean height of the eye's slit, eye spans; ``side`` is "Left" or "Right"."""
    upper, lower = LIDS[side]
    return float(np.mean(points[upper, 1] - points[lower, 1]))


@lru_cache(maxsize=1)
def _mean_fields() -> np.ndarray:
    return fields()


@lru_cache(maxsize=1)
def _easing() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = []
    for shape, by, amount in EASED:
        for side in ("Left", "Right"):
            pair = [INDEX[n] if n in INDEX else INDEX[n + side] for n in (shape, by)]
            if (*pair, amount) not in rows:
                rows.append((*pair, amount))
    a, b, c = zip(*rows)
    return np.array(a), np.array(b), np.array(c, np.float32)


@lru_cache(maxsize=1)
def _contacts() -> list[tuple[np.ndarray, np.ndarray, float, tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """(upper margin, lower margin, share of the upper in giving way, (points, weights of upper, of lower))."""
    out = []
    for upper, lower, share, rings in (
        (LIP_UPPER, LIP_LOWER, 0.5, 4),
        (*LIDS["Left"], 1.0, 2),
        (*LIDS["Right"], 1.0, 2),
    ):
        up, low = spread_weights(upper, lower, rings), spread_weights(lower, upper, rings)
        if upper is LIP_UPPER:
            up, low = up * modiolus()[:, None], low * modiolus()[:, None]
        points = np.flatnonzero(up.any(1) | low.any(1))
        out.append((upper, lower, share, (points, up[points].astype(np.float32), low[points].astype(np.float32))))
    return out


@lru_cache(maxsize=1)
def _pulled() -> np.ndarray:
    """What the muscles alone do to the mean face (52, 468, 3) float64."""
    out = np.zeros((len(ARKIT), len(MEAN), 3))
    for shape, muscles in load_muscles().items():
        field = sum((muscle_field(m) for m in muscles), np.zeros((len(MEAN), 3)))
        out[INDEX[shape]] = field
        if mirror(shape) != shape:
            out[INDEX[mirror(shape)]] = mirrored(field)
    return out


def _ratio(neutral: np.ndarray, a: int, b: int) -> float:
    """A distance relative to the mean face's, kept within a range that real faces have."""
    own, mean = np.linalg.norm(neutral[a] - neutral[b]), np.linalg.norm(MEAN[a] - MEAN[b])
    return float(np.clip(own / mean, 0.7, 1.4))


def _fitted_to_skin(neutral: np.ndarray, table: np.ndarray) -> np.ndarray:
    """What muscles alone don't know: lips stop each other, skin doesn't fold, blinks and mouthClose meet exactly."""
    out, least = table.copy(), least_areas(neutral)
    for index, name in enumerate(ARKIT):
        if not name.startswith("eye") and name != "mouthClose":
            for _ in range(2):
                _part_lips(neutral, out[index], YIELDING.get(name, 0.5))
                out[index] = unfold(neutral, knot(out[index]), least)
    for side, (upper, lower) in LIDS.items():
        opening = lid_opening(neutral, side) / lid_opening(MEAN, side)
        out[INDEX[f"eyeLookDown{side}"]] *= np.clip(opening, 0.2, 1.3)
        field = out[INDEX[f"eyeBlink{side}"]]
        field *= np.clip(opening, 0.1, 1.6)
        gap = neutral[upper] - neutral[lower]
        slide = LOWER_LID_SLIDE * field[lower] * [1, 0, 0] + (1 - UPPER_LID_SHARE) * gap
        _bring(field, upper, lower, slide - gap, slide, 2)
    both = knot(out[_JAW] + out[_CLOSE])
    gap = neutral[LIP_UPPER] + both[LIP_UPPER] - neutral[LIP_LOWER] - both[LIP_LOWER]
    _bring(both, LIP_UPPER, LIP_LOWER, both[LIP_UPPER] - 0.35 * gap, both[LIP_LOWER] + 0.65 * gap, 4)
    out[_CLOSE] = unfold(neutral, both, least, pinned=np.concatenate([LIP_UPPER, LIP_LOWER])) - out[_JAW]
    return out


def _part_lips(neutral: np.ndarray, field: np.ndarray, share: float) -> None:
    """Where a shape alone takes one lip through the other, both give way, the upper by ``share``."""
    upper, lower = neutral[LIP_UPPER, 1], neutral[LIP_LOWER, 1]
    gap = upper + field[LIP_UPPER, 1] - lower - field[LIP_LOWER, 1]
    push = np.zeros((len(gap), 3))
    push[:, 1] = np.maximum(np.minimum(upper - lower, 0) - gap, 0)
    if push.any():
        _bring(field, LIP_UPPER, LIP_LOWER, field[LIP_UPPER] + share * push, field[LIP_LOWER] - (1 - share) * push, 4)


def _bring(
    field: np.ndarray, upper: np.ndarray, lower: np.ndarray, to_upper: np.ndarray, to_lower: np.ndarray, rings: int
) -> None:
    """Sets a field's motion at two margins and lets the change fade over ``rings`` of points on each one's own side."""
    for margin, other, wanted in ((upper, lower, to_upper), (lower, upper, to_lower)):
        field += spread_weights(margin, other, rings) @ (wanted - field[margin])


__all__ = ["LIDS", "LIP_LOWER", "LIP_UPPER", "displace", "eased", "fields", "fields_for", "lid_opening"]
