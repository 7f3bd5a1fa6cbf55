"""Who and what the miniature's pictures show, at random: a person, an expression, a pose, a light, in numbers.

Axes of identity and shapes of expression are those that show at 64 pixels; see `AXES` and `EXPRESSION`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controls.identity.embeddings import WIDTH, unit
from studio.arkit import ARKIT, INDEX

AXES: tuple[tuple[str, ...], ...] = (
    ("head_width",),
    ("face_length",),
    ("lower_face_width", "jaw_width"),
    ("nose_length",),
    ("nose_width",),
    ("eye_size",),
    ("eye_distance",),
    ("mouth_width",),
    ("brow_height", "brow_inner_height", "brow_outer_height"),
    ("upper_lip_fullness", "lower_lip_fullness"),
)
"""Axes of the embedded head that make an axis of the miniature; those of one entry move together."""

SPREAD = 3.0
"""Standard deviations of the embedded head's axes at 1 of the miniature's."""

IDENTITY = (*(names[0] for names in AXES), "skin", "hair")
"""Names of a person's numbers, each -1..1: shape, then how dark the skin is (1 darkest) and how light the hair."""

EXPRESSION: dict[str, tuple[str, ...]] = {
    "mouth_open": ("jawOpen",),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "frown": ("mouthFrownLeft", "mouthFrownRight"),
    "pucker": ("mouthPucker",),
    "eyes_closed": ("eyeBlinkLeft", "eyeBlinkRight"),
    "brows_up": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "brows_down": ("browDownLeft", "browDownRight"),
    "mouth_left": ("mouthLeft",),
    "mouth_right": ("mouthRight",),
}
"""What is varied, and the ARKit shapes of each; left and right are the subject's."""

_KNOWN = np.isin(ARKIT, [shape for shapes in EXPRESSION.values() for shape in shapes]).astype(np.float32)
_APART = (("smile", "frown"), ("smile", "pucker"), ("brows_up", "brows_down"), ("mouth_left", "mouth_right"))
_LIGHTS = ("soft", "left", "right", "above", "below")
_BEHIND = {"grey": (96, 100, 106), "white": (222, 222, 218), "black": (24, 25, 28), "blue": (58, 84, 142),
           "green": (66, 116, 78), "red": (142, 58, 54), "yellow": (196, 166, 78)}  # fmt: skip


@dataclass(frozen=True)
class Moment:
    """One picture's numbers beside the person's.

    weights  (52,) ARKit.   head (6,) radians and metres, as in `FaceMotion`.
    light    one of "soft", "left", "right", "above", "below": where it comes from in the picture.
    behind   the background's name; colour its RGB.
    """

    weights: np.ndarray
    head: np.ndarray
    light: str
    behind: str
    colour: tuple[int, int, int]


def random_person(pick: np.random.Generator) -> np.ndarray:
    """(12,) float32 in the order of `IDENTITY`."""
    shape = np.clip(pick.normal(0, 0.55, len(AXES)), -1.2, 1.2)
    return np.concatenate([shape, pick.uniform(-1, 1, 2)]).astype(np.float32)


def random_expression(pick: np.random.Generator) -> np.ndarray:
    """(52,) ARKit weights: none of the expressions, or up to four at once."""
    weights = np.zeros(len(ARKIT), np.float32)
    chosen: list[str] = []
    for name in pick.permutation(list(EXPRESSION))[: pick.choice(5, p=(0.1, 0.25, 0.3, 0.25, 0.1))]:
        if not any({name, other} == set(pair) for other in chosen for pair in _APART):
            chosen.append(str(name))
    for name in chosen:
        much = pick.uniform(0.25, 1.0)
        for shape in EXPRESSION[name]:
            weights[INDEX[shape]] = np.clip(much * pick.uniform(0.92, 1.08), 0, 1)
    return weights


def random_moment(pick: np.random.Generator) -> Moment:
    """An expression in some pose and light."""
    yaw, pitch, roll = pick.normal(0, 1, 3) * (0.30, 0.13, 0.09)
    turn = np.clip((yaw, pitch, roll), -0.65, 0.65)
    shift = pick.normal(0, 0.003, 3) * (1, 1, 2)
    behind = str(pick.choice(list(_BEHIND)))
    colour = tuple(int(c) for c in np.clip(np.array(_BEHIND[behind]) + pick.normal(0, 6, 3), 0, 255))
    head = np.concatenate([turn, shift]).astype(np.float32)
    return Moment(random_expression(pick), head, str(pick.choice(_LIGHTS)), behind, colour)


def axes_of(person: np.ndarray) -> dict[str, float]:
    """The embedded head's axes (`avatars.head.embedded_head`) of a person's numbers."""
    return {name: float(SPREAD * value) for names, value in zip(AXES, person) for name in names}


def levels(weights: np.ndarray) -> np.ndarray:
    """(..., 9) of ARKit weights (..., 52): the mean over each entry of `EXPRESSION`."""
    return np.stack([weights[..., [INDEX[s] for s in shapes]].mean(-1) for shapes in EXPRESSION.values()], -1)


def known(weights: np.ndarray) -> np.ndarray:
    """ARKit weights (..., 52) of the shapes in `EXPRESSION`; the others, which the miniature never saw, are 0."""
    return weights * _KNOWN


def expression_numbers(weights: np.ndarray) -> np.ndarray:
    """(..., 55) float32, as `controls.identity.expression` lays them out, of ARKit weights (..., 52): the 50 that
    aren't blinks in ARKit's order, the two blinks, and the jaw's turn of 0.3 radians where `jawOpen` is 1. Shapes that
    the miniature never saw, those outside `EXPRESSION`, count as 0.
    """
    weights = known(np.clip(weights, 0, 1))
    blinks = [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]
    others = [i for i in range(len(ARKIT)) if i not in blinks]
    jaw = np.zeros((*weights.shape[:-1], 3), np.float32)
    jaw[..., 0] = 0.3 * weights[..., INDEX["jawOpen"]]
    return np.concatenate([weights[..., others], weights[..., blinks], jaw], -1).astype(np.float32)


def _basis() -> np.ndarray:
    """(13, 512) orthonormal rows: where a person's numbers, and a constant, lie in an embedding."""
    noise = np.random.default_rng(512).normal(size=(WIDTH, len(IDENTITY) + 1))
    return np.linalg.qr(noise)[0].T.astype(np.float32)


def identity_embedding(person: np.ndarray) -> np.ndarray:
    """(..., 512) of length 1, as FaceID's adapters take them, of a person's numbers (..., 12). A constant 1 is the
    thirteenth number, so that the length that is lost can be found again: `identity_numbers`.
    """
    person = np.asarray(person, np.float32)
    whole = np.concatenate([person, np.ones((*person.shape[:-1], 1), np.float32)], -1)
    return unit(whole @ _basis())


def identity_numbers(embedding: np.ndarray) -> np.ndarray:
    """(..., 12) of embeddings (..., 512) that `identity_embedding` made, of any length."""
    whole = np.asarray(embedding, np.float32) @ _basis().T
    return whole[..., :-1] / whole[..., -1:]
