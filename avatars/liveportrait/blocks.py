"""Convolution blocks that LivePortrait's networks share; attribute names are the published checkpoints'."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNorm2d(nn.Module):
    """Convolution 3x3, batch norm, ReLU (or `slope`), then a 2x2 mean where `pool`. (B, C, H, W) -> (B, D, H', W')."""

    def __init__(self, channels: int, out: int, *, pool: bool = False, slope: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, padding=1)
        self.norm = nn.BatchNorm2d(out)
        self.pool, self.slope = pool, slope

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.norm(self.conv(x)), self.slope)
        return F.avg_pool2d(x, 2) if self.pool else x


class ConvNorm3d(nn.Module):
    """Convolution 3x3x3, batch norm, ReLU; H and W doubled before ("up") or halved after ("down"), depth kept."""

    def __init__(self, channels: int, out: int, scale: str) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, out, 3, padding=1)
        self.norm = nn.BatchNorm3d(out)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        if self.scale == "up":
            x = F.interpolate(x, scale_factor=(1, 2, 2))
        x = F.relu(self.norm(self.conv(x)))
        return F.avg_pool3d(x, (1, 2, 2)) if self.scale == "down" else x


class Residual3d(nn.Module):
    """Two pre-activated convolutions 3x3x3 beside the identity. (B, C, D, H, W), shape kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm3d(channels)
        self.norm2 = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(out)))


class SpectralConv2d(nn.Conv2d):
    """A convolution that was trained under spectral norm (Miyato et al. 2018).

    Checkpoints hold `weight_orig`, `weight_u`, `weight_v`; loading folds them into one plain `weight` with the
    stored vectors as they are: W = weight_orig / (u . (M v)), M = weight_orig as (out, rest). A folded `weight` loads
    as well.
    """

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *rest: object) -> None:
        names = [f"{prefix}weight_{part}" for part in ("orig", "u", "v")]
        if all(name in state_dict for name in names):
            weight, u, v = (state_dict.pop(name).float() for name in names)
            norm = torch.dot(u, weight.flatten(1) @ v)
            state_dict[f"{prefix}weight"] = weight / norm
        super()._load_from_state_dict(state_dict, prefix, *rest)
