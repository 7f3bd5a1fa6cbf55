"""A person's neutral face, the expression and the pose of one photo, told apart by what is known of people.

A network's guess (`avatars.head.regress`), which knows how landmarks err, comes first. What it leaves of the photo's
landmarks is then shared between person and expression, each with the spread that the guess may be off by (Gaussian
process regression, Rasmussen and Williams 2006, section 2.2): the noise of landmarks, and of depth above all, is not
carved into the head. All lengths are eye spans in the head's frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from avatars.facemesh import MEAN, MIRROR, to_head_frame
from avatars.fields import displace, fields_for
from avatars.fit import FREE, _bounded, _photo_ridge, fit_photo
from avatars.head.identity import AXES, displacement
from avatars.head.profile import deepened
from avatars.head.regress import guess
from avatars.pose import Pose, to_head

AXIS_SPREAD = 0.07
"""How far the guess may be off along the axes of identity, in standard deviations of people."""

REMAINDER, REMAINDER_REACH = 0.003, 0.25
"""Size and reach of what the axes miss."""

STIFF = 200.0
"""How much surer the guess of a weight is than nobody's knowledge of it (`avatars.fit`)."""

NOISE = 0.020
"""Of a landmark, across the picture."""

DEPTH_NOISE, DEPTH_REACH = 0.09, 0.35
"""Of detected depth, which is off smoothly."""


@dataclass(frozen=True)
class Measured:
    """neutral (468, 3) float32 eye spans: what `avatars.head.head_of` takes; weights (52,) float32 ARKit; pose: where
    the head is in the photo."""

    neutral: np.ndarray
    weights: np.ndarray
    pose: Pose


def measure(landmarks: np.ndarray, size: tuple[int, int], rounds: int = 2) -> Measured:
    """What landmarks (478, 3) pixels in a picture of size (width, height) tell. Lids and gaze are those of
    `fit_photo`."""
    first = guess(landmarks)
    weights = fit_photo(landmarks)[1]
    expected = first.weights[FREE].astype(np.float64)
    weights[FREE] = expected
    neutral = first.neutral
    people, smooth = _people(), _kernel(DEPTH_REACH)
    sight = first.rotation[2]  # the camera's axis in the head's frame
    spread = people + np.einsum("ij,a,b->iajb", DEPTH_NOISE**2 * smooth, sight, sight).reshape(people.shape)
    spread[np.diag_indices(len(spread))] += NOISE**2
    stiff = STIFF * _photo_ridge()
    for _ in range(rounds):
        table = fields_for(neutral.astype(np.float32))
        shown = displace(neutral.astype(np.float32), weights, table)
        head = to_head(landmarks, placed(landmarks, on_surface(shown), first.rotation, size))[:468]
        bent = on_surface(shown) - neutral - np.tensordot(weights[FREE], table[FREE], 1)
        wanted = (head - first.neutral - bent).ravel()
        basis = table[FREE].reshape(len(FREE), -1).astype(np.float64)
        solved = np.linalg.solve(spread, np.column_stack([basis.T, wanted]))
        gram = basis @ solved[:, :-1] + np.diag(stiff)
        weights[FREE] = _bounded(gram, basis @ solved[:, -1] + stiff * expected)
        rest = solved[:, -1] - solved[:, :-1] @ weights[FREE]
        neutral = _centred(first.neutral + (people @ rest).reshape(-1, 3))
    shown = displace(neutral.astype(np.float32), weights, fields_for(neutral.astype(np.float32)))
    pose = placed(landmarks, on_surface(shown), first.rotation, size)
    return Measured(neutral.astype(np.float32), weights, pose)


def placed(landmarks: np.ndarray, shape: np.ndarray, rotation: np.ndarray, size: tuple[int, int]) -> Pose:
    """The pose of a shape (468, 3) whose rotation (3, 3) is known: scale and place in the picture by least squares
    over landmarks (478, 3) pixels, robust against some that are off."""
    seen = to_head_frame(np.asarray(landmarks[:468], np.float64))
    turned = shape @ rotation.T
    weights = np.ones(len(seen))
    for _ in range(4):
        w = (weights / weights.sum())[:, None]
        middle, centre = (w * turned).sum(0), (w * seen).sum(0)
        a, b = (turned - middle)[:, :2], (seen - centre)[:, :2]
        scale = float((w * a * b).sum() / (w * a * a).sum())
        error = np.linalg.norm(scale * a - b, axis=1)
        weights = 1 / (1 + (error / max(1.5 * np.median(error), 1e-6)) ** 2)
    return Pose(rotation, centre - scale * middle, scale, 0.0, size)


def on_surface(face: np.ndarray) -> np.ndarray:
    """Where the points of a face (468, 3) end up on the head that `avatars.head.head_of` makes of it, nearly."""
    return face + _lift()


@lru_cache(maxsize=1)
def _lift() -> np.ndarray:
    return deepened(MEAN) - MEAN


@lru_cache(maxsize=1)
def _people() -> np.ndarray:
    """(1404, 1404) covariance of what the guess misses of people's faces, x y z of each point in turn."""
    axes = []
    for axis in AXES:
        moved = MEAN + displacement(axis, MEAN.astype(np.float64))
        axes.append((_centred(moved) - MEAN).ravel())
    axes_ = AXIS_SPREAD * np.array(axes)
    remainder = REMAINDER**2 * np.kron(_kernel(REMAINDER_REACH), np.eye(3))
    return axes_.T @ axes_ + remainder


def _kernel(reach: float) -> np.ndarray:
    """(468, 468) how much alike neighbours differ, nine tenths of it the same on both sides."""
    apart = np.linalg.norm(MEAN[:, None] - MEAN[None], axis=2).astype(np.float64)
    near = np.exp(-0.5 * (apart / reach) ** 2)
    mirrored = 0.5 * (near + near[:, MIRROR])
    return 0.9 * 0.5 * (mirrored + mirrored.T) + 0.1 * near


def _centred(face: np.ndarray) -> np.ndarray:
    """The face with its outer eye corners one eye span apart round the origin."""
    span = np.linalg.norm(face[263] - face[33])
    return (face - (face[33] + face[263]) / 2) / span


__all__ = ["Measured", "measure", "placed"]
