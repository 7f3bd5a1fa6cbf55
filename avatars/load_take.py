"""`load_take`: the animation of a glTF file as a motion. What glTF interpolates linearly is sampled at one rate."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from avatars.gltf_file import GltfFile, quaternion_matrix
from avatars.shape_names import match_name
from studio.arkit import ARKIT
from studio.errors import MediaError
from studio.motion import FaceMotion, rotation_angles

MOST_FRAMES = 1_000_000


def load_take(path: str | Path) -> FaceMotion:
    """The first animation of a GLB as a motion: weights by the names of its targets, turn and shift of its head.

    Its rate is the one that the file tells (`extras.fps` of the animation), else what the times of its keys say. Curves
    whose keys lie elsewhere are interpolated. Raises MediaError for a file without such an animation, or whose curves
    are cubic splines.
    """
    file = GltfFile(Path(path))
    if not file.document.animations:
        raise MediaError(f"{path}: no animation in it")
    animation = file.document.animations[0]
    weights = turn = shift = None
    for channel in animation.channels:
        node = file.document.nodes[channel.target.node]
        head = (node.name or "").lower() == "head"
        if channel.target.path == "weights" and weights is None:
            weights = _curve(file, animation.samplers[channel.sampler])
            names = file.names(file.document.meshes[node.mesh])
        elif channel.target.path == "rotation" and head:
            turn = _curve(file, animation.samplers[channel.sampler])
        elif channel.target.path == "translation" and head:
            shift = _curve(file, animation.samplers[channel.sampler])
            rest = np.array(node.translation or (0.0, 0.0, 0.0))
    if weights is None:
        raise MediaError(f"{path}: its animation moves no morph targets")
    keys = weights[0]
    fps = _rate(keys, animation.extras)
    count = round((keys[-1] - keys[0]) * float(fps)) + 1
    if count > MOST_FRAMES:
        raise MediaError(f"{path}: {count:,} frames are more than a take has")
    times = keys[0] + np.arange(count) / float(fps)
    values = _at(times, weights).reshape(count, -1)
    table = np.zeros((count, len(ARKIT)), np.float32)
    for column, name in enumerate(names):
        shape = match_name(name) if name in ARKIT or "_" not in name else None  # "a_b" is a corrective of two
        if shape is not None:
            table[:, ARKIT.index(shape)] = values[:, column]
    pose = np.zeros((count, 6), np.float32)
    if turn is not None:
        pose[:, :3] = [rotation_angles(quaternion_matrix(q)) for q in _at(times, turn)]
    if shift is not None:
        pose[:, 3:] = _at(times, shift) - rest
    return FaceMotion(table, fps, pose)


def _curve(file: GltfFile, sampler: Any) -> tuple[np.ndarray, np.ndarray, bool]:
    """(K,) seconds of keys, (K, C) values, whether they hold until the next key instead of leading to it."""
    kind = sampler.interpolation or "LINEAR"
    if kind not in ("LINEAR", "STEP"):
        raise MediaError(f"{file.path}: its animation is made of cubic splines; export it sampled, one key a frame")
    keys = file.read(sampler.input)[:, 0].astype(np.float64)
    values = file.read(sampler.output)
    if not len(keys) or values.size % len(keys) or (np.diff(keys) < 0).any():
        raise MediaError(f"{file.path}: an animation whose keys and values don't fit together")
    return keys, values.reshape(len(keys), -1).astype(np.float64), kind == "STEP"


def _at(times: np.ndarray, curve: tuple[np.ndarray, np.ndarray, bool]) -> np.ndarray:
    """(T, C) values of a curve at times. Quaternions are near enough to their neighbours to be blended."""
    keys, values, held = curve
    low = np.clip(np.searchsorted(keys, times + 1e-6, side="right") - 1, 0, len(keys) - 1)
    if held:
        return values[low]
    high = np.minimum(low + 1, len(keys) - 1)
    span = np.maximum(keys[high] - keys[low], 1e-9)
    share = np.where(high > low, np.clip((times - keys[low]) / span, 0, 1), 0)[:, None]
    return values[low] * (1 - share) + values[high] * share


def _rate(keys: np.ndarray, extras: Any) -> Fraction:
    """Frames per second: told by the file, or those of the densest keys."""
    told = (extras or {}).get("fps") if isinstance(extras, dict) else None
    if told is not None:
        try:
            return Fraction(str(told)).limit_denominator(1001)
        except (ValueError, ZeroDivisionError):
            told = None
    if len(keys) < 2 or keys[-1] <= keys[0]:
        return Fraction(25)
    gaps = np.diff(keys)
    even = gaps.max() - gaps[gaps > 0].min() < 0.1 * gaps.max()
    return _exact((len(keys) - 1) / float(keys[-1] - keys[0]) if even else 1 / float(gaps[gaps > 0].min()))


def _exact(value: float) -> Fraction:
    """Frames per second, exact where the value is as near as float32 times tell: 29.97003 is 30000/1001."""
    for below in (1, 2, 1001):
        rate = Fraction(round(value * below), below)
        if abs(float(rate) / value - 1) < 1e-5:
            return rate
    return Fraction(value).limit_denominator(1000)


__all__ = ["load_take"]
