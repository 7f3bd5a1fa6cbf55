"""Observe: a picture, the faces in it, and the part of the picture that each of them may move."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.errors import NoFaceError, UsageError
from studio.observation import Head, Observation

if TYPE_CHECKING:
    from controls.tracker import FaceTracker

Box = tuple[int, int, int, int]

LEAST = 16
"""Pixels of a placed head's side."""

MANY = 256
"""Faces that are looked for in a picture."""


@dataclass(frozen=True)
class Portrait:
    """A picture and its faces.

    rgb     (H, W, 3) uint8.
    alpha   (H, W) uint8, or None where the picture is opaque.
    faces   the chosen faces, largest first, or heads that were placed.
    others  the faces that stay as they are.
    name    what messages call it.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None
    faces: tuple[Observation | Head, ...]
    others: tuple[Observation, ...] = ()
    name: str = "the portrait"

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.rgb.shape[1], self.rgb.shape[0]

    def over(self, colour: int = 255) -> np.ndarray:
        """(H, W, 3) uint8: the picture laid over a grey level where it is transparent."""
        if self.alpha is None:
            return self.rgb
        alpha = self.alpha[..., None].astype(np.uint16)
        return ((self.rgb * alpha + colour * (255 - alpha) + 127) // 255).astype(np.uint8)

    def regions(self) -> list[Box]:
        """For each chosen face the box x0, y0, x1, y1 that it may move; boxes of two faces never overlap.

        A face alone in its picture has all of it.
        """
        everyone = (*self.faces, *self.others)
        if len(everyone) == 1:
            return [(0, 0, *self.size)]
        return [_region(i, everyone, self.size) for i in range(len(self.faces))]


def read_picture(source: Any) -> tuple[np.ndarray, np.ndarray | None, str]:
    """rgb (H, W, 3) uint8, alpha (H, W) uint8 or None, and a name, of a path, an array or a PIL image.

    Arrays are (H, W, 3) or (H, W, 4) uint8. Raises `MediaError` for what is no picture, `UsageError` for
    what is no source.
    """
    if isinstance(source, (str, os.PathLike)):
        from studio.media import read_image

        picture = read_image(Path(source))
        return picture.rgb, _useful(picture.alpha), str(source)
    if hasattr(source, "rgb") and hasattr(source, "alpha"):
        return source.rgb, _useful(source.alpha), "the portrait"
    if hasattr(source, "convert") and hasattr(source, "getbands"):  # PIL
        clear = "A" in source.getbands() or "transparency" in source.info
        source = np.asarray(source.convert("RGBA" if clear else "RGB"))
    array = np.asarray(source)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (3, 4) or min(array.shape[:2]) < 1:
        raise UsageError(f"a picture is a path, a PIL image, or uint8 (H, W, 3 or 4); got {array.dtype} {array.shape}")
    alpha = _useful(array[..., 3]) if array.shape[2] == 4 else None
    return np.ascontiguousarray(array[..., :3]), alpha, "the portrait"


def _useful(alpha: np.ndarray | None) -> np.ndarray | None:
    return None if alpha is None or alpha.min() == 255 else np.ascontiguousarray(alpha)


def default_tracker() -> FaceTracker:
    """A tracker for pictures with any number of people."""
    from controls.tracker import FaceTracker

    return FaceTracker(max_faces=MANY)


def read_portrait(
    source: Any, tracker: FaceTracker, *, face: int | str = 0, size: int | tuple[int, int] | None = None
) -> Portrait:
    """Open a picture, find its faces and choose: `face` counts from 0 (the largest), or is "all".

    size: the long side, or (width, height): the picture is scaled, and cropped round the faces where its
    proportions differ. Raises `NoFaceError` where there is none, `UsageError` where `face` asks for more
    than there are.
    """
    rgb, alpha, name = read_picture(source)
    portrait = Portrait(rgb, alpha, (), name=name)
    try:
        found = tracker.observe(portrait.over(), thorough=face != 0)
    except NoFaceError as error:
        raise NoFaceError(f"{name}: {error}") from error
    if not found:
        raise NoFaceError(f"{name}: no face found. Crop closer to the face, or give a sharper picture.")
    faces, others = choose(found, face, name)
    portrait = replace(portrait, faces=faces, others=others)
    return portrait if size is None else resized(portrait, size)


def read_placed(
    source: Any, boxes: Sequence[Sequence[float]] | None = None, *, size: int | tuple[int, int] | None = None
) -> Portrait:
    """Open a picture whose heads are placed instead of found.

    boxes  x, y, width, height in pixels, each round a whole head; None: the largest square in the picture's middle.
    size   as in `read_portrait`.

    Raises `UsageError` for a box that is too small or not in the picture.
    """
    rgb, alpha, name = read_picture(source)
    height, width = rgb.shape[:2]
    side = min(width, height)
    boxes = [((width - side) / 2, (height - side) / 2, side, side)] if boxes is None else list(boxes)
    heads = []
    for i, (x, y, w, h) in enumerate(boxes):
        if min(w, h) < LEAST or x < 0 or y < 0 or x + w > width or y + h > height:
            raise UsageError(
                f"box {x:g},{y:g},{w:g},{h:g}: give x,y,width,height in {name}, which is {width} x {height} pixels, "
                f"and sides of {LEAST} or more"
            )
        heads.append(Head((x, y, x + w, y + h), (width, height), i))
    portrait = Portrait(rgb, alpha, tuple(heads), name=name)
    return portrait if size is None else resized(portrait, size)


def choose(
    found: Sequence[Observation], face: int | str, name: str
) -> tuple[tuple[Observation, ...], tuple[Observation, ...]]:
    """(chosen, others) of the faces found."""
    if face == "all":
        return tuple(found), ()
    if not isinstance(face, (int, np.integer)) or face < 0:
        raise UsageError(f"face={face!r}: give a number from 0 (the largest face) or 'all'")
    if face >= len(found):
        seen = "one face was" if len(found) == 1 else f"{len(found)} faces were"
        raise UsageError(f"{name}: face {face + 1} was asked for, but {seen} found")
    return (found[face],), tuple(f for i, f in enumerate(found) if i != face)


def resized(portrait: Portrait, size: int | tuple[int, int]) -> Portrait:
    """The portrait at another size; landmarks move along."""
    import cv2

    width, height = portrait.size
    if isinstance(size, int):
        scale = size / max(width, height)
        target = (max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2)))
    else:
        target = size
    scale = max(target[0] / width, target[1] / height)
    window = (target[0] / scale, target[1] / scale)  # what remains of the picture
    boxes = np.array([face.box for face in portrait.faces])
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    corner = []
    for axis, whole in enumerate((width, height)):
        middle = (low[axis] + high[axis]) / 2 + (0.35 * (high[1] - low[1]) if axis else 0)  # some more of the chest
        corner.append(float(np.clip(middle - window[axis] / 2, 0, max(0.0, whole - window[axis]))))
    matrix = np.array([[scale, 0, (0.5 - corner[0]) * scale - 0.5], [0, scale, (0.5 - corner[1]) * scale - 0.5]])

    def warp(image: np.ndarray) -> np.ndarray:
        if scale < 1:
            x, y = round(corner[0]), round(corner[1])
            part = image[y : y + max(1, round(window[1])), x : x + max(1, round(window[0]))]
            return cv2.resize(part, target, interpolation=cv2.INTER_AREA)
        return cv2.warpAffine(image, matrix, target, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)

    def move(face: Observation | Head) -> Observation | Head:
        if isinstance(face, Head):
            box = (np.reshape(face.box, (2, 2)) - corner) * scale
            return replace(face, box=tuple(box.reshape(-1)), size=target)
        landmarks = face.landmarks.copy()
        landmarks[:, :2] = (
            landmarks[:, :2] - corner
        ) * scale  # they count from the picture's edge, not from a pixel's centre
        landmarks[:, 2] *= scale
        return replace(face, landmarks=landmarks, size=target)

    return replace(
        portrait,
        rgb=warp(portrait.rgb),
        alpha=None if portrait.alpha is None else warp(portrait.alpha),
        faces=tuple(map(move, portrait.faces)),
        others=tuple(map(move, portrait.others)),
    )


def cropped(face: Observation, box: Box) -> Observation:
    """The observation as seen in a part of its picture."""
    landmarks = face.landmarks.copy()
    landmarks[:, :2] -= box[:2]
    return replace(face, landmarks=landmarks, size=(box[2] - box[0], box[3] - box[1]))


def _region(i: int, everyone: Sequence[Observation | Head], size: tuple[int, int]) -> Box:
    """The widest sensible box round face i that keeps its distance from all the others."""
    x0, y0, x1, y1 = everyone[i].box
    w, h = x1 - x0, y1 - y0
    low, high = [max(0.0, x0 - 2 * w), max(0.0, y0 - 1.6 * h)], [min(size[0], x1 + 2 * w), min(size[1], y1 + 2.6 * h)]
    mine = ((x0, x1), (y0, y1))
    for j, other in enumerate(everyone):
        if j == i:
            continue
        theirs = ((other.box[0], other.box[2]), (other.box[1], other.box[3]))
        gaps = [max(theirs[a][0] - mine[a][1], mine[a][0] - theirs[a][1]) for a in (0, 1)]
        axis = int(np.argmax(gaps))
        # Faces grow wide into hair and deep into shoulders, so sideways neighbours share their gap evenly,
        # and of two above each other the upper one's body may be cut sooner than the lower one's hair.
        share = 0.5 if axis == 0 else 0.4
        if sum(theirs[axis]) > sum(mine[axis]):
            cut = mine[axis][1] + share * (theirs[axis][0] - mine[axis][1])
            high[axis] = min(high[axis], cut)
        else:
            cut = theirs[axis][1] + share * (mine[axis][0] - theirs[axis][1])
            low[axis] = max(low[axis], cut)
    left, top = round(low[0]), round(low[1])
    return left, top, max(left + 8, round(high[0])), max(top + 8, round(high[1]))
