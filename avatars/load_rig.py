"""`load_rig`: heads of other makers as a `Rig`: glTF and VRM files with morph targets, ICT-FaceKit as .npz.

Names of morph targets are matched tolerantly to ARKit's (`match_name`); what a head lacks `Rig.missing` tells.
"""

from __future__ import annotations

from pathlib import Path

from avatars.gltf_file import GltfFile
from avatars.gnm import is_gnm
from avatars.rig import Rig
from avatars.shape_names import match_name
from studio.errors import MediaError


def load_rig(path: str | Path) -> Rig:
    """A head from .glb, .gltf, .vrm (morph targets named as ARKit's or VRM's) or ICT-FaceKit's .npz.

    Raises MediaError for what can't be read, has no morph targets or none whose name means a face shape, holds numbers
    that are none, or is too large.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaError(f"{path}: no such file")
    if path.suffix.lower() == ".npz":
        if is_gnm(path):
            raise MediaError(f"{path}: GNM's head has no shapes of its own; pipelines.rig.open_rig gives it ARKit's")
        from avatars.ict import ict_rig

        return ict_rig(path)
    if path.suffix.lower() not in (".glb", ".gltf", ".vrm"):
        raise MediaError(f"{path}: a rig is read from .glb, .gltf, .vrm or ICT-FaceKit's .npz")
    from avatars.gltf_rig import gltf_rig

    file = GltfFile(path)
    try:
        return gltf_rig(file)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:  # tables that point nowhere
        raise MediaError(f"{path}: damaged: its parts don't fit together ({type(error).__name__}: {error})") from error


__all__ = ["load_rig", "match_name"]
