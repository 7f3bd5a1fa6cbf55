"""Heads and their motion as files of other programs. All in metres, right-handed, +Y up, facing +Z.

save_rig(rig, "head.glb")                    glTF 2.0, one file: Blender, Unreal, three.js, Unity
save_rig(rig, "take.usdc", motion)           USD with UsdSkel: Omniverse, Houdini, Maya, Unreal; .usda .usdz
save_rig(rig, "head.obj")                    the neutral head alone
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from avatars.rig import Rig
from studio.errors import OutputError, UsageError
from studio.motion import FaceMotion

RIGS = (".glb", ".usdc", ".usda", ".usdz", ".obj")
"""Endings that `save_rig` writes."""


def save_rig(rig: Rig, path: str | Path, motion: FaceMotion | Iterable[FaceMotion] | None = None) -> Path:
    """Write a rig, and a motion of it where one is given; the ending says in which form.

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
    if ending == ".obj" and motion is not None:
        raise UsageError(f"{path.name}: OBJ holds no motion; write .glb or .usdc")
    if not all(np.isfinite(table).all() for table in (rig.neutral, rig.deltas, rig.uv)):
        raise UsageError(f"the rig {rig.name!r} holds numbers that are none (NaN or infinite)")
    with written_beside(path) as beside:
        if ending == ".glb":
            from avatars.export.gltf import write_glb

            write_glb(rig, beside, motion)
        elif ending == ".obj":
            from avatars.export.obj import write_obj

            write_obj(rig, beside)
        else:
            from avatars.export.usd import write_usd

            write_usd(rig, beside, motion, path.stem)
    return path


__all__ = ["RIGS", "save_rig"]
