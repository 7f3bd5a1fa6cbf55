"""What lies behind a head: a colour, a picture, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.portrait import Portrait, read_picture
from studio.backdrop import fitted, laid_over
from studio.errors import MediaError, UsageError
from studio.observation import Head

TRANSPARENT = "transparent"

Background = tuple[int, int, int] | np.ndarray | None
"""RGB, a picture (H, W, 3) uint8 that is cut to fit, or None: nothing, pictures have alpha."""


def read_background(text: str) -> Background:
    """RGB of a colour (a CSS name, #rrggbb, rgb(r, g, b)), (H, W, 3) uint8 of a picture's path, None of "transparent".

    Raises UsageError for what is none of these, MediaError for a picture that can't be read.
    """
    if text == TRANSPARENT:
        return None
    if Path(text).is_file():
        rgb, alpha, _ = read_picture(text)
        return Portrait(rgb, alpha, ()).over()
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise UsageError(
            f"background {text!r}: give a colour (white, #204060), a picture that is there, or {TRANSPARENT}"
        ) from None
    return red, green, blue


def cut_out(portrait: Portrait) -> Portrait:
    """A portrait with its own transparency, or else with the people told from what lies behind them.

    Raises MediaError where nobody can be told from it, as in many drawings.
    """
    if portrait.alpha is not None:
        return portrait
    if any(isinstance(face, Head) for face in portrait.faces):
        raise MediaError(
            f"{portrait.name}: a head that was placed by a box can't be told from the background; give a PNG with "
            "transparency"
        )
    from avatars.photo.layers import make_layers
    from avatars.pose import fit_pose

    alpha = np.zeros(portrait.rgb.shape[:2], np.uint8)
    for face in portrait.faces:
        made = make_layers(portrait.rgb, face.landmarks, fit_pose(face.landmarks).scale)
        if made is None:
            raise MediaError(
                f"{portrait.name}: the person can't be told from the background; give a PNG with transparency"
            )
        alpha = np.maximum(alpha, made.matte)
    return replace(portrait, alpha=alpha)


def before(frames: Iterable[np.ndarray], background: Background, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Frames (H, W, 4) before a background: (H, W, 3) uint8; before nothing as they are."""
    if background is None:
        yield from frames
        return
    behind = fitted(background, size) if isinstance(background, np.ndarray) else np.array(background, np.uint8)
    for frame in frames:
        yield laid_over(frame, behind)


__all__ = ["TRANSPARENT", "Background", "before", "cut_out", "read_background"]
