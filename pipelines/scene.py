"""Render: one picture in which one or several faces move, each by its own motion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from pipelines.portrait import Box, Portrait, cropped
from studio.observation import Observation


class Scene:
    """The avatars of the chosen faces, made once, and the picture that they are part of.

    portrait     what was observed.
    avatar       makes an avatar: called as `PhotoAvatar(image, observation, alpha=...)`.
    transparent  keep alpha: pictures are (H, W, 4). Otherwise what is transparent lies over white.
    """

    def __init__(self, portrait: Portrait, avatar: Callable[..., Any], transparent: bool = False) -> None:
        self.portrait = portrait
        self.alpha = portrait.alpha if transparent else None
        self.picture = portrait.over() if self.alpha is None else portrait.rgb
        self.boxes: list[Box] = portrait.regions()
        self.whole = len(self.boxes) == 1 and self.boxes[0] == (0, 0, *portrait.size)
        self.avatars = [self._make(avatar, face, box) for face, box in zip(portrait.faces, self.boxes)]
        self.feathers = [] if self.whole else [_feather(box, portrait.size) for box in self.boxes]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the pictures."""
        return self.portrait.size

    @property
    def people(self) -> int:
        """How many faces move."""
        return len(self.avatars)

    def _make(self, avatar: Callable[..., Any], face: Observation, box: Box) -> Any:
        if self.whole or getattr(avatar, "sees_beyond", False):
            return avatar(self.picture, face, alpha=self.alpha)
        part = np.s_[box[1] : box[3], box[0] : box[2]]
        alpha = None if self.alpha is None else np.ascontiguousarray(self.alpha[part])
        return avatar(np.ascontiguousarray(self.picture[part]), cropped(face, box), alpha=alpha)

    def frame(self, weights: Sequence[np.ndarray], heads: Sequence[np.ndarray]) -> np.ndarray:
        """(H, W, 3) uint8, or (H, W, 4) where transparent: the picture under one change of expression (52,) and
        of head (6,) for each face."""
        extra = {} if self.alpha is None else {"with_alpha": True}
        return self.pasted([a.render_frame(w, h, **extra) for a, w, h in zip(self.avatars, weights, heads)])

    def edited(self, edit: Any, weights: Sequence[np.ndarray], heads: Sequence[np.ndarray]) -> np.ndarray:
        """The picture as `frame` gives it, under LivePortrait's own sliders (`PortraitEdit`) besides."""
        extra = {} if self.alpha is None else {"with_alpha": True}
        return self.pasted([a.edit(edit, w, h, **extra) for a, w, h in zip(self.avatars, weights, heads)])

    def frames(self, streams: Sequence[Iterable[Any]], neutralize: float | np.ndarray = 0.0) -> Iterator[np.ndarray]:
        """Pictures (H, W, 3) uint8, (H, W, 4) where transparent, one for each frame of the faces' motion streams, which
        keep step.

        neutralize  0..1, or (52,) one a shape: how much of the photo's own expression to take out.
        """
        how = {"neutralize": neutralize, **({} if self.alpha is None else {"with_alpha": True})}
        made = [avatar.render(stream, **how) for avatar, stream in zip(self.avatars, streams)]
        for parts in zip(*made):
            yield self.pasted(list(parts))

    def pasted(self, parts: list[np.ndarray]) -> np.ndarray:
        """One picture of those that the faces' avatars made, each in its own region."""
        if self.whole:
            return parts[0]
        out = self.picture.copy() if self.alpha is None else np.dstack([self.picture, self.alpha])
        for part, (x0, y0, x1, y1), feather in zip(parts, self.boxes, self.feathers):
            under = out[y0:y1, x0:x1]
            part = part[y0:y1, x0:x1] if part.shape[:2] == out.shape[:2] else part
            mixed = under + (part.astype(np.int16) - under) * feather
            out[y0:y1, x0:x1] = np.rint(mixed).astype(np.uint8)
        return out


class Solo:
    """An avatar that brings its own picture, as a 3D head does (`avatars.rig_avatar`): one face, nothing round it."""

    people = 1

    def __init__(self, avatar: Any) -> None:
        self.avatar = avatar

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the pictures."""
        return self.avatar.size

    def frames(self, streams: Sequence[Iterable[Any]], neutralize: float | np.ndarray = 0.0) -> Iterator[np.ndarray]:
        """As `Scene.frames`."""
        return self.avatar.render(streams[0], neutralize=neutralize)


def _feather(box: Box, size: tuple[int, int]) -> np.ndarray:
    """(h, w, 1) float32: 1 inside, falling to 0 over a few pixels at edges that are not the picture's."""
    x0, y0, x1, y1 = box
    sides = []
    for low, high, whole in ((x0, x1, size[0]), (y0, y1, size[1])):
        length = high - low
        ramp = max(1.0, 0.04 * length)
        place = np.arange(length) + 0.5
        rise = np.ones(length) if low <= 0 else np.clip(place / ramp, 0, 1)
        fall = np.ones(length) if high >= whole else np.clip((length - place) / ramp, 0, 1)
        sides.append(rise * fall)
    return (sides[1][:, None] * sides[0])[..., None].astype(np.float32)
