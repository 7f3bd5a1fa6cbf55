"""A person's neutral face and the expression of one photo, told apart by what is known of people.

Where `avatars.fit.fit_photo` takes what the expression leaves over for the person, here the person is what the axes of
identity and a smooth remainder explain (Gaussian process regression, Rasmussen and Williams 2006, section 2.2): the
noise of landmarks, and of depth above all, is not carved into the head. All lengths are eye spans in the head's frame.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from avatars.facemesh import MEAN, MIRROR
from avatars.fields import displace, fields_for
from avatars.fit import FREE, _bounded, _photo_ridge, fit_photo
from avatars.head.identity import AXES, displacement
from avatars.pose import fit_pose, to_head

AXIS_SPREAD = 1.0
"""Standard deviations that people have along the axes of identity."""

REMAINDER, REMAINDER_REACH = 0.018, 0.25
"""Size and reach of what the axes miss."""

NOISE = 0.020
"""Of a landmark, across the picture."""

DEPTH_NOISE, DEPTH_REACH = 0.045, 0.35
"""Of detected depth, which is off smoothly."""


def measure(landmarks: np.ndarray, size: tuple[int, int], rounds: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Neutral face (468, 3) float32, eye spans, and ARKit weights (52,) of landmarks (478, 3) pixels in a picture of
    size (width, height). Lids and gaze are those of `fit_photo`, which is also the start."""
    start, weights = fit_photo(landmarks)
    neutral = start.shape.astype(np.float64)
    people = _people()
    smooth = _kernel(DEPTH_REACH)
    for _ in range(rounds):
        table = fields_for(neutral)
        shown = displace(neutral, weights, table)
        pose = fit_pose(landmarks, shown, size)
        head = to_head(landmarks, pose)[:468].astype(np.float64)
        sight = pose.rotation[2]  # the camera's axis in the head's frame
        noise = np.einsum("ij,a,b->iajb", DEPTH_NOISE**2 * smooth, sight, sight).reshape(people.shape)
        spread = people + noise
        spread[np.diag_indices(len(spread))] += NOISE**2
        bent = shown - neutral - np.tensordot(weights[FREE], table[FREE], 1)
        wanted = (head - MEAN - bent).ravel()
        basis = table[FREE].reshape(len(FREE), -1).astype(np.float64)
        solved = np.linalg.solve(spread, np.column_stack([basis.T, wanted]))
        gram = basis @ solved[:, :-1] + np.diag(_photo_ridge())
        weights[FREE] = _bounded(gram, basis @ solved[:, -1])
        rest = solved[:, -1] - solved[:, :-1] @ weights[FREE]
        neutral = MEAN + (people @ rest).reshape(-1, 3)
        neutral = _centred(neutral)
    return neutral.astype(np.float32), weights


@lru_cache(maxsize=1)
def _people() -> np.ndarray:
    """(1404, 1404) covariance of people's faces, x y z of each point in turn."""
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


__all__ = ["measure"]
