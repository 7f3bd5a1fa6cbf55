"""An expression in words, for the prompts of image models: "smiling broadly, eyes closed"."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from studio.arkit import ARKIT, INDEX
from studio.errors import UsageError

WORDS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("mouthSmileLeft", "mouthSmileRight"), "smiling", "smiling broadly"),
    (("mouthFrownLeft", "mouthFrownRight"), "frowning", "frowning deeply"),
    (("jawOpen",), "mouth slightly open", "mouth wide open"),
    (("mouthPucker",), "lips puckered", "lips puckered"),
    (("mouthFunnel",), "lips rounded", "lips rounded"),
    (("mouthLeft",), "mouth pulled right", "mouth pulled right"),
    (("mouthRight",), "mouth pulled left", "mouth pulled left"),
    (("mouthPressLeft", "mouthPressRight"), "lips pressed", "lips pressed together"),
    (("mouthUpperUpLeft", "mouthUpperUpRight"), "upper lip raised", "teeth bared"),
    (("eyeBlinkLeft", "eyeBlinkRight"), "eyes half closed", "eyes closed"),
    (("eyeWideLeft", "eyeWideRight"), "eyes wide", "eyes wide open"),
    (("eyeSquintLeft", "eyeSquintRight"), "eyes narrowed", "squinting"),
    (("browInnerUp", "browOuterUpLeft", "browOuterUpRight"), "brows raised", "brows raised high"),
    (("browDownLeft", "browDownRight"), "brows lowered", "brows lowered"),
    (("noseSneerLeft", "noseSneerRight"), "nose wrinkled", "nose wrinkled"),
    (("cheekPuff",), "cheeks puffed", "cheeks puffed"),
    (("tongueOut",), "tongue out", "tongue out"),
)
"""ARKit shapes, and what is said where they are set by half and by all; sides are the picture's."""

FEELINGS = {
    "joy": "happy",
    "happiness": "happy",
    "sadness": "sad",
    "anger": "angry",
    "fear": "afraid",
    "disgust": "disgusted",
    "surprise": "surprised",
    "contempt": "contemptuous",
}
"""Adjectives of emotions; other names stand for themselves."""

LEAST, MUCH = 0.25, 0.65


def expression_words(weights: np.ndarray, emotion: Mapping[str, float] | None = None, *, most: int = 4) -> str:
    """What ARKit weights (52,) show, the strongest first, at most so many phrases; "" for a face at rest.

    emotion: {name: strength} that is said as well. Raises UsageError for another shape.
    """
    weights = np.asarray(weights, np.float32)
    if weights.shape != (len(ARKIT),):
        raise UsageError(f"weights {weights.shape}: ({len(ARKIT)},) expected")
    said = [FEELINGS.get(name, name) for name, value in (emotion or {}).items() if value >= LEAST]
    found = [(float(np.mean([weights[INDEX[s]] for s in shapes])), half, whole) for shapes, half, whole in WORDS]
    strongest = sorted((row for row in found if row[0] > LEAST), key=lambda row: -row[0])[:most]
    return ", ".join([*said, *(whole if level > MUCH else half for level, half, whole in strongest)])


def pose_words(yaw: float, pitch: float) -> str:
    """Where a head turned by radians looks, in the picture: "turned left", or "" for straight ahead."""
    said = []
    if abs(yaw) > 0.12:
        far = "far " if abs(yaw) > 0.4 else ""
        said.append(f"turned {far}{'right' if yaw > 0 else 'left'}")
    if abs(pitch) > 0.13:
        said.append(f"looking {'down' if pitch > 0 else 'up'}")
    return ", ".join(said)
