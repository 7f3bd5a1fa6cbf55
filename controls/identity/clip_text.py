"""CLIP's text model (Radford et al. 2021) as Stable Diffusion 1.5 has it, open between its embeddings and its layers.
Key names of the published encoders.
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
"""Width of an attention head; the files don't state it, and CLIP's text models all have this."""


class _Attention(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.heads = dim // HEAD
        self.k_proj, self.v_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.q_proj, self.out_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        split = (f(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(attention(*split, causal=True).transpose(1, 2).flatten(2))


class _Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        return self.fc2(x * torch.sigmoid(1.702 * x))  # CLIP's quick GELU


class _Layer(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.self_attn, self.mlp = _Attention(dim), _Mlp(dim, hidden)
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class ClipText(nn.Module):
    """Token ids (B, N) int64 -> hidden states (B, N, D), the last layer's after the final norm."""

    def __init__(self, words: int, places: int, dim: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.embeddings = nn.Module()
        self.embeddings.token_embedding = nn.Embedding(words, dim)
        self.embeddings.position_embedding = nn.Embedding(places, dim)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(_Layer(dim, hidden) for _ in range(depth))
        self.final_layer_norm = nn.LayerNorm(dim)

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], *, what: str) -> ClipText:
        """From a text encoder's arrays ("text_model.…" or without it). Raises WeightsError for another network's."""
        arrays = {key.removeprefix("text_model."): value for key, value in arrays.items()}
        try:
            words, dim = np.shape(arrays["embeddings.token_embedding.weight"])
            places = np.shape(arrays["embeddings.position_embedding.weight"])[0]
            hidden = np.shape(arrays["encoder.layers.0.mlp.fc1.weight"])[0]
        except (KeyError, ValueError) as error:
            raise WeightsError(f"{what}: not a CLIP text encoder ({error} is missing or malformed)") from error
        depth = 1 + max(int(key.split(".")[2]) for key in arrays if key.startswith("encoder.layers."))
        made = cls(words, places, dim, hidden, depth)
        ignore = ("embeddings.position_ids",)
        return load_into(made, arrays, what=what, ignore=ignore).requires_grad_(False)  # type: ignore[return-value]

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids (B, N) -> their embeddings (B, N, D), before positions."""
        return self.embeddings.token_embedding(ids)

    def encode(self, embeddings: Tensor) -> Tensor:
        """Embeddings before positions (B, N, D) -> hidden states (B, N, D)."""
        places = self.embeddings.position_embedding.weight
        if embeddings.dim() != 3 or embeddings.shape[1] > len(places) or embeddings.shape[2] != places.shape[1]:
            raise UsageError(f"CLIP's text model sees (B, up to {len(places)}, {places.shape[1]}) embeddings")
        x = embeddings + places[: embeddings.shape[1]]
        for layer in self.encoder.layers:
            x = layer(x)
        return self.final_layer_norm(x)

    def forward(self, ids: Tensor) -> Tensor:
        return self.encode(self.embed(ids))
