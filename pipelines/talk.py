"""A portrait talks, or repeats a performance."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.backdrop import Background, before, cut_out, read_background
from pipelines.drive import Layer, added, by_motion, by_sound, by_video, in_place, life, mouth_at_rest, open_sound
from pipelines.engines import (
    avatar_of,
    by_reenactment,
    by_template,
    face_motions,
    is_native,
    native_layers,
    recorded,
    takes_native,
    with_transfer,
)
from pipelines.output import TEMPLATES, is_video
from pipelines.portrait import Portrait, read_placed, read_portrait
from pipelines.scene import Scene, Solo
from pipelines.take import Take
from studio.errors import NoFaceError, UsageError
from studio.motion import FaceMotion

if TYPE_CHECKING:
    from avatars.liveportrait.settings import TransferSettings
    from controls.tracker import FaceTracker

AUDIO_FPS = Fraction(25)
"""Frames per second where only sound drives."""


class TalkingPortraitPipeline:
    """A portrait and speech (or a performance) become a talking video.

        take = TalkingPortraitPipeline()("portrait.jpg", audio="speech.wav", emotion={"joy": 0.4})
        take.save("talking.mp4"); take.motion.save("take.csv")

    tracker   finds faces (default `controls.tracker.FaceTracker`).
    driver    turns sound into motion (default `controls.lipsync.driver.LipSyncDriver`): `.stream(audio, fps)`.
    layers    called as `layer(stream) -> stream`; None means blinks, glances and nods as the call asks for.
    avatar    makes an avatar of a picture and an observation (default: what `engine` names).
    engine    "photo" (`avatars.photo.PhotoAvatar`), "liveportrait" (`avatars.liveportrait.avatar.LivePortraitAvatar`,
              whose files lie in the folder `weights`), or "liveportrait-animals".
    """

    def __init__(
        self,
        tracker: FaceTracker | None = None,
        driver: Any = None,
        layers: Sequence[Layer] | None = None,
        avatar: Callable[..., Any] | None = None,
        *,
        engine: str = "photo",
        weights: str | os.PathLike[str] | None = None,
    ) -> None:
        self._tracker, self._driver, self.layers, self._avatar = tracker, driver, layers, avatar
        self._engine, self._weights = engine, weights

    @property
    def driver(self) -> Any:
        """Turns sound into motion."""
        if self._driver is None:
            from controls.lipsync.driver import LipSyncDriver

            self._driver = LipSyncDriver()
        return self._driver

    def _speaker(self, transcript: str | os.PathLike[str] | None, language: str) -> Any:
        if transcript is None:
            return self.driver
        from controls.lipsync.driver import LipSyncDriver

        return LipSyncDriver(transcript=transcript, language=language)

    @property
    def avatar(self) -> Callable[..., Any]:
        """Makes what the motion moves."""
        if self._avatar is None:
            self._avatar = avatar_of(self._engine, self._weights)
        return self._avatar

    @property
    def tracker(self) -> FaceTracker:
        """Finds the faces of portraits."""
        if self._tracker is None:
            from pipelines.portrait import default_tracker

            self._tracker = default_tracker()
        return self._tracker

    def __call__(
        self,
        portrait: Any,
        *,
        audio: Any = None,
        driver: str | os.PathLike[str] | None = None,
        motion: Any = None,
        emotion: Mapping[str, float] | None = None,
        shapes: Mapping[str, float] | None = None,
        aus: Mapping[str, float | str] | None = None,
        blink: float | None = None,
        gaze_motion: float | None = None,
        head_motion: float | None = None,
        neutralize: float | None = None,
        intensity: float = 1.0,
        driver_head: str | None = None,
        reference: str = "match",
        residual: str = "auto",
        transfer: TransferSettings | None = None,
        fps: Fraction | int | str | None = None,
        size: int | tuple[int, int] | None = None,
        background: Background | str = "own",
        face: int | str = 0,
        box: Sequence[float] | Sequence[Sequence[float]] | None = None,
        seed: int = 0,
        transcript: str | os.PathLike[str] | None = None,
        language: str = "en-us",
        progress: Callable[..., None] | None = None,
        cancel: threading.Event | None = None,
    ) -> Take:
        """Animate a portrait.

        portrait      path, (H, W, 3 or 4) uint8 array, PIL image, or an avatar that is ready, such as a 3D head
                      (`avatars.rig_avatar.RigAvatar`); size, background, face and neutralize are not for those.
                      With LivePortrait and a driver also a video, each frame of which takes the driver's motion
                      (`pipelines.reenact`).
        audio         speech: a path (a video's sound works too) or `studio.media.Audio`.
        driver        a performance video to copy, or a template of LivePortrait's (.pkl, .safetensors). With `audio` as
                      well, the motion is the driver's and the sound is `audio`.
        motion        a recorded motion instead: `FaceMotion`, or a .csv, .npz or .json; `NativeMotion`, or a template.
        emotion, shapes, aus   added to the motion; see `controls.expressions`.
        blink, gaze_motion, head_motion   0..1, default 1 where sound drives and 0 where a performance does.
        neutralize    0..1: how much of the portrait's own expression to take out first (default 0; where
                      sound or a recording drives, the lips are always taken to rest).
        intensity     0..2: how strongly a performance is copied.
        driver_head   "relative", "absolute" or "off": default relative for a portrait, absolute for a 3D head.
        reference     "match", "first" or "frontal": the driver's frame that stands for the portrait.
        residual      "auto", "on" or "off": copy also what the 52 shapes miss (photo engine).
        transfer      how LivePortrait repeats a performance (`avatars.liveportrait.settings`), intensity times.
        fps           default 25 for sound, else the performance's own.
        size          long side, or (width, height).
        background    "own" leaves a portrait's; else people are cut out, before RGB, a picture (H, W, 3), words for
                      either (`pipelines.backdrop`), or "transparent": frames are (H, W, 4), to be saved as .webm
                      or .mov.
        face          0 is the largest, or "all".
        box           for LivePortrait, where no face can be found: x, y, width, height in pixels of a head, or
                      several; of animals the default is the largest square in the middle.
        seed          of blinks, glances and nods.
        transcript    what the speech says, if known: text, or a .txt, .srt, .vtt or .TextGrid. Lips get surer.
        language      of the transcript, as espeak-ng names it.

        Raises `UsageError`, `MediaError`, `NoFaceError` before any frame is made.
        """
        from controls.expressions import expression
        from controls.spoken import motions
        from studio.clip import Clip, ahead, parse_fps

        for name, value, high in (
            ("blink", blink, 1),
            ("gaze_motion", gaze_motion, 1),
            ("head_motion", head_motion, 1),
            ("neutralize", neutralize, 1),
            ("intensity", intensity, 2),
        ):
            if value is not None and not 0 <= value <= high:
                raise UsageError(f"{name}={value:g} is out of range; give a number from 0 to {high}")
        if driver is not None and motion is not None:
            raise UsageError("two sources of motion: driver and motion; give one")
        if driver is not None and Path(driver).suffix.lower() in TEMPLATES:
            driver, motion = None, driver
        speaks = driver is None and motion is None
        if speaks and audio is None:
            raise UsageError("what moves the face? Give audio (speech), driver (a video) or motion (a recorded take)")
        ready = hasattr(portrait, "render")
        avatar = None if ready else self.avatar
        speaker = self._speaker(transcript, language) if speaks else None
        motion = recorded(motion, avatar)
        native = is_native(motion) or (takes_native(avatar) and (driver is not None or hasattr(speaker, "native")))
        if native and neutralize:
            raise UsageError("neutralize doesn't go with LivePortrait's own motion; see transfer's normalize_lip")
        if takes_native(avatar):
            transfer = transfer or getattr(speaker, "transfer", None)
            copied = (intensity, driver_head or "relative") if native and not speaks else (1.0, "relative")
            avatar = with_transfer(avatar, transfer, *copied)
        elif transfer is not None:
            raise UsageError("transfer goes with engine='liveportrait'")
        constant = expression(shapes=shapes, aus=aus, emotion=emotion, speaking=True)
        rate = None if fps is None else parse_fps(fps)
        needed = speaks and not getattr(speaker, "lively", False)
        amounts = [float(needed) if a is None else a for a in (blink, gaze_motion, head_motion)]

        sound = open_sound(audio)
        kept = isinstance(background, str) and background == "own"
        if ready and (size is not None or face or neutralize or not kept):
            raise UsageError(
                "size, face, neutralize and background are for portraits; an avatar that is ready has its own"
            )
        behind = read_background(background) if isinstance(background, str) and not kept else background
        if box is not None and not takes_native(avatar):
            raise UsageError("box goes with engine='liveportrait' or 'liveportrait-animals'")
        video = is_video(portrait)
        if video:
            _check_video(native and not speaks, avatar, size, neutralize, kept, box)
            rate = rate or Clip.open(Path(portrait)).fps
        seen = None if ready or video else self._observed(portrait, avatar, face, box, size)
        turn = driver_head or ("absolute" if ready else "relative")
        if ready:
            residual = "off"
        if transcript is not None and not speaks:
            raise UsageError("a transcript goes with speech; here something else moves the face")
        if speaks:
            drive = by_sound(sound, speaker, rate or AUDIO_FPS, native)
        elif native:
            drive = (
                by_template(motion, sound, rate)
                if driver is None
                else by_reenactment(driver, sound, rate, seen, avatar, reference, "off" if video else None)
            )
        elif driver is not None:
            drive = by_video(
                driver, sound, rate, seen, intensity=intensity, head=turn, reference=reference, residual=residual
            )
        else:
            drive = by_motion(motion, sound, rate, intensity, turn)
        rest = np.full(52, neutralize or 0.0, np.float32)
        if driver is None:  # speech and recordings say where the mouth is, a performance how it changes
            rest = np.maximum(rest, mouth_at_rest())

        def layered(base: Iterator[Any], person: int) -> Iterator[Any]:
            layers = self.layers
            if layers is None:
                layers = life(*amounts, seed=seed + 7919 * person)
            if native:
                return native_layers(base, layers, constant, avatar)
            stream: Iterator[Any] = base
            for layer in layers:
                stream = layer(stream)
            return added(stream, constant) if constant.any() else motions(stream)

        if video:
            from pipelines.reenact import reenact_video

            changed = replace(drive, stream=lambda: layered(drive.stream(), 0))
            return reenact_video(portrait, changed, avatar, face=face, cancel=cancel)
        if seen is None:
            scene: Scene | Solo = Solo(portrait)
        else:
            scene = Scene(seen if kept else cut_out(seen), avatar, transparent=not kept)

        def driven() -> Iterator[Any]:
            return in_place(drive.stream()) if ready and not speaks else drive.stream()

        def move() -> Iterator[FaceMotion]:
            stream = layered(driven(), 0)
            return face_motions(stream, avatar) if native else stream

        def draw() -> Iterator[np.ndarray]:
            base = ahead(driven, room=2)
            try:
                people = scene.people
                copies = itertools.tee(base, people) if people > 1 else [base]
                streams = [layered(copy, i) for i, copy in enumerate(copies)]
                frames = scene.frames(streams, neutralize=rest)
                yield from frames if kept else before(frames, behind, scene.size)
            finally:
                base.close()

        terms = [getattr(part, "terms", "") for part in (avatar, speaker)]
        note = lambda: "; ".join(filter(None, (drive.note, *terms)))
        own = (lambda: layered(driven(), 0)) if native else None
        return Take(drive.fps, scene.size, drive.audio, drive.total, move, draw, cancel, note, own)

    def _observed(self, portrait: Any, avatar: Any, face: int | str, box: Any, size: Any) -> Portrait:
        if box is None and not getattr(avatar, "animal", False):
            try:
                return read_portrait(portrait, self.tracker, face=face, size=size)
            except NoFaceError as error:
                if not takes_native(avatar):
                    raise
                raise NoFaceError(
                    f"{error} Or place the head: --box x,y,width,height; an animal's with --engine liveportrait-animals"
                ) from error
        if face not in (0, "all"):
            raise UsageError("face counts faces that are found; here a box says where the head is")
        boxes = [box] if box is not None and not hasattr(box[0], "__len__") else box
        return read_placed(portrait, boxes, size=size)


def _check_video(driven: bool, avatar: Any, size: Any, neutralize: float | None, kept: bool, box: Any) -> None:
    """What a video as the source needs, and what is for pictures alone."""
    if not driven or avatar.animal:
        raise UsageError(
            "a video as the source needs engine='liveportrait' (of people) and a driver, a video or a template; "
            "expressions in a video are changed by `face-studio edit`"
        )
    if size is not None or neutralize or not kept or box is not None:
        raise UsageError("size, neutralize, background and box are for pictures; this source is a video")
