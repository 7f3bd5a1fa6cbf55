"""Video that streams: upright RGB frames with exact times, decoded ahead in a thread, bounded memory."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from studio.audio import is_cover
from studio.errors import MediaError, UsageError
from studio.picture import must_be_file

Item = TypeVar("Item")

_BT709, _UNSPECIFIED = 1, 2


@dataclass(frozen=True)
class Frame:
    """image (H, W, 3) uint8 RGB; time in seconds from the first frame of the clip; index counted from 0."""

    image: np.ndarray
    time: Fraction
    index: int


def parse_fps(text: str | float | Fraction) -> Fraction:
    """'25', '29.97', '30000/1001' -> exact frames a second; 23.976, 29.97, 59.94 mean the broadcast rates.

    Raises UsageError for what is no rate between 1 and 240.
    """
    try:
        fps = Fraction(str(text))
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"fps {text!r} is not a number such as 25, 29.97 or 30000/1001") from error
    if not 1 <= fps <= 240:
        raise UsageError(f"fps {text} is out of range: 1 to 240")
    return _broadcast(fps, Fraction(5, 1000)).limit_denominator(10**6)  # containers hold both parts in 32 bits


def _broadcast(fps: Fraction, reach: Fraction) -> Fraction:
    """24000/1001, 30000/1001, 60000/1001 or 120000/1001 where `fps` is within `reach` of it."""
    return next((r for r in (Fraction(1000 * n, 1001) for n in (24, 30, 60, 120)) if abs(fps - r) < reach), fps)


@dataclass(frozen=True)
class Clip:
    """A video, opened but not decoded.

    size      (width, height) of the upright frames.
    fps       average rate, exact.
    duration  seconds, or None where the container doesn't tell.
    """

    path: Path
    size: tuple[int, int]
    fps: Fraction
    duration: float | None
    has_audio: bool

    @classmethod
    def open(cls, path: str | Path) -> Clip:
        """Decodes the first frame to be sure. Raises MediaError for what is no video or holds no frames."""
        import av

        path = Path(path)
        must_be_file(path)
        try:
            with av.open(str(path)) as container:
                streams = [s for s in container.streams.video if not is_cover(s)]
                if not streams:
                    raise MediaError(f"{path}: there is no video in it")
                stream = streams[0]
                if stream.codec_context is None:
                    raise MediaError(f"{path}: its video is in a format that can't be decoded")
                fps = _broadcast(Fraction(stream.average_rate or stream.guessed_rate or 25), Fraction(1, 2000))
                duration = None
                if stream.duration is not None and stream.time_base is not None:
                    duration = float(stream.duration * stream.time_base)
                elif container.duration:
                    duration = container.duration / av.time_base
                first = next(_decoded(container, stream), None)
                if first is None:
                    raise MediaError(f"{path}: the video has no frames")
                height, width = _upright(first, stream.sample_aspect_ratio).shape[:2]
                return cls(path, (width, height), fps, duration, bool(container.streams.audio))
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MediaError(f"{path}: not a video that can be read, or cut short ({reason})") from error

    def frames(self, start: Fraction | float | None = None, stop: Fraction | float | None = None) -> Iterator[Frame]:
        """Every frame with its own time; a variable rate is left as it is.

        start, stop: seconds; frames with start <= time < stop. Their times and indices stay the clip's.
        """
        return ahead(lambda: (frame for frame, _ in _within(self._frames(), start, stop)), room=6)

    def frames_at(self, fps: Fraction | int) -> Iterator[Frame]:
        """Frames at a constant rate: frame k is the picture shown at the middle of [k / fps, (k + 1) / fps).

        A frame that lasts is the same array again.
        """
        fps = Fraction(fps)
        return ahead(lambda: self._resampled(fps), room=6)

    def _resampled(self, fps: Fraction) -> Iterator[Frame]:
        index, held, end = 0, None, Fraction(0)
        for frame, seconds in self._frames():
            while held is not None and (index + Fraction(1, 2)) / fps < frame.time:
                yield Frame(held, Fraction(index) / fps, index)
                index += 1
            held, end = frame.image, frame.time + seconds
        while held is not None and (index + Fraction(1, 2)) / fps < end:
            yield Frame(held, Fraction(index) / fps, index)
            index += 1

    def _frames(self) -> Iterator[tuple[Frame, Fraction]]:
        """Frames and how long each is to be shown, in seconds."""
        import av

        try:
            with av.open(str(self.path)) as container:
                stream = next(s for s in container.streams.video if not is_cover(s))
                stream.thread_type = "AUTO"
                start, before, index, usual = None, Fraction(-1), 0, 1 / self.fps
                for decoded in _decoded(container, stream):
                    time = None if decoded.pts is None else Fraction(decoded.pts) * stream.time_base
                    if start is None:
                        start = time or Fraction(0)
                    time = Fraction(index) / self.fps if time is None else time - start
                    if time <= before:  # broken time stamps: go on at the clip's rate
                        time = before + usual
                    image = _upright(decoded, stream.sample_aspect_ratio)
                    if (image.shape[1], image.shape[0]) != self.size:
                        import cv2

                        image = cv2.resize(image, self.size, interpolation=cv2.INTER_AREA)
                    seconds = Fraction(decoded.duration or 0) * stream.time_base
                    yield Frame(image, time, index), seconds if 0 < seconds < 4 * usual else usual
                    before, index = time, index + 1
        except (av.FFmpegError, OSError) as error:
            raise MediaError(f"{self.path}: the video can't be decoded ({error})") from error


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Frames; a damaged packet is left out, as players do."""
    import av

    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.InvalidDataError:
            continue


def _within(
    frames: Iterator[tuple[Frame, Fraction]], start: Fraction | float | None, stop: Fraction | float | None
) -> Iterator[tuple[Frame, Fraction]]:
    for frame, seconds in frames:
        if stop is not None and frame.time >= stop:
            return
        if start is None or frame.time >= start:
            yield frame, seconds


def _upright(frame: Any, pixel: Fraction | None) -> np.ndarray:
    """(H, W, 3) RGB with square pixels, upright: the container's rotation is counter-clockwise quarter turns.

    pixel: width to height of the file's own pixels, where it tells.

    Where the file does not say how its colours were made, large pictures are taken for BT.709 and small ones for
    BT.601, as players do.
    """
    if frame.colorspace == _UNSPECIFIED and frame.height >= 720 and frame.format.name.startswith("yuv"):
        frame.colorspace = _BT709
    width = frame.width
    if pixel and pixel != 1 and Fraction(1, 4) <= pixel <= 4:
        width = max(2, round(width * pixel))
    image = frame.reformat(width=width, format="rgb24").to_ndarray()
    turns = round(float(getattr(frame, "rotation", 0) or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def ahead(make: Callable[[], Iterable[Item]], room: int) -> Iterator[Item]:
    """The items of `make()`, made ahead in a thread, at most `room` waiting. Errors arrive in their place.

    Closing the iterator stops the thread.
    """
    waiting: queue.Queue = queue.Queue(room)
    stop = threading.Event()
    end = object()

    def put(item: object) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in make():
                if not put((item, None)):
                    return
            put((end, None))
        except BaseException as error:  # it is raised again where the items are taken
            put((end, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is end:
                return
            yield item
    finally:
        stop.set()
        thread.join(timeout=5)
