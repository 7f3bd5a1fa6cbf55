"""Motion sent live: to Unreal (Live Link Face) and to VTuber programs (VMC), frame by frame at an exact rate."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pipelines.drive import by_motion, by_sound, life, open_sound
from studio.errors import OutputError, UsageError
from studio.motion import FaceMotion, blocks

PORTS = {"livelink": 11111, "vmc": 39539}
STREAM_FPS = Fraction(60)
LATE = 0.25
"""Seconds behind its time from which on a frame starts the clock anew, instead of all being sent in a hurry."""


@dataclass(frozen=True)
class Target:
    """Where frames go: protocol "livelink" or "vmc", host, UDP port."""

    protocol: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Target:
        """`livelink://host:11111`, `vmc://[::1]:39539`; without a port the protocol's usual one."""
        found = re.fullmatch(r"(\w+)://(\[[0-9a-fA-F:.%\w]+\]|[^\s:/\[\]]+)(?::(\d+))?/?", text.strip())
        if not found or found[1].lower() not in PORTS:
            raise UsageError(f"{text!r}: write livelink://HOST:11111 or vmc://HOST:39539")
        port = int(found[3] or PORTS[found[1].lower()])
        if not 0 < port < 65536:
            raise UsageError(f"{text}: ports go from 1 to 65535")
        return cls(found[1].lower(), found[2].strip("[]"), port)

    def open(self) -> tuple[socket.socket, Any]:
        """A UDP socket and the address. Raises OutputError where the host isn't known."""
        try:
            family, kind, _, _, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)[0]
            return socket.socket(family, kind), address
        except OSError as error:
            raise OutputError(f"{self.protocol}://{self.host}:{self.port}: can't be reached ({error})") from error


@dataclass(frozen=True)
class Streamed:
    """frames sent; seconds it took; stalls: how often the source came too late to keep the beat."""

    frames: int
    seconds: float
    stalls: int


def encoder(target: Target, subject: str) -> Callable[[FaceMotion, int], bytes]:
    """What makes datagrams for a target."""
    from avatars.export.live import livelink_packet, vmc_packet

    if target.protocol == "livelink":
        return lambda motion, k: livelink_packet(motion, k, subject)
    vmc_packet(FaceMotion.still(1, 25), 0)  # a missing package is told before anything starts
    return vmc_packet


def paced(
    stream: Iterable[FaceMotion],
    stop: threading.Event,
    clock: Callable[[], float] = time.monotonic,
    stalled: Callable[[], None] = lambda: None,
) -> Iterator[tuple[FaceMotion, int]]:
    """(block, k) of each frame when it is due: frame n at n / fps after the first, from an exact rate, so nothing drifts.

    A frame later than `LATE` starts the clock anew and calls `stalled`. Ends when `stop` is set.
    """
    began, since = None, 0
    number = 0
    for block in stream:
        for k in range(len(block)):
            now = clock()
            if began is None:
                began = now
            due = began + float((number - since) / block.fps)
            if now - due > LATE:
                began, since, due = now, number, now
                stalled()
            if stop.wait(max(0.0, due - now)) or stop.is_set():
                return
            yield block, k
            number += 1


class StreamPipeline:
    """Sends motion live.

        StreamPipeline()(["livelink://127.0.0.1:11111"], audio="speech.wav")

    driver  turns a recorded sound into motion (default `controls.lipsync.driver.LipSyncDriver`).
    """

    def __init__(self, driver: Any = None) -> None:
        self._driver = driver

    def __call__(
        self,
        to: str | Sequence[str],
        *,
        audio: Any = None,
        camera: int | None = None,
        motion: Any = None,
        fps: Fraction | int | str | None = None,
        blink: float = 0.0,
        gaze_motion: float = 0.0,
        head_motion: float = 0.0,
        seed: int = 0,
        subject: str = "FaceStudio",
        cancel: threading.Event | None = None,
    ) -> Streamed:
        """Send until the source ends or `cancel` is set; on an interruption a face at rest is sent last.

        to      targets, see `Target.parse`.
        audio   "mic", the path of a sound, or `studio.media.Audio`; camera: its number; motion: a take or its path.
                One of the three.
        fps     default: a take's own, 30 for a camera, 60 for sound.
        subject the name under which Unreal lists the face.

        Raises `UsageError`, `MediaError`, `MissingExtraError` before anything is sent, `OutputError` for a lost host.
        """
        if sum(source is not None for source in (audio, camera, motion)) != 1:
            raise UsageError("one source is streamed: --audio mic|FILE, --camera N or --motion TAKE")
        targets = [Target.parse(text) for text in ([to] if isinstance(to, str) else to)]
        if not targets:
            raise UsageError("where to? Give livelink://HOST:11111 or vmc://HOST:39539")
        from studio.clip import parse_fps

        rate = None if fps is None else parse_fps(fps)
        stop = cancel or threading.Event()
        made = [encoder(target, subject) for target in targets]
        stream = self._source(audio, camera, motion, rate, (blink, gaze_motion, head_motion, seed), stop)
        sockets: list[tuple[socket.socket, Any]] = []
        stalls = frames = 0

        def stalled() -> None:
            nonlocal stalls
            stalls += 1

        began, last = time.monotonic(), None
        try:
            sockets += [target.open() for target in targets]
            with closing(stream):
                for block, k in paced(stream, stop, stalled=stalled):
                    last = FaceMotion(
                        block.weights[k : k + 1],
                        block.fps,
                        block.head[k : k + 1],
                        block.confidence[k : k + 1],
                        start=frames,
                    )
                    _send(sockets, targets, made, last)
                    frames += 1
        except KeyboardInterrupt:
            stop.set()
            raise
        finally:
            if stop.is_set() and last is not None:  # no mouth stays open in the receiver
                _send(sockets, targets, made, FaceMotion.still(1, last.fps, start=frames))
            for opened, _ in sockets:
                opened.close()
        return Streamed(frames, time.monotonic() - began, stalls)

    def _source(
        self, audio: Any, camera: int | None, motion: Any, fps: Fraction | None, lively: tuple, stop: threading.Event
    ) -> Iterator[FaceMotion]:
        from controls.spoken import motions
        from studio.clip import ahead

        if motion is not None:
            take = by_motion(motion, None, fps, 1.0, "absolute")
            return (block for block in blocks(take.stream()))
        if camera is not None:
            from controls.live import camera_motion

            return camera_motion(camera, fps or Fraction(30), stop)
        layers = life(*lively)
        if isinstance(audio, str) and audio == "mic":
            from controls.live import microphone, spoken_live

            stream: Any = spoken_live(microphone(stop), fps or STREAM_FPS)
            for layer in layers:
                stream = layer(stream)
            return motions(stream)
        driver = self._driver
        if driver is None:
            from controls.lipsync.driver import LipSyncDriver

            driver = LipSyncDriver()
        drive = by_sound(open_sound(audio), driver, fps or STREAM_FPS)

        def move() -> Iterator[FaceMotion]:
            stream = drive.stream()
            for layer in layers:
                stream = layer(stream)
            return motions(stream)

        return ahead(move, room=4)


def _send(sockets: list[tuple[socket.socket, Any]], targets: list[Target], made: list[Any], frame: FaceMotion) -> None:
    for (opened, address), target, encode in zip(sockets, targets, made, strict=False):
        try:
            opened.sendto(encode(frame, 0), address)
        except ConnectionRefusedError:  # nobody listens yet: datagrams are sent all the same
            continue
        except OSError as error:
            raise OutputError(f"{target.protocol}://{target.host}:{target.port}: {error}") from error


__all__ = ["PORTS", "StreamPipeline", "Streamed", "Target", "paced"]
