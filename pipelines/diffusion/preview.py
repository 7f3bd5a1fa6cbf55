"""Small pictures of latents while a picture is being made, without decoding them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_PATCHES, _PICTURES, _CELLS = 16, 8, 5


class Preview:
    """Latents -> pictures of their size, by the linear map that fits a VAE best: works for any, at no cost in a call.

        preview = Preview(pipe.vae)
        pipe("a portrait", callback_on_step_end=preview.telling(show))

    vae  diffusers' `AutoencoderKL`. It encodes a few pictures of soft random colours, once, and the colours are fitted
         to the latents by least squares.
    """

    def __init__(self, vae: Any) -> None:
        factor = 2 ** (len(vae.config.block_out_channels) - 1)
        draw = torch.Generator().manual_seed(0)
        cells = torch.rand(_PICTURES, 3, _CELLS, _CELLS, generator=draw)
        pictures = F.interpolate(cells, (_PATCHES * factor,) * 2, mode="bilinear", align_corners=True)
        latents = _encoded(vae, 2 * pictures - 1)
        colours = F.adaptive_avg_pool2d(pictures, latents.shape[-2:])
        rows = latents.movedim(1, -1).flatten(0, -2)
        rows = torch.cat([rows, torch.ones(len(rows), 1)], 1)
        fitted = torch.linalg.lstsq(rows.double(), colours.movedim(1, -1).flatten(0, -2).double()).solution
        self.weight, self.bias = fitted[:-1].float(), fitted[-1].float()

    def __call__(self, latents: Tensor) -> np.ndarray:
        """(B, h, w, 3) uint8 of latents (B, C, h, w) as the pipelines' callbacks have them."""
        with torch.no_grad():
            colours = latents.float().movedim(1, -1) @ self.weight.to(latents.device) + self.bias.to(latents.device)
            return (255 * colours.clamp(0, 1)).round().byte().cpu().numpy()

    def telling(self, show: Callable[[int, np.ndarray], object]) -> Callable[..., dict[str, Any]]:
        """A `callback_on_step_end` that calls show(step, pictures (B, h, w, 3) uint8)."""

        def after(pipe: Any, step: int, timestep: Any, kept: dict[str, Any]) -> dict[str, Any]:
            show(step, self(kept["latents"]))
            return kept

        return after


@torch.no_grad()
def _encoded(vae: Any, pictures: Tensor) -> Tensor:
    """Latents (B, C, h, w) float32 on the CPU, scaled as the UNet's; in float32 where the VAE needs it."""
    dtype = vae.dtype
    raised = dtype == torch.float16 and getattr(vae.config, "force_upcast", False)
    if raised:
        vae.to(torch.float32)
    try:
        made = vae.encode(pictures.to(vae.device, vae.dtype)).latent_dist.mode()
    finally:
        if raised:
            vae.to(dtype)
    return vae.config.scaling_factor * made.float().cpu()
