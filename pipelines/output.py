"""What can be written where: checked before any work starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from studio.errors import OutputError, UsageError

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
VIDEOS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".gif")
CLEAR = (".webm", ".mov", ".png", ".webp")
MOTIONS = (".csv", ".npz", ".json")
TEMPLATES = (".safetensors", ".pkl")

HEADS = (".glb", ".vrm", ".usdc", ".usda", ".usdz", ".obj", ".ply")
ANIMATED = (".glb", ".usdc", ".usda", ".usdz")

_KINDS = {
    "picture": (PICTURES, "a picture"),
    "video": (VIDEOS, "a video"),
    "motion": (MOTIONS, "a motion"),
    "template": (TEMPLATES, "a motion template"),
    "head": (HEADS, "a head"),
    "take": (MOTIONS + ANIMATED, "a motion"),
}


def is_video(source: Any) -> bool:
    """Whether a source (a path, or anything else) is to be read as a video and not as a picture."""
    if not isinstance(source, (str, os.PathLike)):
        return False
    path = Path(source)
    ending = path.suffix.lower()
    if ending == ".gif":
        from PIL import Image

        try:
            with Image.open(path) as image:
                return getattr(image, "n_frames", 1) > 1
        except OSError:  # not a GIF, or not there: the reader of pictures says so better
            return False
    return ending in {
        ".mp4",
        ".mov",
        ".m4v",
        ".webm",
        ".mkv",
        ".avi",
        ".mpg",
        ".mpeg",
        ".ts",
        ".wmv",
        ".flv",
        ".3gp",
        ".ogv",
    }


def is_sequence(path: str | os.PathLike[str]) -> bool:
    """Whether an output means a folder of pictures: `frames/`, `frames`, or `frames/%05d.png`."""
    return "%" in Path(path).name or not Path(path).suffix


def is_meshes(path: str | os.PathLike[str]) -> bool:
    """Whether an output means a mesh a frame: `take/%05d.ply` or `.obj`."""
    return "%" in Path(path).name and Path(path).suffix.lower() in (".ply", ".obj")


def check_output(path: str | os.PathLike[str], kind: str, transparent: bool = False) -> Path:
    """Raise if `path` can't become a "picture", "video", "motion", "template", "head" or "take" (a motion, or a head
    in motion); transparent: of a video, if it can't hold transparency.

    A head in motion may be a pattern of meshes, take/%05d.ply or .obj.

    `UsageError` for an ending that we don't write, `OutputError` for a folder that is missing or read-only
    and for a full disk.
    """
    endings, words = _KINDS[kind]
    target = Path(path)
    if is_meshes(path) and kind in ("head", "take"):
        from avatars.export.sequence import check_pattern

        return check_pattern(target)
    place = target
    if kind != "video" and target.is_dir():
        raise OutputError(f"{path}: is a folder; name a file in it, such as {target / ('out' + endings[0])}")
    if kind == "video" and is_sequence(path):
        place = target.parent if "%" in target.name else target
        if "%" in target.name and target.suffix.lower() not in PICTURES:
            raise UsageError(f"{path}: a pattern names pictures, such as frames/%05d.png")
        if place.is_dir() and any(place.iterdir()):
            raise OutputError(f"{place}: is a folder with files in it; name a new one")
    elif target.suffix.lower() not in endings:
        shown = (
            f"{target.suffix!r} is not among the endings for {words}" if target.suffix else f"{words} needs an ending"
        )
        more = ", or a folder (frames/) of pictures" if kind == "video" else ""
        raise UsageError(f"{path}: {shown}: {' '.join(endings)}{more}")
    if transparent and target.suffix.lower() not in ("", *CLEAR):
        raise UsageError(f"{path}: transparency is kept by {' '.join(CLEAR)} and by a folder (frames/) of pictures")
    from studio.picture import check_output as check_place

    check_place(place)
    if target.is_file() and not os.access(target, os.W_OK):
        raise OutputError(f"{path}: is there already and write-protected")
    return target
