"""A neutral face, an expression and a head's turn straight from landmarks, by a small network in NumPy.

Detected landmarks are drawn towards the usual face, bend with pose and expression, and have a depth that is a guess.
`demos/train_fit.py` teaches the network what lay behind them, on rendered heads of people who do not exist; what it
learnt from and how well it does is in its model card, `avatars/data/fit.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from avatars.facemesh import EYE_LEFT, EYE_RIGHT, MEAN, MIRROR
from avatars.pose import fit_pose, to_head
from studio.arkit import ARKIT, INDEX
from studio.errors import WeightsError

POINTS = 478

REST = np.concatenate([MEAN, *(np.repeat(MEAN[loop].mean(0)[None], 5, 0) for loop in (EYE_RIGHT, EYE_LEFT))])
"""(478, 3) what landmarks are compared with: the mean face, irises in the middle of its eyes."""

MIRRORED = np.concatenate([MIRROR, [473, 476, 475, 474, 477], [468, 471, 470, 469, 472]])
"""The same landmark on the other side."""
MIRRORED_WEIGHTS = np.array(
    [INDEX[n.replace("Left", "*").replace("Right", "Left").replace("*", "Right")] for n in ARKIT]
)
_FLIP = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Guess:
    """neutral (468, 3) eye spans in the head's frame; weights (52,) ARKit; rotation (3, 3) head to camera."""

    neutral: np.ndarray
    weights: np.ndarray
    rotation: np.ndarray


def guess(landmarks: np.ndarray) -> Guess:
    """The face behind landmarks (478, 3) pixels. A mirrored picture gives the mirrored face."""
    shape, rotation = normalised(landmarks)
    both = np.stack([shape, flipped(shape)])
    sight = np.stack([rotation[2], rotation[2] * _FLIP])
    face, weights, turn = _network()(both, sight)
    face = (face[0] + face[1][MIRROR] * _FLIP) / 2
    weights = (weights[0] + weights[1][MIRRORED_WEIGHTS]) / 2
    turn = (turn[0] - turn[1] * _FLIP) / 2
    return Guess(MEAN + face, np.clip(weights, 0, 1.2).astype(np.float32), rotation @ _rotation(turn))


def normalised(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the network sees of landmarks (478, 3) pixels: how they differ from the mean face's (478, 3), pose taken
    out; and that pose's rotation (3, 3)."""
    pose = fit_pose(landmarks, MEAN)
    return to_head(landmarks, pose) - REST, pose.rotation


def flipped(shape: np.ndarray) -> np.ndarray:
    """A face's differences (..., 478, 3) as in a mirror."""
    return shape[..., MIRRORED, :] * _FLIP


class FitNetwork:
    """Tensors to answers: an ensemble of perceptrons with one hidden layer each, beside a linear map.

    Callable: differences (N, 478, 3) and lines of sight (N, 3), the rotation's last row -> differences of the neutral
    face (N, 468, 3), weights (N, 52), and the turn (N, 3), a rotation vector in the head's frame, that the pose lacks.
    """

    def __init__(self, tensors: dict[str, np.ndarray]) -> None:
        self.tensors = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}

    def __call__(self, shapes: np.ndarray, sight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        t = self.tensors
        x = (shapes.reshape(len(shapes), -1) - t["in.mean"]) @ t["in.basis"]
        x = np.concatenate([x, sight[:, :2] * t["in.sight"]], 1)
        hidden = np.einsum("ni,kih->knh", x, t["hidden.weight"]) + t["hidden.bias"][:, None]
        hidden = hidden / (1 + np.exp(-hidden))  # SiLU
        y = (np.einsum("knh,kho->kno", hidden, t["out.weight"]) + t["out.bias"][:, None]).mean(0) + x @ t["skip.weight"]
        faces = t["face.mean"] + y[:, : -len(ARKIT) - 3] @ t["face.basis"]
        return faces.reshape(len(y), -1, 3), y[:, -len(ARKIT) - 3 : -3], y[:, -3:]


def load_network(path: str | Path | None = None) -> FitNetwork:
    """The network of a safetensors file; by default the one that ships with the package.

    Raises WeightsError where the file is another model's.
    """
    from safetensors.numpy import load

    source = files("avatars").joinpath("data/fit.safetensors") if path is None else Path(path)
    tensors = load(source.read_bytes())
    for name, size in {"in.mean": (POINTS * 3,), "face.mean": (len(MEAN) * 3,)}.items():
        if name not in tensors or tensors[name].shape != size:
            found = tensors[name].shape if name in tensors else "missing"
            raise WeightsError(f"{source}: not a network that fits heads: {name} is {found}, expected {size}")
    return FitNetwork(tensors)


@lru_cache(maxsize=1)
def _network() -> FitNetwork:
    return load_network()


def _rotation(turn: np.ndarray) -> np.ndarray:
    """(3, 3) of a rotation vector, radians."""
    angle = np.linalg.norm(turn)
    if angle < 1e-9:
        return np.eye(3)
    x, y, z = turn / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def rotation_vector(rotation: np.ndarray) -> np.ndarray:
    """(3,) radians of a rotation (3, 3) of less than half a turn."""
    r = rotation
    way = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]]) / 2
    sine = np.linalg.norm(way)
    return way if sine < 1e-9 else way / sine * np.arctan2(sine, (np.trace(r) - 1) / 2)


__all__ = ["FitNetwork", "Guess", "flipped", "guess", "load_network", "normalised", "rotation_vector"]
