"""The lip-sync network in torch, for training. `controls.lipsync.network` runs it in NumPy.

A causal convolution net over 10 ms frames. It is asked for what was said `DELAY` frames ago, which is
its look-ahead; nothing else looks into the future, so it streams.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from controls.lipsync.mel import FEATURES
from controls.lipsync.network import DELAY, DILATIONS, KERNEL, LIPS, STEM, WIDTH
from controls.lipsync.phones import NAMES


class Block(nn.Module):
    """Dilated causal convolution and a mix of channels, added to its input."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.pad = (KERNEL - 1) * dilation
        self.conv = nn.Conv1d(WIDTH, WIDTH, KERNEL, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm1d(WIDTH)
        self.mix = nn.Conv1d(WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(nn.functional.pad(x, (self.pad, 0)))).relu()
        return x + self.mix(y)


class LipNet(nn.Module):
    """Features (B, T, 42) -> phone logits (B, T, phones), openness, rounding, spread (B, T, 3), `DELAY` frames ago."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(FEATURES, WIDTH, STEM, bias=False)
        self.stem_norm = nn.BatchNorm1d(WIDTH)
        self.blocks = nn.ModuleList(Block(d) for d in DILATIONS)
        self.out_norm = nn.BatchNorm1d(WIDTH)
        self.head = nn.Conv1d(WIDTH, len(NAMES) + len(LIPS), 1)
        self.drop = nn.Dropout1d(0.1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        x = nn.functional.pad(features.mT, (STEM - 1, 0))
        x = self.stem_norm(self.stem(x)).relu()
        for block in self.blocks:
            x = block(x)
        y = self.head(self.drop(self.out_norm(x).relu())).mT
        return y[..., : len(NAMES)], y[..., len(NAMES) :]


def shifted(labels: Tensor) -> Tensor:
    """Labels (B, T, ...) moved to where the network answers them; the first ones repeat."""
    return torch.cat([labels[:, :1].repeat_interleave(DELAY, 1), labels[:, :-DELAY]], 1)


def _fold(weight: Tensor, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return weight * scale[:, None, None], norm.bias - norm.running_mean * scale


@torch.no_grad()
def export(net: LipNet) -> dict[str, Tensor]:
    """Tensors as `controls.lipsync.network` reads them: norms folded, kernels as (taps * in, out)."""
    flat = lambda w: w.permute(2, 1, 0).reshape(-1, w.shape[0]).contiguous().float()
    weight, bias = _fold(net.stem.weight, net.stem_norm)
    out = {"stem.weight": flat(weight), "stem.bias": bias}
    for i, block in enumerate(net.blocks):
        weight, bias = _fold(block.conv.weight, block.norm)
        out |= {f"{i}.conv.weight": flat(weight), f"{i}.conv.bias": bias}
        out |= {f"{i}.mix.weight": flat(block.mix.weight), f"{i}.mix.bias": block.mix.bias}
    scale = net.out_norm.weight / (net.out_norm.running_var + net.out_norm.eps).sqrt()
    out |= {"out.scale": scale, "out.bias": net.out_norm.bias - net.out_norm.running_mean * scale}
    out |= {"head.weight": flat(net.head.weight), "head.bias": net.head.bias}
    return {name: tensor.detach().float().contiguous() for name, tensor in out.items()}
