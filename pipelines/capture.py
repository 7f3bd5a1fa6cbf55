"""The motion of a video or of speech, for other programs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.drive import by_sound, life, open_sound
from pipelines.output import ANIMATED, check_output, is_meshes, is_video
from pipelines.take import Saved, watched
from studio.errors import NoFaceError, UsageError
from studio.motion import FaceMotion

if TYPE_CHECKING:
    from controls.lipsync.events import Event

SPEECH_FPS = Fraction(60)
"""Frames per second of motion made from sound."""


@dataclass(frozen=True)
class Capture:
    """Motion that is read from its source as it is asked for.

    fps     exact frames per second.
    total   number of frames where it is known beforehand.
    """

    fps: Fraction
    total: int | None
    move: Callable[[], Iterator[FaceMotion]] = field(repr=False)
    seen: bool = True
    source: str = ""
    progress: Callable[..., None] | None = field(default=None, repr=False)
    cancel: threading.Event | None = field(default=None, repr=False)
    hear: Callable[[], list[Event]] | None = field(default=None, repr=False)

    @property
    def events(self) -> list[Event]:
        """Phones and visemes with their times. Raises `UsageError` for motion that comes from no sound."""
        if self.hear is None:
            raise UsageError("visemes are heard in speech: give a sound, not a video")
        return self.hear()

    def save_events(self, path: str | os.PathLike[str], kind: str = "json") -> Path:
        """Write phones and visemes as Rhubarb Lip Sync does: "json" or "tsv". See `events`."""
        from controls.lipsync.events import save_events

        return save_events(Path(path), self.events, self.source, kind)

    @property
    def stream(self) -> Iterator[FaceMotion]:
        """The motion in consecutive blocks of about a second or less."""
        return self.move()

    @property
    def motion(self) -> FaceMotion:
        """The whole motion."""
        from studio.motion import join

        return join(self.move())

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        rig: Any = None,
        tolerance: float | None = None,
        progress: Callable[..., None] | None = None,
        cancel: threading.Event | None = None,
    ) -> Saved:
        """Write .csv (Live Link Face), .npz or .json, or a head in motion: .glb, .usdc, .usda, .usdz, or a mesh a
        frame, take/%05d.ply or .obj. Nothing is left at `path` on an error.

        rig        the head that moves (`avatars.rig.Rig`); default: the embedded one.
        tolerance  of a .glb: keys that interpolation gives back within it are dropped (`avatars.export.save_rig`).

        Raises `NoFaceError` when no frame of a video shows a face.
        """
        target = check_output(path, "take")
        moves = target.suffix.lower() in ANIMATED or is_meshes(path)
        if rig is not None and not moves:
            raise UsageError(f"{path}: a rig goes into {' '.join(ANIMATED)}; this is a motion alone")
        if tolerance is not None and target.suffix.lower() != ".glb":
            raise UsageError(f"{path}: keys are dropped from .glb alone")
        from studio.clip import ahead
        from studio.motion_io import save_motion
        from studio.progress import Progress

        began, frames, lost = time.monotonic(), 0, 0
        tell = progress or self.progress

        def counted() -> Iterator[FaceMotion]:
            nonlocal frames, lost
            for block in watched(ahead(self.move, room=2), cancel, self.cancel):
                frames += len(block)
                lost += int((block.confidence <= 0).sum())
                yield block
                if tell is not None:
                    seconds = time.monotonic() - began
                    left = None if not self.total else max(0.0, seconds / frames * (self.total - frames))
                    tell(Progress("capture", frames, self.total, seconds, left))
            if tell is not None:
                tell(Progress("capture", frames, frames, time.monotonic() - began, 0.0))
            if self.seen and frames and lost == frames:
                raise NoFaceError(f"{self.source}: no face in {frames} frames. Crop closer to the face.")

        missing = ""
        if moves:
            missing = _save_head(target, counted(), rig, tolerance)
        else:
            save_motion(target, counted())
        note = f"no face in {lost} of them" if lost else ("a face in all of them" if self.seen else "")
        note = ", ".join(filter(None, (note, missing)))
        return Saved(target, frames, self.fps, None, time.monotonic() - began, note)


def _save_head(target: Path, stream: Iterator[FaceMotion], rig: Any, tolerance: float | None) -> str:
    """Writes a head in motion; returns what a user should know about the head."""
    from avatars.export import save_rig, save_sequence
    from avatars.head import embedded_head
    from pipelines.reconstruct import on_its_neck
    from studio.motion import join

    rig = embedded_head() if rig is None else rig
    if is_meshes(target):
        save_sequence(rig, target, map(on_its_neck, stream))
    else:
        save_rig(rig, target, on_its_neck(join(stream)), tolerance=tolerance)
    missing = rig.missing()
    return f"the rig has no {', '.join(missing)}" if missing else ""


class CapturePipeline:
    """A video or speech becomes motion.

        CapturePipeline()("talk.mp4").save("take.csv")

    driver  turns sound into motion (default `controls.lipsync.driver.LipSyncDriver`).
    engine  sees the face of a video in place of the fit to landmarks: `pipelines.flame.FlameEngine`.
    """

    def __init__(self, driver: Any = None, engine: Any = None) -> None:
        self._driver = driver
        self.engine = engine

    @property
    def driver(self) -> Any:
        """Turns sound into motion."""
        if self._driver is None:
            from controls.lipsync.driver import LipSyncDriver

            self._driver = LipSyncDriver()
        return self._driver

    def __call__(
        self,
        source: Any,
        *,
        fps: Fraction | int | str | None = None,
        face: int | str = 0,
        blink: float = 0.0,
        gaze_motion: float = 0.0,
        head_motion: float = 0.0,
        seed: int = 0,
        transcript: str | os.PathLike[str] | None = None,
        language: str = "en-us",
        progress: Callable[..., None] | None = None,
        cancel: threading.Event | None = None,
    ) -> Capture:
        """Capture.

        source  path of a video (its face is tracked) or of a sound, or `studio.media.Audio`.
        fps     default: the video's own, 60 for sound.
        face    of a video, 0 is the largest.
        blink, gaze_motion, head_motion  0..1: life added to what is made from sound.
        transcript  what a sound says, if known: text, or a .txt, .srt, .vtt or .TextGrid. language: its own.

        Raises `UsageError` and `MediaError` before any work.
        """
        if face == "all":
            raise UsageError("a capture holds one face; give its number")
        for name, value in (("blink", blink), ("gaze_motion", gaze_motion), ("head_motion", head_motion)):
            if not 0 <= value <= 1:
                raise UsageError(f"{name}={value:g} is out of range; give a number from 0 to 1")
        from studio.clip import parse_fps

        rate = None if fps is None else parse_fps(fps)
        if is_video(source):
            if transcript is not None:
                raise UsageError("a transcript goes with a sound; the face of a video is tracked")
            return self._video(Path(source), rate, int(face), progress, cancel)
        sound, driver = open_sound(source), self.driver
        if transcript is not None:
            from controls.lipsync.driver import LipSyncDriver

            driver = LipSyncDriver(transcript=transcript, language=language)
        drive = by_sound(sound, driver, rate or SPEECH_FPS)

        def move() -> Iterator[FaceMotion]:
            from controls.spoken import motions

            stream = drive.stream()
            for layer in life(blink, gaze_motion, head_motion, seed):
                stream = layer(stream)
            return motions(stream)

        hear = (lambda: driver.events(sound)) if hasattr(driver, "events") else None
        return Capture(drive.fps, drive.total, move, False, str(source), progress, cancel, hear)

    def _video(
        self, path: Path, fps: Fraction | None, face: int, progress: Any, cancel: threading.Event | None
    ) -> Capture:
        from controls.performance import PerformanceDriver
        from studio.media import Clip

        clip = Clip.open(path)
        rate = fps or clip.fps
        total = None if clip.duration is None else round(clip.duration * rate)
        if self.engine is not None:
            watch = self.engine.watch
            return Capture(rate, total, lambda: watch(path, fps=rate, face=face), True, str(path), progress, cancel)
        driver = PerformanceDriver(path, head="absolute", residual="off", fps=rate, face=face)
        return Capture(rate, total, driver.stream, True, str(path), progress, cancel)
