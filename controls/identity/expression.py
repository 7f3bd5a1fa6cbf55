"""Arc2Face's Expression Adapter: SMIRK's expression, eyelids and jaw as image tokens (foivospar/Arc2Face)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from controls.identity.adapter import Adapter
from controls.identity.faceid import FaceIdProjection, projection_of
from controls.identity.guide import Guide
from studio.errors import UsageError, WeightsError
from studio.weights import load_into, locate, model, state_dict, tell_terms

WIDTH = 55
"""Of FLAME: 50 of expression, 2 eyelids 0..1, 3 of the jaw's rotation in radians."""

_EXPRESSIONS, _LIDS, _JAW_SIDEWAYS = 50, 2, 0.2


def expression_vector(head: Tensor) -> Tensor:
    """SMIRK's expression numbers (B, 55) as its last layer gives them -> bounded: eyelids 0..1, the jaw opens only
    downwards and moves sideways by 0.2 radians at most. Raises UsageError for another shape.
    """
    if head.dim() != 2 or head.shape[1] != WIDTH:
        raise UsageError(f"SMIRK's expression is (B, {WIDTH}), not {tuple(head.shape)}")
    expression, lids, jaw = head.split([_EXPRESSIONS, _LIDS, 3], 1)
    sideways = jaw[:, 1:].clamp(-_JAW_SIDEWAYS, _JAW_SIDEWAYS)
    return torch.cat([expression, lids.clamp(0, 1), jaw[:, :1].relu(), sideways], 1)


def with_neutral(vectors: Tensor, per_face: int = 1) -> Tensor:
    """(2B * per_face, 1, 55) of vectors (B, 55): zeros, which are a neutral face, and then the vectors; pictures of the
    same face follow each other. It is what diffusers calls `ip_adapter_image_embeds`.
    """
    return torch.cat([torch.zeros_like(vectors), vectors])[:, None].repeat_interleave(per_face, 0)


class PlainProjection(nn.Module):
    """Numbers (B, E) -> tokens (B, T, D) by one linear layer: the first IP-Adapter's projection."""

    def __init__(self, embedding: int, tokens: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(embedding, tokens * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(x).unflatten(-1, (-1, self.norm.normalized_shape[0])))


def expression_projection(arrays: Mapping[str, np.ndarray], *, what: str) -> PlainProjection | FaceIdProjection:
    """The projection, whichever of both layouts its file has. Raises WeightsError for one that sees no expression."""
    made: PlainProjection | FaceIdProjection
    if "proj.weight" in arrays and "norm.weight" in arrays:
        rows, seen = np.shape(arrays["proj.weight"])
        width = len(arrays["norm.weight"])
        made = load_into(PlainProjection(seen, rows // width, width), arrays, what=what)  # type: ignore[assignment]
    else:
        made = projection_of(arrays, shortcut=False, what=what)
        seen = made.proj[0].in_features
    if seen != WIDTH:
        raise WeightsError(f"{what}: takes {seen} numbers, not an expression's {WIDTH}; another adapter's file")
    return made.requires_grad_(False)


class ExpressionAdapter:
    """The adapter on Arc2Face's UNet, in whose attention it is."""

    def __init__(self, projection: nn.Module, adapter: Adapter) -> None:
        self.projection, self.adapter = projection, adapter

    @classmethod
    def from_pretrained(cls, unet: Any, path: str | Path | None = None) -> ExpressionAdapter:
        """Reads exp_adapter.bin (or its folder, or where `studio.weights.locate` finds it) and installs it in `unet`.
        Raises WeightsError for another adapter's file or another family's UNet.
        """
        known = model("arc2face")
        file = locate(known, "exp_adapter/exp_adapter.bin", path)
        adapter = Adapter.of(state_dict(file, "ip_adapter"), unet, what=f"{file}, ip_adapter")
        projection = expression_projection(state_dict(file, "image_proj"), what=f"{file}, image_proj")
        tell_terms(known, file)
        adapter.install(unet)
        parameter = next(unet.parameters())
        return cls(projection.to(parameter.device, parameter.dtype), adapter)

    @torch.no_grad()
    def guide(self, vectors: Tensor, *, scale: float = 1.0, per_face: int = 1) -> Guide:
        """For the UNet's call with guidance, of vectors (B, 55) as `expression_vector` makes them."""
        rows = with_neutral(vectors.to(next(self.projection.parameters())), per_face)
        return Guide(self.projection(rows[:, 0]), scale)
