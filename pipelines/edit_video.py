"""Edit a video frame by frame: each change is relative to what the face does at that moment.

Landmarks are smoothed over a few frames in both directions, so that the edit does not tremble on a face
that doesn't. Where the face is lost the edit fades out before and in after, and frames without it pass
unchanged. A few frames are held at a time, whatever the length.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pipelines.change import Change
from pipelines.portrait import Portrait
from pipelines.scene import Scene
from pipelines.take import Take
from studio.motion import FaceMotion
from studio.observation import Observation

Item = TypeVar("Item")

FADE = 6
"""Frames over which the edit comes and goes where the face appears and is lost."""

SMOOTH = 0.8
"""Standard deviation of the smoothing of landmarks over time, in frames."""

JUMP = 0.15
"""Movement of a face between two frames, in eye spans, beyond which it is a cut and nothing is averaged across."""


@dataclass
class Seen:
    """A frame and the faces to edit in it, by id."""

    image: np.ndarray
    faces: dict[int, Observation] = field(default_factory=dict)
    others: tuple[Observation, ...] = ()


def edit_video(
    path: str | os.PathLike[str],
    change: Change,
    avatar: Callable[..., Any],
    face: int | str,
    cancel: threading.Event | None = None,
) -> Take:
    """The edited clip as a `Take`: its frames are made as they are read, its sound is the clip's own."""
    from studio.clip import ahead
    from studio.media import Audio, Clip

    clip = Clip.open(Path(path))
    audio = Audio.open(Path(path)) if clip.has_audio else None
    total = None if clip.duration is None else round(clip.duration * clip.fps)

    def frames() -> Iterator[np.ndarray]:
        seen = ahead(lambda: observed(clip, face), room=3)
        try:
            for frame, strengths in faded(steadied(seen)):
                yield edited(frame, strengths, change, avatar)
        finally:
            seen.close()

    def move() -> Iterator[FaceMotion]:
        motion = FaceMotion(change.weights[None], clip.fps, head=change.head[None])
        for k in range(total or 0):
            yield replace(motion, start=k)

    return Take(clip.fps, clip.size, audio, total, move, frames, cancel)


def observed(clip: Any, face: int | str, fps: Fraction | None = None) -> Iterator[Seen]:
    """Each frame of the clip (at its own rate, or at `fps`) with the chosen faces in it."""
    from controls.tracker import FaceTracker

    tracker = FaceTracker(max_faces=1 if face == 0 else 8)
    for frame, faces in tracker.track(clip.frames_at(fps or clip.fps)):
        here = [f for f in faces if f.confidence > 0 or f.time == frame.time]  # seen, or bridged over a short gap
        chosen = here if face == "all" else [f for f in here if f.face_id == face]
        yield Seen(frame.image, {f.face_id: f for f in chosen}, tuple(f for f in here if f not in chosen))


def steadied(frames: Iterable[Seen]) -> Iterator[Seen]:
    """Landmarks averaged over neighbouring frames (zero phase), never across a cut."""
    reach = ceil(2 * SMOOTH)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SMOOTH) ** 2)

    def centre(window: list[Seen | None]) -> Seen:
        now = window[reach]
        faces = {}
        for who, face in now.faces.items():
            total, weight = face.landmarks * taps[reach], taps[reach]
            for step in (-1, 1):
                last = face
                for k in range(1, reach + 1):
                    near = window[reach + step * k]
                    other = None if near is None else near.faces.get(who)
                    if other is None or _moved(last, other) > JUMP:
                        break
                    total, weight = total + other.landmarks * taps[reach + step * k], weight + taps[reach + step * k]
                    last = other
            faces[who] = replace(face, landmarks=(total / weight).astype(np.float32))
        return Seen(now.image, faces, now.others)

    return (centre(window) for window in windows(frames, reach))


def faded(frames: Iterable[Seen]) -> Iterator[tuple[Seen, dict[int, float]]]:
    """Each frame with the strength 0..1 of the edit of each of its faces."""
    for window in windows(frames, FADE):
        yield window[FADE], {who: strength(window, who) for who in window[FADE].faces}


def strength(window: Sequence[Any], who: int) -> float:
    """0..1 for a face in the middle of a window, whose items have `faces` (None beyond the clip's ends): less than 1
    within `FADE` frames of one that it is not in."""
    middle, nearest = len(window) // 2, FADE + 1
    for k in range(1, FADE + 1):
        sides = (window[middle - k], window[middle + k])
        if any(side is not None and who not in side.faces for side in sides):
            nearest = k
            break
    t = nearest / (FADE + 1)
    return t * t * (3 - 2 * t)


def edited(frame: Seen, strengths: dict[int, float], change: Change, avatar: Callable[..., Any]) -> np.ndarray:
    """(H, W, 3) uint8: the frame with its faces changed."""
    if change.nothing or not frame.faces:
        return frame.image
    faces = tuple(frame.faces.values())
    scene = Scene(Portrait(frame.image, None, faces, frame.others, "the video"), avatar)
    weights = [change.of(f, a.expression) * strengths[f.face_id] for f, a in zip(faces, scene.avatars)]
    return scene.frame(weights, [change.head * strengths[f.face_id] for f in faces])


def _moved(a: Observation, b: Observation) -> float:
    return float(np.linalg.norm(a.landmarks[:468, :2].mean(0) - b.landmarks[:468, :2].mean(0))) / max(a.eye_span, 1.0)


def windows(frames: Iterable[Item], reach: int) -> Iterator[list[Item | None]]:
    """For each frame the 2 * reach + 1 frames round it; None beyond the ends."""
    window: deque[Item | None] = deque([None] * (2 * reach + 1), 2 * reach + 1)
    for frame in frames:
        window.append(frame)
        if window[reach] is not None:
            yield list(window)
    for _ in range(reach):
        window.append(None)
        if window[reach] is not None:
            yield list(window)
