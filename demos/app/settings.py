"""What the app is started with, and the limits of what its users may ask for."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

from studio.errors import MediaError, UsageError

LOCAL = ("127.0.0.1", "localhost", "::1")
AUTH = "FACE_STUDIO_AUTH"
"""Environment variable with USER:PASSWORD, for those who don't want it in the list of processes."""


@dataclass(frozen=True)
class Limits:
    """What one upload, one session and the queue may hold.

    megabytes   of one upload.
    quota       megabytes of all files of a session; beyond it the oldest go.
    seconds     of a video or a sound.
    megapixels  of a picture or of a video's frames.
    letters     of typed text.
    waiting     jobs in the queue.
    at_once     jobs worked on at the same time.
    idle        seconds after which a session's files go.
    """

    megabytes: int = 200
    quota: int = 1000
    seconds: float = 120.0
    megapixels: float = 40.0
    letters: int = 1500
    waiting: int = 64
    at_once: int = max(1, (os.cpu_count() or 2) // 2)
    idle: float = 3600.0

    def check_picture(self, path: str | Path) -> None:
        """Raises MediaError for a picture with too many pixels; only its header is read."""
        from PIL import Image

        try:
            with Image.open(path) as image:
                width, height = image.size
        except Exception as error:
            raise MediaError(f"{Path(path).name}: not a picture that can be read. Give a PNG, JPEG or WebP.") from error
        self._check_pixels(path, width, height)

    def check_video(self, path: str | Path) -> None:
        """Raises MediaError for a video that is too long or has too many pixels."""
        from studio.media import Clip

        clip = Clip.open(path)
        self._check_pixels(path, *clip.size)
        self._check_seconds(path, clip.duration)

    def check_sound(self, path: str | Path) -> None:
        """Raises MediaError for a sound that is too long."""
        from studio.media import Audio

        self._check_seconds(path, Audio.open(path).duration)

    def check_text(self, text: str) -> None:
        """Raises UsageError for more text than may be spoken."""
        if len(text) > self.letters:
            raise UsageError(f"{len(text)} letters of text: up to {self.letters} are spoken. Shorten it.")

    def _check_pixels(self, path: str | Path, width: int, height: int) -> None:
        if width * height > self.megapixels * 1e6:
            size = f"{width}x{height} is {width * height / 1e6:.0f} megapixels"
            raise MediaError(f"{Path(path).name}: {size}, up to {self.megapixels:g} are taken. Scale it down first.")

    def _check_seconds(self, path: str | Path, seconds: float | None) -> None:
        if seconds is None:
            seconds = _measured(path, self.seconds)
        if seconds > self.seconds:
            raise MediaError(
                f"{Path(path).name}: lasts {seconds:.0f} s, up to {self.seconds:g} s are taken. Cut it shorter."
            )


def _measured(path: str | Path, most: float) -> float:
    """Seconds from the first packet to the last of a file that doesn't tell how long it is, such as a browser's own
    recordings; no more is read once there are more than `most`."""
    import av

    first, last = None, 0.0
    try:
        with av.open(str(path)) as container:
            for packet in container.demux():
                if packet.pts is None or packet.time_base is None:
                    continue
                time = float(packet.pts * packet.time_base)
                first = time if first is None else first
                last = max(last, time - first)
                if last > most:
                    break
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{Path(path).name}: can't be read to its end. Save it anew as MP4 or WAV.") from error
    return last


@dataclass(frozen=True)
class Settings:
    """How the app is served.

    host, port  where it listens; port None takes the first free one from 7860.
    share       make a public link through Gradio's servers.
    auth        (user, password), needed for anything but this computer.
    mcp         also serve its functions to language models (Model Context Protocol).
    show        open the browser.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    share: bool = False
    auth: tuple[str, str] | None = None
    mcp: bool = False
    show: bool = False
    limits: Limits = field(default_factory=Limits)

    @property
    def local(self) -> bool:
        """Whether only this computer can reach it."""
        return self.host in LOCAL and not self.share

    def check(self) -> None:
        """Raises UsageError for an app that strangers could use without a password."""
        if not self.local and self.auth is None:
            what = "--share" if self.share else f"--host {self.host}"
            raise UsageError(f"{what} lets others in: give --auth USER:PASSWORD as well, or set {AUTH}")

    def check_port(self) -> None:
        """Raises UsageError where the port can't be had; sooner than the server would tell."""
        if self.port is None:
            return
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError as error:
                where = f"{self.host}:{self.port}"
                raise UsageError(f"can't listen at {where} ({error.strerror or error}); give another --port") from error


def read_auth(text: str | None) -> tuple[str, str] | None:
    """(user, password) of USER:PASSWORD or of the environment; None where neither is set."""
    text = text or os.environ.get(AUTH)
    if not text:
        return None
    user, colon, password = text.partition(":")
    if not colon or not user or len(password) < 8:
        raise UsageError("--auth takes USER:PASSWORD with a password of 8 letters or more")
    return user, password
