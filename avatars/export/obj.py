"""Wavefront OBJ of a rig, at rest or in a frame: polygons, texture coordinates, groups by material. Metres."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avatars.rig import Rig


def obj_faces(rig: Rig) -> str:
    """The texture coordinates and polygons as an OBJ file has them; the same in every frame."""
    lines = [f"vt {u:.6f} {v:.6f}" for u, v in rig.uv]
    current = -1
    order = rig.material_of.argsort(kind="stable")
    for number in order:
        if rig.material_of[number] != current:
            current = int(rig.material_of[number])
            lines.append(f"usemtl {rig.materials[current].name}")
        corners = [(a, b) for a, b in zip(rig.polygons[number], rig.uv_polygons[number], strict=True) if a >= 0]
        lines.append("f " + " ".join(f"{a + 1}/{b + 1}" for a, b in corners))
    return "\n".join(lines) + "\n"


def write_obj(rig: Rig, path: Path, points: np.ndarray | None = None, faces: str | None = None) -> None:
    """Writes a mesh; material names stand as usemtl, their colours are not written.

    points (V, 3) metres, at rest if None; faces: `obj_faces(rig)`, where it is known already.
    """
    lines = [f"# {rig.name}; metres, +Y up, facing +Z", f"o {rig.name}"]
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in (rig.neutral if points is None else points)]
    path.write_text("\n".join([*lines, obj_faces(rig) if faces is None else faces]), encoding="utf-8")


__all__ = ["obj_faces", "write_obj"]
