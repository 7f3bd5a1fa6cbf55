"""How LivePortrait carries motion over. No torch here: command lines and pipelines read it."""

from __future__ import annotations

from dataclasses import dataclass

from avatars.liveportrait.smoothing import OBSERVATION
from studio.errors import UsageError

REGIONS = ("all", "exp", "pose", "lip", "eyes")
OPTIONS = ("expression-friendly", "pose-friendly")
SMOOTHING = ("kalman", "one-euro", "off")


@dataclass(frozen=True)
class TransferSettings:
    """How motion is carried over. The defaults are the published command line's.

    relative         motion as change from the reference frame; else the driver's own values.
    region           "all", "exp" (no pose), "pose", "lip" or "eyes".
    option           "expression-friendly" scales motion by the faces' sizes, "pose-friendly" doesn't.
    multiplier       0..2: how strongly, in every mode.
    stitching        shoulders stay where they are.
    normalize_lip    close the source's open lips before (relative only).
    eye_retargeting, lip_retargeting   eyes, lips open as far as the driver's; where motion is relative, nothing else of
                     the driver's motion is used.
    source_eyes      a source video's eyes open as in its first frame.
    animal           the animal models' rule: driving pose and expression as they are.
    observation      variance for `smoothing.kalman_smooth`; 3e-5 is strong.
    smooth           of a driving video's motion: "kalman" (without delay), "one-euro" (causal) or "off".
    """

    relative: bool = True
    region: str = "all"
    option: str = "expression-friendly"
    multiplier: float = 1.0
    stitching: bool = True
    normalize_lip: bool = False
    eye_retargeting: bool = False
    lip_retargeting: bool = False
    source_eyes: bool = False
    animal: bool = False
    observation: float = OBSERVATION
    smooth: str = "kalman"

    def __post_init__(self) -> None:
        for name, choices in (("region", REGIONS), ("option", OPTIONS), ("smooth", SMOOTHING)):
            if getattr(self, name) not in choices:
                raise UsageError(f"{name} is one of {', '.join(choices)}, not {getattr(self, name)!r}")
        if self.animal and (self.eye_retargeting or self.lip_retargeting or self.normalize_lip):
            raise UsageError("animals have no retargeting and no lip normalisation")
        if not 0 <= self.multiplier <= 2:
            raise UsageError(f"multiplier must be 0 to 2, got {self.multiplier:g}")
        if self.observation <= 0:
            raise UsageError(f"observation is a variance, above 0; got {self.observation:g}")


ANIMALS = TransferSettings(animal=True, stitching=False)
"""The animals' rule as its authors recommend it: no stitching, which learned from people."""
