"""The statistics that motion was normalised by, and motion with them undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avatars.liveportrait.keypoints import Pose, rotation
from studio.errors import WeightsError

_RANGES = {
    "scale": slice(63, 64),
    "t": slice(64, 67),
    "pitch": slice(67, 68),
    "yaw": slice(68, 69),
    "roll": slice(69, 70),
}
"""Where each part lies in a frame's numbers, after 63 of expression; what follows is not used."""


@dataclass(frozen=True)
class GeneratedMotion:
    """T frames: exp (T, 21, 3), scale (T, 1), t (T, 3), pitch, yaw, roll (T, 1) degrees."""

    exp: Tensor
    scale: Tensor
    t: Tensor
    pitch: Tensor
    yaw: Tensor
    roll: Tensor

    @property
    def R(self) -> Tensor:
        """(T, 3, 3)."""
        return rotation(self.pitch, self.yaw, self.roll)

    @property
    def pose(self) -> Pose:
        """The same for `avatars.liveportrait`, without keypoints (the portrait has its own)."""
        return Pose(torch.zeros_like(self.exp), self.exp, self.R, self.t, self.scale)

    def __len__(self) -> int:
        return len(self.exp)

    def __getitem__(self, which: slice) -> GeneratedMotion:
        return GeneratedMotion(*(value[which] for value in vars(self).values()))


@dataclass(frozen=True)
class Template:
    """mean, std (63,) of the expression; low, high of scale, t (3,), pitch, yaw, roll (degrees)."""

    mean: np.ndarray
    std: np.ndarray
    low: Mapping[str, np.ndarray]
    high: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Template:
        """From the published names: mean_exp, std_exp, min_ and max_ of scale, t, pitch, yaw, roll."""
        try:
            low, high = ({n: _array(arrays[f"{end}_{n}"]) for n in _RANGES} for end in ("min", "max"))
            return cls(_array(arrays["mean_exp"]), _array(arrays["std_exp"]), low, high)
        except KeyError as error:
            raise WeightsError(f"this is no JoyVASA motion template: it has no {error.args[0]}") from None

    def motion(self, numbers: Tensor) -> GeneratedMotion:
        """Frames (T, 70 or more) as the network makes them, in their own units."""
        like = numbers.float()
        exp = like[:, :63] * torch.from_numpy(self.std).to(like) + torch.from_numpy(self.mean).to(like)
        parts = {}
        for name, where in _RANGES.items():
            low, high = (torch.from_numpy(end[name]).to(like) for end in (self.low, self.high))
            parts[name] = like[:, where] * (high - low) + low
        return GeneratedMotion(exp.view(-1, 21, 3), **parts)


def _array(value: object) -> np.ndarray:
    return np.asarray(value, np.float32).reshape(-1)


class PoseSmoother:
    """Exponential mean of scale, t and angles, from block to block: y <- share * x + (1 - share) * y."""

    def __init__(self, share: float) -> None:
        self.share = share
        self._last: dict[str, Tensor] = {}

    def __call__(self, motion: GeneratedMotion) -> GeneratedMotion:
        out = {}
        for name in _RANGES:
            track = getattr(motion, name).clone()
            last = self._last.get(name, track[0])
            for k in range(len(track)):
                last = self.share * track[k] + (1 - self.share) * last
                track[k] = last
            self._last[name] = last
            out[name] = track
        return GeneratedMotion(motion.exp, **out)
