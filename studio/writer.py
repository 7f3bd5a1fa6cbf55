"""`VideoWriter`: frames and sound to a file that plays everywhere, whole or not at all."""

from __future__ import annotations

import queue
import threading
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np

from studio.audio import Audio
from studio.errors import FaceStudioError, MediaError, OutputError, UsageError
from studio.sinks import Encoding, Gif, Movie, Pictures, Sink

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".gif")
PICTURE_SUFFIXES = (".png", ".jpg", ".webp")


class VideoWriter:
    """Writes (H, W, 3) uint8 RGB frames with `.write`, or (H, W, 4) with straight alpha; use it as a context manager.

    The suffix decides: .mp4, .mov, .m4v, .mkv (H.264, yuv420p, BT.709, AAC, index first), .webm (VP9, Opus), .gif, a
    folder or a pattern such as out/%05d.png for pictures. Frames with alpha stay transparent in .webm (VP9 with an
    alpha layer), .mov (ProRes 4444) and pictures; other videos refuse them with UsageError. Sound is taken from
    `audio`, from 0 to the end of the last frame, padded with silence where it is shorter. Sizes are made even by
    cutting the last row or column. Frames are encoded in a thread of their own as they come; at most four wait.
    Everything is written beside the goal and moved there at the end; on any error or interruption nothing is left.

    Raises OutputError before work starts where the goal can't be written.
    """

    def __init__(
        self,
        path: str | Path,
        fps: Fraction | int,
        *,
        size: tuple[int, int] | None = None,
        audio: Audio | str | Path | None = None,
        encoding: Encoding | None = None,
    ) -> None:
        """size (width, height) is what frames must have; None: whatever the first has."""
        self.path, self.fps, self.frames = Path(path), Fraction(fps), 0
        self.size, self._channels = size, 0
        encoding = encoding or Encoding()
        sound = Audio.open(audio) if isinstance(audio, (str, Path)) else audio
        self._sink = _sink(self.path, self.fps, sound, encoding)
        self._waiting: queue.Queue[np.ndarray | None] = queue.Queue(4)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="encode", daemon=True)
        self._thread.start()

    def write(self, picture: np.ndarray) -> None:
        """One frame. It must not be changed afterwards: it is encoded a little later."""
        if self._error is not None:
            raise self._told(self._error)
        if picture.ndim != 3 or picture.shape[2] not in (3, 4) or picture.dtype != np.uint8:
            raise UsageError(f"a frame is (H, W, 3 or 4) uint8, got {picture.shape} {picture.dtype}")
        size = (picture.shape[1], picture.shape[0])
        if min(size) < 2:
            raise UsageError(f"a frame of {size[0]}x{size[1]} pixels is too small for a video")
        if self.size is None:
            self.size = size
        if size != self.size:
            what = "the first was" if self.frames else "asked for was"
            raise UsageError(f"frame {self.frames} is {size[0]}x{size[1]}, {what} {self.size[0]}x{self.size[1]}")
        if picture.shape[2] != (self._channels or picture.shape[2]):
            raise UsageError(f"frame {self.frames} has {picture.shape[2]} channels, the first had {self._channels}")
        self._channels = picture.shape[2]
        self.frames += 1
        self._waiting.put(picture)

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            if self._error is None:
                try:
                    self._sink.write(item)
                except BaseException as error:  # raised again in the caller's thread
                    self._error = error

    def _told(self, error: BaseException) -> BaseException:
        if isinstance(error, OSError) and not isinstance(error, FaceStudioError):
            return OutputError(f"{self.path}: can't be written ({error.strerror or error})")
        return error

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failed = error
        while self._thread.is_alive():
            if failed is not None:
                self._error = self._error or failed  # what still waits is dropped
            try:
                self._waiting.put(None)
                self._thread.join()
            except KeyboardInterrupt as stop:
                failed = failed or stop
        failed = failed or self._error
        if failed is None and self.frames == 0:
            failed = MediaError(f"{self.path}: there is no frame to write")
        try:
            if failed is None:
                self._sink.finish()
        except BaseException as late:
            failed = late
        if failed is not None:
            self._sink.discard()
            if kind is None:
                told = self._told(failed)
                raise told from (None if told is failed else failed)


def _sink(path: Path, fps: Fraction, sound: Audio | None, encoding: Encoding) -> Sink:
    suffix = path.suffix.lower()
    if suffix in PICTURE_SUFFIXES and "%" in path.name:
        return Pictures(path)
    if not suffix:
        return Pictures(path / "%05d.png")
    if suffix == ".gif":
        return Gif(path, fps, encoding)
    if suffix in VIDEO_SUFFIXES:
        return Movie(path, fps, sound, encoding)
    raise UsageError(f"{path}: can't write {suffix} videos; use {', '.join(VIDEO_SUFFIXES)} or a folder for PNGs")
