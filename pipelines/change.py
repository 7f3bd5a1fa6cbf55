"""An edit as numbers: what sliders, action units, emotions, gaze and pose add to a face's own state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from studio.errors import UsageError
from studio.motion import FaceMotion
from studio.observation import Observation

LOOKS = {"left": (-20.0, 0.0), "right": (20.0, 0.0), "up": (0.0, -15.0), "down": (0.0, 15.0)}
"""Degrees (yaw, pitch) of the words for gaze; sides are the picture's."""

GAZE_LIMIT = (35.0, 28.0)
"""Degrees of yaw and pitch that eyes turn at most."""

HEAD_LIMIT = 45.0
"""Degrees that a head is turned at most; beyond about 25 the hidden side of the face is a guess."""


FULL = 0.6
"""How much less a shape is added to a face that already shows it in full: a smile on top of a smile tears."""


@dataclass(frozen=True)
class Change:
    """An edit as numbers: what is added to a face's own state.

    weights     (52,) float32 ARKit, gaze left out.
    head        (6,) float32: yaw, pitch, roll in radians, and translation 0.
    gaze        radians (yaw, pitch) to turn the eyes by, or "camera".
    neutralize  0..1: how much of the face's own expression to take out first.
    """

    weights: np.ndarray
    head: np.ndarray
    gaze: tuple[float, float] | str = (0.0, 0.0)
    neutralize: float = 0.0

    @property
    def nothing(self) -> bool:
        """Whether every slider is at zero."""
        return not (self.weights.any() or self.head.any() or self.neutralize or self.gaze == "camera" or any(self.gaze))

    def of(self, face: Observation, expression: np.ndarray) -> np.ndarray:
        """(52,) float32: the change for one face.

        expression  (52,) the face's own, as fitted; `neutralize` takes it out, and so does what works against it.
        """
        from controls.expressions import rested

        kept = rested((1 - np.float32(self.neutralize)) * expression, self.weights)
        weights = self.weights * np.where(self.weights > 0, 1 - FULL * np.clip(kept, 0, 1), 1)
        weights = weights + kept - expression
        gaze = self.gaze
        if isinstance(gaze, str):
            own = (
                FaceMotion(face.weights[None] if face.weights is not None else expression[None], Fraction(1))
                .gaze[0]
                .mean(0)
            )
            aim = -(face.head[:2] + self.head[:2])  # against the turn of the head, so that it meets the camera
            limit = np.radians(GAZE_LIMIT)
            gaze = tuple(np.clip(aim - own, -limit, limit))
        if any(gaze):
            weights = (
                weights + FaceMotion(np.zeros((1, len(weights))), Fraction(1)).with_gaze(np.array(gaze)).weights[0]
            )
        return weights.astype(np.float32)


def read_change(
    *,
    shapes: Mapping[str, float] | None = None,
    aus: Mapping[str, float | str] | None = None,
    emotion: Mapping[str, float] | None = None,
    gaze: Any = None,
    yaw: float = 0.0,
    pitch: float = 0.0,
    roll: float = 0.0,
    neutralize: float = 0.0,
    speaking: bool = False,
) -> Change:
    """The edit that settings ask for; `UsageError` for unknown names and values out of range.

    gaze  (yaw, pitch) in degrees, "YAW,PITCH", or left, right, up, down, camera.
    yaw, pitch, roll  degrees; neutralize 0..1. See `controls.expressions` for the others.
    """
    from controls.expressions import expression

    weights = expression(shapes=shapes, aus=aus, emotion=emotion, speaking=speaking)
    for name, value in (("yaw", yaw), ("pitch", pitch), ("roll", roll)):
        if not -HEAD_LIMIT <= value <= HEAD_LIMIT:
            raise UsageError(f"{name}={value:g} is out of range; give degrees from -{HEAD_LIMIT:g} to {HEAD_LIMIT:g}")
    if not 0 <= neutralize <= 1:
        raise UsageError(f"neutralize={neutralize:g} is out of range; give a number from 0 to 1")
    if gaze is not None and any(name.startswith("eyeLook") for name in shapes or {}):
        raise UsageError("two sources of gaze: gaze and the eyeLook shapes; give one")
    head = np.zeros(6, np.float32)
    head[:3] = np.radians([yaw, pitch, roll])
    return Change(weights, head, read_gaze(gaze), float(neutralize))


def read_gaze(gaze: Any) -> tuple[float, float] | str:
    """Radians (yaw, pitch), or "camera"."""
    if gaze is None:
        return 0.0, 0.0
    if isinstance(gaze, str):
        word = gaze.strip().lower()
        if word == "camera":
            return word
        if word in LOOKS:
            gaze = LOOKS[word]
        else:
            try:
                gaze = tuple(float(part) for part in word.split(","))
            except ValueError:
                raise UsageError(
                    f"gaze {gaze!r}: write YAW,PITCH in degrees, or {', '.join(LOOKS)} or camera"
                ) from None
    if len(gaze) != 2:
        raise UsageError(f"gaze {gaze!r}: two angles are needed, YAW,PITCH in degrees")
    for name, value, limit in zip(("yaw", "pitch"), gaze, GAZE_LIMIT):
        if not -limit <= value <= limit:
            raise UsageError(f"gaze {name} {value:g} is out of range; eyes turn from -{limit:g} to {limit:g} degrees")
    return float(np.radians(gaze[0])), float(np.radians(gaze[1]))
