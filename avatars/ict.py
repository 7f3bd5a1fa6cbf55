"""ICT-FaceKit's light model (Li et al., CVPR 2020; MIT licence), repacked as .npz, as a `Rig`."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from avatars.rig import Joint, Material, Rig
from studio.arkit import ARKIT
from studio.errors import MediaError

MOST_ARRAYS = 1 << 29
"""Bytes that arrays may unpack to."""

_CM = 0.01
_COLOURS = {
    "M_GumsTongue": (0.42, 0.13, 0.13),
    "M_Teeth": (0.72, 0.66, 0.55),
    "M_ScleraLeft": (0.70, 0.66, 0.62),
    "M_ScleraRight": (0.70, 0.66, 0.62),
    "M_IrisLeft": (0.10, 0.055, 0.03),
    "M_IrisRight": (0.10, 0.055, 0.03),
}
_SHELLS = ("M_LacrimalFluid", "M_EyeBlend", "M_EyeOcclusion", "M_EyeLashes")
_CORNEA = np.radians(21)
"""Angle from an eye's axis within which its outer shell is clear."""


def ict_rig(path: Path) -> Rig:
    """The head of a file, in metres. Raises MediaError for arrays that are others, damaged or too large."""
    try:
        _check_size(path)
        with np.load(path, allow_pickle=False) as data:
            return _rig(data)
    except (KeyError, ValueError, IndexError, TypeError, OSError, EOFError, BadZipFile, zlib.error) as error:
        raise MediaError(f"{path}: not ICT-FaceKit's arrays ({error})") from error


def _rig(data: Any) -> Rig:
    neutral = data["neutral"].astype(np.float32) * _CM
    names = tuple(str(name) for name in data["expression_names"])
    to_arkit = np.zeros((len(ARKIT), len(names)), np.float32)
    for name, row in zip(data["arkit_names"], data["arkit_to_expression"], strict=True):
        to_arkit[ARKIT.index(str(name))] = row
    centres = data["eye_centre_radius"][:, :3] * _CM
    regions = dict(zip(map(str, data["region_names"]), data["region_ranges"], strict=True))
    parts = {name: slice(int(r[0]), int(r[1])) for name, r in regions.items()}
    joints, skin = _joints(neutral, centres, parts)
    materials = [_material(str(name)) for name in data["material_names"]]
    material_of = data["face_material"].copy()
    for number, centre in zip((4, 6), centres, strict=True):
        outer = np.flatnonzero(material_of == number)
        ray = neutral[data["quads"][outer, :3]].mean(1) - centre
        ahead = ray[:, 2] > np.cos(_CORNEA) * np.linalg.norm(ray, axis=1)
        material_of[outer[ahead]] = [m.name for m in materials].index("M_LacrimalFluid")
    return Rig(
        name="ict-facekit",
        neutral=neutral,
        polygons=data["quads"],
        uv=data["uv"],
        uv_polygons=data["quads_uv"],
        materials=tuple(materials),
        material_of=material_of,
        shape_names=names,
        deltas=data["expression_delta"].astype(np.float32) * (float(data["delta_step"]) * _CM),
        arkit=to_arkit,
        joints=joints,
        skin=skin,
        parts=parts,
        licence=str(data["licence"]),
    )


def _joints(neutral: np.ndarray, centres: np.ndarray, parts: dict[str, slice]) -> tuple[tuple[Joint, ...], np.ndarray]:
    """Neck, head and eyes, and (V, 4) skin: below the chin the neck takes over, shoulders stay."""
    middle, span = centres.mean(0), np.linalg.norm(centres[0] - centres[1])
    place = lambda down, back: tuple((middle - span * np.array([0.0, down, back])).tolist())
    eyes = [Joint(f"eye_{side}", 1, tuple(centre.tolist())) for side, centre in zip(("left", "right"), centres)]
    low = np.clip((middle[1] - 2.0 * span - neutral[:, 1]) / (0.9 * span), 0, 1)
    skin = np.zeros((len(neutral), 4), np.float32)
    skin[:, 0] = low * low * (3 - 2 * low)
    skin[:, 1] = 1 - skin[:, 0]
    for k, side in enumerate(("left", "right"), 2):
        skin[parts[f"eyeball_{side}"]] = np.eye(4, dtype=np.float32)[k]
    return (Joint("neck", -1, place(3.0, 1.6)), Joint("head", 0, place(1.2, 1.3)), *eyes), skin


def _material(name: str) -> Material:
    """How a part looks: the light model comes without pictures. Shells that want a shader of their own are clear."""
    red, green, blue = _COLOURS.get(name, (0.58, 0.35, 0.26))
    wet = name.startswith(("M_Sclera", "M_Iris", "M_Teeth"))
    shell = name in _SHELLS
    return Material(name, (red, green, blue, 0.0 if shell else 1.0), roughness=0.2 if wet else 0.55, blend=shell)


def _check_size(path: Path) -> None:
    """Raises MediaError for an archive that unpacks to more than `MOST_ARRAYS` bytes, before any is unpacked."""
    with ZipFile(path) as archive:
        whole = sum(entry.file_size for entry in archive.infolist())
    if whole > MOST_ARRAYS:
        raise MediaError(f"{path}: unpacks to {whole >> 20:,} MiB, which is more than a head needs")


__all__ = ["ict_rig"]
