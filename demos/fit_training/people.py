"""People at random: their face, how it moves, what it shows, how its skin is painted. Nothing here was scanned."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from avatars.facemesh import LIPS_INNER, MEAN, MIRROR
from avatars.head import default_skin, embedded_head, textures, with_settled_lids
from avatars.head.identity import AXES, displacement, random_identity
from avatars.head.lids import HOLDERS
from avatars.head.texels import texels
from avatars.pose import _similarity
from avatars.rig import Rig
from studio.arkit import INDEX
from studio.motion import EYE_SPAN

UNITS = (
    ("browDownLeft", "browDownRight"),
    ("browInnerUp",),
    ("browOuterUpLeft", "browOuterUpRight"),
    ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    ("cheekPuff",),
    ("cheekSquintLeft", "cheekSquintRight"),
    ("eyeBlinkLeft", "eyeBlinkRight"),
    ("eyeSquintLeft", "eyeSquintRight"),
    ("eyeWideLeft", "eyeWideRight"),
    ("eyeLookDownLeft", "eyeLookDownRight"),
    ("eyeLookUpLeft", "eyeLookUpRight"),
    ("eyeLookOutLeft", "eyeLookInRight"),
    ("eyeLookInLeft", "eyeLookOutRight"),
    ("jawForward",),
    ("jawLeft",),
    ("jawRight",),
    ("jawOpen",),
    ("jawOpen",),
    ("jawOpen", "mouthFunnel"),
    ("jawOpen", "mouthSmileLeft", "mouthSmileRight"),
    ("jawOpen", "mouthClose"),
    ("mouthDimpleLeft", "mouthDimpleRight"),
    ("mouthFrownLeft", "mouthFrownRight"),
    ("mouthFunnel",),
    ("mouthLeft",),
    ("mouthRight",),
    ("mouthLowerDownLeft", "mouthLowerDownRight"),
    ("mouthPressLeft", "mouthPressRight"),
    ("mouthPucker",),
    ("mouthPucker",),
    ("mouthRollLower",),
    ("mouthRollUpper",),
    ("mouthShrugLower",),
    ("mouthShrugUpper",),
    ("mouthSmileLeft", "mouthSmileRight"),
    ("mouthSmileLeft", "mouthSmileRight"),
    ("mouthSmileLeft", "mouthSmileRight", "cheekSquintLeft", "cheekSquintRight"),
    ("mouthStretchLeft", "mouthStretchRight"),
    ("mouthUpperUpLeft", "mouthUpperUpRight"),
    ("noseSneerLeft", "noseSneerRight"),
)
"""What faces do together; what is common stands here more than once."""

MOUTH = ("jaw", "mouth", "cheekPuff")


def face_of(pick: np.random.Generator) -> np.ndarray:
    """(468, 3) a neutral face in the head's frame, eye spans: axes of identity, and smooth differences that no axis
    has. Turned as the mean face is."""
    values = random_identity(int(pick.integers(1 << 31)), pick.uniform(0.6, 1.1))
    face = MEAN + sum(values[axis.name] * displacement(axis, MEAN.astype(np.float64)) for axis in AXES)
    for reach, size in ((0.6, 0.035), (0.25, 0.02)):
        own = _smooth_factor(reach) @ pick.normal(size=(len(MEAN), 3))
        alike = (own + own[MIRROR] * [-1, 1, 1]) / 2**0.5
        face = face + pick.uniform(0, size) * (0.95 * alike + 0.3 * own)
    rotation, _, _ = _similarity(face, MEAN.astype(np.float64), np.ones(len(face)))
    face = face @ rotation.T
    span = np.linalg.norm(face[263] - face[33])
    return (face - (face[33] + face[263]) / 2) / span


def _kernel(a: np.ndarray, b: np.ndarray, reach: float) -> np.ndarray:
    return np.exp(-0.5 * (np.linalg.norm(a[:, None] - b[None], axis=2) / reach) ** 2)


@lru_cache(maxsize=4)
def _smooth_factor(reach: float) -> np.ndarray:
    """(468, 468) square root of the covariance of a smooth field."""
    values, vectors = np.linalg.eigh(_kernel(MEAN, MEAN, reach).astype(np.float64))
    return vectors * np.sqrt(np.maximum(values, 0))


@lru_cache(maxsize=1)
def _carry() -> np.ndarray:
    """(V, 468) how far each vertex of the mean head goes with each point of its face: smoothly, ever less."""
    rig = embedded_head()
    near = _kernel(rig.neutral / EYE_SPAN, MEAN, 0.2)
    gram = _kernel(MEAN, MEAN, 0.2).astype(np.float64)
    gram[np.diag_indices(len(gram))] += 1e-2
    return np.linalg.solve(gram, near.T).T.astype(np.float32)


def rig_of(face: np.ndarray, pick: np.random.Generator) -> Rig:
    """The head of a face, painted, with fields of its own: everybody smiles in another way."""
    rig = embedded_head()
    move = face - MEAN
    offset = _carry() @ move
    for eye, loop in HOLDERS.items():
        offset[rig.parts[eye]] = move[loop].mean(0)
    for name in ("teeth_upper", "teeth_lower", "tongue"):
        if name in rig.parts:
            offset[rig.parts[name]] = move[LIPS_INNER].mean(0)
    neutral = rig.neutral / EYE_SPAN + offset
    size = np.linalg.norm(rig.deltas, axis=2, keepdims=True)
    waves = field(rig.neutral / EYE_SPAN, pick, 8)
    deltas = np.empty_like(rig.deltas)
    for k, delta in enumerate(rig.deltas):
        ways = waves @ pick.normal(0, 8**-0.5, (8, 4)).astype(np.float32)
        deltas[k] = np.exp(pick.normal(0, 0.15)) * (delta * (1 + 0.25 * ways[:, 3:]) + 0.2 * size[k] * ways[:, :3])
    neutral, deltas = with_settled_lids(neutral, deltas / EYE_SPAN)
    eye = textures.eye_picture(tuple(pick.uniform([40, 35, 25], [120, 110, 120])), size=128)
    rig = replace(rig, neutral=(neutral * EYE_SPAN).astype(np.float32), deltas=(deltas * EYE_SPAN).astype(np.float32))
    return rig.with_texture("skin", skin(pick)).with_texture("eye", eye)


def field(places: np.ndarray, pick: np.random.Generator, count: int) -> np.ndarray:
    """(N, count) smooth values of variance one at places (N, 3), eye spans: cosines of random waves, much the same on
    both sides."""
    out = np.zeros((len(places), count), np.float32)
    alike = np.column_stack([np.abs(places[:, 0]), places[:, 1:]])
    for k in range(count):
        for _ in range(4):
            wave = (alike if pick.random() < 0.7 else places) @ pick.normal(0, 2.5, 3)
            out[:, k] += np.cos((wave + pick.uniform(0, 6.3)).astype(np.float32)) * 0.5**0.5
    return out


@lru_cache(maxsize=1)
def _skin_parts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The painted skin at 512 x 512, its large forms, and where on the head each pixel lies."""
    import cv2

    whole = default_skin(512).astype(np.float32)
    rig = embedded_head()
    places = texels(rig, 512).spread(rig.neutral / EYE_SPAN, rig.triangles)
    return whole, cv2.GaussianBlur(whole, (0, 0), 25), places


def skin(pick: np.random.Generator) -> np.ndarray:
    """(512, 512, 3) uint8 sRGB: another tone, fainter or stronger lips and brows, some hair."""
    whole, soft, places = _skin_parts()
    tone = pick.uniform(0.4, 1.12) * (1 + pick.normal(0, 0.03, 3) + [0.04, 0, -0.04])
    picture = (soft + pick.uniform(0.6, 1.5) * (whole - soft)) * tone
    if pick.random() < 0.6:  # hair: from a line over the forehead back over the skull
        line = pick.uniform(0.55, 0.85) - pick.uniform(0.6, 1.0) * np.clip(-places[..., 2] - 0.1, 0, 1.2)
        ragged = 0.04 * np.cos(places[..., 0] * 23 + pick.uniform(0, 6)) + 0.03 * np.cos(places[..., 0] * 51)
        share = np.clip((places[..., 1] + ragged - line) / 0.08, 0, 1)[..., None]
        share = share * (np.abs(places).sum(2, keepdims=True) > 0)
        colour = pick.uniform(10, 150) * np.array([1.0, 0.85, 0.7])
        picture = picture * (1 - share) + colour * share
    picture += pick.normal(0, pick.uniform(0, 4), (512, 512, 1))
    return np.clip(picture, 0, 255).astype(np.uint8)


def expression(pick: np.random.Generator) -> np.ndarray:
    """(52,) ARKit weights of an expression, calm ones included."""
    weights = np.zeros(52, np.float32)
    for number in pick.permutation(len(UNITS))[: pick.choice(6, p=[0.12, 0.24, 0.26, 0.2, 0.12, 0.06])]:
        unit = UNITS[number]
        busy = weights[[INDEX[name] for name in INDEX if name.startswith(MOUTH)]].sum()
        if unit[0].startswith(MOUTH) and busy > 1.8:
            continue  # mouths that do all at once fold
        amount = pick.uniform(0.1, 1.0) * (0.75 if "jawOpen" in unit else 1.0)
        lean = pick.choice([0.0, 1.0, -1.0], p=[0.8, 0.1, 0.1]) if len(unit) > 1 else 0.0
        for name in unit:
            side = lean * (1 if name.endswith("Left") else -1 if name.endswith("Right") else 0)
            weights[INDEX[name]] = max(weights[INDEX[name]], amount * (1 - max(0.0, side)) * pick.uniform(0.75, 1.0))
    weights[INDEX["mouthClose"]] = min(weights[INDEX["mouthClose"]], weights[INDEX["jawOpen"]])
    return weights
