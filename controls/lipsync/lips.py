"""From what the network hears to what the lips do, 100 times a second, as the sound comes in.

The rules that keep speech readable live here: p, b and m always reach contact; a short dip inside speech
does not shut the mouth; a real pause does; in speech the lips never rest quite shut.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from controls.lipsync.curves import OPENNESS
from controls.lipsync.mel import HOP, RATE, WINDOW, Ear
from controls.lipsync.network import LipNetwork
from controls.lipsync.phones import NAMES, PHONES, VISEMES

RATE_HZ = RATE // HOP
FIRST_TIME = WINDOW / 2 / RATE
"""Seconds of frame 0's middle; frame k lies k / RATE_HZ later."""

TO_VISEME = np.array([[PHONES[name].viseme == v for v in VISEMES] for name in NAMES], np.float32)
_SIL, _PP = VISEMES.index("sil"), VISEMES.index("PP")


@dataclass(frozen=True)
class LipSettings:
    """How posteriors become lips. Frames are 10 ms.

    close_on, close_off  posterior of p/b/m at which the lips meet, and below which they part again.
    pause_frames         how long the network must hear a pause before the mouth comes to rest.
    wake_frames          how long it must hear speech before the mouth moves.
    floor                openness that speech keeps between closures.
    posterior            share of openness read from the phones; the rest is the network's own curve.
    """

    close_on: float = 0.55
    close_off: float = 0.3
    pause_frames: int = 13
    wake_frames: int = 4
    floor: float = 0.15
    posterior: float = 0.5


@dataclass(frozen=True)
class Lips:
    """A run of 10 ms frames. start is the number of the first.

    visemes   (n, 15) probabilities, Oculus order.
    phones    (n, phones) log-probabilities.
    openness, rounding, spread   (n,) 0..1. The jaw's in closures: that lips meet is told by `closed`.
    closed    (n,) bool, lips in contact for p, b or m.
    speaking  (n,) bool, False in pauses.
    loudness  (n,) nepers against the loudest lately (0), at most some -9.
    effort    (n,) nepers against the usual of the last seconds' speech.
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
    effort: np.ndarray

    def __len__(self) -> int:
        return len(self.openness)

    @property
    def times(self) -> np.ndarray:
        """(n,) seconds of the frames' middles."""
        return FIRST_TIME + (self.start + np.arange(len(self))) / RATE_HZ


_ARRAYS = tuple(f.name for f in fields(Lips) if f.name != "start")


def join_lips(a: Lips, b: Lips) -> Lips:
    """Two consecutive runs as one."""
    return Lips(a.start, *(np.concatenate([getattr(a, f), getattr(b, f)]) for f in _ARRAYS))


def cut(lips: Lips, first: int, beyond: int | None = None) -> Lips:
    """Frames first to beyond, counted within the run."""
    first = min(first, len(lips))
    return Lips(lips.start + first, *(getattr(lips, f)[first:beyond] for f in _ARRAYS))


class LipReader:
    """Hears a stream of 16 kHz samples and tells what the lips do, `network.delay` frames behind."""

    def __init__(self, network: LipNetwork | None = None, settings: LipSettings = LipSettings()) -> None:
        self.settings = settings
        self._ear = Ear()
        self._network = LipNetwork() if network is None else network
        self._fed = 0
        self._given = 0
        self._closed = False
        self._quiet, self._run, self._speaking = True, 0, False  # rest until something is said
        self._usual, self._heard, self._smooth = 0.0, 0.0, 0.0
        self._loud = np.full((self._network.delay, 2), -9.0, np.float32)

    def feed(self, samples: np.ndarray, last: bool = False) -> Lips:
        """Frames that these samples bring to light; `last` flushes what the look-ahead still holds."""
        if last:
            samples = np.concatenate(
                [np.asarray(samples, np.float32), np.zeros(self._network.delay * HOP + WINDOW, np.float32)]
            )
        features = self._ear.feed(samples)
        logs, shape = (
            self._network.feed(features)
            if len(features)
            else (np.zeros((0, len(NAMES)), np.float32), np.zeros((0, 3), np.float32))
        )
        loud = np.concatenate([self._loud, features[:, -2:] * [2, 8] - [2, 4]])
        self._loud = loud[len(features) :]
        skip = max(0, min(len(features), self._network.delay - self._fed))  # answers for before the beginning
        self._fed += len(features)
        loud = loud[: len(features)][skip:].astype(np.float32)
        return self._lips(logs[skip:], shape[skip:], loud[:, 0], loud[:, 1])

    def _lips(self, logs: np.ndarray, shape: np.ndarray, loudness: np.ndarray, level: np.ndarray) -> Lips:
        s, n = self.settings, len(logs)
        phones = np.exp(logs)
        visemes = phones @ TO_VISEME
        silent = visemes[:, _SIL]
        closed = self._closures(visemes[:, _PP])
        speaking = self._awake(silent)
        openness = s.posterior * (phones @ OPENNESS) + (1 - s.posterior) * shape[:, 0]
        openness = np.maximum(openness, s.floor * (1 - silent)) * speaking
        effort = self._effort(level, (silent < 0.3) & speaking)
        start, self._given = self._given, self._given + n
        return Lips(
            start,
            visemes.astype(np.float32),
            logs,
            openness.astype(np.float32),
            shape[:, 1] * speaking,
            shape[:, 2] * speaking,
            closed & speaking,
            speaking,
            loudness,
            effort,
        )

    def _closures(self, shut: np.ndarray) -> np.ndarray:
        """(n,) bool: on above one posterior, off below another."""
        on, off = self.settings.close_on, self.settings.close_off
        count = np.arange(len(shut))
        since = np.maximum.accumulate(np.where((shut > on) | (shut < off), count, -1)) if len(shut) else count
        closed = np.where(since >= 0, shut[since] > on, self._closed)
        if len(shut):
            self._closed = bool(closed[-1])
        return closed

    def _awake(self, silent: np.ndarray) -> np.ndarray:
        """(n,) bool: True from some frames of speech on until a pause has lasted."""
        awake = np.empty(len(silent), bool)
        for i, quiet in enumerate(silent > 0.5):
            self._run = self._run + 1 if quiet == self._quiet else 1
            self._quiet = bool(quiet)
            if self._run >= (self.settings.pause_frames if quiet else self.settings.wake_frames):
                self._speaking = not quiet
            awake[i] = self._speaking
        return awake

    def _effort(self, level: np.ndarray, voiced: np.ndarray) -> np.ndarray:
        """(n,) float32: loudness against the mean of the last seconds' speech, smoothed causally over 50 ms."""
        effort = np.empty(len(level), np.float32)
        for i, (loud, heard) in enumerate(zip(level.tolist(), voiced.tolist(), strict=True)):
            if heard:
                self._heard = min(self._heard + 1, 1000.0)
                self._usual += (loud - self._usual) / (self._heard + (0 if self._heard >= 1000 else 1))
                self._smooth += 0.3 * (loud - self._usual - self._smooth)
            else:
                self._smooth *= 0.9
            effort[i] = self._smooth
        return effort
