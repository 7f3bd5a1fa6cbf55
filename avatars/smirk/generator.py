"""SMIRK's neural renderer (Retsinas et al. 2024, section 3.2): a U-Net that paints a face on its rendered shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from studio.errors import UsageError
from studio.weights import load_published

WIDTH = 32
LEVELS = (1, 2, 3, 4)


def double_conv(before: int, after: int, name: str) -> nn.Sequential:
    """Twice convolution, norm, ReLU: (B, before, H, W) -> (B, after, H, W); keys begin with `name`."""
    block = nn.Sequential()
    for number, width in ((1, before), (2, after)):
        block.add_module(f"{name}conv{number}", nn.Conv2d(width, after, 3, padding=1, bias=False))
        block.add_module(f"{name}norm{number}", nn.BatchNorm2d(after))
        block.add_module(f"{name}relu{number}", nn.ReLU())
    return block


class Residual(nn.Module):
    """Two convolutions over mirrored edges, beside the identity. (B, C, H, W), shape kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class UNet(nn.Module):
    """Four levels down, residual blocks, four levels up: (B, 6, H, W) -> (B, 3, H, W), 0..1; H, W multiples of 16.

    `_block` makes a level's convolutions, `_through` runs them and may look at a `context`: what TEASER changes.
    """

    def __init__(self, before: int = 6, after: int = 3, residuals: int = 5) -> None:
        super().__init__()
        widths = [WIDTH * 2**k for k in range(5)]
        for k in LEVELS:
            self.add_module(f"encoder{k}", self._block(before if k == 1 else widths[k - 2], widths[k - 1], f"enc{k}"))
        self.bottleneck = self._block(widths[3], widths[4], "bottleneck")
        self.resnet_blocks = nn.Sequential(*(Residual(widths[4]) for _ in range(residuals)))
        for k in reversed(LEVELS):
            self.add_module(f"upconv{k}", nn.ConvTranspose2d(widths[k], widths[k - 1], 2, stride=2))
            self.add_module(f"decoder{k}", self._block(widths[k], widths[k - 1], f"dec{k}"))
        self.conv = nn.Conv2d(WIDTH, after, 1)

    def _block(self, before: int, after: int, name: str) -> nn.Module:
        return double_conv(before, after, name)

    def _through(self, name: str, x: Tensor, context: Any) -> Tensor:
        return getattr(self, name)(x)

    def forward(self, x: Tensor, context: Any = None) -> Tensor:
        if x.dim() != 4 or x.shape[1] != 6 or x.shape[2] % 16 or x.shape[3] % 16:
            raise UsageError(
                f"the renderer sees (B, 6, H, W), rendered shape then masked picture, H and W multiples of 16; "
                f"not {tuple(x.shape)}"
            )
        kept = []
        for k in LEVELS:
            x = self._through(f"encoder{k}", x, context)
            kept.append(x)
            x = F.max_pool2d(x, 2)
        x = self.resnet_blocks(self._through("bottleneck", x, context))
        for k in reversed(LEVELS):
            x = torch.cat([getattr(self, f"upconv{k}")(x), kept[k - 1]], 1)
            x = self._through(f"decoder{k}", x, context)
        return torch.sigmoid(self.conv(x))


class SmirkGenerator(UNet):
    """Rendered shape and masked picture, (B, 3, H, W) each, 0..1 -> the painted face (B, 3, H, W), 0..1.

    Concatenate them for `forward`. Weights: "smirk_generator." of the published checkpoint.
    """

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None) -> SmirkGenerator:
        """From SMIRK_em1.pt, as `SmirkEncoder.from_pretrained`."""
        return load_published(cls(), "smirk", path, prefix="smirk_generator.")  # type: ignore[return-value]
