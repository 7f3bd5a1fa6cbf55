"""`VideoWriter`: frames and sound to a file that plays everywhere, whole or not at all."""

from __future__ import annotations

import os
import queue
import shutil
import threading
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np

from studio.audio import Audio
from studio.errors import MediaError, OutputError, UsageError
from studio.picture import check_output, write_image

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".gif")
PICTURE_SUFFIXES = (".png", ".jpg", ".webp")


@dataclass(frozen=True)
class Encoding:
    """Quality of H.264 (crf: lower is better; 16 looks like the source) and of VP9; speed of either."""

    crf: int = 16
    preset: str = "veryfast"
    vp9_crf: int = 28
    gif_colours: int = 256


class VideoWriter:
    """Writes (H, W, 3) uint8 RGB frames with `.write`; use it as a context manager.

    The suffix decides: .mp4, .mov, .m4v, .mkv (H.264, yuv420p, AAC, index first), .webm (VP9, Opus), .gif,
    a folder or a pattern such as out/%05d.png for pictures. Sound is taken from `audio` at its own rate, from
    0 to the end of the last frame, padded with silence where it is shorter. Sizes are made even by cutting the
    last row or column. Everything is written beside the goal and moved there at the end; on any error or
    interruption nothing is left. Raises OutputError before work starts where the goal can't be written.
    """

    def __init__(
        self,
        path: str | Path,
        fps: Fraction | int,
        *,
        size: tuple[int, int] | None = None,
        audio: Audio | str | Path | None = None,
        encoding: Encoding = Encoding(),
    ) -> None:
        self.path, self.fps, self.encoding = Path(path), Fraction(fps), encoding
        self.size, self.frames = size, 0
        self._sound = Audio.open(audio) if isinstance(audio, (str, Path)) else audio
        suffix = self.path.suffix.lower()
        if suffix in PICTURE_SUFFIXES and "%" in self.path.name:
            self._sink = _Pictures(self.path)
        elif not suffix:
            self._sink = _Pictures(self.path / "%05d.png")
        elif suffix == ".gif":
            self._sink = _Gif(self.path, self.fps, encoding)
        elif suffix in VIDEO_SUFFIXES:
            self._sink = _Movie(self.path, self.fps, self._sound, encoding)
        else:
            raise UsageError(f"{path}: can't write {suffix} videos; use {', '.join(VIDEO_SUFFIXES)} or a folder for PNGs")
        self._waiting: queue.Queue = queue.Queue(4)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def write(self, rgb: np.ndarray) -> None:
        """One frame; all frames have the size of the first."""
        if self._error is not None:
            raise self._failure(self._error)
        if self.size is None or self.frames == 0:
            self.size = (rgb.shape[1], rgb.shape[0])
        if (rgb.shape[1], rgb.shape[0]) != self.size:
            raise UsageError(f"frame {self.frames} is {rgb.shape[1]}x{rgb.shape[0]}, the first was {self.size[0]}x{self.size[1]}")
        self.frames += 1
        self._waiting.put(rgb)

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            if self._error is None:
                try:
                    self._sink.write(item)
                except BaseException as error:  # raised again in the caller's thread
                    self._error = error

    def _failure(self, error: BaseException) -> BaseException:
        if isinstance(error, (OSError,)) and not isinstance(error, MediaError):
            return OutputError(f"{self.path}: can't be written ({error.strerror or error})")
        return error

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._error = self._error or error
        self._waiting.put(None)
        self._thread.join()
        failed = self._error
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
                raise self._failure(failed) from failed


class _Movie:
    """H.264 or VP9 with sound, written as frames come; sound is fed up to the last frame's end."""

    def __init__(self, path: Path, fps: Fraction, sound: Audio | None, encoding: Encoding) -> None:
        import av

        check_output(path)
        self.path, self.fps, self.encoding = path, fps, encoding
        self.beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
        web = path.suffix.lower() == ".webm"
        options = {} if web or path.suffix.lower() == ".mkv" else {"movflags": "+faststart"}
        try:
            self.container = av.open(str(self.beside), "w", options=options)
        except (av.FFmpegError, OSError) as error:
            raise OutputError(f"{path}: can't be written ({error.strerror or error})") from error
        self.web, self.count, self.video = web, 0, None
        self.sound, self.audio, self.given = sound, None, 0
        if sound is not None:
            rates = (48000, 24000, 16000, 12000, 8000) if web else (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
            self.rate = sound.rate if sound.rate in rates else 48000
            self.channels = min(2, sound.channels)

    def write(self, rgb: np.ndarray) -> None:
        import av

        height, width = rgb.shape[0] & ~1, rgb.shape[1] & ~1
        if self.video is None:
            self._start(width, height)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb[:height, :width]), format="rgb24")
        frame = frame.reformat(format="yuv420p", src_colorspace="ITU709", dst_colorspace="ITU709", dst_color_range="MPEG")
        frame.colorspace, frame.color_range = 1, 1
        frame.pts, frame.time_base = self.count, 1 / self.fps
        self.container.mux(self.video.encode(frame))
        self.count += 1
        if self.sound is not None:
            self._feed_sound(self.count / self.fps)

    def _start(self, width: int, height: int) -> None:
        e = self.encoding
        self.video = self.container.add_stream("libvpx-vp9" if self.web else "libx264", rate=self.fps)
        self.video.width, self.video.height, self.video.pix_fmt = width, height, "yuv420p"
        self.video.codec_context.time_base = 1 / self.fps
        self.video.codec_context.colorspace = self.video.codec_context.color_primaries = 1
        self.video.codec_context.color_trc = self.video.codec_context.color_range = 1
        if self.web:
            self.video.options = {"crf": str(e.vp9_crf), "b:v": "0", "cpu-used": "6", "deadline": "realtime", "row-mt": "1"}
        else:
            self.video.options = {"crf": str(e.crf), "preset": e.preset, "profile": "high", "x264-params": "rc-lookahead=8"}
        self.video.codec_context.thread_count = 2
        if self.sound is not None:
            layout = "mono" if self.channels == 1 else "stereo"
            self.audio = self.container.add_stream("libopus" if self.web else "aac", rate=self.rate, layout=layout)
            self.audio.bit_rate = 96000 * self.channels
            self.parts = self.sound.wide_blocks(self.rate, self.channels)
            self.left = np.zeros((0, self.channels), np.float32)

    def _feed_sound(self, until: Fraction) -> None:
        """Encodes sound up to `until` seconds; silence where the source has ended."""
        wanted = round(until * self.rate) - self.given
        while len(self.left) < wanted:
            part = next(self.parts, None)
            if part is None:
                part = np.zeros((wanted - len(self.left), self.channels), np.float32)
            self.left = np.concatenate([self.left, part])
        self._encode_sound(self.left[:wanted])
        self.left = self.left[wanted:]

    def _encode_sound(self, samples: np.ndarray) -> None:
        import av

        layout = "mono" if self.channels == 1 else "stereo"
        frame = av.AudioFrame.from_ndarray(np.clip(samples, -1, 1).reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = self.rate, self.given, Fraction(1, self.rate)
        self.given += len(samples)
        self.container.mux(self.audio.encode(frame))

    def finish(self) -> None:
        self.container.mux(self.video.encode(None))
        if self.audio is not None:
            self.container.mux(self.audio.encode(None))
        self.container.close()
        os.replace(self.beside, self.path)

    def discard(self) -> None:
        try:
            self.container.close()
        except (OSError, ValueError):  # a file that fails to close is removed all the same
            self.container = None
        self.beside.unlink(missing_ok=True)


class _Gif:
    """A looping GIF with one palette, through Pillow; at most 50 frames a second, as browsers show."""

    def __init__(self, path: Path, fps: Fraction, encoding: Encoding) -> None:
        import av

        check_output(path)
        self.path, self.fps = path, min(fps, Fraction(50))
        self.beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
        self.container = av.open(str(self.beside), "w", format="gif", options={"loop": "0"})
        self.graph, self.video, self.count, self.every = None, None, 0, fps / self.fps
        self.colours = encoding.gif_colours

    def write(self, rgb: np.ndarray) -> None:
        import av

        if self.video is None:
            height, width = rgb.shape[:2]
            self.video = self.container.add_stream("gif", rate=self.fps)
            self.video.width, self.video.height, self.video.pix_fmt = width, height, "rgb8"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(format="rgb8")
        frame.pts, frame.time_base = self.count, 1 / self.fps
        self.container.mux(self.video.encode(frame))
        self.count += 1

    def finish(self) -> None:
        self.container.mux(self.video.encode(None))
        self.container.close()
        os.replace(self.beside, self.path)

    def discard(self) -> None:
        self.container.close()
        self.beside.unlink(missing_ok=True)


class _Pictures:
    """One picture a frame in a new folder, which appears when all are there."""

    def __init__(self, pattern: Path) -> None:
        self.folder, self.name, self.count = pattern.parent, pattern.name, 0
        check_output(self.folder)
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise OutputError(f"{self.folder}: exists already and is not an empty folder; name a new one")
        self.beside = self.folder.with_name(f".{self.folder.name}.{os.getpid()}.part")
        self.beside.mkdir()

    def write(self, rgb: np.ndarray) -> None:
        write_image(self.beside / (self.name % self.count), rgb)
        self.count += 1

    def finish(self) -> None:
        if self.folder.exists():
            self.folder.rmdir()
        os.replace(self.beside, self.folder)

    def discard(self) -> None:
        shutil.rmtree(self.beside, ignore_errors=True)
