"""Heads and their motion as files of other programs. All in metres, right-handed, +Y up, facing +Z.

save_rig(rig, "head.glb")                    glTF 2.0, one file: Blender, Unreal, three.js, Unity
save_rig(rig, "take.usdc", motion)           USD with UsdSkel: Omniverse, Houdini, Maya, Unreal; .usda .usdz
save_rig(rig, "head.vrm", meta=VrmMeta())    VRM 1.0: VTuber programs, three-vrm, Unity
save_rig(rig, "head.obj")                    the neutral head alone; also .ply
save_sequence(rig, "take/%05d.ply", motion)  a mesh a frame, .ply or .obj
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatars.rig import Rig
from studio.errors import OutputError, UsageError
from studio.motion import FaceMotion

if TYPE_CHECKING:
    from avatars.export.vrm import VrmMeta

RIGS = (".glb", ".vrm", ".usdc", ".usda", ".usdz", ".obj", ".ply")
"""Endings that `save_rig` writes."""

STILL = (".vrm", ".obj", ".ply")
"""Those of them that hold no motion."""


def save_rig(
    rig: Rig,
    path: str | Path,
    motion: FaceMotion | Iterable[FaceMotion] | None = None,
    *,
    tolerance: float | None = None,
    meta: VrmMeta | None = None,
) -> Path:
    """Write a rig, and a motion of it where one is given; the ending says in which form.

    tolerance  of a .glb: keys of the motion are dropped as long as what is interpolated between the others stays this
               near: weights, radians, and metres by a tenth of it. None: a key a frame.
    meta       of a .vrm: its author and terms of use (default: `VrmMeta()`, the most cautious).

    Nothing is left at `path` on an error. Raises OutputError where the folder can't be written, UsageError for an
    ending that is none of `RIGS` or a motion that the form can't hold, MissingExtraError for a package that is
    missing.
    """
    from studio.picture import written_beside

    path = Path(path)
    ending = path.suffix.lower()
    if ending not in RIGS:
        raise UsageError(f"{path.name}: a head is written as {', '.join(RIGS)}")
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent}: no such folder. Make it first: mkdir -p {path.parent}")
    if ending in STILL and motion is not None:
        more = "" if ending == ".vrm" else f", or a file a frame: {path.stem}/%05d{ending}"
        raise UsageError(f"{path.name}: {ending[1:].upper()} holds no motion; write .glb or .usdc{more}")
    if tolerance is not None and (ending != ".glb" or not 0 < tolerance <= 1):
        raise UsageError(f"tolerance={tolerance:g}: a number above 0, up to 1, for .glb")
    if meta is not None and ending != ".vrm":
        raise UsageError(f"{path.name}: author and terms of use go into .vrm")
    if not all(np.isfinite(table).all() for table in (rig.neutral, rig.deltas, rig.uv)):
        raise UsageError(f"the rig {rig.name!r} holds numbers that are none (NaN or infinite)")
    with written_beside(path) as beside:
        if ending == ".glb":
            from avatars.export.gltf import write_glb

            write_glb(rig, beside, motion, tolerance)
        elif ending == ".vrm":
            from avatars.export.vrm import write_vrm

            write_vrm(rig, beside, meta, path.stem)
        elif ending == ".obj":
            from avatars.export.obj import write_obj

            write_obj(rig, beside)
        elif ending == ".ply":
            from avatars.export.ply import write_ply

            write_ply(rig, beside)
        else:
            from avatars.export.usd import write_usd

            write_usd(rig, beside, motion, path.stem)
    return path


def save_sequence(rig: Rig, path: str | Path, motion: FaceMotion | Iterable[FaceMotion]) -> int:
    """Write each frame as a mesh of its own: `take/%05d.ply` or `take_%05d.obj`. See `avatars.export.sequence`."""
    from avatars.export.sequence import write_sequence

    return write_sequence(rig, Path(path), motion)


__all__ = ["RIGS", "STILL", "save_rig", "save_sequence"]
