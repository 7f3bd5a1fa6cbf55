"""The expressions of VRM 1.0 in ARKit's shapes. A name that ends in `*` stands for its Left and its Right shape.

Vowels are the lips of clear speech. Emotions leave out what would garble speech or a blink that goes with them, for
programs add both; only surprise opens the mouth, and makes the vowels give way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from avatars.rig import Rig
from studio.arkit import ARKIT, INDEX

PRESETS: dict[str, dict[str, float]] = {
    "happy": {"mouthSmile*": 0.85, "cheekSquint*": 0.7, "eyeSquint*": 0.18},
    "angry": {"browDown*": 1.0, "eyeSquint*": 0.6, "eyeWide*": 0.3, "mouthFrown*": 0.2, "noseSneer*": 0.25},
    "sad": {"browInnerUp": 0.95, "browDown*": 0.3, "mouthFrown*": 0.75, "mouthShrugLower": 0.3},
    "relaxed": {"mouthSmile*": 0.3, "cheekSquint*": 0.18, "eyeSquint*": 0.1},
    "surprised": {"browInnerUp": 0.8, "browOuterUp*": 1.0, "eyeWide*": 0.5, "jawOpen": 0.45, "mouthLowerDown*": 0.07},
    "aa": {"jawOpen": 0.47, "mouthLowerDown*": 0.18, "mouthUpperUp*": 0.08},
    "ih": {
        "jawOpen": 0.16,
        "mouthStretch*": 0.3,
        "mouthSmile*": 0.18,
        "mouthLowerDown*": 0.25,
        "mouthUpperUp*": 0.12,
    },
    "ou": {"jawOpen": 0.19, "mouthPucker": 0.69, "mouthFunnel": 0.29},
    "ee": {
        "jawOpen": 0.26,
        "mouthStretch*": 0.22,
        "mouthSmile*": 0.11,
        "mouthLowerDown*": 0.25,
        "mouthUpperUp*": 0.12,
    },
    "oh": {"jawOpen": 0.34, "mouthFunnel": 0.45, "mouthPucker": 0.46},
    "blink": {"eyeBlink*": 1.0},
    "blinkLeft": {"eyeBlinkLeft": 1.0},
    "blinkRight": {"eyeBlinkRight": 1.0},
    "lookUp": {"eyeLookUp*": 1.0},
    "lookDown": {"eyeLookDown*": 1.0},
    "lookLeft": {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0},
    "lookRight": {"eyeLookInLeft": 1.0, "eyeLookOutRight": 1.0},
    "neutral": {},
}
"""VRM's preset expressions; left and right are the subject's own."""

OVERRIDES = {"surprised": {"overrideMouth": "blend"}}
"""What an expression does to the procedural ones, where it does something."""


def preset_weights(name: str) -> np.ndarray:
    """(52,) float32 ARKit weights of one of `PRESETS`."""
    weights = np.zeros(len(ARKIT), np.float32)
    for shape, value in PRESETS[name].items():
        plain = shape.rstrip("*")
        for each in (plain,) if plain in INDEX else (f"{plain}Left", f"{plain}Right"):
            weights[INDEX[each]] = value
    return weights


def expressions_of(rig: Rig, node: int) -> dict[str, Any]:
    """`expressions` of the extension: the presets, and ARKit's shapes that the rig has as custom ones.

    node carries the mesh, whose targets are the rig's shapes and then its correctives.
    """
    single = np.eye(len(ARKIT), dtype=np.float32)
    missing = rig.missing()
    return {
        "preset": {
            name: {**_expression(rig, node, preset_weights(name)), **OVERRIDES.get(name, {})} for name in PRESETS
        },
        "custom": {name: _expression(rig, node, single[INDEX[name]]) for name in ARKIT if name not in missing},
    }


def _expression(rig: Rig, node: int, weights: np.ndarray) -> dict[str, Any]:
    of_targets = np.clip(rig.shape_weights(weights), 0, 1)
    binds = [
        {"node": node, "index": int(index), "weight": round(float(of_targets[index]), 6)}
        for index in np.flatnonzero(of_targets > 1e-4)
    ]
    made: dict[str, Any] = {
        "isBinary": False,
        "overrideBlink": "none",
        "overrideLookAt": "none",
        "overrideMouth": "none",
    }
    if binds:
        made["morphTargetBinds"] = binds
    return made


__all__ = ["OVERRIDES", "PRESETS", "expressions_of", "preset_weights"]
