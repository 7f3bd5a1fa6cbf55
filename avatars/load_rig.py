"""`load_rig`: heads of other makers as a `Rig`: glTF and VRM files with morph targets, ICT-FaceKit, FLAME, SMPL-X.

Names of morph targets are matched tolerantly to ARKit's (`match_name`); what a head lacks `Rig.missing` tells.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from avatars.gltf_file import GltfFile
from avatars.gnm import is_gnm
from avatars.rig import Rig
from avatars.shape_names import match_name
from studio.errors import MediaError


def load_rig(path: str | Path) -> Rig:
    """A head from .glb, .gltf, .vrm (morph targets named as ARKit's or VRM's), ICT-FaceKit's .npz, or FLAME's or
    SMPL-X's own file (.npz, .pkl, or .safetensors of ours), whose shapes are fitted (`avatars.flame`, `avatars.body`).

    Raises MediaError for what can't be read, has no morph targets or none whose name means a face shape, holds numbers
    that are none, or is too large; WeightsError for FLAME and SMPL-X.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaError(f"{path}: no such file")
    if path.suffix.lower() in (".pkl", ".safetensors") or (path.suffix.lower() == ".npz" and _is_published(path)):
        return _published(path)
    if path.suffix.lower() == ".npz":
        if is_gnm(path):
            raise MediaError(f"{path}: GNM's head has no shapes of its own; pipelines.rig.open_rig gives it ARKit's")
        from avatars.ict import ict_rig

        return ict_rig(path)
    if path.suffix.lower() not in (".glb", ".gltf", ".vrm"):
        raise MediaError(f"{path}: a rig is read from .glb, .gltf, .vrm, ICT-FaceKit's .npz, FLAME's or SMPL-X's file")
    from avatars.gltf_rig import gltf_rig

    file = GltfFile(path)
    try:
        return gltf_rig(file)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:  # tables that point nowhere
        raise MediaError(f"{path}: damaged: its parts don't fit together ({type(error).__name__}: {error})") from error


def _is_published(path: Path) -> bool:
    """Whether an .npz is laid out as FLAME's and SMPL-X's."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {"v_template.npy", "posedirs.npy", "shapedirs.npy"} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _published(path: Path) -> Rig:
    from studio.weights import open_weights

    tree = open_weights(path)
    if isinstance(tree, dict) and "lmk_faces_idx" in tree:
        from avatars.body.asset import load_smplx
        from avatars.body.rig import body_rig

        return body_rig(load_smplx(path))
    from avatars.flame.asset import load_flame
    from avatars.flame.rig import flame_rig

    return flame_rig(load_flame(path))


__all__ = ["load_rig", "match_name"]
