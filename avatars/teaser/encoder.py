"""TEASER's encoder: SMIRK's three networks, and a fourth for four tokens of appearance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatars.flame.codes import FlameCodes
from avatars.smirk.encoder import SmirkEncoder
from avatars.smirk.mobilenet import MobileNetV3
from studio.weights import load_published

TOKEN = 256
_SOURCES = ((4, 576, 1), (3, 48, 2), (2, 24, 4), (1, 16, 8))
"""Of tokens 0 to 3: which map of the backbone, its channels, the side that it is averaged to."""


@dataclass(frozen=True)
class TeaserCodes(FlameCodes):
    """As `FlameCodes`; and tokens (B, 4, 256), from the coarsest map to the finest. Those of another person change the
    appearance.
    """

    tokens: Tensor | None = None


class TokenBranch(nn.Module):
    """Picture (B, 3, 224, 224), RGB 0..1 -> tokens (B, 4, 256)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = MobileNetV3("small")
        self.token_layers = nn.ModuleList(nn.Sequential(nn.Linear(c * s * s, TOKEN)) for _, c, s in _SOURCES)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.encoder(image)
        flat = [F.adaptive_avg_pool2d(maps[k], side).flatten(1) for k, _, side in _SOURCES]
        return torch.stack([layer(x) for layer, x in zip(self.token_layers, flat, strict=True)], 1)


class TeaserEncoder(SmirkEncoder):
    """Crops as SMIRK's (B, 3, 224, 224), RGB 0..1 -> `TeaserCodes`. Weights: "teaser_encoder." of the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.token_encoder = TokenBranch()

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None) -> TeaserEncoder:
        """From TEASER.pt (or its folder, or where `studio.weights.locate` finds it). Raises WeightsError."""
        return load_published(cls(), "teaser", path, prefix="teaser_encoder.")  # type: ignore[return-value]

    def forward(self, image: Tensor) -> TeaserCodes:
        found = super().forward(image)
        return TeaserCodes(**vars(found), tokens=self.token_encoder(image))
