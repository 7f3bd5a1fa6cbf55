"""Keypoint algebra: from the heads of the motion network to 21 points in space.

Frame of the points: x right in the picture, y down, z away from the camera; about -1..1 over the 256 picture.
Points are rows. Angles are degrees; R = (Rz(roll) Ry(yaw) Rx(pitch)) transposed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor


def degrees(logits: Tensor) -> Tensor:
    """(B, 66) logits of bins of 3 degrees -> (B, 1) degrees. What is not 66 wide are degrees already."""
    if logits.shape[1] != 66:
        return logits
    bins = torch.arange(66, dtype=torch.float32, device=logits.device)
    return (logits.float().softmax(1) @ bins)[:, None] * 3 - 97.5


def rotation(pitch: Tensor, yaw: Tensor, roll: Tensor) -> Tensor:
    """(B, 3, 3) of degrees (B, 1), for points as rows: `points @ R`."""
    x, y, z = (torch.deg2rad(angle.reshape(-1)) for angle in (pitch, yaw, roll))
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    cx, sx, cy, sy, cz, sz = x.cos(), x.sin(), y.cos(), y.sin(), z.cos(), z.sin()
    rx = torch.stack([one, zero, zero, zero, cx, -sx, zero, sx, cx], 1).view(-1, 3, 3)
    ry = torch.stack([cy, zero, sy, zero, one, zero, -sy, zero, cy], 1).view(-1, 3, 3)
    rz = torch.stack([cz, -sz, zero, sz, cz, zero, zero, zero, one], 1).view(-1, 3, 3)
    return (rz @ ry @ rx).transpose(1, 2)


@dataclass(frozen=True)
class Pose:
    """What the motion network says of T pictures (or one).

    kp (T, 21, 3) canonical keypoints; exp (T, 21, 3) expression; R (T, 3, 3); t (T, 3); scale (T, 1).
    """

    kp: Tensor
    exp: Tensor
    R: Tensor
    t: Tensor
    scale: Tensor

    def __len__(self) -> int:
        return len(self.exp)

    def __getitem__(self, which: slice) -> Pose:
        return Pose(*(getattr(self, name)[which] for name in ("kp", "exp", "R", "t", "scale")))

    @property
    def x(self) -> Tensor:
        """(T, 21, 3): scale * (kp @ R + exp) + (tx, ty, 0)."""
        return transform(self.kp, self.R, self.exp, self.scale, self.t)

    def to(self, device: torch.device | str) -> Pose:
        """The same on another device, in float32."""
        return replace(
            self, **{n: getattr(self, n).to(device, torch.float32) for n in ("kp", "exp", "R", "t", "scale")}
        )


def transform(kp: Tensor, R: Tensor, exp: Tensor, scale: Tensor, t: Tensor, *, depth: bool = False) -> Tensor:
    """(T, 21, 3) keypoints in space; tz counts only with `depth`. Arguments as in `Pose`; T broadcasts."""
    shift = t if depth else t * t.new_tensor([1.0, 1.0, 0.0])
    return scale[:, None] * (kp @ R + exp) + shift[:, None]


def refine(raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Raw heads of `MotionExtractor` (or of a recording) -> kp, exp (B, 21, 3), t, scale, and angles (B, 1) degrees."""
    out = {name: degrees(raw[name]).float() for name in ("pitch", "yaw", "roll")}
    out |= {name: raw[name].float().reshape(-1, 21, 3) for name in ("kp", "exp")}
    return out | {"t": raw["t"].float(), "scale": raw["scale"].float()}


def pose_of(raw: Mapping[str, Tensor]) -> Pose:
    """`Pose` of raw heads, or of refined ones."""
    fine = refine(raw)
    return Pose(fine["kp"], fine["exp"], rotation(fine["pitch"], fine["yaw"], fine["roll"]), fine["t"], fine["scale"])
