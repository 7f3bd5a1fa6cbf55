"""Pictures that follow what a user does: small, and kept no longer than a browser may ask for them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

QUALITY = 85
"""Of the JPEGs: small enough to come in one piece."""

KEPT = 30
"""Pictures that stay on disk: a browser asks for them a while after, when they come fast."""


class Reel:
    """The pictures that were shown last, in a folder; the first of all stays, for comparing."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._count = folder, itertools.count()
        folder.mkdir(parents=True, exist_ok=True)

    def show(self, image: Any) -> str:
        """Path of a picture (H, W, 3) uint8 RGB."""
        number = next(self._count)
        if number > KEPT:
            (self.folder / f"picture-{number - KEPT}.jpg").unlink(missing_ok=True)
        return self.write(f"picture-{number}", image)

    def write(self, name: str, image: Any) -> str:
        """Path of a picture that stays."""
        from PIL import Image

        path = self.folder / f"{name}.jpg"
        Image.fromarray(image).save(path, "JPEG", quality=QUALITY)
        return str(path)
