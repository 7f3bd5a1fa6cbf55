"""What moves LivePortrait in tests: pictures, sounds, a short clip, a recorded turn."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np

from avatars.liveportrait.native import NativeMotion
from avatars.liveportrait.settings import TransferSettings
from avatars.liveportrait.template import save_template
from studio.media import Audio, Clip, VideoWriter


def picture(width: int = 320, height: int = 240) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


def tone(seconds: float) -> Audio:
    return Audio.from_array(0.5 * np.sin(np.arange(int(seconds * 16000)) / 10).astype(np.float32), 16000)


@cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory()


@cache
def short(shared: Path) -> Path:
    """Six frames of 256 x 256 of a real clip."""
    path = Path(_folder().name) / "six.mp4"
    with VideoWriter(path, 25, size=(256, 256)) as writer:
        for frame, _ in zip(Clip.open(shared / "data/videos/talk_woman_25fps.mp4").frames(), range(6)):
            writer.write(np.ascontiguousarray(frame.image[::2, ::2]))
    return path


class Performance:
    """Speech that opens into LivePortrait's own numbers: a slow turn."""

    lively = True
    transfer = TransferSettings(relative=False, multiplier=1.2)

    def native(self, audio, fps):
        first = np.zeros(73, np.float32)
        first[66] = 1
        for start in range(0, 20, 8):
            numbers = np.repeat(first[None], min(8, 20 - start), 0)
            numbers[:, 68] = np.arange(start, start + len(numbers))
            yield NativeMotion(numbers, first, Fraction(fps), start=start, made=True)

    def stream(self, audio, fps):
        raise AssertionError("LivePortrait takes the numbers themselves")


def template(folder: Path, count: int = 6) -> Path:
    """A recorded turn of so many frames, 25 a second, in LivePortrait's own numbers."""
    numbers = np.zeros((count, 73), np.float32)
    numbers[:, 66], numbers[:, 68] = 1, np.arange(count)
    numbers[:, :63] = 0.01 * np.sin(np.arange(63) + np.arange(count)[:, None])
    motion = NativeMotion(numbers, numbers[0], Fraction(25), measured=True)
    return save_template(folder / f"turn{count}.safetensors", motion)


def images(take) -> list[np.ndarray]:
    return [frame.image for frame in take.frames]
