"""A driving video onto a video: each frame of the source takes what the driver does, by LivePortrait.

What a source frame's face is to take (its own expression and the driver's change, or the driver's alone) is smoothed
over neighbouring frames in both directions, as its authors do with whole clips; here a few frames are held, whatever
the length. Where the source's face is lost its frames pass unchanged, and the edit fades out before and in after.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.drive import Drive, open_sound
from pipelines.edit_video import FADE, Seen, observed, steadied, strength, windows
from pipelines.engines import face_motions
from pipelines.portrait import Portrait
from pipelines.scene import Scene
from pipelines.take import Take

if TYPE_CHECKING:
    from avatars.liveportrait.face import LivePortraitFace
    from avatars.liveportrait.native import NativeMotion


@dataclass(frozen=True, eq=False)
class Aimed:
    """A frame of the source, what drives it, and by id its faces and what they are to take, (72,) each."""

    seen: Seen
    driving: NativeMotion
    faces: Mapping[int, LivePortraitFace]
    aims: Mapping[int, np.ndarray]


def reenact_video(
    path: str | os.PathLike[str],
    drive: Drive,
    avatar: Any,
    *,
    face: int | str = 0,
    cancel: threading.Event | None = None,
) -> Take:
    """The source clip at the drive's rate, as long as the shorter of both.

    drive   its stream is `NativeMotion`, not smoothed; its sound goes along, else the source's own.
    avatar  a `LivePortraitAvatar`, under whose settings motion is carried over.
    face    0 is the largest of the source's faces, or "all".
    """
    from studio.clip import ahead
    from studio.media import Clip

    clip = Clip.open(Path(path))
    audio = drive.audio
    if audio is None and clip.has_audio:
        audio = open_sound(path)
    own = None if clip.duration is None else round(clip.duration * drive.fps)
    known = [total for total in (own, drive.total) if total is not None]

    def frames() -> Iterator[np.ndarray]:
        seen = ahead(lambda: observed(clip, face, drive.fps), room=3)
        motion = ahead(drive.stream, room=2)
        try:
            yield from drawn(aimed(steadied(seen), motion, avatar, drive.fps), avatar)
        finally:
            seen.close()
            motion.close()

    move = lambda: face_motions(drive.stream(), avatar)
    note = lambda: avatar.terms
    return Take(drive.fps, clip.size, audio, min(known, default=None), move, frames, cancel, note, drive.stream)


def aimed(frames: Iterator[Seen], motion: Iterator[NativeMotion], avatar: Any, fps: Fraction) -> Iterator[Aimed]:
    """Each source frame with its driving frame; with "one-euro" what is to be taken is smoothed already."""
    from controls.smoothing import OneEuro

    ease: dict[int, OneEuro] = {}
    driving = (block[k : k + 1] for block in motion for k in range(len(block)))
    for seen, now in zip(frames, driving):
        faces = {who: avatar(seen.image, one) for who, one in seen.faces.items()}
        aims = {who: one.aims(now)[0] for who, one in faces.items()}
        if avatar.settings.smooth == "one-euro":
            ease = {who: ease.get(who) or OneEuro(fps, cutoff=4.0, beta=4.0) for who in aims}
            aims = {who: ease[who](aim * _EVEN) / _EVEN for who, aim in aims.items()}
        yield Aimed(seen, now, faces, aims)


_EVEN = np.concatenate([np.full(63, 20.0), np.full(9, 10.0)])
"""Units in which a step of each number counts alike."""


def drawn(frames: Iterator[Aimed], avatar: Any) -> Iterator[np.ndarray]:
    """(H, W, 3) uint8 for each frame."""
    from avatars.liveportrait.smoothing import kalman_smooth, reach_of
    from avatars.liveportrait.transfer import usual_eyes

    settings = avatar.settings
    steady = reach_of(settings.observation) if settings.smooth == "kalman" else 0
    reach = max(FADE, steady)
    eyes: dict[int, float] = {}
    for window in windows(frames, reach):
        now = window[reach]
        assert now is not None
        if not now.faces:
            yield now.seen.image
            continue
        parts = []
        for who, face in now.faces.items():
            if face.openings is not None:
                eyes.setdefault(who, usual_eyes(face.openings))
            run, place = _run(window[reach - steady : reach + steady + 1], who)
            aim = kalman_smooth(np.stack(run), settings.observation)[place] if steady else run[place]
            x = face.led(now.driving, aim, eyes.get(who))
            share = strength(window[reach - FADE : reach + FADE + 1], who)
            parts.append(next(face.draw(x, share=share)))
        portrait = Portrait(now.seen.image, None, tuple(now.seen.faces.values()), now.seen.others, "the video")
        yield Scene(portrait, lambda image, one, alpha=None, made=now.faces: made[one.face_id]).pasted(parts)


def _run(window: list[Aimed | None], who: int) -> tuple[list[np.ndarray], int]:
    """What a face is to take in the consecutive frames round the middle of a window in which it is seen, and the
    middle's place among them."""
    middle = len(window) // 2
    low, high = middle, middle + 1
    while low > 0 and window[low - 1] is not None and who in window[low - 1].aims:
        low -= 1
    while high < len(window) and window[high] is not None and who in window[high].aims:
        high += 1
    return [window[k].aims[who] for k in range(low, high)], middle - low


__all__ = ["reenact_video"]
