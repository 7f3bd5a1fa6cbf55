"""Regions of a picture with a prompt, a person and LoRAs of their own: two people in one picture.

The UNet predicts each region as if it were the whole, and the predictions are mixed by the regions' masks at every step
(MultiDiffusion; Bar-Tal et al. 2023), which costs one more pass for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from studio.errors import UsageError


@dataclass(frozen=True)
class Region:
    """mask      (H, W) 0..1 of any size, or a PIL image: where it is. Where masks overlap they share.
    prompt    what is there; None for the picture's own.
    identity  who is there, as a call takes it; None for nobody in particular.
    loras     {name: weight} of the loaded LoRAs that act there and no others; None for those of the whole picture.
    """

    mask: Any
    prompt: str | None = None
    identity: Any = None
    identity_scale: float | None = None
    loras: Mapping[str, float] | None = None

    def at(self, size: tuple[int, int]) -> Tensor:
        """(1, 1, h, w) float32 0..1 at the latents' size. Raises UsageError for another shape."""
        return F.interpolate(mask_values(self.mask, "a region's mask")[None, None], tuple(size), mode="area")


def mask_values(given: Any, what: str) -> Tensor:
    """(H, W) float32 0..1 of a mask as an array, a tensor or a PIL image. Raises UsageError for another shape or other
    values."""
    mask = np.asarray(given.convert("L") if hasattr(given, "convert") else given)
    if mask.ndim != 2 or not mask.size:
        raise UsageError(f"{what} is (H, W), not {mask.shape}")
    values = torch.from_numpy(np.ascontiguousarray(mask)).float() / (255 if mask.dtype == np.uint8 else 1)
    if not (values.min() >= 0 and values.max() <= 1):
        raise UsageError(f"{what} has values in 0 to 1, or 0 to 255 as uint8")
    return values


def regional(steering: Any, unet: Any, args: tuple[Any, ...], kwargs: dict[str, Any], noise: Tensor) -> Tensor:
    """The prediction (B, C, h, w) of the whole, with each region's own where its mask is."""
    from pipelines.diffusion.steering import fitting, with_guide

    batch = len(noise)
    total = torch.stack(steering._masks).sum(0)
    share = torch.clamp(total, min=1)
    out = noise * (1 - total / share)
    rows = zip(steering.wishes.regions, steering._masks, steering._region_texts, steering._region_guides, strict=True)
    for region, mask, text, guide in rows:
        seen = kwargs if text is None else _prompted(steering.pipe, text, kwargs, batch)
        if region.identity is not None:
            seen = with_guide(seen, fitting(guide, batch))
        with loras(unet, region.loras):
            out = out + unet(*args, **seen)[0] * (mask / share)
    return out


def _prompted(pipe: Any, text: Any, kwargs: dict[str, Any], batch: int) -> dict[str, Any]:
    """Keyword arguments with the region's prompt in the conditional half."""
    count = batch // 2 if pipe.do_classifier_free_guidance else batch
    own = text.into(kwargs, count)
    rest = batch - count
    if not rest:
        return own
    whole, new = kwargs["encoder_hidden_states"], own["encoder_hidden_states"]
    out = kwargs | {"encoder_hidden_states": torch.cat([whole[:rest], new])}
    if text.pooled is not None:
        added = dict(kwargs["added_cond_kwargs"])
        added["text_embeds"] = torch.cat([added["text_embeds"][:rest], own["added_cond_kwargs"]["text_embeds"]])
        out["added_cond_kwargs"] = added
    return out


@contextmanager
def loras(unet: Any, wanted: Mapping[str, float] | None) -> Any:
    """Only these LoRAs of a UNet, at these weights, within the block."""
    layers = [] if wanted is None else [m for m in unet.modules() if hasattr(m, "lora_A") and hasattr(m, "scaling")]
    before = [(layer, list(layer.active_adapters), dict(layer.scaling), layer.disable_adapters) for layer in layers]
    try:
        for layer in layers:
            have = [name for name in wanted or {} if name in layer.lora_A]
            if have:
                layer.enable_adapters(True)
                layer.set_adapter(have)
                for name in have:
                    layer.set_scale(name, wanted[name])  # type: ignore[index]
            else:
                layer.enable_adapters(False)
        yield
    finally:
        for layer, active, scaling, off in before:
            layer.set_adapter(active)
            layer.scaling.update(scaling)
            layer.enable_adapters(not off)
