"""From lips to ARKit weights at any frame rate: coarticulation, contact, teeth and tongue.

What neighbouring sounds do to each other is learnt: openness, rounding and spread come from smoothed
targets, and visemes as probabilities, of which each lends its shape. What remains is mechanics: contact
that every closure reaches even between two video frames, a jaw that waits behind closed lips, and size
that follows loudness.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from controls.lipsync.lips import FIRST_TIME, RATE_HZ, Lips, cut, join_lips
from controls.lipsync.phones import VISEMES
from controls.spoken import SpokenBlock
from studio.arkit import ARKIT, INDEX
from studio.motion import FaceMotion

_SHAPES: dict[str, dict[str, float]] = {
    "FF": {"mouthRollLower": 0.75, "mouthUpperUp": 0.3, "mouthShrugLower": 0.12},
    "TH": {"mouthLowerDown": 0.25, "mouthUpperUp": 0.1, "tongueOut": 0.3},
    "DD": {"mouthLowerDown": 0.28, "mouthUpperUp": 0.12, "mouthStretch": 0.08, "tongueOut": 0.08},
    "kk": {"mouthLowerDown": 0.22, "mouthUpperUp": 0.12, "mouthStretch": 0.08},
    "CH": {"mouthFunnel": 0.3, "mouthPucker": 0.1, "mouthLowerDown": 0.12, "mouthUpperUp": 0.12},
    "SS": {"mouthLowerDown": 0.34, "mouthUpperUp": 0.15, "mouthStretch": 0.15, "mouthSmile": 0.06},
    "nn": {"mouthLowerDown": 0.25, "mouthUpperUp": 0.1, "mouthStretch": 0.05, "tongueOut": 0.08},
    "RR": {"mouthFunnel": 0.2, "mouthPucker": 0.08, "mouthLowerDown": 0.1},
    "aa": {"mouthLowerDown": 0.18, "mouthUpperUp": 0.08},
    "E": {"mouthLowerDown": 0.25, "mouthUpperUp": 0.12, "mouthStretch": 0.1, "mouthSmile": 0.04},
    "ih": {"mouthLowerDown": 0.25, "mouthUpperUp": 0.12, "mouthStretch": 0.1, "mouthSmile": 0.06},
    "oh": {"mouthFunnel": 0.12},
}
"""What a viseme shows besides its openness, rounding and spread: teeth, tucked lip, tongue. Clear speech.

tongueOut below 0.15 is a tongue tip behind the teeth.
"""


def _sides(shape: str) -> list[int]:
    return [INDEX[name] for name in (shape, shape + "Left", shape + "Right") if name in INDEX]


def _table() -> np.ndarray:
    table = np.zeros((len(VISEMES), len(ARKIT)), np.float32)
    for viseme, shapes in _SHAPES.items():
        for shape, weight in shapes.items():
            table[VISEMES.index(viseme), _sides(shape)] = weight
    return table


_TABLE = _table()
_OPENERS = [i for shape in ("mouthLowerDown", "mouthUpperUp") for i in _sides(shape)]
_JAW, _CLOSE, _FUNNEL, _TONGUE = (INDEX[n] for n in ("jawOpen", "mouthClose", "mouthFunnel", "tongueOut"))
_LOOSE = [*_OPENERS, _FUNNEL, _TONGUE, *_sides("mouthShrugLower")]
_CONTACT = {"mouthPress": 0.42, "mouthRollLower": 0.3, "mouthRollUpper": 0.26}


def keep_contact(weights: np.ndarray, contact: np.ndarray) -> np.ndarray:
    """Lips that meet stay together whatever else moves the face.

    weights (T, 52), contact (T,) 0..1. The jaw stays where it is and `mouthClose` follows it; all that
    parts the lips gives way; the lips press as much as for p, b and m.
    """
    contact = contact[:, None].astype(np.float32)
    out = weights.copy()
    out[:, _LOOSE] *= 1 - contact
    out[:, _CLOSE] = np.maximum(out[:, _CLOSE], out[:, _JAW] * contact[:, 0])
    for shape, weight in _CONTACT.items():
        out[:, _sides(shape)] = np.maximum(out[:, _sides(shape)], weight * contact)
    return out


@dataclass(frozen=True)
class ArticulationSettings:
    """How far the face goes, and when.

    opening   how wide the mouth opens: 1 is clear speech, 0 keeps it shut but for lip shapes; up to 2.
    lead      seconds by which the lips are ahead of the sound, 0 to 0.04.
    loudness  how much more a louder voice opens the mouth, per neper of power (4.3 dB) above its usual.
    reach     seconds of neighbouring frames that a video frame takes in on either side, 0.005 to 0.05.
    """

    opening: float = 1.0
    lead: float = 0.0
    loudness: float = 0.04
    reach: float = 0.015


GAIN = 0.56
"""Aperture at openness 1: the jaw's, and what the lips add."""


def weights_of(
    visemes: np.ndarray,
    openness: np.ndarray,
    rounding: np.ndarray,
    spread: np.ndarray,
    contact: np.ndarray,
    opening: float = 1.0,
) -> np.ndarray:
    """(T, 15) probabilities and (T,) curves -> (T, 52) weights. Where all is 0 the face is at rest."""
    out = visemes.astype(np.float32) @ _TABLE
    size = np.minimum(1.0, 0.3 + 0.7 * opening)
    out[:, _OPENERS] *= size
    aperture = GAIN * opening * openness
    lips = 0.25 * out[:, _OPENERS].mean(1)
    lips_share = np.minimum(1.0, aperture / np.maximum(lips, 1e-6))  # lips do not part further than the mouth opens
    out[:, _OPENERS] *= lips_share[:, None]
    out[:, _JAW] = np.maximum(aperture - lips, 0.0)
    small = np.clip(openness, 0, 1)
    out[:, INDEX["mouthPucker"]] += rounding * (0.84 - 0.45 * small)
    out[:, _FUNNEL] += rounding * (0.14 + 0.45 * small)
    apart = (spread * (1 - np.clip(rounding, 0, 1)))[:, None]
    out[:, _sides("mouthStretch")] += 0.2 * apart
    out[:, _sides("mouthSmile")] += 0.12 * apart
    out[:, _OPENERS] *= (1 - 0.5 * np.clip(rounding, 0, 1))[:, None]
    return keep_contact(np.clip(out, 0, 1), contact)


class Articulator:
    """Collects lips as they come and gives `SpokenBlock`s of video frames as soon as they are sure."""

    def __init__(self, fps: Fraction, settings: ArticulationSettings = ArticulationSettings()) -> None:
        self.fps, self.settings = Fraction(fps), settings
        self._held: Lips | None = None
        self._next = 0
        self._spoke = False

    def feed(self, lips: Lips, end: float | None = None) -> Iterator[SpokenBlock]:
        """`end` (seconds) says that this is the last of the sound: frames are then given up to there."""
        held = lips if self._held is None else join_lips(self._held, lips)
        if end is None:
            sure = (held.start + len(held) - 1) / RATE_HZ + FIRST_TIME - self.settings.reach - self.settings.lead
            last = int(np.floor(sure * float(self.fps) + 0.5 + 1e-9))
        else:
            last = max(1, round(end * self.fps)) if end > 0 else 0
        if last > self._next and len(held):
            yield self._frames(held, last)
        first = int(self._rows(np.array([self._next - 1]))[0] - self.settings.reach * RATE_HZ) - 2 - held.start
        self._held = cut(held, max(0, first))

    def _rows(self, frames: np.ndarray) -> np.ndarray:
        """Where the middles of video frames lie, counted in 10 ms frames."""
        middles = (frames + 0.5) / float(self.fps) + self.settings.lead
        return (middles - FIRST_TIME) * RATE_HZ

    def _frames(self, held: Lips, last: int) -> SpokenBlock:
        settings, count = self.settings, len(held)
        at = self._rows(np.arange(self._next, last)) - held.start
        reach = settings.reach * RATE_HZ
        taps = np.floor(at).astype(int)[:, None] + np.arange(-int(reach), int(reach) + 2)
        share = np.clip(1 - np.abs(taps - at[:, None]) / max(reach, 1e-6), 0, None)
        share = np.where(share.sum(1, keepdims=True) > 0, share, 1.0)
        share = (share / share.sum(1, keepdims=True)).astype(np.float32)
        taps = np.clip(taps, 0, count - 1)

        def read(curve: np.ndarray) -> np.ndarray:
            return np.einsum("tk,tk...->t...", share, curve[taps])

        half = RATE_HZ / float(self.fps) / 2
        ahead = min(half, reach)  # contact is looked for from frame to frame: none is lost between two
        edges = np.ceil(np.concatenate([at[:1] - 2 * half, at]) + ahead).astype(int)
        met = np.concatenate([[0], np.cumsum(held.closed)])
        low, high = np.clip(edges[:-1], 0, count), np.clip(edges[1:], 0, count)
        contact = np.where(met[high] > met[low], 1.0, read(held.closed.astype(np.float32)))
        awake = read(held.speaking.astype(np.float32))
        loud = read(held.effort)
        size = np.clip(1 + settings.loudness * loud, 0.6, 1.35) * awake
        weights = weights_of(
            read(held.visemes) * awake[:, None],
            read(held.openness) * size,
            read(held.rounding) * awake,
            read(held.spread) * awake,
            contact * (awake > 0),
            settings.opening,
        )
        speaking = awake > 0.5
        loudness = np.clip(1 + read(held.loudness) / 5, 0, 1) * awake
        ends = np.concatenate([[self._spoke], speaking[:-1]]) & ~speaking
        self._spoke = bool(speaking[-1])
        start, self._next = self._next, last
        return SpokenBlock(FaceMotion(weights, self.fps, start=start), loudness, ends, contact=contact * (awake > 0))
