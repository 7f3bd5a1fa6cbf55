"""What travels from the speech driver through the layers: motion and the course of the speech beside it.

A stream is an iterator of consecutive blocks. The speech driver yields `SpokenBlock`s; layers
(`controls.life`) take a stream and return one:

    stream = LipSyncDriver().stream(audio, fps)
    for layer in (HeadMotion(seed=7), Gaze(seed=7), Blinks(seed=7)):
        stream = layer(stream)
    frames = avatar.render(motions(stream))

A stream of plain `FaceMotion` blocks goes through the same layers; they then take it for silence and
yield `SpokenBlock`s with `loudness` 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from studio.errors import UsageError
from studio.motion import FaceMotion


@dataclass(frozen=True)
class SpokenBlock:
    """One block of a stream.

    motion      FaceMotion, T frames.
    loudness    (T,) float32: 0 silence, 1 the loud syllables of this speaker.
    phrase_end  (T,) bool: true on the one frame at which a phrase has ended and a pause begun.
    glance      (T,) bool: true on the one frame at which a large shift of gaze starts.
    contact     (T,) float32: 1 where the lips meet for p, b or m and have to stay together.
    """

    motion: FaceMotion
    loudness: np.ndarray = field(default=None)  # type: ignore[assignment]
    phrase_end: np.ndarray = field(default=None)  # type: ignore[assignment]
    glance: np.ndarray = field(default=None)  # type: ignore[assignment]
    contact: np.ndarray = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        frames = len(self.motion)
        kinds = {"loudness": np.float32, "phrase_end": np.bool_, "glance": np.bool_, "contact": np.float32}
        for name, kind in kinds.items():
            value = getattr(self, name)
            value = np.zeros(frames, kind) if value is None else np.ascontiguousarray(value, kind)
            if value.shape != (frames,):
                raise UsageError(f"{name} must be {(frames,)}, got {value.shape}")
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.motion)


def spoken(stream: Iterable[SpokenBlock | FaceMotion] | SpokenBlock | FaceMotion) -> Iterator[SpokenBlock]:
    """Any stream, or a single block, as `SpokenBlock`s; plain motion counts as silent."""
    blocks = [stream] if isinstance(stream, (SpokenBlock, FaceMotion)) else stream
    for block in blocks:
        yield block if isinstance(block, SpokenBlock) else SpokenBlock(block)


def motions(stream: Iterable[SpokenBlock | FaceMotion]) -> Iterator[FaceMotion]:
    """The motion alone, for avatars, files and exporters."""
    for block in stream:
        yield block.motion if isinstance(block, SpokenBlock) else block
