"""Where `studio.writer` puts its frames: a movie, a GIF, or pictures. Each is written beside its goal.

A sink has three methods: `write(picture)` takes a frame, (H, W, 3) uint8 RGB or (H, W, 4) RGBA with straight alpha,
`finish()` moves the whole result to its place, `discard()` removes what there is so far. It is made and finished in
one thread and written to in another, never at once.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from studio.audio import Audio
from studio.errors import OutputError, UsageError
from studio.picture import check_output, write_image


@dataclass(frozen=True)
class Encoding:
    """Quality of H.264 (crf: lower is better; 16 looks like the source) and of VP9; speed of either.

    `superfast` costs 4.6 ms of processor time a frame at 512 x 512 where `veryfast` costs 7.8, with the same
    error against the source and 15 % more bytes.
    """

    crf: int = 16
    preset: str = "superfast"
    vp9_crf: int = 24
    gif_colours: int = 255


CLEAR_SUFFIXES = (".webm", ".mov")
"""Videos that hold transparency: VP9 with an alpha layer for browsers, ProRes 4444 for editors."""


class Sink(Protocol):
    """What takes frames."""

    def write(self, picture: np.ndarray) -> None: ...

    def finish(self) -> None: ...

    def discard(self) -> None: ...


_AAC_RATES = (48000, 44100, 32000)
_FAMILIES = {11025: 44100, 22050: 44100, 88200: 44100, 64000: 32000}


def sound_rate(rate: int, opus: bool) -> int:
    """The rate to encode sound of `rate` at.

    Opus has 48 kHz inside. AAC comes in portions of 1024 samples: below 32 kHz the last one would outlast
    the picture by up to 0.13 s, so low rates are raised to a multiple of theirs.
    """
    if opus:
        return 48000
    return rate if rate in _AAC_RATES else _FAMILIES.get(rate, 48000)


class _Container:
    """A container beside its goal."""

    def __init__(self, path: Path, **options: Any) -> None:
        import av

        check_output(path)
        self.path = path
        self.beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
        try:
            self.file: Any = av.open(str(self.beside), "w", **options)
        except (av.FFmpegError, OSError) as error:
            raise OutputError(f"{path}: can't be written ({error.strerror or error})") from error

    def replace(self) -> None:
        self.file.close()
        os.replace(self.beside, self.path)

    def remove(self) -> None:
        try:
            self.file.close()
        except (OSError, ValueError):  # a container that can't be closed, as on a full disk, is removed all the same
            self.file = None
        finally:
            self.beside.unlink(missing_ok=True)


class Movie:
    """H.264 or VP9 with sound, written as frames come; sound is fed up to the last frame's end.

    Frames with alpha become VP9 with an alpha layer in .webm, ProRes 4444 in .mov.
    """

    def __init__(self, path: Path, fps: Fraction, sound: Audio | None, encoding: Encoding) -> None:
        suffix = path.suffix.lower()
        self.web = suffix == ".webm"
        quick_start = {"movflags": "+faststart"} if suffix in (".mp4", ".mov", ".m4v") else {}
        self.out = _Container(path, options=quick_start)
        self.fps, self.encoding, self.sound = fps, encoding, sound
        self.video: Any = None
        self.audio: Any = None
        self.count = 0
        if sound is not None:
            self.rate, self.channels = sound_rate(sound.rate, self.web), min(2, sound.channels)
            self.layout = "mono" if self.channels == 1 else "stereo"
            self.parts = sound.wide_blocks(self.rate, self.channels)
            self.left = np.zeros((0, self.channels), np.float32)
            self.given = 0

    def write(self, picture: np.ndarray) -> None:
        import av

        height, width, channels = picture.shape[0] & ~1, picture.shape[1] & ~1, picture.shape[2]
        if self.count == 0:
            self._start(width, height, channels == 4)
        picture = np.ascontiguousarray(picture[:height, :width])
        if channels == 4:
            picture = _bled(picture)
        frame = av.VideoFrame.from_ndarray(picture, format="rgba" if channels == 4 else "rgb24")
        colours = {"src_colorspace": "ITU709", "dst_colorspace": "ITU709", "dst_color_range": "MPEG"}
        frame = frame.reformat(format=self.video.pix_fmt, **colours)
        frame.colorspace, frame.color_range = 1, 1
        frame.pts, frame.time_base = self.count, 1 / self.fps
        self.out.file.mux(self.video.encode(frame))
        self.count += 1
        if self.sound is not None:
            self._feed_sound(self.count / self.fps)

    def _start(self, width: int, height: int, clear: bool) -> None:
        chosen = self.encoding
        if clear and self.out.path.suffix.lower() not in CLEAR_SUFFIXES:
            raise UsageError(f"{self.out.path}: transparent video is written as {' or '.join(CLEAR_SUFFIXES)}")
        codec_name = "libvpx-vp9" if self.web else "prores_ks" if clear else "libx264"
        self.video = self.out.file.add_stream(codec_name, rate=self.fps)
        self.video.width, self.video.height, self.video.pix_fmt = width, height, "yuv420p"
        codec = self.video.codec_context
        codec.time_base = 1 / self.fps
        codec.colorspace = codec.color_primaries = codec.color_trc = codec.color_range = 1  # BT.709, limited range
        codec.thread_count = 2
        if self.web:
            rates = {"crf": str(chosen.vp9_crf), "b:v": "0"}
            self.video.options = {**rates, "cpu-used": "6", "deadline": "realtime", "row-mt": "1"}
            if clear:
                self.video.pix_fmt = "yuva420p"
                self.video.options |= {"auto-alt-ref": "0"}  # libvpx has no hidden frames beside an alpha layer
        elif clear:
            self.video.pix_fmt = "yuva444p10le"
            self.video.options = {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"}
        else:
            self.video.options = {"crf": str(chosen.crf), "preset": chosen.preset, "profile": "high"}
        if self.sound is not None:
            self.audio = self.out.file.add_stream("libopus" if self.web else "aac", rate=self.rate, layout=self.layout)
            self.audio.bit_rate = 96000 * self.channels

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

        frame = av.AudioFrame.from_ndarray(np.clip(samples, -1, 1).reshape(1, -1), format="flt", layout=self.layout)
        frame.sample_rate, frame.pts, frame.time_base = self.rate, self.given, Fraction(1, self.rate)
        self.given += len(samples)
        self.out.file.mux(self.audio.encode(frame))

    def finish(self) -> None:
        self.out.file.mux(self.video.encode(None))
        if self.sound is not None:
            self.out.file.mux(self.audio.encode(None))
        self.out.replace()

    def discard(self) -> None:
        self.out.remove()


def _bled(picture: np.ndarray) -> np.ndarray:
    """(H, W, 4): the same, with the colours near its edge carried on into what is clear, so that neither coarser
    colour nor compression brings black into the edge."""
    import cv2

    clear = picture[..., 3] == 0
    if not clear.any():
        return picture
    weight = (picture[..., 3:] > 0).astype(np.float32)
    near = cv2.blur(np.dstack([picture[..., :3] * weight, weight]), (17, 17))
    out = picture.copy()
    out[clear, :3] = np.rint(near[clear, :3] / np.maximum(near[clear, 3:], 1e-3))
    return out


class Gif:
    """A looping GIF. The palette is the first frame's; it is renewed where the picture has left it, as at a cut.

    One palette keeps still parts still. Dithering is by a fixed pattern for the same reason. Browsers show at
    most 50 frames a second: of faster motion frames are left out.
    """

    def __init__(self, path: Path, fps: Fraction, encoding: Encoding) -> None:
        self.out = _Container(path, format="gif", options={"loop": "0"})
        self.fps, self.shown, self.colours = fps, min(fps, Fraction(50)), encoding.gif_colours
        self.video: Any = None
        self.graph: Any = None
        self.seen = self.count = 0
        self.error = 0.0

    def write(self, picture: np.ndarray) -> None:
        import av

        if picture.shape[2] == 4:
            raise UsageError(f"{self.out.path}: transparent video is written as {' or '.join(CLEAR_SUFFIXES)}")
        rgb = picture
        number = int(self.seen * self.shown / self.fps)
        self.seen += 1
        if number < self.count:
            return
        if self.video is None:
            self.video = self.out.file.add_stream("gif", rate=self.shown)
            self.video.width, self.video.height, self.video.pix_fmt = rgb.shape[1], rgb.shape[0], "pal8"
        self._choose_palette(rgb)
        source, sink = self.graph
        source.push(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(format="bgra"))
        frame = sink.pull()
        frame.pts, frame.time_base = self.count, 1 / self.shown
        self.out.file.mux(self.video.encode(frame))
        self.count += 1

    def _choose_palette(self, rgb: np.ndarray) -> None:
        from PIL import Image

        small = Image.fromarray(rgb)
        small.thumbnail((160, 160))

        def error(palette: Any) -> float:
            near = small.quantize(palette=palette, dither=Image.Dither.NONE).convert("RGB")
            return float(np.abs(np.asarray(near, np.int16) - np.asarray(small, np.int16)).mean())

        if self.graph is None or error(self.palette) > 1.5 * self.error + 1:
            self.palette = small.quantize(self.colours, Image.Quantize.MEDIANCUT)
            self.error = error(self.palette)
            colours = np.array(self.palette.getpalette(), np.uint8).reshape(-1, 3)
            self.graph = _palette_graph(rgb.shape[1], rgb.shape[0], colours)

    def finish(self) -> None:
        self.out.file.mux(self.video.encode(None))
        self.out.replace()

    def discard(self) -> None:
        self.out.remove()


def _palette_graph(width: int, height: int, colours: np.ndarray) -> tuple[Any, Any]:
    """FFmpeg's `paletteuse` with a given palette: (source, sink)."""
    import av
    from av.filter import Graph

    table = np.zeros((256, 4), np.uint8)
    table[: len(colours), :3], table[:, 3] = colours[:, ::-1], 255
    table[len(colours) :, :3] = colours[0, ::-1]
    graph = Graph()
    beat = Fraction(1, 100)
    source = graph.add_buffer(width=width, height=height, format="bgra", time_base=beat)
    palette = graph.add_buffer(width=16, height=16, format="bgra", time_base=beat)
    use, sink = graph.add("paletteuse", "dither=bayer:bayer_scale=4"), graph.add("buffersink")
    source.link_to(use, 0, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    frame = av.VideoFrame.from_ndarray(table.reshape(16, 16, 4), format="bgra")
    frame.pts, frame.time_base = 0, beat
    palette.push(frame)
    palette.push(None)
    return source, _Held(graph, sink)


@dataclass(frozen=True)
class _Held:
    """A sink that keeps its graph alive."""

    graph: Any
    sink: Any

    def pull(self) -> Any:
        return self.sink.pull()


class Pictures:
    """One picture a frame in a new folder, which appears when all are there."""

    def __init__(self, pattern: Path) -> None:
        self.folder, self.name, self.count = pattern.parent, pattern.name, 0
        check_output(self.folder)
        try:
            str(self.name % 0)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{pattern}: a pattern has one number in it, as in %05d.png") from error
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise OutputError(f"{self.folder}: exists already and is not an empty folder; name a new one")
        self.beside = self.folder.with_name(f".{self.folder.name}.{os.getpid()}.part")
        self.beside.mkdir()

    def write(self, picture: np.ndarray) -> None:
        alpha = picture[..., 3] if picture.shape[2] == 4 else None
        try:
            write_image(self.beside / (self.name % self.count), picture[..., :3], alpha)
        except OutputError as error:  # say it of the folder that the user knows
            raise OutputError(str(error).replace(str(self.beside), str(self.folder))) from error
        self.count += 1

    def finish(self) -> None:
        if self.folder.exists():
            self.folder.rmdir()
        os.replace(self.beside, self.folder)

    def discard(self) -> None:
        shutil.rmtree(self.beside, ignore_errors=True)
