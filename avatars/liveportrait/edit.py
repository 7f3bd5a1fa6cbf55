"""Portrait editing: sliders, pose, eye and lip openings of a still picture become keypoints to draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from avatars.liveportrait.keypoints import rotation, transform
from avatars.liveportrait.retargeting import retarget, stitch
from avatars.liveportrait.sliders import read_sliders, slider_change
from avatars.liveportrait.transfer import Correctors, Openings
from studio.errors import UsageError


@dataclass(frozen=True)
class PortraitEdit:
    """sliders          see `avatars.liveportrait.sliders`.
    pitch, yaw, roll   degrees to add.
    zoom               scale of the face.
    eyes, lips         wanted openings (ratios), or None to leave them.
    """

    sliders: Mapping[str, float] = field(default_factory=dict)
    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0
    zoom: float = 1.0
    eyes: float | None = None
    lips: float | None = None

    def turned(self, pitch: float, yaw: float, roll: float) -> PortraitEdit:
        """The same with degrees added."""
        return replace(self, pitch=self.pitch + pitch, yaw=self.yaw + yaw, roll=self.roll + roll)


def read_edit(values: Mapping[str, float]) -> PortraitEdit:
    """An edit of words: those of `sliders.RANGES`, zoom (0.5 to 2), and eyes and lips (openings as ratios, 0 to 0.8).

    Raises `UsageError` for unknown names and values out of range.
    """
    own = {name: values[name] for name in _OWN if name in values}
    for name, value in own.items():
        low, high = _OWN[name]
        if not low <= value <= high:
            raise UsageError(f"{name}={value:g} is out of range; the slider goes from {low:g} to {high:g}")
    return PortraitEdit(read_sliders({name: v for name, v in values.items() if name not in own}), **own)


_OWN = {"zoom": (0.5, 2.0), "eyes": (0.0, 0.8), "lips": (0.0, 0.8)}


def edited(
    refined: Mapping[str, Tensor],
    edit: PortraitEdit,
    correctors: Correctors,
    present: Openings,
    *,
    change: Tensor | None = None,
    stitching: bool = True,
) -> Tensor:
    """(1, 21, 3) keypoints of an edited still; refined as `keypoints.refine` gives it, for one picture.

    present  eye and lip ratios of the picture.
    change   (1, 21, 3) more to add to the expression.

    As published, tz counts here, and openings move only where what is asked differs from what is there.
    """
    R = rotation(refined["pitch"], refined["yaw"], refined["roll"])
    x_source = transform(refined["kp"], R, refined["exp"], refined["scale"], refined["t"])
    turned = rotation(*(refined[name] + getattr(edit, name) for name in ("pitch", "yaw", "roll")))
    exp = refined["exp"] + torch.from_numpy(slider_change(edit.sliders)).to(x_source)
    if change is not None:
        exp = exp + change
    x = transform(refined["kp"], turned, exp, refined["scale"] * edit.zoom, refined["t"], depth=True)
    if edit.eyes is not None and edit.eyes != round(float(present.eyes.mean()), 2):
        ratios = torch.cat([present.eyes, torch.full_like(present.eyes[:, :1], edit.eyes)], 1)
        x = x + retarget(correctors.eye, x_source, ratios)
    if edit.lips is not None and edit.lips != round(float(present.lips.mean()), 2):
        ratios = torch.cat([present.lips, torch.full_like(present.lips, edit.lips)], 1)
        x = x + retarget(correctors.lip, x_source, ratios)
    return stitch(correctors.stitching, x_source, x) if stitching else x
