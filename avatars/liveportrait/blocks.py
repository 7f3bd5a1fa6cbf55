"""Convolution blocks that LivePortrait's networks share; attribute names are the published checkpoints'."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_FIRST = ((1.0, 0.0, 0.0), (0.0, 1.0, 1.0))
_INNER = ((1.0, 1.0, 1.0),)
_LAST = ((1.0, 1.0, 0.0), (0.0, 0.0, 1.0))
"""How three taps on repeated pixels fall on the pixels themselves: at the first of the repeats, inside, at the last."""


def convolved_repeats(x: Tensor, conv: nn.Conv2d | nn.Conv3d, factor: int) -> Tensor:
    """`conv` (3 taps an axis, padding 1) of x (B, C, H, W) or (B, C, D, H, W) with each pixel repeated `factor` times
    in H and W, 2 or more.

    The same sums, but pixels that are equal are multiplied once: 4 repeats are a sixth of the work, 2 four ninths.
    """
    *first, height, width = x.shape
    out = x.new_empty(first[0], conv.out_channels, *first[2:], height * factor, width * factor)
    solid = len(first) == 3
    convolve, depth = (F.conv3d, (1, 1)) if solid else (F.conv2d, ())
    kinds = [(_FIRST, (1, 0), [0]), (_INNER, (0, 0), range(1, factor - 1)), (_LAST, (0, 1), [factor - 1])]
    for rows, above, tall in kinds:
        for columns, beside, wide in kinds:
            if len(tall) and len(wide):
                kernel = torch.einsum("ai,bj,...ij->...ab", x.new_tensor(rows), x.new_tensor(columns), conv.weight)
                part = convolve(F.pad(x, (*beside, *above, *depth)), kernel, conv.bias)
                for top in tall:
                    for left in wide:
                        out[..., top::factor, left::factor] = part
    return out


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
        # folding costs what the weights are large; one large convolution keeps a GPU busier than four small ones
        if self.scale == "up" and x.device.type == "cpu" and self.conv.weight.numel() < 8 * x.numel():
            x = convolved_repeats(x, self.conv, 2)
        elif self.scale == "up":
            x = self.conv(F.interpolate(x, scale_factor=(1, 2, 2)))
        else:
            x = self.conv(x)
        x = F.relu(self.norm(x))
        if self.scale == "down":  # avg_pool3d has no half precision on CPUs
            return F.avg_pool2d(x.flatten(1, 2), 2).view(*x.shape[:3], x.shape[3] // 2, x.shape[4] // 2)
        return x


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
