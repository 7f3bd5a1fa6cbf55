"""The miniature's ControlNet (Zhang et al. 2023): pictures of a head's normals say how it is turned and what it does.

The UNet stays as it is; half of the texts are left out, so that the picture is listened to.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demos.miniature import training
from demos.miniature.album import Album
from demos.miniature.diffusion import BATCH, Lessons, Miniature, Noise
from demos.miniature.muon import optimisers
from demos.miniature.training import Workers

WORDLESS = 0.5
"""How many pictures are learned without their text."""


def new_controlnet(unet: Any) -> Any:
    """diffusers' `ControlNetModel`, begun as the UNet's encoder; adapters in the UNet stay there and are not copied."""
    from diffusers import ControlNetModel
    from diffusers.models.attention_processor import AttnProcessor2_0

    adapters = dict(unet.attn_processors)
    unet.set_attn_processor(AttnProcessor2_0())
    try:
        return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16, 32))
    finally:
        unet.set_attn_processor(adapters)


def hints(pictures: np.ndarray) -> Tensor:
    """(N, 3, 64, 64) float 0..1 of (N, 64, 64, 3) uint8, as ControlNets take them."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255


def train_controlnet(
    base: Miniature,
    lessons: Lessons,
    album: Album,
    file: Path,
    *,
    minutes: float,
    start: Path | None = None,
    seed: int = 0,
    report=print,
) -> Any:
    """Trains for so long on an album's normals, a checkpoint beside; returns the average of the weights.

    start  folder of one that was trained before, to go on from.
    """
    torch.manual_seed(seed)
    workers = Workers()
    base.requires_grad_(False).eval()
    net = new_controlnet(base.unet)
    if start is not None:
        net.load_state_dict(type(net).from_pretrained(start, torch_dtype=torch.float32).state_dict())
    net.requires_grad_(True).train()

    def residuals(step: int, rows: np.ndarray, noisy: Tensor, timestep: Tensor, text: Tensor) -> tuple[Any, Tensor]:
        return net(noisy, timestep, text, hints(album.normals[rows]), return_dict=False)

    return training.train(
        net,
        guided(base, lessons, residuals, workers, seed),
        optimisers(net, 1.5e-3),
        file,
        name="controlnet",
        workers=workers,
        minutes=minutes,
        keep=0.99,
        report=report,
    )


def guided(base: Miniature, lessons: Lessons, residuals: Callable, workers: Workers, seed: int) -> Callable:
    """The loss of a network that guides a frozen base, as `training.train` takes it.

    residuals  (step, rows (B,), noisy latents, timestep, text) -> what it adds to the base's blocks on their way down,
               and to its middle.
    """
    pick, noise = np.random.default_rng((seed, workers.rank)), Noise(seed + workers.rank)

    def loss_of(share: float, step: int) -> Tensor:
        rows, latents, ids, *_ = lessons.some(BATCH, pick)
        ids[torch.from_numpy(pick.random(BATCH) < WORDLESS)] = lessons.nothing
        noisy, timestep, wanted = noise.add(latents)
        with torch.no_grad():
            text = base.text(ids).last_hidden_state
        down, middle = residuals(step, rows, noisy, timestep, text)
        made = base.unet(
            noisy, timestep, text, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample
        return noise.loss(made, wanted, timestep, lessons.counts[rows])

    return loss_of
