"""From lips to ARKit weights at any frame rate: coarticulation, contact, jaw inertia.

The network's openness, rounding and spread already hold what neighbouring sounds do to each other: they
were learnt from smoothed targets. What remains is mechanics: a jaw slower than the lips, contact that
every closure reaches even between two video frames, teeth and tongue where a sound shows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from fractions import Fraction

import numpy as np

from controls.lipsync.lips import FIRST_TIME, RATE_HZ, Lips
from controls.lipsync.phones import VISEMES
from controls.spoken import SpokenBlock
from studio.arkit import ARKIT, INDEX
from studio.motion import FaceMotion

_JAW = np.hanning(11)[1:-1] / np.hanning(11)[1:-1].sum()  # 90 ms: a jaw weighs more than a lip
_LIP = np.hanning(7)[1:-1] / np.hanning(7)[1:-1].sum()  # 50 ms
_REACH = len(_JAW) // 2
_CONTACT = [INDEX[n] for n in ("mouthPressLeft", "mouthPressRight", "mouthRollUpper", "mouthRollLower")]
_OPENERS = [i for name, i in INDEX.items() if name.startswith(("mouthLowerDown", "mouthUpperUp"))]


@dataclass(frozen=True)
class ArticulationSettings:
    """How far the face goes at full openness, and when.

    jaw, lower_lip, upper_lip   ARKit weights at openness 1.
    lead                        seconds by which the lips are ahead of the sound.
    loudness                    how much quieter speech is smaller: 0 not at all, 1 fully.
    """

    jaw: float = 0.42
    lower_lip: float = 0.5
    upper_lip: float = 0.22
    lead: float = 0.012
    loudness: float = 0.35


def weights_at_100hz(lips: Lips, settings: ArticulationSettings) -> np.ndarray:
    """(n,) lips -> (n, 52) weights. The `_REACH` frames at either end are less sure: they lack neighbours."""
    smooth = lambda x, window: np.convolve(np.pad(x, len(window) // 2, mode="edge"), window, "valid")
    viseme = lambda name: smooth(lips.visemes[:, VISEMES.index(name)] * lips.speaking, _LIP)
    size = np.clip(1 + settings.loudness * (smooth(lips.loudness, _JAW) + 2.0) / 4.0, 0.6, 1.2)
    jaw = smooth(lips.openness, _JAW) * size
    lip = smooth(lips.openness, _LIP) * size
    closed = lips.closed.astype(np.float32)
    near = np.maximum(np.concatenate([closed[1:], closed[-1:]]), np.concatenate([closed[:1], closed[:-1]]))
    closed = np.maximum(closed, 0.5 * near)
    resting = ~lips.speaking
    part = 1 - closed
    rounding, spread = smooth(lips.rounding, _LIP), smooth(lips.spread, _LIP)
    spread = spread * (1 - np.clip(rounding, 0, 1))
    teeth, tuck, hush = viseme("SS"), viseme("FF"), viseme("CH")
    out = np.zeros((len(lips), len(ARKIT)), np.float32)

    def put(name: str, value: np.ndarray) -> None:
        sides = (name,) if name in INDEX else (name + "Left", name + "Right")
        for side in sides:
            out[:, INDEX[side]] = value

    jaw_open = np.where(resting, 0.0, settings.jaw * jaw)
    put("jawOpen", jaw_open)
    put("mouthClose", jaw_open * closed)
    put("mouthLowerDown", (settings.lower_lip * lip + 0.18 * teeth + 0.1 * hush) * part)
    put("mouthUpperUp", (settings.upper_lip * lip + 0.1 * teeth + 0.15 * tuck + 0.08 * hush) * part)
    put("mouthPress", 0.35 * closed)
    put("mouthRollLower", 0.3 * closed + 0.5 * tuck * part)
    put("mouthRollUpper", 0.25 * closed)
    put("mouthPucker", rounding * (0.75 - 0.35 * np.clip(lip, 0, 1)))
    put("mouthFunnel", rounding * (0.15 + 0.45 * np.clip(lip, 0, 1)) * part)
    put("mouthStretch", 0.3 * spread)
    put("mouthSmile", 0.12 * spread)
    put("mouthShrugUpper", 0.2 * hush)
    put("tongueOut", 0.25 * viseme("TH") * part)
    out[resting] = 0.0
    return out


class Articulator:
    """Collects lips as they come and gives `SpokenBlock`s of video frames as soon as they are sure."""

    def __init__(self, fps: Fraction, settings: ArticulationSettings = ArticulationSettings()) -> None:
        self.fps, self.settings = Fraction(fps), settings
        self._parts: Lips | None = None
        self._next = 0
        self._spoke = False

    def feed(self, lips: Lips, end: float | None = None) -> Iterator[SpokenBlock]:
        """`end` (seconds) says that this is the last of the sound: frames are then given up to there."""
        held = lips if self._parts is None else _join(self._parts, lips)
        sure = held.start + len(held) - (0 if end is not None else _REACH)  # first 10 ms frame not yet sure
        last = self._first_beyond(sure / RATE_HZ + FIRST_TIME)
        if end is not None:
            last = int(np.ceil(round(end * float(self.fps), 6)))
        if last > self._next:
            yield self._frames(held, last)
        keep = max(0, int(self._ten_ms(np.float64(self._next))) - held.start - _REACH - 2)
        self._parts = _cut(held, min(keep, len(held)))

    def _first_beyond(self, seconds: float) -> int:
        """The first video frame whose span, moved by the lead, is not all before `seconds`."""
        return max(self._next, int((seconds - self.settings.lead) * float(self.fps)))

    def _ten_ms(self, frame: np.ndarray) -> np.ndarray:
        """Where video frames begin, counted in 10 ms frames."""
        return (frame / float(self.fps) + self.settings.lead - FIRST_TIME) * RATE_HZ

    def _frames(self, held: Lips, last: int) -> SpokenBlock:
        curves = weights_at_100hz(held, self.settings)
        count = len(held)
        edges = self._ten_ms(np.arange(self._next, last + 1)) - held.start
        middle = (edges[:-1] + edges[1:]) / 2
        low = np.clip(np.floor(middle).astype(int), 0, count - 1)
        high = np.minimum(low + 1, count - 1)
        share = np.clip(middle - low, 0, 1).astype(np.float32)[:, None]
        rows = curves[low] * (1 - share) + curves[high] * share
        first = np.clip(np.round(edges[:-1]).astype(int), 0, count - 1)
        beyond = np.maximum(np.clip(np.round(edges[1:]).astype(int), 1, count), first + 1)
        met = np.concatenate([[0], np.cumsum(held.closed)])
        for row in np.flatnonzero(met[beyond] > met[first]):  # contact is never lost between two frames
            rows[row, INDEX["mouthClose"]] = rows[row, INDEX["jawOpen"]]
            rows[row, _CONTACT] = np.maximum(rows[row, _CONTACT], curves[first[row] : beyond[row], _CONTACT].max(0))
            rows[row, _OPENERS] = 0.0
        speaking = held.speaking[low]
        loudness = np.where(speaking, np.clip(1 + held.loudness[low] / 5, 0, 1), 0.0)
        ends = np.concatenate([[self._spoke], speaking[:-1]]) & ~speaking
        self._spoke = bool(speaking[-1])
        start, self._next = self._next, last
        return SpokenBlock(FaceMotion(rows, self.fps, start=start), loudness, ends)


_ARRAYS = tuple(f.name for f in fields(Lips) if f.name != "start")


def _join(a: Lips, b: Lips) -> Lips:
    return Lips(a.start, *(np.concatenate([getattr(a, f), getattr(b, f)]) for f in _ARRAYS))


def _cut(lips: Lips, first: int) -> Lips:
    return Lips(lips.start + first, *(getattr(lips, f)[first:] for f in _ARRAYS))
