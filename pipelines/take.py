"""What pipelines hand back: a `Take` (motion and its pictures, made as they are read) or a `Still`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.output import MOTIONS, TEMPLATES, check_output
from studio.errors import Cancelled, MediaError, UsageError
from studio.motion import FaceMotion

if TYPE_CHECKING:
    from studio.media import Frame
    from studio.observation import Observation
    from studio.progress import Progress

Report = Callable[["Progress"], None]


@dataclass(frozen=True)
class Saved:
    """A file that was written; as text, a line about it."""

    path: Path
    frames: int
    fps: Fraction | None = None
    size: tuple[int, int] | None = None
    seconds: float = 0.0
    note: str = ""

    def __str__(self) -> str:
        parts = []
        if self.size:
            parts.append(f"{self.size[0]}x{self.size[1]}")
        if self.fps:
            rate = f"{self.fps}" if self.fps.denominator == 1 else f"{float(self.fps):.5g}"
            parts += [f"{self.frames} frames", f"{rate} fps", f"{float(self.frames / self.fps):.2f} s"]
        if self.note:
            parts.append(self.note)
        return f"{self.path}: {', '.join(parts)} (made in {self.seconds:.1f} s)"


@dataclass(frozen=True)
class Take:
    """A performance: motion, and the pictures of it.

    Nothing is kept: each reading makes motion and pictures anew, and the same ones each time.

    fps       exact frames per second.
    size      (width, height) of the pictures.
    audio     the sound that goes along (`studio.media.Audio` or a path), or None.
    total     number of frames where it is known beforehand (a file's estimate may be off by a few).
    native    makes the motion in LivePortrait's own numbers, where these drive; else None.
    """

    fps: Fraction
    size: tuple[int, int]
    audio: Any
    total: int | None
    move: Callable[[], Iterator[FaceMotion]] = field(repr=False)
    draw: Callable[[], Iterator[np.ndarray]] = field(repr=False)
    cancel: threading.Event | None = field(default=None, repr=False)
    note: Callable[[], str] = field(default=lambda: "", repr=False)
    native: Callable[[], Iterator[Any]] | None = field(default=None, repr=False)

    @property
    def stream(self) -> Iterator[FaceMotion]:
        """The motion in consecutive blocks of about a second or less."""
        return self.move()

    @property
    def motion(self) -> FaceMotion:
        """The whole motion: (T, 52) ARKit weights, head, exact fps."""
        from studio.motion import join

        return join(self.move())

    @property
    def frames(self) -> Iterator[Frame]:
        """Frames with (H, W, 3) uint8 RGB, made as they are read."""
        from studio.media import Frame

        for k, image in enumerate(self.draw()):
            yield Frame(image=image, time=Fraction(k) / self.fps, index=k)

    def save(
        self, path: str | os.PathLike[str], *, progress: Report | None = None, cancel: threading.Event | None = None
    ) -> Saved:
        """Write the video (.mp4 .mov .webm .gif, a folder or pattern of pictures) or the motion (.csv .npz .json; as a
        template of LivePortrait's, where its own numbers drive, .safetensors or .pkl).

        On any error, and when `cancel` is set (`Cancelled`), nothing is left at `path`.
        """
        if Path(path).suffix.lower() in MOTIONS:
            return self._save_motion(check_output(path, "motion"), cancel)
        if Path(path).suffix.lower() in TEMPLATES:
            return self._save_template(check_output(path, "template"), cancel)
        check_output(path, "video")
        from studio.media import VideoWriter
        from studio.progress import track

        began = time.monotonic()
        count = 0
        with VideoWriter(path, self.fps, size=self.size, audio=self.audio) as writer:
            for image in track(watched(self.draw(), cancel, self.cancel), "animate", self.total, progress):
                writer.write(image)
                count += 1
            if not count:
                raise MediaError("there is nothing to show: the source is shorter than one frame")
        return Saved(Path(path), count, self.fps, self.size, time.monotonic() - began, self.note())

    def _save_motion(self, path: Path, cancel: threading.Event | None) -> Saved:
        from studio.motion_io import save_motion

        began = time.monotonic()
        counted = _Count(watched(self.move(), cancel, self.cancel))
        save_motion(path, iter(counted))
        return Saved(path, counted.frames, self.fps, None, time.monotonic() - began, self.note())

    def _save_template(self, path: Path, cancel: threading.Event | None) -> Saved:
        from avatars.liveportrait.template import save_template

        if self.native is None:
            raise UsageError(
                f"{path}: a template holds LivePortrait's own motion; here none drives; write {' '.join(MOTIONS)}"
            )
        began = time.monotonic()
        counted = _Count(watched(self.native(), cancel, self.cancel))
        save_template(path, iter(counted))
        return Saved(path, counted.frames, self.fps, None, time.monotonic() - began, self.note())


def watched(items: Iterator[Any], *cancels: threading.Event | None) -> Iterator[Any]:
    """The same items until somebody asks to stop: then `Cancelled`."""
    try:
        for item in items:
            if any(cancel is not None and cancel.is_set() for cancel in cancels):
                raise Cancelled("stopped; no output was left behind")
            yield item
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


class _Count:
    """Blocks that pass by, counted."""

    def __init__(self, blocks: Iterable[FaceMotion]) -> None:
        self.blocks, self.frames = blocks, 0

    def __iter__(self) -> Iterator[FaceMotion]:
        for block in self.blocks:
            self.frames += len(block)
            yield block


@dataclass(frozen=True)
class Still:
    """An edited picture.

    image   (H, W, 3) uint8 RGB.
    alpha   (H, W) uint8 or None.
    faces   the faces that were edited, as observed in the original.
    """

    image: np.ndarray
    alpha: np.ndarray | None = None
    faces: tuple[Observation, ...] = ()
    seconds: float = 0.0

    def save(
        self, path: str | os.PathLike[str], *, progress: Report | None = None, cancel: threading.Event | None = None
    ) -> Saved:
        """Write a .png, .jpg or .webp; nothing is left at `path` on an error."""
        check_output(path, "picture")
        if cancel is not None and cancel.is_set():
            raise Cancelled("stopped; no output was left behind")
        from studio.media import write_image

        write_image(path, self.image, self.alpha)
        return Saved(Path(path), 1, None, (self.image.shape[1], self.image.shape[0]), self.seconds)
