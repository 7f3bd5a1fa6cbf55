"""The miniature's ControlNet (Zhang et al. 2023): pictures of a head's normals say how it is turned and what it does.

The UNet stays as it is; half of the texts are left out, so that the picture is listened to.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demos.miniature.album import Album
from demos.miniature.diffusion import BATCH, Lessons, Miniature, Noise
from demos.miniature.training import Average, Checkpoint, Workers, pace

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
    base: Miniature, lessons: Lessons, album: Album, file: Path, *, minutes: float, seed: int = 0, report=print
) -> Any:
    """Trains for so long on an album's normals, a checkpoint beside; returns the average of the weights."""
    torch.manual_seed(seed)
    workers = Workers()
    base.requires_grad_(False).eval()
    net = new_controlnet(base.unet).requires_grad_(True).train()
    average = Average(net, 0.99)
    pick, noise = np.random.default_rng((seed, workers.rank)), Noise(seed + workers.rank)
    optimiser = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.01, betas=(0.9, 0.99))
    keep = Checkpoint(file, net=net, average=average.model, optimiser=optimiser)
    began, step, total = time.process_time() - keep.seconds, keep.step, 0.0
    while (share := workers.passed(began, minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = pace(share, 1.5e-3)
        rows, latents, ids, *_ = lessons.some(BATCH, pick)
        ids[torch.from_numpy(pick.random(BATCH) < WORDLESS)] = lessons.nothing
        noisy, timestep, wanted = noise.add(latents)
        with torch.no_grad():
            text = base.text(ids).last_hidden_state
        down, middle = net(noisy, timestep, text, hints(album.normals[rows]), return_dict=False)
        made = base.unet(
            noisy, timestep, text, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample
        loss = noise.loss(made, wanted, timestep)
        optimiser.zero_grad()
        loss.backward()
        workers.share(net)
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        average.update(net, step)
        total = 0.98 * total + 0.02 * loss.item() if total else loss.item()
        step += 1
        if step % 50 == 0 and workers.rank == 0:
            report(f"control: step {step}, loss {total:.4f}, {time.process_time() - began:.0f} s")
            keep.save(step, time.process_time() - began)
    return average.model
