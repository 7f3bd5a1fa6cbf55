"""Appearance: a picture of a face becomes a volume of features, made once for a portrait."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from avatars.liveportrait.blocks import ConvNorm2d, Residual3d

CHANNELS, DEPTH = 32, 16
"""Of the feature volume."""


class AppearanceFeatureExtractor(nn.Module):
    """F of LivePortrait (Guo et al. 2024, section 3.1): (B, 3, 256, 256) RGB in 0..1 -> (B, 32, 16, 64, 64)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ConvNorm2d(3, 64)
        self.down_blocks = nn.ModuleList([ConvNorm2d(64, 128, pool=True), ConvNorm2d(128, 256, pool=True)])
        self.second = nn.Conv2d(256, CHANNELS * DEPTH, 1)
        self.resblocks_3d = nn.Sequential(OrderedDict((f"3dr{i}", Residual3d(CHANNELS)) for i in range(6)))

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image)
        for block in self.down_blocks:
            x = block(x)
        x = self.second(x)
        return self.resblocks_3d(x.unflatten(1, (CHANNELS, DEPTH)))
