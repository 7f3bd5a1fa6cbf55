"""From what the network hears to what the lips do, 100 times a second, as the sound comes in.

The rules that keep speech readable live here: p, b and m always reach contact; a short dip inside speech
does not shut the mouth; a real pause does; in speech the lips never rest quite shut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controls.lipsync.mel import HOP, RATE, WINDOW, Ear
from controls.lipsync.network import DELAY, LipNetwork
from controls.lipsync.phones import NAMES, PHONES, VISEMES

RATE_HZ = RATE // HOP
FIRST_TIME = WINDOW / 2 / RATE
"""Seconds of frame 0's middle; frame k lies k / RATE_HZ later."""

_TO_VISEME = np.array([[PHONES[name].viseme == v for v in VISEMES] for name in NAMES], np.float32)
_SIL, _PP = VISEMES.index("sil"), VISEMES.index("PP")


@dataclass(frozen=True)
class LipSettings:
    """How posteriors become lips. Frames are 10 ms.

    close_on, close_off  posterior of p/b/m at which the lips meet, and below which they part again.
    pause_frames         how long the network must hear a pause before the mouth comes to rest.
    floor                openness that speech keeps between closures.
    """

    close_on: float = 0.5
    close_off: float = 0.3
    pause_frames: int = 13
    floor: float = 0.12


@dataclass(frozen=True)
class Lips:
    """A run of 10 ms frames. start is the number of the first.

    visemes   (n, 15) probabilities, Oculus order.
    phones    (n, phones) log-probabilities.
    openness, rounding, spread   (n,) 0..1.
    closed    (n,) bool, lips in contact for p, b or m.
    speaking  (n,) bool, False in pauses.
    loudness  (n,) nepers against the loudest lately (0), at most some -9.
    """

    start: int
    visemes: np.ndarray
    phones: np.ndarray
    openness: np.ndarray
    rounding: np.ndarray
    spread: np.ndarray
    closed: np.ndarray
    speaking: np.ndarray
    loudness: np.ndarray

    def __len__(self) -> int:
        return len(self.openness)

    @property
    def times(self) -> np.ndarray:
        """(n,) seconds of the frames' middles."""
        return FIRST_TIME + (self.start + np.arange(len(self))) / RATE_HZ


class LipReader:
    """Hears a stream of 16 kHz samples and tells what the lips do, `DELAY` frames behind."""

    def __init__(self, network: LipNetwork | None = None, settings: LipSettings = LipSettings()) -> None:
        self.settings = settings
        self._ear = Ear()
        self._network = LipNetwork() if network is None else network
        self._fed = 0
        self._given = 0
        self._closed = False
        self._quiet = settings.pause_frames  # rest until something is said
        self._loud = np.full(DELAY, -9.0, np.float32)

    def feed(self, samples: np.ndarray, last: bool = False) -> Lips:
        """Frames that these samples bring to light; `last` flushes what the look-ahead still holds."""
        if last:
            samples = np.concatenate([np.asarray(samples, np.float32), np.zeros(DELAY * HOP + WINDOW, np.float32)])
        features = self._ear.feed(samples)
        logs, shape = (
            self._network.feed(features)
            if len(features)
            else (np.zeros((0, len(NAMES)), np.float32), np.zeros((0, 3), np.float32))
        )
        loud = np.concatenate([self._loud, features[:, -2] * 2 - 2])
        self._loud = loud[len(features) :]
        skip = max(0, min(len(features), DELAY - self._fed))  # answers for before the beginning
        self._fed += len(features)
        return self._lips(logs[skip:], shape[skip:], loud[: len(features)][skip:])

    def _lips(self, logs: np.ndarray, shape: np.ndarray, loudness: np.ndarray) -> Lips:
        s = self.settings
        visemes = np.exp(logs) @ _TO_VISEME
        count = np.arange(len(logs))
        shut = visemes[:, _PP]
        decided = np.where((shut > s.close_on) | (shut < s.close_off), count, -1)
        since = np.maximum.accumulate(decided) if len(logs) else decided
        closed = np.where(since >= 0, shut[since] > s.close_on, self._closed)
        heard = np.where(visemes[:, _SIL] > 0.5, -1 - self._quiet, count)
        heard = np.maximum.accumulate(heard) if len(logs) else heard  # frame at which speech was last heard
        speaking = count - heard < s.pause_frames
        if len(logs):
            self._closed, self._quiet = bool(closed[-1]), int(min(count[-1] - heard[-1], 1 << 20))
        openness = np.where(speaking, np.maximum(shape[:, 0], s.floor), 0.0)
        start, self._given = self._given, self._given + len(logs)
        return Lips(
            start,
            visemes,
            logs,
            openness.astype(np.float32),
            shape[:, 1] * speaking,
            shape[:, 2] * speaking,
            closed & speaking,
            speaking,
            loudness,
        )
