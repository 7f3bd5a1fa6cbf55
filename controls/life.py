"""Life on top of speech: head motion, gaze and blinks, each a layer of its own that can be left out.

A layer is called with a stream (`controls.spoken`) and returns one with its motion added:

    stream = HeadMotion(seed=7)(stream)   # follows loudness and phrases
    stream = Gaze(seed=7)(stream)         # after HeadMotion: eyes stay on the viewer while the head turns
    stream = Blinks(seed=7)(stream)       # after Gaze: large shifts of gaze bring a blink

All are seeded and defined in seconds: neither block sizes nor frame rates change what happens. With
`amount` 0 a layer passes every block through untouched. The first frame is always at rest.
Call a layer again for the next stream; it starts afresh each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from controls.life_noise import Spring, ease, noise
from controls.spoken import SpokenBlock, spoken
from studio.arkit import INDEX
from studio.errors import UsageError
from studio.motion import FaceMotion

Stream = Iterable[SpokenBlock | FaceMotion]

_DEGREE = np.pi / 180
_HEAD, _GAZE, _BLINK = 101, 211, 307  # keeps layers of one seed apart


def _amount(value: float, name: str) -> float:
    if not 0 <= value <= 2:
        raise UsageError(f"{name} must be 0 to 2 (1 is natural), got {value}")
    return float(value)


def _clock(stream: Stream) -> Iterator[tuple[SpokenBlock, np.ndarray, float]]:
    """Blocks with the times of their frames in seconds since the stream began, and the step. Frame 0 is at 0."""
    first = None
    for block in spoken(stream):
        fps = float(block.motion.fps)
        first = block.motion.start if first is None else first
        yield block, (block.motion.start - first + np.arange(len(block))) / fps, 1 / fps


# ---- blinks ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Blink:
    """Onset and durations in seconds; lids move fast down, rest shut, and rise slowly."""

    onset: float
    closing: float
    shut: float
    opening: float
    depth: float
    late: float  # the right lid follows the left by this

    @property
    def end(self) -> float:
        return self.onset + self.closing + self.shut + self.opening + self.late

    def lids(self, time: float) -> np.ndarray:
        """(2,) closure of the left and the right lid."""
        since = np.array([time - self.onset, time - self.onset - self.late])
        down = ease(since / self.closing)
        rise = np.clip((since - self.closing - self.shut) / self.opening, 0, 1)
        return self.depth * down * (1 - rise * rise * (3 - 2 * rise)) * np.array([1.0, 0.985])


class Blinks:
    """Blinks as people do: about 16 a minute at rest, log-normal intervals, more at the end of phrases.

    amount  scales how often, never how far: a half blink looks drowsy.
    rate    blinks a minute at rest at amount 1. Phrase ends and large gaze shifts add some.
    """

    PHRASE_SHARE = 0.45
    GLANCE_SHARE = 0.45

    def __init__(self, amount: float = 1.0, seed: int = 0, rate: float = 15.0) -> None:
        self.amount, self.seed, self.rate = _amount(amount, "blinks"), seed, rate

    def __call__(self, stream: Stream) -> Iterator[SpokenBlock]:
        if self.amount * self.rate == 0:
            yield from spoken(stream)
            return
        draw = np.random.default_rng([self.seed, _BLINK])
        spread = 0.55
        median = 60 / (self.rate * self.amount) * np.exp(-(spread**2) / 2)
        due = float(draw.uniform(0.2, 0.65) * median)
        blinks: list[_Blink] = []
        ended = -9.0
        for block, times, _ in _clock(stream):
            lids = np.zeros((len(block), 2), np.float32)
            for i, time in enumerate(times):
                soon = None
                if block.phrase_end[i] and draw.random() < min(1.0, self.PHRASE_SHARE * self.amount):
                    soon = time + draw.uniform(0.0, 0.15)
                if block.glance[i] and draw.random() < min(1.0, self.GLANCE_SHARE * self.amount):
                    soon = time
                if soon is not None and soon > ended + 0.7:
                    due = min(due, soon)
                if time >= due:
                    blinks.append(self._blink(draw, due))
                    ended = blinks[-1].end
                    again = draw.random() < 0.05
                    due = ended + (draw.uniform(0.05, 0.12) if again else median * draw.lognormal(0, spread))
                blinks = [blink for blink in blinks if blink.end > time]
                for blink in blinks:
                    lids[i] = np.maximum(lids[i], blink.lids(time))
            yield replace(block, motion=_close(block.motion, lids)) if lids.any() else block

    @staticmethod
    def _blink(draw: np.random.Generator, onset: float) -> _Blink:
        whole = draw.random() < 0.93
        slow = draw.lognormal(0, 0.15)
        return _Blink(
            onset=onset,
            closing=0.080 * slow,
            shut=draw.uniform(0.03, 0.06),
            opening=0.170 * slow,
            depth=1.0 if whole else draw.uniform(0.75, 0.9),
            late=draw.uniform(0, 0.008),
        )


def _close(motion: FaceMotion, lids: np.ndarray) -> FaceMotion:
    """The lids closed by (T, 2) on top of what they do; a little of the brow and the lower lid goes along."""
    weights = motion.weights.copy()
    for eye, side in enumerate(("Left", "Right")):
        shut = lids[:, eye]
        column = INDEX[f"eyeBlink{side}"]
        weights[:, column] += shut * np.clip(1 - weights[:, column], 0, 1)
        weights[:, INDEX[f"eyeWide{side}"]] *= 1 - shut
        weights[:, INDEX[f"eyeSquint{side}"]] += 0.08 * shut
        weights[:, INDEX[f"browDown{side}"]] += 0.05 * shut
    return replace(motion, weights=weights)


# ---- gaze --------------------------------------------------------------------------------------------


class Gaze:
    """Fixations joined by saccades, mostly on the viewer, with drift; the eyes hold on while the head moves.

    On the viewer the eyes wander between spots about a degree apart for a second or so each; now and then,
    more often in pauses, they look away by 5 to 12 degrees for half a second. A saccade takes 25 ms and 2.4 ms
    a degree (the main sequence: Bahill, Clark & Stark 1975).

    amount  scales how far the eyes go.
    """

    HOLD = 0.85
    """Share of the head's turning that the eyes undo (vestibulo-ocular reflex)."""

    def __init__(self, amount: float = 1.0, seed: int = 0) -> None:
        self.amount, self.seed = _amount(amount, "gaze"), seed

    def __call__(self, stream: Stream) -> Iterator[SpokenBlock]:
        if self.amount == 0:
            yield from spoken(stream)
            return
        draw = np.random.default_rng([self.seed, _GAZE])
        origin = target = np.zeros(2)
        start, lasts, away = 0.0, 1.0, False
        due = float(draw.uniform(0.5, 1.2))
        for block, times, _ in _clock(stream):
            angles = np.zeros((len(block), 2))
            glance = block.glance.copy()
            for i, time in enumerate(times):
                if time >= due:
                    origin, away = target, not away and self._averts(draw, float(block.loudness[i]))
                    target = self._spot(draw, away)
                    size = float(np.hypot(*(target - origin)))
                    start, lasts = due, 0.025 + 0.0024 * size / _DEGREE
                    glance[i] |= size > 6 * _DEGREE
                    due += float((0.45 if away else 1.1) * draw.lognormal(0, 0.5))
                angles[i] = origin + (target - origin) * ease((time - start) / lasts)
            drift = [0.12 * _DEGREE * noise(times, 1.7, self.seed, _GAZE + k) for k in (0, 1)]
            angles += ease(times[:, None] / 0.5) * np.stack(drift, 1)
            angles -= self.HOLD * np.clip(block.motion.head[:, :2], -20 * _DEGREE, 20 * _DEGREE)
            moved = block.motion.gaze + self.amount * angles[:, None, :]
            yield replace(block, motion=block.motion.with_gaze(moved), glance=glance)

    @staticmethod
    def _averts(draw: np.random.Generator, loudness: float) -> bool:
        return draw.random() < (0.10 if loudness > 0.15 else 0.17)

    @staticmethod
    def _spot(draw: np.random.Generator, away: bool) -> np.ndarray:
        """(2,) yaw and pitch in radians."""
        if not away:
            return draw.normal(0, (0.9, 0.6)) * _DEGREE
        side = draw.choice((-1, 1))
        yaw, pitch = side * draw.uniform(4, 10), draw.normal(1.0, 3.0)
        return np.array([yaw, np.clip(pitch, -6, 6)]) * _DEGREE


# ---- head --------------------------------------------------------------------------------------------


class HeadMotion:
    """A head that lives: it sways, breathes, shifts with each phrase, and stresses loud syllables.

    Four movements are added: slow sway by smooth noise, livelier in speech; another posture with each
    phrase (in silence every few seconds); nods and small turns with the rise and fall of loudness, in a
    direction of the phrase's own; breathing, about 14 a minute and never quite even. Brows rise a little
    with the stresses. Everything passes through springs or splines: no step, no jitter.

    amount  scales how far the head goes. At 1 it turns some 3 to 5 degrees either way.
    """

    SWAY = np.array([1.5, 0.8, 0.9]) * _DEGREE  # yaw, pitch, roll
    POSTURE = np.array([2.0, 1.1, 1.3]) * _DEGREE
    STRESS = np.array([1.2, 3.2, 0.8]) * _DEGREE
    SHIFT = np.array([0.0020, 0.0012, 0.0030])  # metres of sway in x, y, z
    BROWS = 0.22

    def __init__(self, amount: float = 1.0, seed: int = 0) -> None:
        self.amount, self.seed = _amount(amount, "head motion"), seed

    def __call__(self, stream: Stream) -> Iterator[SpokenBlock]:
        if self.amount == 0:
            yield from spoken(stream)
            return
        draw = np.random.default_rng([self.seed, _HEAD])
        posture, stress, mean = Spring(0.9, 3), Spring(0.22), Spring(1.8)
        manner, lively = Spring(0.5, 4), Spring(1.5)
        pose, way, redraw = np.zeros(3), self._way(draw), 0.4
        manner.place = way
        for block, times, step in _clock(stream):
            driven = np.zeros((len(block), 3))
            brows = np.zeros(len(block))
            awake = np.zeros(len(block))
            for i, time in enumerate(times):
                loud = float(block.loudness[i])
                if block.phrase_end[i] or time >= redraw:
                    pose = self.POSTURE * np.clip(draw.normal(size=3), -1.8, 1.8)
                    way = self._way(draw)
                    redraw = (time if block.phrase_end[i] else redraw) + draw.uniform(3.0, 7.0)
                accent = float((stress.step(loud, step) - mean.step(loud, step))[0])
                turn = manner.step(way, step)
                awake[i] = lively.step(1.0 if loud > 0.1 else 0.0, step)[0]
                driven[i] = posture.step(pose * (0.5 + 0.5 * awake[i]), step) + accent * turn[:3] * self.STRESS
                brows[i] = max(0.0, accent) * turn[3]
            yield replace(block, motion=self._moved(block.motion, times, driven, brows, awake))

    @staticmethod
    def _way(draw: np.random.Generator) -> np.ndarray:
        """A phrase's manner: how its stresses turn, nod and tilt the head and raise the brows."""
        brow = draw.uniform(0.3, 1) if draw.random() < 0.6 else 0.0
        return np.array([draw.normal(), draw.uniform(0.5, 1.2), draw.normal(), brow])

    def _moved(
        self, motion: FaceMotion, times: np.ndarray, driven: np.ndarray, brows: np.ndarray, awake: np.ndarray
    ) -> FaceMotion:
        wave = lambda rate, channel: noise(times, rate, self.seed, _HEAD + channel)
        alive = (0.55 + 0.45 * awake)[:, None]
        sway = np.stack([0.85 * wave(0.31, k) + 0.5 * wave(0.83, 10 + k) for k in range(3)], 1)
        shift = np.stack([wave(0.27, 20 + k) for k in range(3)], 1)
        breath = np.sin(2 * np.pi * (0.23 * times + 0.35 * wave(0.11, 30)))
        head = np.concatenate([driven + alive * sway * self.SWAY, alive * shift * self.SHIFT], 1)
        head[:, 1] += 0.30 * _DEGREE * breath
        head[:, 4] += 0.0009 * breath
        head *= self.amount * ease(times[:, None] / 1.2)
        weights = motion.weights.copy()
        rise = np.clip(self.amount * self.BROWS * 2 * brows, 0, 0.3)
        weights[:, INDEX["browInnerUp"]] += 0.6 * rise
        for side in ("Left", "Right"):
            weights[:, INDEX[f"browOuterUp{side}"]] += rise
        return replace(motion, weights=weights, head=motion.head + head)
