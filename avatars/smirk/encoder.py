"""SMIRK's encoder: three networks that look at the same picture (Retsinas et al. 2024, section 3.1)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from avatars.flame.codes import FlameCodes
from avatars.smirk.mobilenet import WIDTH, MobileNetV3, Size
from studio.errors import UsageError
from studio.weights import load_published

EXPRESSIONS, SHAPES = 50, 300
_JAW_SIDEWAYS = 0.2  # radians


class Branch(nn.Module):
    """Picture (B, 3, H, W) -> `after` numbers: a backbone, the mean over its last map, one linear layer."""

    def __init__(self, size: Size, layers: str, after: int) -> None:
        super().__init__()
        self.encoder = MobileNetV3(size)
        self._layers = layers
        self.add_module(layers, nn.Sequential(nn.Linear(WIDTH[size], after)))

    def forward(self, image: Tensor) -> Tensor:
        return getattr(self, self._layers)(self.encoder(image)[-1].mean((2, 3)))


class SmirkEncoder(nn.Module):
    """Crops (B, 3, 224, 224), RGB 0..1 as `avatars.flame.crop` makes them -> `FlameCodes`: 300 shapes, 50 expressions,
    eyelids. Weights: "smirk_encoder." of the published checkpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pose_encoder = Branch("small", "pose_cam_layers", 6)
        self.shape_encoder = Branch("large", "shape_layers", SHAPES)
        self.expression_encoder = Branch("large", "expression_layers", EXPRESSIONS + 5)

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None) -> SmirkEncoder:
        """From SMIRK_em1.pt (or its folder, or where `studio.weights.locate` finds it). Raises WeightsError."""
        return load_published(cls(), "smirk", path, prefix="smirk_encoder.")  # type: ignore[return-value]

    def forward(self, image: Tensor) -> FlameCodes:
        if image.dim() != 4 or image.shape[1] != 3:
            raise UsageError(f"SMIRK sees pictures (B, 3, 224, 224), not {tuple(image.shape)}")
        pose, shape = self.pose_encoder(image), self.shape_encoder(image)
        return codes(pose, shape, self.expression_encoder(image))


def codes(pose: Tensor, shape: Tensor, expression: Tensor) -> FlameCodes:
    """The three branches' numbers, (B, 6), (B, 300) and (B, 55), bounded as published: eyelids 0..1, the jaw opens only
    downwards and moves sideways by 0.2 radians at most.
    """
    expression, lids, jaw = expression.split([EXPRESSIONS, 2, 3], 1)
    jaw = torch.cat([jaw[:, :1].relu(), jaw[:, 1:].clamp(-_JAW_SIDEWAYS, _JAW_SIDEWAYS)], 1)
    return FlameCodes(shape, expression, pose[:, :3], jaw, pose[:, 3:], lids.clamp(0, 1))
