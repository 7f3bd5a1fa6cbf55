"""The network of `avatars.head.regress` in training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from avatars.facemesh import MEAN, MIRROR
from avatars.head.regress import MIRRORED_WEIGHTS, REST, flipped, normalised, rotation_vector
from studio.arkit import ARKIT


@dataclass(frozen=True)
class Settings:
    """How the network is made and taught.

    inputs, faces  principal components of landmarks and of neutral faces.
    hidden, members  width of each perceptron, and how many there are.
    noise  of each landmark in training, eye spans.
    drift, deep_drift, drift_reach  by how much, across and in depth, landmarks of a picture are off together, over
        which distance: another detector's, another kind of head's.
    weight_cost, turn_cost  what squared errors of weights, and degrees of the turn, count beside millimetres.
    """

    inputs: int = 150
    faces: int = 80
    hidden: int = 256
    members: int = 3
    epochs: int = 25
    batch: int = 256
    rate: float = 2e-3
    decay: float = 1e-2
    dropout: float = 0.15
    noise: float = 0.003
    drift: float = 0.012
    deep_drift: float = 0.025
    drift_reach: float = 0.35
    weight_cost: float = 3.0
    turn_cost: float = 0.3


@dataclass(frozen=True)
class Examples:
    """One row a picture: shapes (N, 478, 3) and sight (N, 3) as the network sees them; differences of faces (N, 468,
    3), weights (N, 52), turns (N, 3)."""

    shapes: np.ndarray
    sight: np.ndarray
    faces: np.ndarray
    weights: np.ndarray
    turns: np.ndarray

    @classmethod
    def of(cls, rows: dict[str, np.ndarray]) -> Examples:
        """From what `demos.fit_training.scenes.load` gives."""
        shapes, rotations = map(np.array, zip(*map(normalised, rows["landmarks"]), strict=True))
        turns = [rotation_vector(a.T @ b) for a, b in zip(rotations, rows["rotation"], strict=True)]
        return cls(shapes, rotations[:, 2], rows["face"] - MEAN, rows["weights"], np.array(turns))

    def doubled(self) -> Examples:
        """With each picture as in a mirror as well."""
        flip = np.array([-1.0, 1.0, 1.0])
        other = (
            flipped(self.shapes),
            self.sight * flip,
            self.faces[:, MIRROR] * flip,
            self.weights[:, MIRRORED_WEIGHTS],
            self.turns * -flip,
        )
        mine = (self.shapes, self.sight, self.faces, self.weights, self.turns)
        return Examples(*(np.concatenate(pair) for pair in zip(mine, other, strict=True)))


def components(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, principal components (count, D) of rows (N, D), and their standard deviations."""
    mean = rows.mean(0)
    values, vectors = np.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
    return mean, vectors[:, ::-1][:, :count].T, np.sqrt(values[::-1][:count])


class Members(nn.Module):
    """Perceptrons beside each other: (B, inputs) -> (members, B, outputs)."""

    def __init__(self, settings: Settings, outputs: int) -> None:
        super().__init__()
        k, i, h = settings.members, settings.inputs + 2, settings.hidden
        self.hidden_weight = nn.Parameter(torch.randn(k, i, h) * i**-0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(k, 1, h))
        self.out_weight = nn.Parameter(torch.zeros(k, h, outputs))
        self.out_bias = nn.Parameter(torch.zeros(k, 1, outputs))
        self.skip_weight = nn.Parameter(torch.zeros(i, outputs))
        self.drop = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.drop(nn.functional.silu(x @ self.hidden_weight + self.hidden_bias))
        return hidden @ self.out_weight + self.out_bias + x @ self.skip_weight


def train(
    rows: dict[str, np.ndarray], settings: Settings, seed: int = 0, say: Callable[[str], None] = print
) -> dict[str, np.ndarray]:
    """Tensors as `avatars.head.regress.FitNetwork` reads them."""
    torch.manual_seed(seed)
    seen = Examples.of(rows).doubled()
    mean, basis, spread = components(seen.shapes.reshape(len(seen.shapes), -1), settings.inputs)
    face_mean, face_basis, _ = components(seen.faces.reshape(len(seen.faces), -1), settings.faces)
    whitened = basis.T / np.maximum(spread, 1e-3)
    sight = 3.0
    x = (seen.shapes.reshape(len(seen.shapes), -1) - mean) @ whitened
    inputs = torch.tensor(np.concatenate([x, sight * seen.sight[:, :2]], 1), dtype=torch.float32)
    coded = (seen.faces.reshape(len(seen.faces), -1) - face_mean) @ face_basis.T
    wanted = torch.tensor(np.concatenate([coded, seen.weights, seen.turns], 1), dtype=torch.float32)
    jitter = torch.tensor(np.append(settings.noise / np.maximum(spread, 1e-3), [0, 0]), dtype=torch.float32)
    drifts = torch.tensor(_drifts(settings, seed) @ whitened, dtype=torch.float32)
    drifts = torch.cat([drifts, torch.zeros(len(drifts), 2)], 1)
    net = Members(settings, wanted.shape[1])
    steps = settings.epochs * (len(inputs) // settings.batch)
    optimiser = torch.optim.AdamW(net.parameters(), lr=settings.rate, weight_decay=settings.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.rate, total_steps=steps)
    losses: list[list[float]] = []
    for step in range(steps):
        pick = torch.randint(len(inputs), (settings.batch,))
        shifted = inputs[pick] + drifts[torch.randint(len(drifts), (settings.batch,))]
        answer = net(shifted + jitter * torch.randn_like(shifted))
        parts = _losses(answer - wanted[pick], settings.faces)
        loss = parts[0] + settings.weight_cost * parts[1] + settings.turn_cost * parts[2]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append([float(part.detach()) for part in parts])
        if (step + 1) % (steps // 5) == 0:
            face, weight, turn = np.mean(losses[-100:], 0)
            say(f"step {step + 1} of {steps}: face {face:.2f} mm, weights {weight:.3f}, turn {turn:.2f} degrees")
    tensors = {name.replace("_", "."): value.detach().numpy() for name, value in net.named_parameters()}
    tensors["hidden.bias"], tensors["out.bias"] = tensors["hidden.bias"][:, 0], tensors["out.bias"][:, 0]
    tensors |= {"in.mean": mean, "in.basis": whitened, "in.sight": np.full(2, sight)}
    tensors |= {"face.mean": face_mean, "face.basis": face_basis}
    return {name: np.ascontiguousarray(value, np.float16) for name, value in tensors.items()}


def _drifts(settings: Settings, seed: int, count: int = 4000) -> np.ndarray:
    """(count, 1434) smooth displacements of landmarks."""
    apart = np.linalg.norm(REST[:, None] - REST[None], axis=2)
    values, vectors = np.linalg.eigh(np.exp(-0.5 * (apart / settings.drift_reach) ** 2))
    root = (vectors * np.sqrt(np.maximum(values, 0)))[:, -40:]
    drawn = np.random.default_rng(seed).normal(size=(count, 40, 3))
    return (root @ drawn * [settings.drift, settings.drift, settings.deep_drift]).reshape(count, -1)


def _losses(off: Tensor, faces: int) -> tuple[Tensor, Tensor, Tensor]:
    """Root mean square of face points in millimetres at 90 between the eyes' outer corners, squared error of an
    expression's weights, degrees of the turn."""
    count = len(ARKIT)
    face = ((off[..., :faces] ** 2).sum(-1) / len(MEAN)).sqrt().mean() * 90
    weights = (off[..., faces : faces + count] ** 2).sum(-1).mean()
    turn = torch.rad2deg((off[..., faces + count :] ** 2).sum(-1).sqrt().mean())
    return face, weights, turn
