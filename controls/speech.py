"""Speech to lips. `SpeechDriver` hears sound as it comes and moves the mouth with it.

Sound -> features (`controls.speech_features`) -> hearing, level and voice evened out
(`controls.speech_hearing`) -> articulation and lips (`controls.speech_lips`). Nothing looks further ahead
than `LOOK_AHEAD`; memory does not grow with the length; block sizes of the sound make no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Protocol

import numpy as np

from controls.speech_features import HZ, RATE, features
from controls.speech_hearing import Hearing
from controls.speech_lips import AHEAD, BEHIND, CURVES, MARGIN, articulate, lip_weights, listen, windowed
from controls.spoken import SpokenBlock
from studio.errors import MediaError, UsageError
from studio.motion import FaceMotion

LOOK_AHEAD = (AHEAD + MARGIN) / HZ + 0.04
"""Seconds of sound after a moment that its lips depend on, block size aside: context, lead and window."""


_SILENT = CURVES.index("silent")


class Sound(Protocol):
    """What the driver needs of `studio.media.Audio`."""

    def blocks(self, rate: int = ..., seconds: float = ...) -> Iterable[np.ndarray]: ...


@dataclass(frozen=True)
class SpeechSettings:
    """opening  how wide the mouth opens: 1 is clear speech, 0 keeps it shut but for lip shapes; up to 2.
    lead       seconds that the lips are ahead of the sound.
    pause      seconds of silence after which a phrase counts as ended.
    """

    opening: float = 1.0
    lead: float = 0.03
    pause: float = 0.18

    def __post_init__(self) -> None:
        if not 0 <= self.opening <= 2:
            raise UsageError(f"opening must be 0 to 2, got {self.opening}")
        if not 0 <= self.lead <= 0.04:
            raise UsageError(f"lead must be 0 to 0.04 s, got {self.lead}")


def _checked(blocks: Iterable[np.ndarray], count: list[int]) -> Iterator[np.ndarray]:
    for block in blocks:
        block = np.asarray(block, np.float32).reshape(-1)
        if not np.isfinite(block).all():
            raise MediaError("the sound holds samples that are not numbers (NaN or infinite)")
        count[0] += len(block)
        yield block


class SpeechDriver:
    """Turns speech into motion of the mouth, and tells the layers how loud it is and where phrases end."""

    def __init__(self, settings: SpeechSettings = SpeechSettings()) -> None:
        self.settings = settings

    def __call__(self, audio: Sound, fps: Fraction | int | str = 25) -> FaceMotion:
        """The motion of a whole recording: round(duration * fps) frames, at least one."""
        blocks = [block.motion for block in self.stream(audio, fps)]
        weights = np.concatenate([block.weights for block in blocks])
        return FaceMotion(weights, Fraction(fps))

    def stream(self, audio: Sound, fps: Fraction | int | str = 25) -> Iterator[SpokenBlock]:
        """Consecutive blocks of about a quarter of a second, as the sound is read.

        audio  anything with `blocks(rate, seconds)`, such as `studio.media.Audio`.
        fps    frames per second of the motion, exact.

        MediaError: no sound at all, or samples that are not numbers.
        """
        fps = Fraction(fps)
        if fps <= 0:
            raise UsageError(f"fps must be above 0, got {fps}")
        count = [0]
        track = self._track(_checked(audio.blocks(rate=RATE, seconds=0.25), count))
        yield from self._frames(track, fps, count)
        if not count[0]:
            raise MediaError("there is no sound in it")

    def _track(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """(n, 9) at 100 Hz: the articulation curves, loudness last, and where phrases end."""
        heard = map(Hearing(), features(blocks))
        quiet, ended = 0, True
        for rows in windowed(windowed(heard, BEHIND, AHEAD, listen), MARGIN, MARGIN, articulate):
            ends = np.zeros((len(rows), 1))
            for i, silent in enumerate(rows[:, _SILENT]):
                quiet = quiet + 1 if silent > 0.5 else 0
                if ended:
                    ended = silent > 0.1
                elif quiet >= self.settings.pause * HZ:
                    ends[i] = ended = True
            yield np.concatenate([rows, ends], 1)

    def _frames(self, track: Iterable[np.ndarray], fps: Fraction, count: list[int]) -> Iterator[SpokenBlock]:
        """The 100 Hz track read at the middle of each frame."""
        rate = float(fps)
        held, first, frame = np.zeros((0, 9)), 0, 0  # first: number of held's first row

        def take(stop: int) -> SpokenBlock:
            nonlocal frame
            numbers = np.arange(frame, stop)
            at = ((numbers + 0.5) / rate + self.settings.lead) * HZ - 0.5 - first
            at = np.clip(at, 0, len(held) - 1)
            low = np.minimum(at.astype(int), max(len(held) - 2, 0))
            high = np.minimum(low + 1, len(held) - 1)
            part = (at - low)[:, None]
            rows = held[low] * (1 - part) + held[high] * part
            edges = np.clip(np.floor(np.append(numbers, stop) / rate * HZ).astype(int) - first, 0, len(held))
            ends = np.array([held[a:b, 8].any() for a, b in pairwise(edges)], bool)
            motion = FaceMotion(lip_weights(rows[:, :8], self.settings.opening), fps, start=frame)
            frame = stop
            return SpokenBlock(motion, rows[:, 7], ends)

        for rows in track:
            held = np.concatenate([held, rows])
            ready = int(np.floor(((first + len(held) - 1.5) / HZ - self.settings.lead) * rate - 0.5)) + 1
            ready = min(ready, round(Fraction(count[0], RATE) * fps))
            if ready > frame:
                yield take(ready)
                spent = max(0, int(frame / rate * HZ) - 2 - first)
                held, first = held[spent:], first + spent
        total = max(1, round(Fraction(count[0], RATE) * fps)) if count[0] else 0
        while frame < total:
            yield take(min(total, frame + max(1, int(rate))))


__all__ = ["LOOK_AHEAD", "Sound", "SpeechDriver", "SpeechSettings"]
