"""`load_rig`: heads of other makers as a `Rig`: glTF and VRM files with morph targets, ICT-FaceKit as .npz.

Names of morph targets are matched tolerantly to ARKit's (`match_name`); what a head lacks `Rig.missing` tells.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np

from avatars.gltf_file import GltfFile
from avatars.rig import Joint, Material, Rig
from avatars.shape_names import match_name
from studio.arkit import ARKIT
from studio.errors import MediaError

MOST_ARRAYS = 1 << 29
"""Bytes that arrays may unpack to."""


def load_rig(path: str | Path) -> Rig:
    """A head from .glb, .gltf, .vrm (morph targets named as ARKit's or VRM's) or ICT-FaceKit's .npz.

    Raises MediaError for what can't be read, has no morph targets or none whose name means a face shape, holds numbers
    that are none, or is too large.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaError(f"{path}: no such file")
    if path.suffix.lower() == ".npz":
        return _ict(path)
    if path.suffix.lower() not in (".glb", ".gltf", ".vrm"):
        raise MediaError(f"{path}: a rig is read from .glb, .gltf, .vrm or ICT-FaceKit's .npz")
    from avatars.gltf_rig import gltf_rig

    file = GltfFile(path)
    try:
        return gltf_rig(file)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:  # tables that point nowhere
        raise MediaError(f"{path}: damaged: its parts don't fit together ({type(error).__name__}: {error})") from error


def _ict(path: Path) -> Rig:
    """ICT-FaceKit (Li et al., CVPR 2020), repacked as .npz; MIT licence."""
    try:
        _check_arrays(path)
        data = np.load(path, allow_pickle=False)
        step = float(data["delta_step"]) * 0.01
        neutral = data["neutral"].astype(np.float32) * 0.01
        names = tuple(str(name) for name in data["expression_names"])
        to_arkit = np.zeros((len(ARKIT), len(names)), np.float32)
        for name, row in zip(data["arkit_names"], data["arkit_to_expression"], strict=True):
            to_arkit[ARKIT.index(str(name))] = row
        span = np.linalg.norm(data["eye_centre_radius"][0, :3] - data["eye_centre_radius"][1, :3]) * 0.01
        middle = data["eye_centre_radius"][:, :3].mean(0) * 0.01
        materials = tuple(Material(str(name)) for name in data["material_names"])
        regions = dict(zip(map(str, data["region_names"]), data["region_ranges"], strict=True))
        joints = [Joint("head", -1, tuple((middle - span * np.array([0.0, 1.2, 1.3])).tolist()))]
        skin = np.zeros((len(neutral), 3), np.float32)
        skin[:, 0] = 1
        for k, side in enumerate(("left", "right")):
            joints.append(Joint(f"eye_{side}", 0, tuple((data["eye_centre_radius"][k, :3] * 0.01).tolist())))
            first, last = regions[f"eyeball_{side}"][:2]
            skin[first:last] = np.eye(3, dtype=np.float32)[k + 1]
        return Rig(
            name="ict-facekit",
            neutral=neutral,
            polygons=data["quads"],
            uv=data["uv"],
            uv_polygons=data["quads_uv"],
            materials=materials,
            material_of=data["face_material"],
            shape_names=names,
            deltas=data["expression_delta"].astype(np.float32) * step,
            arkit=to_arkit,
            joints=tuple(joints),
            skin=skin,
            parts={name: slice(int(r[0]), int(r[1])) for name, r in regions.items()},
            licence=str(data["licence"]),
        )
    except (KeyError, ValueError, IndexError, TypeError, OSError, EOFError, BadZipFile, zlib.error) as error:
        raise MediaError(f"{path}: not ICT-FaceKit's arrays ({error})") from error


def _check_arrays(path: Path) -> None:
    """Raises MediaError for an archive that unpacks to more than `MOST_ARRAYS` bytes, before any is unpacked."""
    with ZipFile(path) as archive:
        whole = sum(entry.file_size for entry in archive.infolist())
    if whole > MOST_ARRAYS:
        raise MediaError(f"{path}: unpacks to {whole >> 20:,} MiB, which is more than a head needs")


__all__ = ["load_rig", "match_name"]
