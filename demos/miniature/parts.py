"""The miniature's networks before training, of the classes that Stable Diffusion 1.5 has in diffusers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from controls.identity.adapter import Adapter
from controls.identity.attention import layers_of
from controls.identity.embeddings import WIDTH as EMBEDDING
from controls.identity.expression import WIDTH as EXPRESSION
from controls.identity.expression import PlainProjection
from controls.identity.faceid import FaceIdProjection
from demos.miniature import SIDE

CONTEXT = 64
"""Width of the text's and the adapters' tokens."""

TOKENS = 4
"""That an adapter makes of a face, or of an expression."""

LATENT = (4, SIDE // 4, SIDE // 4)


def new_unet() -> Any:
    """diffusers' `UNet2DConditionModel` of three levels, latents 4 x 16 x 16; attention where they are 8 x 8."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=LATENT[1],
        in_channels=LATENT[0],
        out_channels=LATENT[0],
        block_out_channels=(32, 64, 64),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=CONTEXT,
        attention_head_dim=2,
        norm_num_groups=4,
    )


def new_text_encoder(tokenizer: Any) -> Any:
    """transformers' `CLIPTextModel` of two layers."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=CONTEXT,
        intermediate_size=3 * CONTEXT,
        projection_dim=CONTEXT,
        num_hidden_layers=2,
        num_attention_heads=1,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def new_scheduler() -> Any:
    """diffusers' `DDIMScheduler` with Stable Diffusion's noise and predictions of velocity (Salimans and Ho 2022)."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
    )


def new_projections() -> tuple[FaceIdProjection, PlainProjection]:
    """Of an identity's embedding (B, 512) and of an expression's numbers (B, 55) to tokens (B, 4, 64)."""
    return FaceIdProjection(EMBEDDING, EMBEDDING, TOKENS, CONTEXT), PlainProjection(EXPRESSION, TOKENS, CONTEXT)


def new_adapter(unet: Any, seed: int) -> Adapter:
    """An IP-Adapter's attention for this UNet, open for training."""
    pick, arrays = np.random.default_rng(seed), {}
    modules = dict(unet.named_modules())
    for n, name in enumerate(layers_of(unet)):
        attn = modules[name.removesuffix(".processor")]
        if attn.is_cross_attention:
            for part in ("to_k_ip", "to_v_ip"):
                bound = CONTEXT**-0.5
                arrays[f"{n}.{part}.weight"] = pick.uniform(-bound, bound, (attn.inner_kv_dim, CONTEXT)).astype("f4")
    return Adapter.of(arrays, unet, what="a new adapter").requires_grad_(True)


def velocity(latents: torch.Tensor, noise: torch.Tensor, alphas: torch.Tensor) -> torch.Tensor:
    """What the UNet predicts: alphas (B, 1, 1, 1) are the products of 1 - beta up to the timestep."""
    return alphas.sqrt() * noise - (1 - alphas).sqrt() * latents
