"""Motion templates: LivePortrait's motion in files, so that a performance is read once and driven from many times.

`.pkl` is the authors' own: a dict of n_frames, output_fps, a list "motion" of {scale (1, 1), R (1, 3, 3), exp (1, 21,
3), t (1, 3)} and lists of openings of eyes (1, 2) and lips (1, 1). Files of others are read without running them
(`studio.weights`). `.safetensors` is ours: the numbers as they are, exact, with what the authors' format leaves out
(the reference frame, confidence, scale in metres).
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from avatars.liveportrait.native import WIDTH, NativeMotion, angles_of, columns, joined
from studio.clip import parse_fps
from studio.errors import OutputError, UsageError, WeightsError
from studio.picture import written_beside
from studio.weights import open_weights, save_weights

SUFFIXES = (".safetensors", ".pkl")

FPS = 25
"""Of files that name no rate, as the authors' own reader takes them."""

_SHAPES = {"scale": (1,), "R": (3, 3), "exp": (21, 3), "t": (3,)}
_TURN = 1e-3
"""How far R may be from a rotation."""


def is_template(source: Any) -> bool:
    """Whether a path names a motion template."""
    return isinstance(source, (str, Path)) and Path(source).suffix.lower() in SUFFIXES


def read_template(path: str | Path) -> NativeMotion:
    """The motion of a template; of the authors' own the first frame is the reference.

    Raises `WeightsError` for files that are missing, damaged, no template, or hold anything but data.
    """
    tree = open_weights(path)
    if not isinstance(tree, Mapping):
        raise WeightsError(f"{path}: no motion template, it holds a {type(tree).__name__}")
    try:
        return _own(tree) if "numbers" in tree else _published(tree)
    except (KeyError, TypeError, ValueError, IndexError, UsageError) as error:
        held = ", ".join(map(str, list(tree)[:6]))
        raise WeightsError(f"{path}: no LivePortrait motion template ({error}); it holds {held}") from error


def save_template(path: str | Path, motion: NativeMotion | Iterable[NativeMotion]) -> Path:
    """Writes a motion or a stream of blocks; the suffix decides. Raises `OutputError`; leaves no half file.

    A `.pkl` opens in LivePortrait's own scripts: its first frame is the reference there, so ours is put before the
    others where it is another.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise OutputError(f"{path}: a motion template is saved as {' or '.join(SUFFIXES)}")
    whole = joined(motion)
    if suffix == ".safetensors":
        return save_weights(path, _arrays(whole), {"what": "LivePortrait motion"})
    with written_beside(path) as beside, open(beside, "wb") as stream:
        pickle.dump(_as_published(whole), stream, protocol=4)
    return path


def _arrays(motion: NativeMotion) -> dict[str, np.ndarray]:
    rate = np.array([motion.fps.numerator, motion.fps.denominator], np.int64)
    flags = np.array([motion.made, motion.measured], np.uint8)
    out = {"numbers": motion.numbers, "first": motion.first, "confidence": motion.confidence}
    return out | {"fps": rate, "flags": flags, "metres": np.array([motion.metres], np.float64)}


def _own(tree: Mapping[str, np.ndarray]) -> NativeMotion:
    made, measured = (bool(flag) for flag in tree["flags"])
    rate = Fraction(*(int(part) for part in tree["fps"]))
    motion = NativeMotion(
        tree["numbers"],
        tree["first"],
        parse_fps(rate),
        tree["confidence"],
        made=made,
        measured=measured,
        metres=float(tree["metres"][0]),
    )
    return _checked(motion)


def _checked(motion: NativeMotion) -> NativeMotion:
    if not len(motion) or motion.confidence.shape != (len(motion),):
        raise ValueError("no frames")
    if not (np.isfinite(motion.numbers).all() and np.isfinite(motion.first).all()):
        raise ValueError("numbers that are none (NaN or infinite)")
    return motion


def _published(tree: Mapping[str, Any]) -> NativeMotion:
    frames = tree["motion"]
    numbers = np.zeros((len(frames), WIDTH), np.float32)
    for row, frame in zip(numbers, frames):
        part = {name: _part(frame, name) for name in _SHAPES}
        if np.abs(part["R"] @ part["R"].T - np.eye(3)).max() > _TURN:
            raise ValueError("R is no rotation")
        row[:63], row[63:66], row[66:67] = part["exp"].reshape(-1), part["t"], part["scale"]
        row[67:70] = angles_of(part["R"].T)
    openings = [next((tree[name] for name in (f"c_{k}_lst", f"c_d_{k}_lst") if name in tree), None) for k in _OPEN]
    measured = all(openings)
    if measured:
        for where, some in zip(_OPEN.values(), openings):
            numbers[:, where] = np.stack([np.asarray(one, np.float32).reshape(-1) for one in some])[: len(frames)]
    first = numbers[0] if len(frames) else np.zeros(WIDTH)
    return _checked(NativeMotion(numbers, first, parse_fps(tree.get("output_fps", FPS)), measured=measured))


_OPEN = {"eyes": slice(70, 72), "lip": slice(72, 73)}


def _part(frame: Mapping[str, Any], name: str) -> np.ndarray:
    value = frame["R_d"] if name == "R" and "R" not in frame else frame[name]  # older files say R_d
    return np.asarray(value, np.float64).reshape(_SHAPES[name])


def _as_published(motion: NativeMotion) -> dict[str, Any]:
    numbers = motion.numbers
    if not np.array_equal(numbers[0], motion.first):
        numbers = np.concatenate([motion.first[None], numbers])
    frames = [
        {
            "scale": row[66:67].reshape(1, 1),
            "R": columns(row[67:70]).T.astype(np.float32)[None],
            "exp": row[:63].reshape(1, 21, 3),
            "t": row[63:66].reshape(1, 3),
        }
        for row in numbers
    ]
    out: dict[str, Any] = {"n_frames": len(frames), "output_fps": _plain(motion.fps), "motion": frames}
    if motion.measured:
        out["c_eyes_lst"] = [row[None, 70:72] for row in numbers]
        out["c_lip_lst"] = [row[None, 72:73] for row in numbers]
    return out


def _plain(fps: Fraction) -> int | float:
    return int(fps) if fps.denominator == 1 else float(fps)


__all__ = ["SUFFIXES", "is_template", "read_template", "save_template"]
