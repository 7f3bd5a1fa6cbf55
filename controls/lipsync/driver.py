"""`LipSyncDriver`: speech in, motion of the lips out, as it comes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol

import numpy as np

from controls.lipsync.articulation import ArticulationSettings, Articulator
from controls.lipsync.events import Event, from_path, listen
from controls.lipsync.lips import RATE_HZ, LipReader, Lips, LipSettings, cut, join_lips
from controls.lipsync.mel import RATE, WINDOW
from controls.lipsync.network import DELAYS, LipNetwork, load_weights
from controls.lipsync.transcript import align, lips_along, read_transcript
from controls.spoken import SpokenBlock
from studio.errors import MediaError, UsageError
from studio.motion import FaceMotion, join


class Sound(Protocol):
    """What the driver needs of `studio.media.Audio`."""

    def blocks(self, rate: int = ..., seconds: float = ...) -> Iterator[np.ndarray]: ...


@dataclass(frozen=True)
class LipSyncSettings:
    """opening  how wide the mouth opens: 1 is clear speech, 0 keeps it shut but for lip shapes; up to 2.
    lead      seconds by which the lips are ahead of the sound, 0 to 0.04.
    latency   "full" looks 98 ms ahead; "quick", for live use, 50 ms, and errs more often (the model card tells).
    """

    opening: float = 1.0
    lead: float = 0.0
    latency: str = "full"

    def __post_init__(self) -> None:
        if not 0 <= self.opening <= 2:
            raise UsageError(f"opening must be 0 to 2, got {self.opening}")
        if not 0 <= self.lead <= 0.04:
            raise UsageError(f"lead must be 0 to 0.04 s, got {self.lead}")
        if self.latency not in DELAYS:
            raise UsageError(f"latency is 'full' or 'quick', not {self.latency!r}")

    @property
    def articulation(self) -> ArticulationSettings:
        """How the face follows."""
        reach = 0.015 if self.latency == "full" else 0.0075
        return ArticulationSettings(opening=self.opening, lead=self.lead, reach=reach)


class LipSyncStream:
    """Feed samples as a microphone gives them; take `SpokenBlock`s of video frames as soon as they are sure.

        stream = LipSyncStream(60, LipSyncSettings(latency="quick"))
        for samples in microphone:              # float32 mono at 16 kHz, any number at a time
            for block in stream.feed(samples): ...

    A frame of video comes out when `look_ahead` seconds after its middle have been fed. Chunks of any size
    give what the whole recording gives at once.
    """

    def __init__(
        self,
        fps: Fraction | int | str = 25,
        settings: LipSyncSettings = LipSyncSettings(),
        *,
        weights: dict[str, np.ndarray] | None = None,
        lips: LipSettings = LipSettings(),
    ) -> None:
        fps = Fraction(fps)
        if fps <= 0:
            raise UsageError(f"fps must be above 0, got {fps}")
        self.settings = settings
        self._reader = LipReader(LipNetwork(weights, settings.latency), lips)
        self._articulator = Articulator(fps, settings.articulation)
        self._samples = 0

    @property
    def look_ahead(self) -> float:
        """Seconds of sound after a frame's middle that the frame waits for."""
        return DELAYS[self.settings.latency] / RATE_HZ + WINDOW / 2 / RATE + self.settings.articulation.reach

    def feed(self, samples: np.ndarray) -> Iterator[SpokenBlock]:
        """Frames that these samples make sure. Raises MediaError for samples that are not numbers."""
        samples = np.asarray(samples, np.float32).reshape(-1)
        if not np.isfinite(samples).all():
            raise MediaError("the sound holds samples that are not numbers (NaN or infinite)")
        self._samples += len(samples)
        yield from self._articulator.feed(self._reader.feed(samples))

    def finish(self) -> Iterator[SpokenBlock]:
        """The last frames: as many in all as cover the sound."""
        last = self._reader.feed(np.zeros(0, np.float32), last=True)
        yield from self._articulator.feed(last, self._samples / RATE)


class LipSyncDriver:
    """Turns speech into motion of the mouth with the trained network, in any language.

    settings    see `LipSyncSettings`.
    transcript  what is said, if known: text, or the path of a .txt, .srt, .vtt or .TextGrid. It is laid along
                the sound first, which therefore is heard to its end before the first frame comes.
    language    of the transcript, as espeak-ng names it.
    weights     the network's tensors; those that ship with the package by default.
    lips        how the network's answers are read.
    """

    def __init__(
        self,
        settings: LipSyncSettings = LipSyncSettings(),
        *,
        transcript: str | os.PathLike[str] | None = None,
        language: str = "en-us",
        weights: dict[str, np.ndarray] | None = None,
        lips: LipSettings = LipSettings(),
    ) -> None:
        self.settings = settings
        self._parts = None if transcript is None else read_transcript(transcript)
        self._language = language
        self._weights = load_weights() if weights is None else weights
        self._lips = lips

    def stream(self, audio: Sound, fps: Fraction | int | str = 25) -> Iterator[SpokenBlock]:
        """Blocks of frames while the audio is read, half a second each: round(duration * fps) frames, at least one.

        Raises MediaError where there is no sound, or samples are not numbers.
        """
        if self._parts is not None:
            yield from self._along_text(audio, fps)
            return
        stream = LipSyncStream(fps, self.settings, weights=self._weights, lips=self._lips)
        heard = False
        for samples in audio.blocks(rate=RATE, seconds=0.5):
            heard = heard or len(samples) > 0
            yield from stream.feed(samples)
        if not heard:
            raise MediaError("there is no sound in it")
        yield from stream.finish()

    def _along_text(self, audio: Sound, fps: Fraction | int | str) -> Iterator[SpokenBlock]:
        path, heard, duration = self._aligned(audio)
        lips = lips_along(path, heard)
        articulator = Articulator(Fraction(fps), self.settings.articulation)
        for first in range(0, len(lips), RATE_HZ):
            piece = cut(lips, first, first + RATE_HZ)
            yield from articulator.feed(piece, duration if first + RATE_HZ >= len(lips) else None)

    def _aligned(self, audio: Sound) -> tuple[np.ndarray, Lips, float]:
        """Phone classes every 10 ms along the transcript, the lips as heard, seconds."""
        reader = LipReader(LipNetwork(self._weights), self._lips)
        samples, heard = 0, None
        for block in audio.blocks(rate=RATE, seconds=5.0):
            if not np.isfinite(block).all():
                raise MediaError("the sound holds samples that are not numbers (NaN or infinite)")
            samples += len(block)
            lips = reader.feed(block)
            heard = lips if heard is None else join_lips(heard, lips)
        if heard is None or not samples:
            raise MediaError("there is no sound in it")
        heard = join_lips(heard, reader.feed(np.zeros(0, np.float32), last=True))
        heard = cut(heard, 0, max(1, round(samples / RATE * RATE_HZ)))
        return align(heard.phones, self._parts or [], self._language), heard, samples / RATE

    def events(self, audio: Sound) -> list[Event]:
        """Phones and visemes with their times: as heard, or along the transcript."""
        if self._parts is not None:
            path, _, duration = self._aligned(audio)
            return from_path(path, duration)
        return listen(audio.blocks(rate=RATE, seconds=0.5), LipNetwork(self._weights))

    def __call__(self, audio: Sound, fps: Fraction | int | str = 25) -> FaceMotion:
        """The whole motion at once."""
        return replace(join(block.motion for block in self.stream(audio, fps)), start=0)


__all__ = ["LipSyncDriver", "LipSyncSettings", "LipSyncStream", "Sound"]
