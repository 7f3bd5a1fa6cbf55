"""DECA's detail decoder: a map of displacements in FLAME's texture space (Feng et al. 2021, section 4.2)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from avatars.deca.encoder import DETAIL, DecaCodes
from studio.errors import UsageError
from studio.weights import load_published

CONDITION = 53
"""Jaw (3) and expression (50)."""

LARGEST = 0.01
"""Metres."""

_EPS = 0.8  # published so, in place of a momentum
_WIDTHS = (128, 64, 64, 32, 16)


class DetailDecoder(nn.Module):
    """jaw (B, 3), expression (B, 50) and detail (B, 128), concatenated in this order -> (B, 1, 256, 256) metres along
    the surface's normals, within +-0.01. Weights: "D_detail" of the published checkpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self.l1 = nn.Sequential(nn.Linear(CONDITION + DETAIL, 128 * 8 * 8))
        layers: list[nn.Module] = [nn.BatchNorm2d(128)]
        width = 128
        for after in _WIDTHS:
            layers += [
                nn.Upsample(scale_factor=2, mode="bilinear"),
                nn.Conv2d(width, after, 3, padding=1),
                nn.BatchNorm2d(after, _EPS),
                nn.LeakyReLU(0.2),
            ]
            width = after
        layers += [nn.Conv2d(width, 1, 3, padding=1), nn.Tanh()]
        self.conv_blocks = nn.Sequential(*layers)

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None) -> DetailDecoder:
        """From deca_model.tar, as `DecaEncoder.from_pretrained`."""
        return load_published(cls(), "deca", path, top="D_detail")  # type: ignore[return-value]

    def forward(self, codes: Tensor) -> Tensor:
        if codes.dim() != 2 or codes.shape[1] != CONDITION + DETAIL:
            raise UsageError(f"detail is made of (B, {CONDITION + DETAIL}), not {tuple(codes.shape)}")
        return LARGEST * self.conv_blocks(self.l1(codes).reshape(-1, 128, 8, 8))

    def of(self, codes: DecaCodes, expression_of: DecaCodes | None = None) -> Tensor:
        """The map of a face; with the expression and jaw of another one where given (B of both alike): wrinkles that
        follow an edited expression.
        """
        if codes.detail is None:
            raise UsageError("these codes have no detail; the encoder was made with detail=False")
        moving = expression_of or codes
        return self(torch.cat([moving.jaw, moving.expression[:, :50], codes.detail], 1))
