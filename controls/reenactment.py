"""`ReenactmentDriver`: a video of a face becomes motion in LivePortrait's own numbers, as fast as frames are read.

Each frame's face is cut out by its landmarks and read by the motion network. The cut follows the face, and what it
moved and grew by is put back into the numbers, so that neither a face that wanders nor a cut that trembles changes
size or place of what is driven. The first seconds are read ahead to choose the frame that stands for the portrait.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatars.liveportrait.crop import DRIVING, Crop, crop_of, cut_out, placed
from avatars.liveportrait.native import WIDTH, NativeMotion
from avatars.liveportrait.ratios import ratios
from avatars.liveportrait.settings import SMOOTHING
from avatars.liveportrait.smoothing import OBSERVATION, kalman_stream
from controls.smoothing import AWAY, RETURN, OneEuro
from controls.tracker import FaceTracker
from studio.errors import NoFaceError, UsageError
from studio.motion import EYE_SPAN
from studio.observation import Observation

if TYPE_CHECKING:
    from avatars.liveportrait.networks import Networks

AHEAD = 10.0
"""Seconds read ahead to choose the reference frame."""

BLOCK = 0.5
"""Seconds of motion in a block."""

READ = 8
"""Faces that the motion network reads at a time."""

FOLLOW = 0.3
"""Share of its way to the face that the cut goes in a frame; a face further off than `JUMP` sides is a cut."""

JUMP = 0.25

REFERENCES = ("match", "frontal", "first")


@dataclass(frozen=True, eq=False)
class _Read:
    """A frame: its numbers (73,), None where no face was seen; head (3,) radians, of the tracker."""

    numbers: np.ndarray | None
    head: np.ndarray | None = None


class ReenactmentDriver:
    """LivePortrait's motion of a video (Guo et al. 2024, section 3.1).

        motion = ReenactmentDriver("take.mp4", avatar.networks, portrait=observation).stream()

    path       a video.
    networks   LivePortrait's.
    portrait   the face that will move: "match" looks for its like.
    reference  the frame that stands for the portrait as it is: "first" (with a face), "frontal" (the calm one of the
               first seconds that looks straightest into the camera), "match" (the one whose head, lips and lids are
               most like the portrait's; without a portrait "frontal").
    smooth     "kalman" (of `observation` variance, without delay), "one-euro" (causal), "off".
    face       0 is the largest face of the first frames.
    fps        default: the clip's own.

    Raises `UsageError` at once for unknown choices, `MediaError` for what is no video.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        networks: Networks,
        *,
        portrait: Observation | None = None,
        reference: str = "match",
        smooth: str = "kalman",
        observation: float = OBSERVATION,
        face: int = 0,
        fps: Fraction | int | None = None,
    ) -> None:
        from studio.media import Clip

        for name, value, choices in (("reference", reference, REFERENCES), ("smooth", smooth, SMOOTHING)):
            if value not in choices:
                raise UsageError(f"{name}={value!r}: choose one of {', '.join(choices)}")
        if face < 0:
            raise UsageError(f"face={face}: give a number from 0 (the largest face)")
        self.clip = Clip.open(Path(path))
        self.fps = Fraction(fps or self.clip.fps)
        self.networks, self.portrait, self.reference = networks, portrait, reference
        self.smooth, self.observation, self.face = smooth, observation, face

    def stream(self) -> Iterator[NativeMotion]:
        """The motion in consecutive blocks, one frame for each frame of the clip at `fps`.

        Where no face is seen the last motion is held (confidence 0), and a face that comes back is led to from there.
        Raises `NoFaceError` when no frame of the clip shows one.
        """
        follow = _Follow()
        reads = self._reads(follow)
        ahead: list[_Read] = list(islice(reads, ceil(AHEAD * float(self.fps))))
        while ahead and not any(read.numbers is not None for read in ahead):
            more = next(reads, None)
            if more is None:
                break
            ahead.append(more)
        known = [read for read in ahead if read.numbers is not None]
        if not known:
            raise NoFaceError(f"{self.clip.path}: no face in {len(ahead)} frames. Crop closer to the face.")
        first = self._chosen(known).numbers
        frames = self._smoothed(held(chain(ahead, reads), known[0].numbers, self.fps))
        size, start = max(1, round(BLOCK * float(self.fps))), 0
        while block := list(islice(frames, size)):
            numbers, confidence = (np.array(part, np.float32) for part in zip(*block))
            yield NativeMotion(numbers, first, self.fps, confidence, start, measured=True, metres=follow.metres)
            start += len(block)

    def _chosen(self, known: list[_Read]) -> _Read:
        if self.reference == "first":
            return known[0]
        like = np.zeros(6)
        like[3:5] = np.median([read.numbers[70:72] for read in known], 0)  # calm: eyes as usual, lips shut
        if self.reference == "match" and self.portrait is not None:
            eyes, lips = ratios(np.asarray(self.portrait.landmarks)[None])
            like = np.array([*self.portrait.head[:3], *eyes[0], lips[0, 0]])
        apart = [np.abs(np.array([*read.head, *read.numbers[70:73]]) - like).sum() for read in known]
        return known[int(np.argmin(apart))]

    def _reads(self, follow: _Follow) -> Iterator[_Read]:
        """Every frame of the clip, faces read `READ` at a time."""
        tracker = FaceTracker(max_faces=1 if self.face == 0 else max(8, self.face + 1))
        waiting: list[tuple[np.ndarray, Crop, Observation] | None] = []

        def read() -> Iterator[_Read]:
            seen = [item for item in waiting if item is not None]
            rows = iter(self._numbers(seen, follow.anchor) if seen else ())
            for item in waiting:
                yield _Read(None) if item is None else _Read(next(rows), item[2].head[:3])
            waiting.clear()

        for frame, faces in tracker.track(self.clip.frames_at(self.fps)):
            face = next((f for f in faces if f.face_id == self.face and f.confidence > 0), None)
            if face is None:
                waiting.append(None)
            else:
                crop = follow(face)
                waiting.append((cut_out(frame.image, crop, 256), crop, face))
            if len(waiting) >= READ:
                yield from read()
        yield from read()

    def _numbers(self, seen: list[tuple[np.ndarray, Crop, Observation]], anchor: Crop) -> np.ndarray:
        """(N, 73) of faces in their cuts, as if all had been cut out where the first was."""
        from avatars.liveportrait.keypoints import refine

        fine = refine(self.networks.raw(np.stack([small for small, _, _ in seen])))
        eyes, lips = ratios(np.stack([face.landmarks for _, _, face in seen]))
        angles = [fine[name].numpy() for name in ("pitch", "yaw", "roll")]
        t, scale = fine["t"].numpy().copy(), fine["scale"].numpy().copy()
        for k, (_, crop, _) in enumerate(seen):
            grown = crop.side / anchor.side
            shift = (np.array(crop.centre) - anchor.centre) * 2 / anchor.side
            t[k, :2] = t[k, :2] * grown + shift
            scale[k] *= grown
        return np.concatenate([fine["exp"].flatten(1).numpy(), t, scale, *angles, eyes, lips], 1)

    def _smoothed(self, frames: Iterable[tuple[np.ndarray, float]]) -> Iterator[tuple[np.ndarray, float]]:
        if self.smooth == "off":
            return iter(frames)
        if self.smooth == "one-euro":
            ease = OneEuro(self.fps, cutoff=4.0, beta=4.0)
            return ((ease(numbers * _EVEN) / _EVEN, sure) for numbers, sure in frames)
        sure: deque[float] = deque()

        def numbers() -> Iterator[np.ndarray]:
            for frame, confidence in frames:
                sure.append(confidence)
                yield frame * _KALMAN

        return ((frame / _KALMAN, sure.popleft()) for frame in kalman_stream(numbers(), self.observation))


_KALMAN = np.ones(WIDTH)
_KALMAN[67:70] = np.pi / 180
_EVEN = np.full(WIDTH, 20.0)
_EVEN[67:70] = 0.2
"""Units in which a step of each number counts alike: angles as radians for the published variances, and about one for
a large motion."""


class _Follow:
    """The cut of each frame; `anchor` is the first, `metres` of one unit of its keypoints."""

    def __init__(self) -> None:
        self.anchor: Crop | None = None
        self.now: Crop | None = None
        self.metres = 0.0

    def __call__(self, face: Observation) -> Crop:
        there = crop_of(face.landmarks, DRIVING)
        if self.anchor is None:
            self.anchor, self.metres = there, EYE_SPAN * there.side / 2 / face.eye_span
        before = self.now
        if before is not None:
            step = np.subtract(there.centre, before.centre)
            if np.abs(step).max() < JUMP * before.side and abs(there.side / before.side - 1) < JUMP:
                centre = before.centre + FOLLOW * step
                there = placed(centre, before.side + FOLLOW * (there.side - before.side))
        self.now = there
        return there


def held(
    reads: Iterable[_Read], start: np.ndarray, fps: Fraction, away: float = AWAY, back: float = RETURN
) -> Iterator[tuple[np.ndarray, float]]:
    """(numbers (73,), confidence) of each frame: what was last seen where nothing is, `start` before the first sight;
    led back within `back` seconds to a face that was lost for more than `away`."""
    last, lost, left = start, 0, 0
    span = max(1, round(back * float(fps)))
    rest = start
    for read in reads:
        if read.numbers is None:
            lost, left = lost + 1, 0
            rest = last
            yield last, 0.0
            continue
        if lost > away * float(fps):
            left = span
        lost = 0
        last = read.numbers
        if left:
            t = 1 - left / (span + 1)
            last = rest + (t * t * (3 - 2 * t)) * (read.numbers - rest)
            left -= 1
        yield last, 1.0


__all__ = ["ReenactmentDriver", "held"]
