"""Engines: what draws the face, and how LivePortrait is driven by a performance or by a model of speech."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.drive import Drive, Layer, added, open_sound
from pipelines.portrait import Portrait
from studio.errors import UsageError
from studio.motion import FaceMotion

if TYPE_CHECKING:
    from avatars.liveportrait.native import NativeMotion
    from avatars.liveportrait.settings import TransferSettings
    from studio.media import Audio

ENGINES = ("photo", "liveportrait", "diffusion")
"""Names of the command line: the embedded photo avatar; LivePortrait and a diffusion model on the user's own files."""


def avatar_of(engine: str, weights: str | os.PathLike[str] | None = None, **options: Any) -> Callable[..., Any]:
    """The maker of avatars that an engine's name stands for.

    weights  the folder of LivePortrait's files; None looks where `studio.weights.locate` looks. Of "diffusion" the
             checkpoint's folder.
    options  go to `LivePortraitAvatar.from_pretrained` (device, dtype, batch, blendshapes) or to
             `DiffusionEngine.from_pretrained` (controlnet, identity, settings, device).

    Raises `UsageError` for unknown names, `WeightsError` and `MissingExtraError` that say what to get.
    """
    if engine not in ENGINES:
        raise UsageError(f"engine={engine!r}: choose one of {', '.join(ENGINES)}")
    if engine == "photo":
        from avatars.photo import PhotoAvatar

        if weights is not None or options:
            raise UsageError("the photo engine needs no weights; they go with engine='liveportrait'")
        return PhotoAvatar
    if engine == "diffusion":
        from pipelines.diffusion.edit import DiffusionEngine

        if weights is None:
            raise UsageError("the diffusion engine needs a checkpoint: weights=FOLDER (--model FOLDER)")
        return DiffusionEngine.from_pretrained(weights, **options)
    from avatars.liveportrait.avatar import LivePortraitAvatar

    return LivePortraitAvatar.from_pretrained(weights, **options)


def takes_native(avatar: Any) -> bool:
    """Whether an avatar renders LivePortrait's own numbers."""
    return bool(getattr(avatar, "takes_native", False))


def with_transfer(avatar: Any, transfer: TransferSettings | None, intensity: float, head: str) -> Any:
    """The avatar under a call's settings: `intensity` times the multiplier, `head` "off" leaves the pose out and
    "absolute" takes the driver's own."""
    settings = transfer or avatar.settings
    if head == "off":
        if settings.region == "pose":
            raise UsageError("nothing would move: region 'pose' and driver_head 'off'")
        settings = replace(settings, region="exp" if settings.region == "all" else settings.region)
    elif head == "absolute":
        settings = replace(settings, relative=False)
    return avatar.with_settings(replace(settings, multiplier=settings.multiplier * intensity))


def by_reenactment(
    path: str | os.PathLike[str],
    audio: Audio | None,
    fps: Fraction | None,
    portrait: Portrait,
    avatar: Any,
    reference: str,
) -> Drive:
    """A performance drives LivePortrait; its own sound goes along unless `audio` is given."""
    from controls.reenactment import ReenactmentDriver

    driver = ReenactmentDriver(
        Path(path),
        avatar.networks,
        portrait=portrait.faces[0],
        reference=reference,
        smooth=avatar.settings.smooth,
        observation=avatar.settings.observation,
        fps=fps,
    )
    clip = driver.clip
    if audio is None and clip.has_audio:
        audio = open_sound(path)
    total = None if clip.duration is None else round(clip.duration * driver.fps)
    return Drive(driver.fps, total, audio, driver.stream)


def native_layers(
    stream: Iterator[NativeMotion], layers: Sequence[Layer], constant: np.ndarray, avatar: Any
) -> Iterator[NativeMotion]:
    """LivePortrait's motion with blinks, glances, nods (`layers`) and weights (52,) added to each frame."""
    if not layers and not constant.any():
        yield from stream
        return
    native, copy = itertools.tee(stream)
    rest: Iterator[Any] = (FaceMotion.still(len(block), block.fps, start=block.start) for block in copy)
    for layer in layers:
        rest = layer(rest)
    frames = (frame for block in added(rest, constant) for frame in zip(block.weights, block.head))
    for block in native:
        some = deque(itertools.islice(frames, len(block)))
        weights, head = (np.array(part) for part in zip(*some))
        yield block.changed(weights, head, avatar.blendshapes)


def face_motions(stream: Iterator[NativeMotion], avatar: Any) -> Iterator[FaceMotion]:
    """The same as `FaceMotion`, for files and rigs."""
    return (block.face_motion(avatar.blendshapes) for block in stream)
