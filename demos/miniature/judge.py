"""What is on the miniature's pictures, measured: landmarks, the person's numbers, the expression, the head's turn.

A small network trained on renders, whose own error on persons that it never saw is told beside every figure that is
measured with it (`demos/assets/miniature/README.md`). Pictures of 64 pixels are too small for the face tracker.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatars.facemesh import POINTS_68
from demos.miniature import FOLDER, SIDE
from demos.miniature.album import Album
from demos.miniature.muon import optimisers
from demos.miniature.people import EXPRESSION, IDENTITY, identity_embedding, levels
from demos.miniature.training import Checkpoint, half_where_quick, pace
from studio.weights import load_into, state_dict

JUDGE = "judge/judge.safetensors"
"""Where it lies in the miniature's folder."""

_PARTS = {"points": 2 * len(POINTS_68), "person": len(IDENTITY), "expression": len(EXPRESSION), "turn": 3}
_SCALES = {"points": 8.0, "person": 0.55, "expression": 0.35, "turn": 0.25}
_COUNTS = {"points": 1.0, "person": 1.0, "expression": 2.0, "turn": 0.5}

TOP = 6e-3
"""The highest learning rate."""


class Judge(nn.Module):
    """Pictures (N, 3, 64, 64) in [-1, 1] -> {part: (N, C)}, in the units of `Seen`."""

    def __init__(self) -> None:
        super().__init__()
        steps = [(3, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 72, 1), (72, 72, 2)]
        steps += [(72, 96, 1), (96, 96, 2), (96, 96, 1)]
        layers: list[nn.Module] = []
        for before, after, stride in steps:
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.look = nn.Sequential(*layers)
        self.think = nn.Sequential(nn.Flatten(), nn.Linear(16 * 96, 128), nn.ReLU())
        self.tell = nn.Linear(128, sum(_PARTS.values()))

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        told = self.tell(self.think(self.look(pictures))).float().split(list(_PARTS.values()), 1)
        made = {part: _SCALES[part] * value for part, value in zip(_PARTS, told, strict=True)}
        return {**made, "points": made["points"] + SIDE / 2}


@dataclass(frozen=True)
class Seen:
    """points (N, 68, 2) pixels; person (N, 12); expression (N, 9), see `people.levels`; turn (N, 3) radians."""

    points: np.ndarray
    person: np.ndarray
    expression: np.ndarray
    turn: np.ndarray


def targets(album: Album) -> Seen:
    """What an album's pictures really show."""
    return Seen(album.points, album.person, levels(album.weights), album.head[:, :3])


@torch.no_grad()
def seen(judge: Judge, pictures: np.ndarray) -> Seen:
    """What (N, 64, 64, 3) uint8 RGB pictures show."""
    from demos.miniature.autoencoder import to_tensor

    told = [judge(to_tensor(pictures[k : k + 256])) for k in range(0, len(pictures), 256)]
    made = {part: torch.cat([one[part] for one in told]).numpy() for part in _PARTS}
    return Seen(made["points"].reshape(-1, len(POINTS_68), 2), made["person"], made["expression"], made["turn"])


def open_judge(path: Path = FOLDER / JUDGE) -> Judge:
    """The one that comes with the miniature. Raises WeightsError where its file is missing or another's."""
    arrays = {key: np.asarray(value, np.float32) for key, value in state_dict(path).items()}
    return load_into(Judge(), arrays, what=str(path)).eval().requires_grad_(False)  # type: ignore[return-value]


def embedder(judge: Judge | None = None):
    """(64, 64, 3) or larger square uint8 RGB of a head as the miniature draws it -> identity embedding (512,), for
    pipelines that are given photos."""
    import cv2

    judge = judge or open_judge()

    def embed(picture: np.ndarray) -> np.ndarray:
        small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        return identity_embedding(seen(judge, small[None]).person[0])

    return embed


def correlations(measured: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(C,) Pearson's r of each column of (N, C)."""
    a, b = measured - measured.mean(0), wanted - wanted.mean(0)
    return (a * b).sum(0) / np.maximum(np.sqrt((a**2).sum(0) * (b**2).sum(0)), 1e-9)


def landmark_error(measured: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(N,) mean distance of landmarks (N, 68, 2), pixels."""
    return np.linalg.norm(measured - wanted, axis=2).mean(1)


def disturbed(x: Tensor, pick: torch.Generator) -> Tensor:
    """Pictures softened, speckled and of other brightness, as generated ones may be."""
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = torch.rand(len(x), 1, 1, 1, generator=pick) * 0.9
    gain = 1 + 0.12 * torch.randn(len(x), 3, 1, 1, generator=pick)
    noise = 0.03 * torch.rand(len(x), 1, 1, 1, generator=pick) * torch.randn(x.shape, generator=pick)
    return (gain * (x + share * (soft - x)) + noise).clamp(-1, 1)


def train_judge(album: Album, file: Path, *, minutes: float, seed: int = 0, report=print) -> Judge:
    """Trains for so long, a checkpoint beside; returns it in eval mode."""
    from demos.miniature.autoencoder import to_tensor

    torch.manual_seed(seed)
    noise, pick = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    true = targets(album)
    wanted = {part: torch.from_numpy(np.reshape(getattr(true, part), (len(album), -1))).float() for part in _PARTS}
    judge = Judge().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    muon, adam = optimisers(judge, TOP)
    keep = Checkpoint(file, judge=judge, muon=muon, adam=adam)
    began, step = time.process_time() - keep.seconds, keep.step
    while (share := (time.process_time() - began) / (60 * minutes)) < 1:
        for optimiser in (muon, adam):
            optimiser.param_groups[0]["lr"] = pace(share, TOP)
        rows = pick.integers(0, len(album), 64)
        x = disturbed(to_tensor(album.pictures[rows]), noise).contiguous(memory_format=torch.channels_last)
        with half_where_quick():
            told = judge(x)
        errors = {p: F.smooth_l1_loss(told[p] / _SCALES[p], wanted[p][rows] / _SCALES[p], beta=0.3) for p in _PARTS}
        loss = sum(_COUNTS[part] * error for part, error in errors.items())
        judge.zero_grad()
        loss.backward()
        muon.step()
        adam.step()
        step += 1
        if step % 50 == 0:
            said = ", ".join(f"{part} {error.item():.3f}" for part, error in errors.items())
            report(f"judge: step {step}, {said}, {time.process_time() - began:.0f} s")
            keep.save(step, time.process_time() - began)
    return judge.eval()
