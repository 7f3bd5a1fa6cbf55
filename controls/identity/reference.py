"""Arc2Face's Reference Adapter: self attention that also sees a picture of the person (foivospar/Arc2Face)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from controls.identity.attention import IdentityAttention, layers_of
from controls.identity.guide import Guide, Reference
from studio.errors import UsageError


@torch.no_grad()
def record(unet: Any, latents: Tensor, prompts: Tensor) -> Reference:
    """What a picture gives every self attention, for `Guide(reference=...)` of all steps of a run with guidance.

    unet     Arc2Face's, without a LoRA that is on; it and the denoising one went through `attention.plain` or
             carry an adapter.
    latents  (B, 4, h, w) of the picture, VAE's mean or sample x 0.18215, without noise; B is the denoiser's batch, or 2
             for one picture. The second half of it is used.
    prompts  (B, N, D): the identity's.
    The timestep is 0. Raises UsageError for a UNet of neither kind, or with a LoRA on.
    """
    if not all(isinstance(p, IdentityAttention) for p in unet.attn_processors.values()):
        raise UsageError("the reference's UNet has another attention: controls.identity.attention.plain(unet) first")
    lora = next((m for m in unet.modules() if getattr(m, "active_adapters", None) and hasattr(m, "lora_A")), None)
    if lora is not None and not lora.disable_adapters and not lora.merged:
        raise UsageError("the reference is seen without the LoRA: unet.disable_adapters() first, or another UNet")
    if len(latents) % 2 or len(latents) != len(prompts):
        raise UsageError(f"a reference of {len(latents)} latents and {len(prompts)} prompts: both halves are needed")
    bank = Reference(recording=True)
    unet(latents, 0, prompts, cross_attention_kwargs=Guide(reference=bank, lora_scale=0.0).kwargs())
    return Reference({name: bank.layers[name] for name in layers_of(unet) if name in bank.layers})
