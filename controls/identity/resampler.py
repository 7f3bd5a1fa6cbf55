"""Perceiver that turns features of a face into a few image tokens (Jaegle et al. 2021; Ye et al. 2023); key names of
the published IP-Adapters.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from studio.attention import attention
from studio.errors import UsageError, WeightsError
from studio.weights import load_into

HEAD = 64
"""Width of an attention head; the published files don't state it, and all have this."""


class PerceiverAttention(nn.Module):
    """x (B, N, D), latents (B, T, D) -> (B, T, D): latents look at x and at themselves. The softmax is in float32."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.heads = inner // HEAD
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, inner, bias=False)
        self.to_kv = nn.Linear(dim, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, dim, bias=False)

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        x, latents = self.norm1(x), self.norm2(latents)
        k, v = self.to_kv(torch.cat([x, latents], 1)).chunk(2, 2)
        q, k, v = (y.unflatten(2, (self.heads, -1)).transpose(1, 2) for y in (self.to_q(latents), k, v))
        return self.to_out(attention(q, k, v).transpose(1, 2).flatten(2))


def _feed_forward(dim: int, inner: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(dim), nn.Linear(dim, inner, bias=False), nn.GELU(), nn.Linear(inner, dim, bias=False)
    )


class Perceiver(nn.Module):
    """x (B, N, E), latents (B, T, D) -> tokens (B, T, out). inner: of all heads; hidden: of the feed-forward layers."""

    def __init__(self, embedding: int, dim: int, out: int, depth: int, inner: int, hidden: int) -> None:
        super().__init__()
        self.proj_in = nn.Linear(embedding, dim)
        self.proj_out = nn.Linear(dim, out)
        self.norm_out = nn.LayerNorm(out)
        self.layers = nn.ModuleList(
            nn.ModuleList([PerceiverAttention(dim, inner), _feed_forward(dim, hidden)]) for _ in range(depth)
        )

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        x = self.proj_in(x)
        for look, think in self.layers:  # type: ignore[misc]
            latents = look(x, latents) + latents
            latents = think(latents) + latents
        return self.norm_out(self.proj_out(latents))


def perceiver_sizes(arrays: Mapping[str, np.ndarray], *, what: str) -> dict[str, int]:
    """A `Perceiver`'s arguments from its arrays. Raises WeightsError where they are another network's."""
    try:
        dim, embedding = np.shape(arrays["proj_in.weight"])
        return dict(
            embedding=embedding,
            dim=dim,
            out=np.shape(arrays["proj_out.weight"])[0],
            depth=1 + max(int(key.split(".")[1]) for key in arrays if key.startswith("layers.")),
            inner=np.shape(arrays["layers.0.0.to_q.weight"])[0],
            hidden=np.shape(arrays["layers.0.1.1.weight"])[0],
        )
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(f"{what}: not a perceiver's weights ({error} is missing or malformed)") from error


class Resampler(nn.Module):
    """Embeddings (B, 512) or features (B, N, E) -> tokens (B, queries, D). Its first latents are learned."""

    def __init__(self, queries: int, **sizes: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.zeros(1, queries, sizes["dim"]))
        inside = Perceiver(**sizes)
        self.proj_in, self.proj_out, self.norm_out = inside.proj_in, inside.proj_out, inside.norm_out
        self.layers = inside.layers

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], *, what: str) -> Resampler:
        """From its arrays; raises WeightsError for another network's."""
        if np.ndim(arrays.get("latents", 0)) != 3:
            raise WeightsError(f"{what}: no learned latents; not a resampler's weights")
        made = cls(np.shape(arrays["latents"])[1], **perceiver_sizes(arrays, what=what))
        return load_into(made, arrays, what=what).requires_grad_(False)  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, None] if x.dim() == 2 else x
        if x.dim() != 3 or x.shape[2] != self.proj_in.in_features:
            raise UsageError(f"the resampler sees (B, {self.proj_in.in_features}), not {tuple(x.shape)}")
        return Perceiver.forward(self, x, self.latents.expand(len(x), -1, -1))  # type: ignore[arg-type]
