"""The miniature's autoencoder: 64 x 64 pictures as latents of 4 x 16 x 16 (Rombach et al. 2022, section 3.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from demos.miniature import SIDE, training
from demos.miniature.album import Album
from demos.miniature.features import feature_weights
from demos.miniature.training import Workers

CROP = 32
"""Pixels of the parts that most of the training sees: a quarter of the work."""


SPECKLE = 0.05
"""Noise on the latents, so that what the UNet doesn't get quite right is forgiven: a share of their spread."""


def new_autoencoder() -> Any:
    """diffusers' `AutoencoderKL`, sides four times smaller."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(16, 32, 48),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=1,
        sample_size=SIDE,
        mid_block_add_attention=False,
    )


def to_tensor(pictures: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def edges(x: Tensor) -> tuple[Tensor, Tensor]:
    """Differences to the right and to the lower neighbour."""
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def reconstruction_loss(made: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Mean distance of colours and of edges, which are what an expression is seen by; weights (N, 1, H, W)."""
    slopes = sum(
        (w * (a - b).abs()).mean()
        for a, b, w in zip(edges(made), edges(wanted), (weights[..., 1:], weights[..., 1:, :]), strict=True)
    )
    error = made - wanted
    return (weights * error.abs()).mean() + 0.5 * slopes + (weights * error.square()).mean()


def train_autoencoder(
    album: Album, file: Path, *, minutes: float, start: Path | None = None, seed: int = 0, report=print
) -> Any:
    """Trains for so long, a checkpoint beside; returns it in eval mode with its `scaling_factor` set.

    start  folder of one that was trained before, to go on from.
    """
    torch.manual_seed(seed)
    workers = Workers()
    pick = np.random.default_rng((seed, workers.rank))
    vae = new_autoencoder()
    if start is not None:
        vae.load_state_dict(type(vae).from_pretrained(start, torch_dtype=torch.float32).state_dict())
    torch.manual_seed(seed + 1 + workers.rank)
    counts = feature_weights(album.points)

    def loss_of(share: float, step: int) -> Tensor:
        whole = share > 0.8
        batch, side = (4, SIDE) if whole else (8, CROP)
        rows = np.sort(pick.integers(0, len(album), batch))
        shown = album.normals[rows] if pick.random() < 0.1 else album.pictures[rows]
        weights = counts[rows]
        if side < SIDE:
            top, left = (4 * pick.integers(0, (SIDE - side) // 4 + 1, 2)).tolist()
            part = (slice(None), slice(top, top + side), slice(left, left + side))
            shown, weights = shown[part], weights[:, 0][part][:, None]
        x = to_tensor(shown)
        posterior = vae.encode(x).latent_dist
        latents = posterior.mean + SPECKLE * posterior.mean.detach().std() * torch.randn_like(posterior.mean)
        return reconstruction_loss(vae.decode(latents).sample, x, weights) + 1e-5 * posterior.kl().mean()

    made = training.train(
        vae,
        loss_of,
        [torch.optim.AdamW(vae.parameters(), 3e-3, weight_decay=0.0, betas=(0.9, 0.99))],
        file,
        name="autoencoder",
        workers=workers,
        minutes=minutes,
        keep=0.995,
        report=report,
    )
    made.eval().requires_grad_(False)
    latents = encode(made, album.pictures[:: max(1, len(album) // 512)])
    made.register_to_config(scaling_factor=round(1 / latents.std().item(), 4))
    return made


@torch.no_grad()
def encode(vae: Any, pictures: np.ndarray) -> Tensor:
    """(N, 4, 16, 16) means of the latents of (N, 64, 64, 3) uint8, unscaled."""
    return torch.cat(
        [vae.encode(to_tensor(pictures[k : k + 64])).latent_dist.mean for k in range(0, len(pictures), 64)]
    )


@torch.no_grad()
def decode(vae: Any, latents: Tensor) -> np.ndarray:
    """(N, 64, 64, 3) uint8 of unscaled latents."""
    made = torch.cat([vae.decode(latents[k : k + 64]).sample for k in range(0, len(latents), 64)])
    return ((made.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def peak_signal_to_noise(vae: Any, pictures: np.ndarray) -> float:
    """Decibels of pictures that went through the autoencoder."""
    again = decode(vae, encode(vae, pictures))
    error = F.mse_loss(torch.from_numpy(again).float(), torch.from_numpy(np.ascontiguousarray(pictures)).float())
    return float(10 * torch.log10(255**2 / error))
