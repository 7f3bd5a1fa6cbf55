"""The diffusion transformer: noisy motion, speech and a step become the clean motion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from studio.attention import attention

HEADS, LAYERS = 8, 8


@dataclass(frozen=True)
class MotionSizes:
    """motion     numbers a frame.
    width      of the transformer.
    window     frames made at once; previous are those that it goes on from.
    audio      width of the speech encoder's features.
    """

    motion: int = 73
    width: int = 256
    window: int = 100
    previous: int = 10
    audio: int = 768


def sinusoid(rows: Tensor, width: int) -> Tensor:
    """(N, width): sines in even columns, cosines in odd ones, of frequency 10000^(-2k/width)."""
    rate = torch.exp(torch.arange(0, width, 2, device=rows.device) * (-math.log(10000.0) / width))
    angle = rows.float()[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], 2).flatten(1)


class _Attention(nn.Module):
    """The weights of `torch.nn.MultiheadAttention`, computed by `studio.attention`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Every frame sees every frame. (B, T, width), shape kept."""
        whole = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in whole.chunk(3, 2))
        return self.out_proj(attention(q, k, v).transpose(1, 2).flatten(2))

    def own(self, x: Tensor) -> Tensor:
        """Every frame sees its own alone, so its softmax is 1: only values and output count."""
        width = x.shape[2]
        return self.out_proj(F.linear(x, self.in_proj_weight[2 * width :], self.in_proj_bias[2 * width :]))


class _Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.self_attn = _Attention(width)
        self.multihead_attn = _Attention(width)
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))

    def forward(self, x: Tensor, heard: Tensor) -> Tensor:
        x = self.norm1(x + self.self_attn(x))
        x = self.norm2(x + heard)
        return self.norm3(x + self.linear2(F.gelu(self.linear1(x))))


class _Transformer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(width) for _ in range(LAYERS))


class Denoiser(nn.Module):
    """Noisy motion (B, window, motion) -> clean motion (B, previous + window, motion).

    positions: "old" adds the same row to every frame, as the released weights were trained; "new" tells frames apart.
    """

    def __init__(self, sizes: MotionSizes = MotionSizes(), positions: str = "old") -> None:
        super().__init__()
        width = sizes.width
        self.positions = positions
        self.diff_step_map = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.feature_proj = nn.Linear(sizes.motion, width)
        self.transformer = _Transformer(width)
        self.motion_dec = nn.Sequential(nn.Linear(width, width // 2), nn.GELU(), nn.Linear(width // 2, sizes.motion))

    def hear(self, audio: Tensor) -> list[Tensor]:
        """What each layer gets from speech (B, previous + window, width): the same at every step, so made once."""
        return [layer.multihead_attn.own(audio) for layer in self.transformer.layers]

    def forward(self, noisy: Tensor, previous: Tensor, heard: list[Tensor], step: int) -> Tensor:
        x = self.feature_proj(torch.cat([previous, noisy], 1))
        count, width = x.shape[1:]
        when = torch.tensor([step], device=x.device)
        rows = torch.full((1,), count) if self.positions == "old" else torch.arange(count)
        x = x + sinusoid(rows.to(x.device), width).to(x.dtype)
        x = x + self.diff_step_map(sinusoid(when, width).to(x.dtype))
        for layer, speech in zip(self.transformer.layers, heard, strict=True):
            x = layer(x, speech)
        return self.motion_dec(x)
