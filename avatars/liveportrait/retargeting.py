"""Stitching and retargeting: small networks that correct keypoints."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

STITCHING = (126, 128, 128, 64, 65)
LIP = (65, 128, 128, 64, 63)
EYE = (66, 256, 256, 128, 128, 64, 63)
"""Widths of the three networks."""


class KeypointMLP(nn.Module):
    """(B, first width) -> (B, last width), ReLU between (LivePortrait, section 3.3)."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            layers += [nn.Linear(a, b), nn.ReLU()]
        self.mlp = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)


def stitch(network: nn.Module, x_source: Tensor, x_driving: Tensor) -> Tensor:
    """Driving keypoints (B, 21, 3) moved so that shoulders stay where the source's (B, 21, 3) are."""
    delta = network(torch.cat([x_source.flatten(1), x_driving.flatten(1)], 1))
    moved = x_driving + delta[:, :63].view(-1, 21, 3)
    return moved + torch.nn.functional.pad(delta[:, 63:65], (0, 1))[:, None]


def retarget(network: nn.Module, x_source: Tensor, ratios: Tensor) -> Tensor:
    """(B, 21, 3) to add to keypoints so that eyes or lips open to a wanted ratio.

    ratios: (B, 3) left, right, wanted for the eyes; (B, 2) present, wanted for the lips; see
    `avatars.liveportrait.ratios`.
    """
    return network(torch.cat([x_source.flatten(1), ratios], 1)).view(-1, 21, 3)
