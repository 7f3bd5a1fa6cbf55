"""From what is heard to what the lips do: articulation curves, then ARKit weights.

`listen` is a small map (one hidden layer, some ten thousand numbers in `data/speech_map.npz`) from 220 ms of
hearing to the curves below; `demos/fit_speech_map.py` fits it to synthesised speech whose phones are
known. `articulate` turns its output into curves that a mouth can follow; `lip_weights` are the lips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from controls.speech_features import BANDS
from controls.speech_hearing import HEARD
from studio.arkit import ARKIT, INDEX

CURVES = ("open", "round", "spread", "closed", "silent", "labiodental", "sibilant", "loud")
"""What `listen` tells of each 10 ms, all 0..1: lips' opening, rounding and spreading; the probability of p b m,
of silence, of f v, and of s z and their broad kin; last the loudness, 0 at 23 dB under the speaker's peak."""

_OFFSETS = (-12, -9, -6, -4, -2, -1, 0, 1, 2, 4, 6, 9)  # frames of 10 ms that the map sees
BEHIND, AHEAD = 12, 9
_QUICK = BANDS + 2  # the slow figures are seen once, the others at each offset


def windowed(
    chunks: Iterable[np.ndarray], behind: int, ahead: int, work: Callable[[np.ndarray], np.ndarray]
) -> Iterator[np.ndarray]:
    """`work` over a stream of rows: it gets (behind + n + ahead) rows and returns n. Edges repeat."""
    held: np.ndarray | None = None
    for chunk in chunks:
        held = np.concatenate([np.repeat(chunk[:1], behind, 0), chunk] if held is None else [held, chunk])
        ready = len(held) - behind - ahead
        if ready > 0:
            yield work(held)
            held = held[ready:]
    if held is not None and len(held) > behind:
        yield work(np.concatenate([held, np.repeat(held[-1:], ahead, 0)]))


def surroundings(heard: np.ndarray) -> np.ndarray:
    """(behind + n + ahead, HEARD) to the map's input (n, D)."""
    frames = len(heard) - BEHIND - AHEAD
    parts = [heard[BEHIND + o : BEHIND + o + frames, :_QUICK] for o in _OFFSETS]
    return np.concatenate([*parts, heard[BEHIND : BEHIND + frames, _QUICK:]], 1)


INPUTS = len(_OFFSETS) * _QUICK + HEARD - _QUICK


@lru_cache(maxsize=1)
def _speech_map() -> tuple[np.ndarray, ...]:
    with np.load(Path(__file__).with_name("data") / "speech_map.npz") as data:
        return tuple(data[name].astype(np.float32) for name in ("mean", "scale", "a", "a0", "b", "b0"))


def listen(heard: np.ndarray) -> np.ndarray:
    """(BEHIND + n + AHEAD, HEARD) to (n, 8) `CURVES`."""
    mean, scale, a, a0, b, b0 = _speech_map()
    hidden = np.maximum(((surroundings(heard) - mean) / scale) @ a + a0, 0)
    told = 1 / (1 + np.exp(-(hidden @ b + b0)))
    loud = np.clip(1.15 + heard[BEHIND : len(heard) - AHEAD, BANDS], 0, 1)
    return np.concatenate([told, loud[:, None]], 1)


# ---- what a mouth can follow -------------------------------------------------------------------------

MARGIN = 7
"""Frames of 10 ms that `articulate` needs on either side."""

EFFORT = 0.3
"""Share of loudness in how far the mouth opens: who speaks up opens more."""

_OPEN, _ROUND, _SPREAD, _CLOSED, _SILENT, _FF, _SS, _LOUD = range(8)


def _hann(width: int) -> np.ndarray:
    shape = np.hanning(width + 2)[1:-1]
    return shape / shape.sum()


_JAW, _LIPS, _FAST, _GATE = _hann(11), _hann(9), _hann(5), _hann(11)


def _smooth(rows: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(n + 2 m,) to (n + 2 m - width + 1,): zero phase."""
    return np.convolve(rows, kernel, "valid")


def _widest(rows: np.ndarray, reach: int) -> np.ndarray:
    """Running maximum over 2 * reach + 1 rows; `reach` rows shorter at either end."""
    return np.lib.stride_tricks.sliding_window_view(rows, 2 * reach + 1).max(1)


def articulate(curves: np.ndarray) -> np.ndarray:
    """(MARGIN + n + MARGIN, 8) of `listen` to (n, 8): the same curves as lips and jaw can follow them.

    Jaw and lips have inertia, a closure holds for 50 ms at least so that no frame rate misses it, and in
    silence everything comes to rest: `silent` is 1 and the rest exactly 0.
    """
    speaking = (curves[:, _SILENT] < 0.5).astype(np.float64)
    gate = _smooth(speaking, _GATE)[2:-2]
    closed = np.clip((curves[:, _CLOSED] - 0.3) / 0.25, 0, 1)
    closed = _smooth(_widest(closed[1:-1], 2), _hann(7)[1:-1] / _hann(7)[1:-1].sum())[2:-2]
    tuck = _smooth(np.clip((curves[:, _FF] - 0.25) / 0.35, 0, 1), _FAST)[5:-5]
    teeth = _smooth(curves[:, _SS], _FAST)[5:-5]
    effort = 1 - EFFORT + 1.3 * EFFORT * curves[:, _LOUD]
    opening = _smooth(curves[:, _OPEN] * effort * speaking, _JAW)[2:-2]
    rounding = _smooth(curves[:, _ROUND] * speaking, _JAW)[2:-2]
    spreading = _smooth(curves[:, _SPREAD] * speaking, _LIPS)[3:-3]
    loud = _smooth(curves[:, _LOUD] * speaking, _JAW)[2:-2]
    out = np.stack([opening, rounding, spreading, closed, 1 - gate, tuck, teeth, loud], 1)
    for column in (_OPEN, _ROUND, _SPREAD, _CLOSED, _FF, _SS, _LOUD):
        out[:, column] *= gate
    return out


# ---- the lips ------------------------------------------------------------------------------------------


def lip_weights(curves: np.ndarray, opening: float = 1.0) -> np.ndarray:
    """(T, 8) articulation curves to (T, 52) ARKit weights. `opening` scales how wide the mouth opens."""
    wide, rounded, spread, closed, _, tuck, teeth, _ = curves.T
    apart = np.clip(1.25 * wide - 0.06, 0, None)  # regression shies away from both ends
    narrow = np.clip(1 - 0.6 * teeth - 0.5 * tuck, 0, 1)  # teeth meet for s, lip and teeth for f
    jaw = opening * 0.58 * apart * (1 - 0.3 * rounded) * narrow
    free = 1 - closed
    rounded = np.clip(1.4 * rounded - 0.12, 0, 1)
    spread = np.clip(1.3 * spread - 0.1, 0, 1) * (1 - rounded)
    lips = opening * apart
    both = lambda stem, value: {f"{stem}Left": value, f"{stem}Right": value}
    shapes = {
        "jawOpen": jaw * (1 - 0.65 * closed),
        "mouthClose": jaw * 0.35 * closed,
        "mouthPucker": 0.55 * rounded * (1 - 0.35 * wide) * (1 - 0.4 * closed),
        "mouthFunnel": 0.40 * rounded * np.clip(0.35 + wide, 0, 1) * free,
        "mouthRollLower": 0.20 * closed + 0.45 * tuck * free,
        "mouthRollUpper": 0.18 * closed,
        **both("mouthPress", 0.40 * closed),
        **both("mouthStretch", 0.28 * spread * (1 - 0.5 * closed)),
        **both("mouthSmile", 0.12 * spread),
        **both("mouthLowerDown", free * (0.26 * lips * (1 - 0.5 * rounded) + 0.22 * teeth) * (1 - 0.8 * tuck)),
        **both("mouthUpperUp", free * (0.10 * lips * (1 - 0.5 * rounded) + 0.08 * teeth + 0.16 * tuck)),
    }
    weights = np.zeros((len(curves), len(ARKIT)), np.float32)
    for name, value in shapes.items():
        weights[:, INDEX[name]] = value
    return weights
