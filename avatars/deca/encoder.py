"""DECA's encoders: a coarse one for FLAME, texture and light, one for detail (Feng et al. 2021, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from avatars.deca.resnet import WIDTH, ResNet50
from avatars.flame.codes import FlameCodes
from studio.errors import UsageError
from studio.weights import load_published

PARTS = {"shape": 100, "texture": 50, "expression": 50, "pose": 6, "camera": 3, "light": 27}
"""The coarse encoder's numbers, in their order. pose: rotation, then jaw."""

DETAIL = 128


@dataclass(frozen=True)
class DecaCodes(FlameCodes):
    """As `FlameCodes` (100 shapes, 50 expressions), and: texture (B, 50), coefficients of the albedo model; light
    (B, 9, 3), spherical harmonics by RGB as `avatars.deca.shading`; detail (B, 128) or None.
    """

    texture: Tensor | None = None
    light: Tensor | None = None
    detail: Tensor | None = None


class Encoder(nn.Module):
    """Crops (B, 3, 224, 224), RGB 0..1 -> (B, `after`)."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.encoder = ResNet50()
        self.layers = nn.Sequential(nn.Linear(WIDTH, 1024), nn.ReLU(), nn.Linear(1024, after))

    def forward(self, image: Tensor) -> Tensor:
        if image.dim() != 4 or image.shape[1] != 3:
            raise UsageError(f"DECA sees pictures (B, 3, 224, 224), not {tuple(image.shape)}")
        return self.layers(self.encoder(image))


class DecaEncoder(nn.Module):
    """Crops (B, 3, 224, 224), RGB 0..1 as `avatars.flame.crop` makes them -> `DecaCodes`.

    `coarse` and `detail` are "E_flame" and "E_detail" of the published checkpoint; detail may be None.
    """

    def __init__(self, *, detail: bool = True) -> None:
        super().__init__()
        self.coarse = Encoder(sum(PARTS.values()))
        self.detail = Encoder(DETAIL) if detail else None

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None, *, detail: bool = True) -> DecaEncoder:
        """From deca_model.tar (or its folder, or where `studio.weights.locate` finds it). Raises WeightsError."""
        made = cls(detail=detail)
        load_published(made.coarse, "deca", path, top="E_flame")
        if made.detail is not None:
            load_published(made.detail, "deca", path, top="E_detail")
        return made.eval()

    def forward(self, image: Tensor) -> DecaCodes:
        return codes(self.coarse(image), None if self.detail is None else self.detail(image))


def codes(parameters: Tensor, detail: Tensor | None = None) -> DecaCodes:
    """The coarse encoder's numbers (B, 236) by name."""
    parts = dict(zip(PARTS, parameters.split(list(PARTS.values()), 1), strict=True))
    rotation, jaw = parts.pop("pose").split(3, 1)
    light = parts.pop("light").reshape(-1, 9, 3)
    return DecaCodes(rotation=rotation, jaw=jaw, light=light, detail=detail, **parts)


def euler_to_axis_angle(angles: Tensor) -> Tensor:
    """(B, 3) x, y, z radians, the turn Rx Ry Rz -> (B, 3) axis-angle.

    For jaws of models that were trained with Euler angles; the published one gives axis-angle.
    """
    (cx, cy, cz), (sx, sy, sz) = torch.cos(angles / 2).unbind(1), torch.sin(angles / 2).unbind(1)
    real = cx * cy * cz - sx * sy * sz
    imaginary = torch.stack([sx * cy * cz + cx * sy * sz, cx * sy * cz - sx * cy * sz, cx * cy * sz + sx * sy * cz], 1)
    length = torch.linalg.vector_norm(imaginary, dim=1)
    half = torch.atan2(length, real)
    ratio = torch.where(length > 1e-8, 2 * half / length.clamp_min(1e-8), torch.full_like(length, 2.0))
    return imaginary * ratio[:, None]
