"""A photo's person in the miniature's numbers: shape from landmarks, skin and hair from the colours beside them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from avatars.facemesh import MEAN
from avatars.head import AXES as HEAD_AXES
from avatars.head.identity import displacement
from avatars.head.measure import measure
from demos.miniature.people import AXES, SPREAD, identity_embedding
from demos.miniature.pictures import HAIR_COLOURS, SKIN_COLOURS

CHEEKS, CROWN, CHIN, EYES = (50, 280, 117, 346), 10, 152, (33, 263)
"""Landmarks: skin that light reaches, the hairline's middle, the chin, the eyes' outer corners."""

DOUBT = 0.17
"""What a measured face is off by along a person's axes, eye spans over all landmarks, beside their spread."""


def photo_numbers(picture: np.ndarray) -> np.ndarray:
    """(12,) float32 as `people.IDENTITY` of the largest face on (H, W, 3) uint8 RGB. Light is not told from skin: a
    dim photo makes a dark person. Raises NoFaceError.
    """
    from pipelines.portrait import default_tracker, read_portrait

    face = read_portrait(picture, default_tracker()).faces[0]
    landmarks = face.landmarks
    apart = measure(landmarks, face.size).neutral - MEAN
    shape = _solver() @ (apart - apart.mean(0)).ravel()
    return np.clip(np.r_[shape, _colours(picture, landmarks)], -1.2, 1.2).astype(np.float32)


def photo_embedding(picture: np.ndarray) -> np.ndarray:
    """(512,) of the largest face on (H, W, 3) uint8 RGB: an embedder for the miniature's identity adapter."""
    return identity_embedding(photo_numbers(picture))


@lru_cache(maxsize=1)
def _solver() -> np.ndarray:
    """(10, 1404): a person's shape of how far their neutral face is from the mean one."""
    by_name = {axis.name: displacement(axis, MEAN.astype(np.float64)) for axis in HEAD_AXES}
    moved = np.stack([MEAN + sum(SPREAD * by_name[name] for name in names) for names in AXES])
    spans = np.linalg.norm(moved[:, EYES[0]] - moved[:, EYES[1]], axis=1)[:, None, None]
    moves = moved / spans - MEAN
    moves = (moves - moves.mean(1, keepdims=True)).reshape(len(AXES), -1)
    return np.linalg.solve(moves @ moves.T + DOUBT**2 * np.eye(len(AXES)), moves)


def _colours(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(2,) places of skin and hair on their palettes, -1..1."""
    up = landmarks[CROWN, :2] - landmarks[CHIN, :2]
    skin = np.median([_around(picture, landmarks[k, :2], up) for k in CHEEKS], 0)
    hair = _around(picture, landmarks[CROWN, :2] + 0.14 * up, up)
    return np.array([_place(skin, SKIN_COLOURS), _place(hair, HAIR_COLOURS)])


def _around(picture: np.ndarray, place: np.ndarray, up: np.ndarray) -> np.ndarray:
    """(3,) median colour about a place, as wide as a thirtieth of the face's height."""
    height, width = picture.shape[:2]
    reach = max(1.0, float(np.linalg.norm(up)) / 60)
    x, y = np.clip(place, 0, (width - 1, height - 1))
    rows = slice(int(max(0, y - reach)), int(y + reach) + 1)
    return np.median(picture[rows, int(max(0, x - reach)) : int(x + reach) + 1].reshape(-1, 3), 0)


def _place(colour: np.ndarray, palette: np.ndarray) -> float:
    """Where a colour's brightness lies between a palette's first colour, -1, and its last, 1."""
    bright = palette.mean(1)
    order = np.argsort(bright)
    return float(np.interp(colour.mean(), bright[order], np.linspace(-1, 1, len(palette))[order]))
