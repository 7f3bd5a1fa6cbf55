"""Sound that streams: any rate, channels and container in, float32 out, bounded memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from studio.errors import MediaError
from studio.picture import must_be_file

_HICCUP, _NONSENSE = 0.1, 600.0
"""Seconds: shorter gaps between time stamps are rounding, longer ones are broken stamps."""


@dataclass(frozen=True)
class Audio:
    """A sound, opened but not read.

    path      where it comes from, or None for samples in memory.
    rate      samples a second of the source.
    channels  of the source.
    duration  seconds, or None where the container doesn't tell.

    In a video file sample 0 is the moment of the first picture: what sounds earlier is left out, and
    silence stands in where the sound begins later.
    """

    path: Path | None
    rate: int
    channels: int
    duration: float | None
    array: np.ndarray | None = None

    @classmethod
    def open(cls, path: str | Path) -> Audio:
        """Raises MediaError where there is no sound to read."""
        import av

        path = Path(path)
        must_be_file(path)
        try:
            with av.open(str(path)) as container:
                if not container.streams.audio:
                    raise MediaError(f"{path}: there is no sound in it")
                stream = container.streams.audio[0]
                if stream.codec_context is None:
                    raise MediaError(f"{path}: its sound is in a format that can't be decoded")
                end = None
                if stream.duration is not None and stream.time_base is not None:
                    end = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
                elif container.duration:
                    end = ((container.start_time or 0) + container.duration) / av.time_base
                begin = float((stream.start_time or 0) * (stream.time_base or 0))
                duration = None if end is None else max(0.0, end - _first_picture(container, begin))
                if duration == 0.0:
                    raise MediaError(f"{path}: the sound lasts 0 seconds")
                return cls(path, stream.rate, stream.codec_context.channels or 1, duration)
        except (av.FFmpegError, OSError, ValueError) as error:
            what = "not a sound or video file that can be read, or cut short"
            raise MediaError(f"{path}: {what} ({_reason(error)})") from error

    @classmethod
    def from_array(cls, samples: np.ndarray, rate: int) -> Audio:
        """samples (n,) or (n, channels), any float or int16. Raises MediaError for none at all."""
        samples = np.asarray(samples)
        if samples.dtype == np.int16:
            samples = samples.astype(np.float32) / 32768
        samples = samples.astype(np.float32)
        samples = samples[:, None] if samples.ndim == 1 else samples
        if not len(samples):
            raise MediaError("the sound lasts 0 seconds")
        _check(samples, "the sound")
        return cls(None, int(rate), samples.shape[1], len(samples) / rate, samples)

    def blocks(self, rate: int = 16000, seconds: float = 0.5) -> Iterator[np.ndarray]:
        """(n,) float32 mono at `rate`, about `seconds` at a time; the last block may be shorter.

        Raises MediaError for samples that are not numbers, and for a file without any sample.
        """
        size = max(1, round(rate * seconds))
        rest = np.zeros(0, np.float32)
        for part in self._decode(rate, "mono"):
            rest = np.concatenate([rest, part[:, 0]])
            while len(rest) >= size:
                yield rest[:size]
                rest = rest[size:]
        if len(rest):
            yield rest

    def wide_blocks(self, rate: int, channels: int) -> Iterator[np.ndarray]:
        """(n, channels) float32 at `rate`, in the decoder's own portions; channels is 1 or 2."""
        yield from self._decode(rate, "mono" if channels == 1 else "stereo")

    def samples(self, rate: int = 16000) -> np.ndarray:
        """All of it, (n,) float32 mono. For short sounds: memory grows with length."""
        return np.concatenate(list(self.blocks(rate, 10.0)))

    def _decode(self, rate: int, layout: str) -> Iterator[np.ndarray]:
        if self.array is not None:
            yield from _resampled_array(self.array, self.rate, rate, layout)
            return
        import av

        found, skip, heard = 0, 0, None
        try:
            with av.open(str(self.path)) as container:
                stream = container.streams.audio[0]
                resampler = av.AudioResampler(format="flt", layout=layout, rate=rate)
                for frame in _audio_frames(container, stream):
                    begin = (heard or 0.0) if frame.pts is None else float(frame.pts * frame.time_base)
                    first = heard is None
                    if heard is None:
                        heard = _first_picture(container, begin)
                        skip = max(0, round((heard - begin) * rate))
                    gap = begin - heard
                    if (0.0 if first else _HICCUP) < gap < _NONSENSE:  # silence holds the place of what is missing
                        yield from _silence(round(gap * rate), layout, rate)
                        found += round(gap * rate)
                    heard = begin + frame.samples / frame.sample_rate
                    frame.pts = None
                    for out in resampler.resample(frame):
                        part, skip = _take(out, layout, skip)
                        found += len(part)
                        _check(part, str(self.path))
                        yield part
                for out in resampler.resample(None) if heard is not None else []:
                    part, skip = _take(out, layout, skip)
                    found += len(part)
                    yield part
        except (av.FFmpegError, OSError, ValueError) as error:
            raise MediaError(f"{self.path}: the sound can't be decoded ({_reason(error)})") from error
        if not found:
            raise MediaError(f"{self.path}: the sound lasts 0 seconds")


def _silence(count: int, layout: str, rate: int) -> Iterator[np.ndarray]:
    while count > 0:
        yield np.zeros((min(count, rate), 1 if layout == "mono" else 2), np.float32)
        count -= rate


def _audio_frames(container: Any, stream: Any) -> Iterator[Any]:
    """Frames of the stream; a damaged packet in the middle is left out with a warning, not fatal."""
    import av

    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.InvalidDataError as error:
            if packet.pts is None:
                continue
            warnings.warn(f"a damaged piece of sound was left out ({error})", stacklevel=2)


def _take(frame: Any, layout: str, skip: int) -> tuple[np.ndarray, int]:
    part = frame.to_ndarray().reshape(-1, 1 if layout == "mono" else 2)
    dropped = min(skip, len(part))
    return part[dropped:], skip - dropped


def _check(samples: np.ndarray, name: str) -> None:
    if not np.isfinite(samples).all():
        raise MediaError(f"{name}: holds samples that are not numbers (NaN or infinite). Export the sound again.")


def _first_picture(container: Any, otherwise: float) -> float:
    """Time stamp of the first picture in seconds; `otherwise` where there is no video. Covers don't count."""
    for stream in container.streams.video:
        if not is_cover(stream) and stream.start_time is not None:
            return float(stream.start_time * stream.time_base)
    return otherwise


def is_cover(stream: Any) -> bool:
    """Whether a video stream is just the cover picture of a sound file."""
    import av

    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _resampled_array(samples: np.ndarray, have: int, rate: int, layout: str) -> Iterator[np.ndarray]:
    import av

    wide = samples.mean(1, keepdims=True) if layout == "mono" else samples[:, :2]
    if layout == "stereo" and wide.shape[1] == 1:
        wide = np.repeat(wide, 2, 1)
    if have == rate:
        for first in range(0, len(wide), rate):
            yield wide[first : first + rate]
        return
    resampler = av.AudioResampler(format="flt", layout=layout, rate=rate)
    for first in range(0, len(wide), have):
        block = np.ascontiguousarray(wide[first : first + have].reshape(1, -1), np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="flt", layout=layout)
        frame.sample_rate = have
        for out in resampler.resample(frame):
            yield out.to_ndarray().reshape(-1, wide.shape[1])
    for out in resampler.resample(None):
        yield out.to_ndarray().reshape(-1, wide.shape[1])


def frames_for(seconds: float | Fraction, fps: Fraction | int) -> int:
    """Video frames that cover a sound: its end falls within the last one."""
    return ceil(round(float(seconds * fps), 6))
