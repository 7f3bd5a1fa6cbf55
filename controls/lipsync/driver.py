"""`LipSyncDriver`: speech in, motion of the lips out, as it comes."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from controls.lipsync.articulation import ArticulationSettings, Articulator
from controls.lipsync.lips import LipReader, LipSettings
from controls.lipsync.mel import RATE
from controls.lipsync.network import LipNetwork, load_weights
from controls.spoken import SpokenBlock
from studio.motion import FaceMotion

if TYPE_CHECKING:
    from studio.media import Audio


class LipSyncStream:
    """Feed 16 kHz samples as a microphone gives them; take `SpokenBlock`s of video frames as they get sure.

    Latency from a sound to its frame: 80 ms of look-ahead, 25 ms of analysis window and 45 ms of smoothing.
    """

    def __init__(
        self,
        fps: Fraction | int,
        *,
        weights: dict[str, np.ndarray] | None = None,
        lips: LipSettings = LipSettings(),
        articulation: ArticulationSettings = ArticulationSettings(),
    ) -> None:
        self._reader = LipReader(LipNetwork(weights), lips)
        self._articulator = Articulator(Fraction(fps), articulation)
        self._samples = 0

    def feed(self, samples: np.ndarray) -> Iterator[SpokenBlock]:
        self._samples += len(samples)
        yield from self._articulator.feed(self._reader.feed(samples))

    def finish(self) -> Iterator[SpokenBlock]:
        """The last frames: as many in all as cover the sound."""
        yield from self._articulator.feed(self._reader.feed(np.zeros(0, np.float32), last=True), self._samples / RATE)


class LipSyncDriver:
    """Speech to motion by the trained network. Weights: those that ship with the package, or your own."""

    def __init__(
        self,
        *,
        weights: dict[str, np.ndarray] | None = None,
        lips: LipSettings = LipSettings(),
        articulation: ArticulationSettings = ArticulationSettings(),
    ) -> None:
        self._weights = load_weights() if weights is None else weights
        self._lips, self._articulation = lips, articulation

    def stream(self, audio: Audio, fps: Fraction | int) -> Iterator[SpokenBlock]:
        """Blocks of frames while the audio is read; ceil(duration * fps) frames in all."""
        stream = LipSyncStream(fps, weights=self._weights, lips=self._lips, articulation=self._articulation)
        for samples in audio.blocks(rate=RATE, seconds=0.5):
            yield from stream.feed(samples)
        yield from stream.finish()

    def __call__(self, audio: Audio, fps: Fraction | int) -> FaceMotion:
        """The whole motion at once."""
        blocks = [block.motion for block in self.stream(audio, fps)]
        return FaceMotion(np.concatenate([b.weights for b in blocks]), Fraction(fps))
