"""Semantic guidance (SEGA; Brack et al. 2023): concepts that push the denoising towards or away from themselves, each
where it matters most. SynFER (Li et al. 2024) steers action units so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from controls.identity.guide import Guide
from pipelines.diffusion.text import halves
from studio.errors import UsageError


@dataclass(frozen=True)
class Concept:
    """prompt     what to steer by: "raised eyebrows".
    scale      how much; below 0 away from it. The paper uses 3 to 10.
    threshold  0..1: the share of the picture that is left alone, the least affected first.
    warmup     0..1: the share of the steps before it acts, in which only momentum gathers.
    cooldown   0..1: the share of the steps after which it no longer acts.
    """

    prompt: str
    scale: float = 5.0
    threshold: float = 0.9
    warmup: float = 0.2
    cooldown: float = 1.0

    def __post_init__(self) -> None:
        for name in ("threshold", "warmup", "cooldown"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"concept {self.prompt!r}: {name}={getattr(self, name):g} is outside 0 to 1")


@dataclass
class Momentum:
    """value     the gathered guidance (B, C, h, w), or None at first.
    scale, keep  how much of it is added, how much is kept at each step (the paper's s_m and beta_m).
    """

    value: Tensor | None = None
    scale: float = 0.3
    keep: float = 0.6


def steered(steering: Any, unet: Any, args: tuple[Any, ...], kwargs: dict[str, Any], noise: Tensor) -> Tensor:
    """The UNet's prediction (2B, C, h, w), unconditional half first, so that guidance by the pipeline's scale adds what
    the concepts ask for."""
    pipe = steering.pipe
    if not pipe.do_classifier_free_guidance:
        return noise  # guidance was switched off on the way
    nothing, own = noise.chunk(2)
    total = torch.zeros_like(own)
    done = steering.step / max(1, pipe.num_timesteps)
    active = False
    for concept, text in zip(steering.wishes.concepts, steering._texts, strict=True):
        if done > concept.cooldown or concept.scale == 0:
            continue
        seen = text.into(_without_unconditional(kwargs, len(own)), len(own))
        predicted = unet(args[0][-len(own) :], args[1], **seen)[0]
        push = kept(concept.scale * (predicted - nothing), concept.threshold)
        total = total + push
        active = active or done >= concept.warmup
    gathered = steering._momentum
    if gathered.value is not None and gathered.value.shape == total.shape:
        total = total + gathered.scale * gathered.value
        gathered.value = gathered.keep * gathered.value + (1 - gathered.keep) * total
    else:
        gathered.value = (1 - gathered.keep) * total
    if not active:
        return noise
    return torch.cat([nothing, own + total / pipe.guidance_scale])


def kept(push: Tensor, threshold: float) -> Tensor:
    """A push (B, C, h, w) where it is among the largest of its channel, 0 elsewhere."""
    size = push.abs().flatten(2)
    least = torch.quantile(size.float(), threshold, dim=2)[..., None, None].to(push)
    return torch.where(push.abs() >= least, push, torch.zeros_like(push))


def _without_unconditional(kwargs: dict[str, Any], count: int) -> dict[str, Any]:
    """Keyword arguments of the conditional half, its guide too."""
    out = halves(kwargs, count)
    given = dict(out.get("cross_attention_kwargs") or {})
    guide = given.get("identity")
    if isinstance(guide, Guide):
        from pipelines.diffusion.steering import fitting

        given["identity"] = fitting(guide, count)
        out["cross_attention_kwargs"] = given
    return out
