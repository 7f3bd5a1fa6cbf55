"""Sound that streams: any rate, channels and container in, float32 out, bounded memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np

from studio.errors import MediaError
from studio.picture import must_be_file


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
                duration = None
                if stream.duration is not None and stream.time_base is not None:
                    duration = float(stream.duration * stream.time_base)
                elif container.duration:
                    duration = container.duration / av.time_base
                if duration is not None:
                    duration = max(0.0, duration + _offset(container))
                if duration == 0.0:
                    raise MediaError(f"{path}: the sound lasts 0 seconds")
                return cls(path, stream.rate, stream.codec_context.channels or 1, duration)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise MediaError(f"{path}: not a sound or video file that can be read ({_reason(error)})") from error

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

        found, skip = 0, None
        try:
            with av.open(str(self.path)) as container:
                stream = container.streams.audio[0]
                resampler = av.AudioResampler(format="flt", layout=layout, rate=rate)
                for frame in _audio_frames(container, stream):
                    if skip is None:
                        begin = float(frame.pts * frame.time_base) if frame.pts is not None else 0.0
                        skip = -round((begin - _video_start(container)) * rate)
                        if skip < 0:
                            yield np.zeros((-skip, 1 if layout == "mono" else 2), np.float32)
                            found, skip = found - skip, 0
                    frame.pts = None
                    for out in resampler.resample(frame):
                        part, skip = _take(out, layout, skip)
                        found += len(part)
                        _check(part, str(self.path))
                        yield part
                for out in resampler.resample(None) if skip is not None else []:
                    part, skip = _take(out, layout, skip or 0)
                    found += len(part)
                    yield part
        except (av.FFmpegError, OSError, ValueError) as error:
            raise MediaError(f"{self.path}: the sound can't be decoded ({_reason(error)})") from error
        if not found:
            raise MediaError(f"{self.path}: the sound lasts 0 seconds")


def _audio_frames(container, stream) -> Iterator:  # noqa: ANN001
    """Frames of the stream; a damaged packet in the middle is left out with a warning, not fatal."""
    import av

    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.InvalidDataError as error:
            if packet.pts is None:
                continue
            warnings.warn(f"a damaged piece of sound was left out ({error})", stacklevel=2)


def _take(frame, layout: str, skip: int) -> tuple[np.ndarray, int]:  # noqa: ANN001
    part = frame.to_ndarray().reshape(-1, 1 if layout == "mono" else 2)
    dropped = min(skip, len(part))
    return part[dropped:], skip - dropped


def _check(samples: np.ndarray, name: str) -> None:
    if not np.isfinite(samples).all():
        raise MediaError(f"{name}: holds samples that are not numbers (NaN or infinite). Export the sound again.")


def _video_start(container) -> float:  # noqa: ANN001
    """Seconds of the first picture, 0 where there is no video. Cover pictures don't count."""
    for stream in container.streams.video:
        if not is_cover(stream) and stream.start_time is not None:
            return float(stream.start_time * stream.time_base)
    return 0.0


def is_cover(stream) -> bool:  # noqa: ANN001
    """Whether a video stream is just the cover picture of a sound file."""
    import av

    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _offset(container) -> float:  # noqa: ANN001
    stream = container.streams.audio[0]
    begin = float(stream.start_time * stream.time_base) if stream.start_time is not None else 0.0
    return begin - _video_start(container)


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


def frames_for(seconds: float, fps) -> int:  # noqa: ANN001
    """Video frames that cover a sound: its end falls within the last one."""
    return ceil(round(seconds * float(fps), 6))
