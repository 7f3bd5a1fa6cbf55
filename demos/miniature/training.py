"""What the miniature's trainings share: a pace, an average of the weights, a checkpoint to go on from, and the work
divided among processes that `torchrun` started.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def pace(share: float, top: float, warm: float = 0.03) -> float:
    """Learning rate after a share 0..1 of the training: up to `top`, then down along a cosine."""
    if share < warm:
        return top * (0.05 + 0.95 * share / warm)
    return top * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min((share - warm) / (1 - warm), 1.0))))


def half_where_quick() -> Any:
    """Convolutions and products in bfloat16 where the processor has instructions for them (half of the time)."""
    return torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported())


class Average:
    """The exponential moving average of a network's weights, quicker at first."""

    def __init__(self, network: nn.Module, keep: float = 0.999) -> None:
        self.model = copy.deepcopy(network).eval().requires_grad_(False)
        self.keep = keep

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        keep = min(self.keep, (1 + step) / (10 + step))
        pairs = list(zip(self.model.parameters(), network.parameters(), strict=True))
        torch._foreach_lerp_([own for own, _ in pairs], [new.detach() for _, new in pairs], 1 - keep)


class Checkpoint:
    """Parts with a state on disk: what the file has is loaded; `step` and `seconds` tell how far that was."""

    def __init__(self, file: Path, **parts: Any) -> None:
        self.file, self.parts = file, parts
        self.step, self.seconds = 0, 0.0
        if file.exists():
            state = torch.load(file, weights_only=True)
            for name, part in parts.items():
                part.load_state_dict(state[name])
            self.step, self.seconds = state["step"], state["seconds"]

    def save(self, step: int, seconds: float) -> None:
        """Written whole or not at all."""
        state = {name: part.state_dict() for name, part in self.parts.items()}
        half = self.file.with_suffix(".part")
        self.file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({**state, "step": step, "seconds": seconds}, half)
        half.replace(self.file)


class Workers:
    """This process among those that train one network, each on pictures of its own; alone without `torchrun`."""

    def __init__(self) -> None:
        self.count, self.rank = (int(os.environ.get(name, n)) for name, n in (("WORLD_SIZE", 1), ("RANK", 0)))
        if self.count > 1 and not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo")

    def share(self, gradients_of: nn.Module) -> None:
        """Makes gradients the mean over all processes."""
        if self.count == 1:
            return
        own = [p.grad for p in gradients_of.parameters() if p.grad is not None]
        flat = torch.cat([x.flatten() for x in own])
        torch.distributed.all_reduce(flat)
        for x, mean in zip(own, flat.div_(self.count).split([x.numel() for x in own])):
            x.copy_(mean.view_as(x))

    def passed(self, began: float, minutes: float) -> float:
        """The share 0..1 of the training that is over, in the first process's processor time: a busy machine takes
        longer and makes the same.
        """
        share = torch.tensor((time.process_time() - began) / (60 * minutes))
        if self.count > 1:
            torch.distributed.broadcast(share, 0)
        return share.item()

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            torch.distributed.barrier()


def train(
    network: nn.Module,
    loss_of: Callable[[float, int], Tensor],
    optimisers: Sequence[torch.optim.Optimizer],
    file: Path,
    *,
    name: str,
    workers: Workers,
    minutes: float,
    keep: float,
    report: Callable[[str], None] = print,
) -> Any:
    """Trains a network for so long, a checkpoint beside; returns the average of its weights.

    loss_of     of a batch of its own choice, given the share 0..1 of the training that is over and the step.
    optimisers  of the network, made with their highest learning rate.
    keep        what the average keeps at a step.
    """
    average = Average(network, keep)
    tops = [one.param_groups[0]["lr"] for one in optimisers]
    states = {f"optimiser{n}": one for n, one in enumerate(optimisers)}
    saved = Checkpoint(file, net=network, average=average.model, **states)
    began, step, total = time.process_time() - saved.seconds, saved.step, 0.0
    while (share := workers.passed(began, minutes)) < 1:
        for one, top in zip(optimisers, tops, strict=True):
            one.param_groups[0]["lr"] = pace(share, top)
        loss = loss_of(share, step)
        network.zero_grad()
        loss.backward()
        workers.share(network)
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for one in optimisers:
            one.step()
        average.update(network, step)
        total = 0.98 * total + 0.02 * loss.item() if total else loss.item()
        step += 1
        if step % 50 == 0 and workers.rank == 0:
            report(f"{name}: step {step}, loss {total:.4f}, {time.process_time() - began:.0f} s")
            saved.save(step, time.process_time() - began)
    return average.model
