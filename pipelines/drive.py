"""Drive: sound, a performance or a recorded motion becomes one stream of motion; layers add to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.portrait import Portrait
from studio.arkit import ARKIT
from studio.errors import MediaError, UsageError
from studio.motion import FaceMotion

if TYPE_CHECKING:
    from studio.media import Audio

Layer = Callable[[Iterable[Any]], Iterator[Any]]
"""A layer adds something of its own (blinks, glances, nods) to a stream (`controls.spoken`)."""


@dataclass(frozen=True)
class Drive:
    """What moves the face, before layers.

    total   number of frames where it is known beforehand.
    audio   the sound that goes along, or None.
    stream  makes the motion, from the beginning each time: `FaceMotion` or `SpokenBlock` blocks.
    """

    fps: Fraction
    total: int | None
    audio: Audio | None
    stream: Callable[[], Iterator[Any]]
    note: str = ""


def open_sound(source: Any) -> Audio | None:
    """`Audio` of a path or of an `Audio`; None stays None."""
    if source is None:
        return None
    if isinstance(source, (str, os.PathLike)):
        from studio.media import Audio

        return Audio.open(Path(source))
    if hasattr(source, "blocks"):
        return source
    raise UsageError(f"audio is a path or a studio.media.Audio, not {type(source).__name__}")


def by_sound(audio: Audio, driver: Any, fps: Fraction, native: bool = False) -> Drive:
    """Speech drives: lips from its sound, in time with it; `native`: in LivePortrait's own numbers."""
    total = None if audio.duration is None else max(1, round(audio.duration * fps))
    stream = driver.native if native else driver.stream
    return Drive(fps, total, audio, lambda: stream(audio, fps))


def by_motion(
    source: FaceMotion | str | os.PathLike[str], audio: Audio | None, fps: Fraction | None, intensity: float, head: str
) -> Drive:
    """A recorded motion drives."""
    if not isinstance(source, FaceMotion):
        from studio.motion_io import load_motion

        source = load_motion(Path(source))
    if not len(source):
        raise MediaError("the recorded motion has no frames")
    motion = source.with_fps(fps) if fps is not None and fps != source.fps else source
    start = motion.head[0] if head == "relative" else 0.0
    motion = replace(
        motion,
        start=0,
        residual=None,
        weights=motion.weights * np.float32(intensity),
        head=np.zeros_like(motion.head) if head == "off" else motion.head - start,
    )

    def stream() -> Iterator[FaceMotion]:
        from studio.motion import blocks

        return blocks(motion)

    return Drive(motion.fps, len(motion), audio, stream)


def by_video(
    path: str | os.PathLike[str],
    audio: Audio | None,
    fps: Fraction | None,
    portrait: Portrait | None,
    *,
    intensity: float,
    head: str,
    reference: str,
    residual: str,
) -> Drive:
    """A performance drives; its own sound goes along unless `audio` is given. portrait: None for a head at rest."""
    from controls.performance import PerformanceDriver
    from studio.media import Clip

    clip = Clip.open(Path(path))
    if audio is None and clip.has_audio:
        audio = open_sound(path)
    driver = PerformanceDriver(
        path,
        portrait=None if portrait is None else portrait.faces[0],
        intensity=intensity,
        head=head,
        reference=reference,
        residual=residual,
        fps=fps,
    )
    rate = Fraction(fps or clip.fps)
    total = None if clip.duration is None else round(clip.duration * rate)
    return Drive(rate, total, audio, driver.stream)


def in_place(stream: Iterable[FaceMotion]) -> Iterator[FaceMotion]:
    """The turns of a recorded head without its way through the room, for a head that stands before a camera of its
    own."""
    for block in stream:
        yield replace(block, head=block.head * np.float32([1, 1, 1, 0, 0, 0]), residual=None)


def life(blink: float, gaze_motion: float, head_motion: float, seed: int) -> list[Layer]:
    """Blinks, glances and nods, each with its amount 0..1; those at 0 are left out."""
    from controls.life import Blinks, Gaze, HeadMotion

    wanted = ((HeadMotion, head_motion), (Gaze, gaze_motion), (Blinks, blink))
    return [make(amount=amount, seed=seed) for make, amount in wanted if amount > 0]


def mouth_at_rest() -> np.ndarray:
    """(52,) float32: how much of a portrait's own expression goes before lips speak.

    All that opens, closes or rounds the lips, so that p, b and m close; of a smile as much as speech
    leaves no room for. Eyes and brows stay as they are.
    """
    from controls.expressions import while_speaking

    mouth = np.array([name.startswith(("mouth", "jaw", "tongue", "cheekPuff")) for name in ARKIT])
    return np.where(mouth, 1 - while_speaking(np.ones(len(ARKIT), np.float32)), 0).astype(np.float32)


def added(stream: Iterable[Any], weights: np.ndarray) -> Iterator[FaceMotion]:
    """The stream with weights (52,) added to each frame; a shape that is full already gets no fuller.

    Lips that meet in speech (`SpokenBlock.contact`) stay together, whatever is added.
    """
    from controls.lipsync.articulation import keep_contact
    from controls.spoken import spoken

    for block in spoken(stream):
        motion = block.motion
        limit = np.maximum(np.maximum(motion.weights, weights), 1.0)
        whole = np.minimum(motion.weights + weights, limit)
        yield replace(motion, weights=keep_contact(whole, block.contact) if block.contact.any() else whole)
