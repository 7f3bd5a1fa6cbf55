"""The lip-sync network in torch, for training. `controls.lipsync.network` runs it in NumPy.

A causal convolution net over 10 ms frames. It is asked for what was said some frames ago, which is its
look-ahead; nothing else looks into the future, so it streams. Two pairs of heads share the trunk: one
answers `DELAY` frames late, the other, for live use, `QUICK_DELAY` frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from controls.lipsync.mel import FEATURES
from controls.lipsync.network import DELAYS, DILATIONS, HIDDEN, KERNEL, LIPS, STEM, WIDTH
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


class Answers(nn.Module):
    """Phone logits and lips of one delay."""

    def __init__(self) -> None:
        super().__init__()
        self.phones = nn.Conv1d(WIDTH, len(NAMES), 1)
        self.hidden = nn.Conv1d(WIDTH, HIDDEN, 1)
        self.lips = nn.Conv1d(HIDDEN, len(LIPS), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.phones(x).mT, self.lips(self.hidden(x).relu()).mT


class LipNet(nn.Module):
    """Features (B, T, 42) -> for each of `DELAYS`, phone logits (B, T, phones) and `LIPS` (B, T, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(FEATURES, WIDTH, STEM, bias=False)
        self.stem_norm = nn.BatchNorm1d(WIDTH)
        self.blocks = nn.ModuleList(Block(d) for d in DILATIONS)
        self.out_norm = nn.BatchNorm1d(WIDTH)
        self.heads = nn.ModuleDict({name: Answers() for name in DELAYS})
        self.drop = nn.Dropout1d(0.1)

    def forward(self, features: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        x = nn.functional.pad(features.mT, (STEM - 1, 0))
        x = self.stem_norm(self.stem(x)).relu()
        for block in self.blocks:
            x = block(x)
        x = self.drop(self.out_norm(x).relu())
        return {name: head(x) for name, head in self.heads.items()}


def shifted(labels: Tensor, delay: int) -> Tensor:
    """Labels (B, T, ...) moved to where the network answers them; the first ones repeat."""
    return torch.cat([labels[:, :1].repeat_interleave(delay, 1), labels[:, :-delay]], 1)


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
    for name, head in net.heads.items():
        for part in ("phones", "hidden", "lips"):
            layer = getattr(head, part)
            out |= {f"{name}.{part}.weight": flat(layer.weight), f"{name}.{part}.bias": layer.bias}
    return {name: tensor.detach().float().contiguous() for name, tensor in out.items()}


@torch.no_grad()
def resume(weights: dict[str, Tensor]) -> LipNet:
    """The inverse of `export`, to train on: norms stand still at what was folded into the kernels."""
    net = LipNet()
    full = lambda w, taps: w.reshape(taps, -1, w.shape[1]).permute(2, 1, 0)

    def still(norm: nn.BatchNorm1d, scale: Tensor | float, bias: Tensor) -> None:
        norm.running_var.fill_(1 - norm.eps)
        norm.weight.copy_(torch.as_tensor(scale).expand_as(norm.weight)), norm.bias.copy_(bias)

    net.stem.weight.copy_(full(weights["stem.weight"], STEM))
    still(net.stem_norm, 1.0, weights["stem.bias"])
    for i, block in enumerate(net.blocks):
        block.conv.weight.copy_(full(weights[f"{i}.conv.weight"], KERNEL))
        still(block.norm, 1.0, weights[f"{i}.conv.bias"])
        block.mix.weight.copy_(full(weights[f"{i}.mix.weight"], 1)), block.mix.bias.copy_(weights[f"{i}.mix.bias"])
    still(net.out_norm, weights["out.scale"], weights["out.bias"])
    for name, head in net.heads.items():
        for part in ("phones", "hidden", "lips"):
            layer = getattr(head, part)
            layer.weight.copy_(full(weights[f"{name}.{part}.weight"], 1))
            layer.bias.copy_(weights[f"{name}.{part}.bias"])
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
    return net
