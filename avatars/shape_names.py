"""What others call the face shapes: names of morph targets and of VRM's expressions, as ARKit's."""

from __future__ import annotations

import re

from studio.arkit import ARKIT

_VRM = {
    # VRM 1.0's expressions as ARKit shapes, for heads that have no more
    "aa": {"jawOpen": 1.0},
    "ih": {"mouthStretchLeft": 0.5, "mouthStretchRight": 0.5},
    "ou": {"mouthPucker": 1.0},
    "oh": {"mouthFunnel": 1.0},
    "blinkleft": {"eyeBlinkLeft": 1.0},
    "blinkright": {"eyeBlinkRight": 1.0},
    "happy": {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5},
    "sad": {"mouthFrownLeft": 0.5, "mouthFrownRight": 0.5},
    "surprised": {"browInnerUp": 1.0},
    "angry": {"browDownLeft": 0.5, "browDownRight": 0.5},
}

_PLAIN = {name.lower(): name for name in ARKIT}


def match_name(name: str) -> str | None:
    """The ARKit shape that a name means, None for none: "Blendshape2.Eye_Blink_L" is eyeBlinkLeft."""
    plain = re.sub(r"[^a-z0-9]", "", name.rsplit(".", 1)[-1].rsplit(":", 1)[-1].lower())
    found = _PLAIN.get(plain)
    if found is None and plain and plain[-1] in "lr":
        found = _PLAIN.get(plain[:-1] + {"l": "left", "r": "right"}[plain[-1]])
    if found is None:
        for known, shape in _PLAIN.items():
            if plain.endswith(known) and len(known) > 6:  # a prefix such as "head_" or "bs_"
                return shape
    return found


def vrm_shapes(name: str) -> dict[str, float]:
    """{ARKit shape: share} for the name of a VRM expression: how much of it a full weight of the shape brings."""
    return _VRM.get(re.sub(r"[^a-z]", "", name.lower()), {})


__all__ = ["match_name", "vrm_shapes"]
