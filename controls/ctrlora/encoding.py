"""Condition pictures as latents: what CtrLoRA's network sees in place of a hint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studio.errors import UsageError

ConditionPicture = np.ndarray | Tensor


def condition_tensor(picture: ConditionPicture) -> Tensor:
    """A condition picture as (B, 3, H, W) float in [0, 1].

    picture: (H, W, 3) or (B, H, W, 3), an array of uint8 or of float in [0, 1]; or a tensor (B, 3, H, W) in [0, 1].
    Raises UsageError for another shape, for values outside, such as a picture in [-1, 1], and for sizes that are
    not multiples of 8.
    """
    if isinstance(picture, np.ndarray):
        values = torch.from_numpy(np.ascontiguousarray(picture))
        values = values[None] if values.ndim == 3 else values
        values = values.movedim(-1, 1) if values.ndim == 4 else values
        values = values.float() / 255 if picture.dtype == np.uint8 else values.float()
    else:
        values = picture
    if values.ndim != 4 or values.shape[1] != 3 or not values.is_floating_point():
        raise UsageError(f"a condition picture is (H, W, 3) or a tensor (B, 3, H, W), not {tuple(picture.shape)}")
    if values.numel() == 0 or values.shape[2] % 8 or values.shape[3] % 8:
        raise UsageError(f"a condition's sides are multiples of 8, not {values.shape[3]}x{values.shape[2]}")
    low, high = values.min().item(), values.max().item()
    if not (low >= 0 and high <= 1):
        raise UsageError(f"a condition's values are in [0, 1], not {low:g} to {high:g}")
    return values


def cropped_alike(pictures: Sequence[Tensor]) -> list[Tensor]:
    """Pictures (B, 3, H, W) cut at their centres to the smallest height and the smallest width among them."""
    height, width = (min(picture.shape[axis] for picture in pictures) for axis in (2, 3))
    out = []
    for picture in pictures:
        top, left = (picture.shape[2] - height) // 2, (picture.shape[3] - width) // 2
        out.append(picture[:, :, top : top + height, left : left + width])
    return out


def encode_condition(vae: Any, picture: ConditionPicture, *, noise: Tensor | torch.Generator | None = None) -> Tensor:
    """The latent of a condition, (B, 4, H/8, W/8), in the VAE's type and on its device.

    vae     diffusers' AutoencoderKL, of the checkpoint that the UNet comes from.
    noise   None takes the posterior's mean, the same each time. Noise (B, 4, H/8, W/8) or a generator samples
            mean + std * noise, as published sampling does anew at each step.

    The picture goes in as [0, 1], not as the [-1, 1] of pictures to be denoised: published weights were trained so.
    Raises UsageError as `condition_tensor` does, and for noise of another shape.
    """
    like = next(vae.parameters())
    with torch.no_grad():
        posterior = vae.encode(condition_tensor(picture).to(like)).latent_dist
        latent = posterior.mean
        if isinstance(noise, torch.Generator):
            noise = torch.randn(latent.shape, generator=noise, device=noise.device)
        if noise is not None:
            if noise.shape != latent.shape:
                raise UsageError(f"noise is {tuple(latent.shape)} here, not {tuple(noise.shape)}")
            latent = latent + posterior.std * noise.to(like)
        return latent * vae.config.scaling_factor
