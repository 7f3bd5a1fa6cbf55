"""A motion as a file a frame, PLY or OBJ, for programs that play sequences of meshes. One frame is held at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from avatars.export.obj import obj_faces, write_obj
from avatars.export.ply import ply_faces, write_ply
from avatars.rig import Rig
from studio.errors import MediaError, OutputError, UsageError
from studio.motion import FaceMotion
from studio.picture import check_output

MESHES = (".ply", ".obj")
"""Endings of a sequence's files."""


def check_pattern(path: Path) -> Path:
    """The path, if a sequence can be written there. UsageError: it is no pattern; OutputError: its place won't do."""
    if path.suffix.lower() not in MESHES:
        raise UsageError(f"{path}: a sequence of meshes is written as {' or '.join(MESHES)}")
    try:
        named = path.name % 0 != path.name % 1
    except (TypeError, ValueError):
        named = False
    if not named:
        raise UsageError(f"{path}: a pattern has one number in it, as in take/%05d{path.suffix}")
    folder = path.parent
    if folder.is_dir():
        check_output(folder / (path.name % 0))
        if (folder / (path.name % 0)).exists():
            raise OutputError(f"{folder / (path.name % 0)}: is there already; name a new folder or another pattern")
    else:
        check_output(folder)
    return path


def write_sequence(rig: Rig, path: Path, motion: FaceMotion | Iterable[FaceMotion]) -> int:
    """Writes the frames, numbered from 0, and returns how many.

    path    a pattern such as take/%05d.ply, whose folder is made if it isn't there.
    motion  of the rig, or a stream of blocks, which is read as frames are written.

    The files appear when all are there; nothing is left on an error. Raises UsageError, OutputError, and MediaError for
    a motion without frames.
    """
    check_pattern(path)
    kind = path.suffix.lower()
    faces = ply_faces(rig) if kind == ".ply" else obj_faces(rig)
    write = write_ply if kind == ".ply" else write_obj
    count = 0
    with _folder_beside(path.parent) as folder:
        for points in rig.animate(motion):
            write(rig, folder / (path.name % count), points, faces)  # type: ignore[arg-type]
            count += 1
        if not count:
            raise MediaError(f"{path}: there is no frame to write")
    return count


@contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """A hidden folder whose files move into `target` on success; it vanishes on any failure."""
    beside = target.absolute().with_name(f".{target.absolute().name}.{os.getpid()}.part")
    try:
        beside.mkdir()
        yield beside
        if not target.exists():
            os.replace(beside, target)
            return
        for file in sorted(beside.iterdir()):
            os.replace(file, target / file.name)
    except OSError as error:
        raise OutputError(f"{target}: can't be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


__all__ = ["MESHES", "check_pattern", "write_sequence"]
