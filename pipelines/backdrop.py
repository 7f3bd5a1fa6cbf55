"""What lies behind a head: a colour, a picture, or nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from studio.errors import UsageError

TRANSPARENT = "transparent"


def read_background(text: str) -> tuple[int, int, int] | np.ndarray | None:
    """RGB of a colour (a CSS name, #rrggbb, rgb(r, g, b)), (H, W, 3) uint8 of a picture's path, None of "transparent".

    Raises UsageError for what is none of these, MediaError for a picture that can't be read.
    """
    if text == TRANSPARENT:
        return None
    if Path(text).is_file():
        from pipelines.portrait import Portrait, read_picture

        rgb, alpha, _ = read_picture(text)
        return Portrait(rgb, alpha, ()).over()
    from PIL import ImageColor

    try:
        return tuple(ImageColor.getrgb(text)[:3])  # type: ignore[return-value]
    except ValueError:
        raise UsageError(
            f"background {text!r}: give a colour (white, #204060), a picture that is there, or {TRANSPARENT}"
        ) from None


__all__ = ["TRANSPARENT", "read_background"]
