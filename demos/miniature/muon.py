"""An optimiser that gives every direction of a layer's weights the same step (Jordan et al. 2024, Muon)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

SMALL = 16
"""Weights with fewer rows or columns than this are left to AdamW."""


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, its matrix made orthogonal. Weights (out, in, ...) count as matrices (out, in * ...).

    A step's size is that of AdamW at the same learning rate (Liu et al. 2025, section 2.2).
    """

    def __init__(self, weights: Iterable[Tensor], lr: float, weight_decay: float = 0.01) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            alike = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[weight.shape].append(weight)
            for weights in alike.values():
                steps = orthogonal(torch.stack([self._push(w) for w in weights]))
                size = 0.2 * max(steps.shape[1:]) ** 0.5 * group["lr"]
                for weight, step in zip(weights, steps, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(step.view(weight.shape), alpha=size)

    def _push(self, weight: Tensor, keep: float = 0.95) -> Tensor:
        slope, state = weight.grad.flatten(1), self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(slope)
        state["momentum"].lerp_(slope, 1 - keep)
        return slope.lerp(state["momentum"], keep)


def orthogonal(matrices: Tensor, rounds: int = 5) -> Tensor:
    """(N, R, C) with all singular values brought near 1 (within some 0.3) by Newton and Schulz's iteration."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(rounds):
        square = x @ x.mT
        x = 3.4445 * x + (2.0315 * square @ square - 4.7750 * square) @ x
    return x.mT if tall else x


def optimisers(network: nn.Module, lr: float, decay: float = 0.01) -> list[torch.optim.Optimizer]:
    """Muon for the weights of a network's linear layers and convolutions, AdamW for all else that is trained."""
    layers = [m for m in network.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    weights = [m.weight for m in layers if m.weight.requires_grad and min(m.weight.flatten(1).shape) >= SMALL]
    taken = {id(w) for w in weights}
    others = [p for p in network.parameters() if p.requires_grad and id(p) not in taken]
    return [
        Muon(dict.fromkeys(weights), lr, weight_decay=decay),
        torch.optim.AdamW(others, lr, weight_decay=decay, betas=(0.9, 0.99)),
    ]
