"""`RigAvatar`: a 3D head before a camera that a `FaceMotion` moves, as `avatars.photo.PhotoAvatar` moves a photo."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatars.rig import Rig
from avatars.shade3d import Camera
from studio.backdrop import fitted, laid_over
from studio.errors import UsageError
from studio.motion import FaceMotion, blocks

EMBEDDED = "embedded"
"""Stands for the embedded head where a file is asked for."""


@dataclass(frozen=True)
class View:
    """From where the head is seen.

    yaw    degrees round it, > 0 towards its left side; pitch degrees above it.
    zoom   1 shows the whole head, 2 half of that.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    zoom: float = 1.0


class RigAvatar:
    """A rig in front of a camera, ready to move.

        avatar = RigAvatar.open("head.glb", size=(512, 512), background=None)
        for picture in avatar.render(motion): ...

    rig         the head.
    size        (width, height) of the pictures.
    background  RGB, a picture (H, W, 3) uint8 that is cut to fit, or None: pictures are (H, W, 4) then, with straight
                alpha.
    view        the camera's place.

    The head turns on its neck where the rig has one, else as a whole. A rig at rest has no expression of its own, so
    weights are absolute. Raises UsageError for views and sizes that show nothing.
    """

    def __init__(
        self,
        rig: Rig,
        size: tuple[int, int] = (512, 512),
        *,
        background: tuple[int, int, int] | np.ndarray | None = (72, 76, 82),
        view: View = View(),
    ) -> None:
        from avatars.render3d import RigRenderer

        if min(size) < 16 or max(size) > 8192:
            raise UsageError(f"size {size[0]}x{size[1]}: sides of 16 to 8192 pixels are possible")
        if not 0.1 <= view.zoom <= 20:
            raise UsageError(f"zoom={view.zoom:g} is out of range; give a number from 0.1 to 20")
        self.rig, self.size = rig, size
        self.expression = np.zeros(52, np.float32)
        self._behind = None
        if isinstance(background, np.ndarray):
            self._behind = fitted(background, size)
            background = None
        self.transparent = background is None and self._behind is None
        self._draw = RigRenderer(rig, size, background=background)
        self._draw.camera = portrait_camera(rig, size, view)

    @classmethod
    def open(cls, path: str | Path, size: tuple[int, int] = (512, 512), **options: object) -> RigAvatar:
        """The head of a file that `load_rig` reads, or of "embedded". See `load_rig` for what it raises."""
        if str(path) == EMBEDDED:
            from avatars.head import embedded_head

            return cls(embedded_head(), size, **options)  # type: ignore[arg-type]
        from avatars.load_rig import load_rig

        return cls(load_rig(path), size, **options)  # type: ignore[arg-type]

    def render(
        self, motion: FaceMotion | Iterable[FaceMotion], *, neutralize: float | np.ndarray = 0.0
    ) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB, or (H, W, 4) on no background, for each frame of a motion or stream of blocks.

        neutralize  takes a photo's own expression out; a rig has none.
        """
        for block in blocks(motion):
            for weights, head in zip(block.weights, block.head, strict=True):
                yield self.render_frame(weights, head)

    def render_frame(
        self,
        weights: np.ndarray,
        head: np.ndarray | None = None,
        residual: np.ndarray | None = None,
        *,
        with_alpha: bool = False,
    ) -> np.ndarray:
        """One picture: ARKit weights (52,); head (6,) radians and metres as in `FaceMotion`. `residual`, which belongs
        to one person's photo, is left out. with_alpha: (H, W, 4) whatever the background."""
        picture = self._draw.draw(self.rig.vertices(weights, head))
        if self._behind is not None:
            picture = laid_over(picture, self._behind)
        if with_alpha and picture.shape[2] == 3:
            return np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
        return picture


def portrait_camera(rig: Rig, size: tuple[int, int], view: View = View()) -> Camera:
    """A camera that shows the head, as a portrait does; of a rig that has a body, the head and shoulders."""
    low, high = rig.neutral.min(0), rig.neutral.max(0)
    face = _face(rig)
    if face is not None and high[1] - low[1] > 2.2 * (face[1][1] - face[0][1]):
        middle, tall = (face[0] + face[1]) / 2, 1.9 * (face[1][1] - face[0][1])
        wide = tall
    else:
        middle, tall, wide = (low + high) / 2, high[1] - low[1], high[0] - low[0]
    height = 1.12 * float(max(tall, wide * size[1] / size[0], 1e-6))
    yaw, pitch = np.radians((view.yaw, view.pitch))
    return Camera.portrait(size, height / view.zoom, 4 * height, tuple(middle), yaw, pitch)


def _face(rig: Rig) -> tuple[np.ndarray, np.ndarray] | None:
    """(3,) lowest and (3,) highest corner of what face shapes move; None where nothing moves."""
    used = np.flatnonzero(np.abs(rig.arkit).any(0))
    moved = np.zeros(len(rig.neutral), bool)
    for delta in rig.deltas[used]:
        length = np.linalg.norm(delta, axis=1)
        if length.max() > 0:
            moved |= length > 0.3 * length.max()
    return (rig.neutral[moved].min(0), rig.neutral[moved].max(0)) if moved.any() else None


__all__ = ["EMBEDDED", "RigAvatar", "View", "portrait_camera"]
