"""The miniature's UNet, text encoder and both adapters, trained together: each is left out of a part of the pictures,
so that any of them may be missing when a picture is made (Ho and Salimans 2022, classifier-free guidance).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from controls.identity.guide import Guide
from controls.identity.stack import install_stack, stacked
from demos.miniature import parts, training
from demos.miniature.album import Album
from demos.miniature.features import feature_weights, smaller
from demos.miniature.muon import optimisers
from demos.miniature.opening import EXPRESSION, IDENTITY
from demos.miniature.people import expression_numbers, identity_embedding
from demos.miniature.training import Workers
from demos.miniature.words import caption
from studio.weights import load_into, state_dict

BATCH = 32
SILENT = {"text": 0.12, "identity": 0.45, "expression": 0.45, "person": 0.08}
"""How many pictures are learned without their text, identity or expression; and with the embedding of no person."""

CAPTIONS = 3
"""Of each picture."""


class Miniature(nn.Module):
    """All that is trained together, as one module."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self.unet = parts.new_unet()
        self.text = parts.new_text_encoder(tokenizer)
        self.face, self.mimic = parts.new_projections()
        self.face_layers = parts.new_adapter(self.unet, 1)
        self.mimic_layers = parts.new_adapter(self.unet, 2)

    @classmethod
    def begun(cls, tokenizer: Any, start: Path | None) -> Miniature:
        """A new one, or that of a miniature's folder to go on from."""
        net = cls(tokenizer)
        if start is not None:
            for module, part in ((net.unet, "unet"), (net.text, "text_encoder")):
                saved = type(module).from_pretrained(start / part, torch_dtype=torch.float32)
                module.load_state_dict(saved.state_dict())
            adapters = ((IDENTITY, net.face, net.face_layers), (EXPRESSION, net.mimic, net.mimic_layers))
            for place, projection, layers in adapters:
                for module, part in ((projection, "image_proj"), (layers, "ip_adapter")):
                    load_into(module, state_dict(start / place, part), what=str(start / place))
        return net.requires_grad_(True).train()

    def install(self) -> None:
        """Both adapters into the UNet's attention."""
        install_stack(self.unet, [self.face_layers, self.mimic_layers])

    def forward(
        self, noisy: Tensor, timestep: Tensor, ids: Tensor, faces: Tensor, mimics: Tensor, heard: Tensor
    ) -> Tensor:
        """Velocity (B, C, h, w). ids (B, L); faces (B, 512); mimics (B, 55); heard (B, 2): whether identity and
        expression are given: tokens of zeros say nothing, since an adapter's keys and values have no bias.
        """
        return self.unet(noisy, timestep, *self.told(ids, faces, mimics, heard), return_dict=False)[0]

    def told(self, ids: Tensor, faces: Tensor, mimics: Tensor, heard: Tensor) -> tuple[Tensor, None, None, None, dict]:
        """The UNet's further arguments."""
        identity = Guide(self.face(faces) * heard[:, :1, None])
        expression = Guide(self.mimic(mimics) * heard[:, 1:, None])
        return self.text(ids).last_hidden_state, None, None, None, stacked(identity, expression).kwargs()


@dataclass(frozen=True)
class Lessons:
    """What the trainings read: latents (N, 4, 16, 16) scaled, and how much their parts count (N, 1, 16, 16); ids
    (N, CAPTIONS, L); faces (N, 512); mimics (N, 55).
    """

    latents: Tensor
    ids: Tensor
    nothing: Tensor
    faces: Tensor
    mimics: Tensor
    counts: Tensor

    @classmethod
    def of(cls, album: Album, latents: Tensor, tokenizer: Any, seed: int = 0) -> Lessons:
        """latents: those of the album's pictures, scaled."""
        pick = np.random.default_rng(seed)
        texts = [caption(album, k, pick) for k in range(len(album)) for _ in range(CAPTIONS)]
        ids = tokens(tokenizer, texts).unflatten(0, (len(album), CAPTIONS))
        return cls(
            latents,
            ids,
            tokens(tokenizer, [""])[0],
            torch.from_numpy(identity_embedding(album.person)),
            torch.from_numpy(expression_numbers(album.weights)),
            smaller(feature_weights(album.points), latents.shape[-1]),
        )

    def some(self, count: int, pick: np.random.Generator) -> tuple[np.ndarray, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Rows, their latents, and what is told of them: ids, faces, mimics, heard; parts left out at random."""
        rows = pick.integers(0, len(self.latents), count)
        ids = self.ids[rows, pick.integers(0, CAPTIONS, count)].clone()
        ids[torch.from_numpy(pick.random(count) < SILENT["text"])] = self.nothing
        faces = self.faces[rows].clone()
        faces[torch.from_numpy(pick.random(count) < SILENT["person"])] = 0
        heard = pick.random((count, 2)) >= (SILENT["identity"], SILENT["expression"])
        return rows, self.latents[rows], ids, faces, self.mimics[rows], torch.from_numpy(heard).float()


def tokens(tokenizer: Any, texts: list[str]) -> Tensor:
    """(N, L) int64, filled up."""
    return tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids


class Noise:
    """Noised latents and what is to be learned of them; `loss` weighs timesteps (Hang et al. 2023, min-SNR)."""

    def __init__(self, seed: int, gamma: float = 5.0) -> None:
        self.alphas = parts.new_scheduler().alphas_cumprod.float()
        self.pick, self.gamma = torch.Generator().manual_seed(seed), gamma

    def add(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(noisy, timestep (B,), velocity)."""
        timestep = torch.randint(0, len(self.alphas), (len(latents),), generator=self.pick)
        noise = torch.randn(latents.shape, generator=self.pick)
        alphas = self.alphas[timestep][:, None, None, None]
        noisy = alphas.sqrt() * latents + (1 - alphas).sqrt() * noise
        return noisy, timestep, parts.velocity(latents, noise, alphas)

    def loss(self, made: Tensor, wanted: Tensor, timestep: Tensor, counts: Tensor) -> Tensor:
        """counts (B, 1, h, w): how much each place does."""
        ratio = self.alphas[timestep] / (1 - self.alphas[timestep])
        weight = ratio.clamp(max=self.gamma) / (ratio + 1)
        return (weight * (counts * (made - wanted).square()).mean((1, 2, 3))).mean() / 0.5


def train(
    lessons: Lessons,
    tokenizer: Any,
    file: Path,
    *,
    minutes: float,
    start: Path | None = None,
    seed: int = 0,
    report=print,
) -> Miniature:
    """Trains for so long, a checkpoint beside; returns the average of the weights.

    start  folder of a miniature to go on from.
    """
    torch.manual_seed(seed)
    net = Miniature.begun(tokenizer, start)
    net.install()
    net.to(memory_format=torch.channels_last)
    workers = Workers()
    pick, noise = np.random.default_rng((seed, workers.rank)), Noise(seed + workers.rank)

    def loss_of(share: float, step: int) -> Tensor:
        rows, latents, *told = lessons.some(BATCH, pick)
        noisy, timestep, wanted = noise.add(latents)
        return noise.loss(net(noisy, timestep, *told), wanted, timestep, lessons.counts[rows])

    return training.train(
        net,
        loss_of,
        optimisers(net, 4e-3),
        file,
        name="miniature",
        workers=workers,
        minutes=minutes,
        keep=0.998,
        report=report,
    )
