"""Wavefront OBJ of a rig's neutral head: polygons, texture coordinates, groups by material. Metres."""

from __future__ import annotations

from pathlib import Path

from avatars.rig import Rig


def write_obj(rig: Rig, path: Path) -> None:
    """Writes the neutral head; material names stand as usemtl, their colours are not written."""
    lines = [f"# {rig.name}; metres, +Y up, facing +Z", f"o {rig.name}"]
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in rig.neutral]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in rig.uv]
    current = -1
    order = rig.material_of.argsort(kind="stable")
    for number in order:
        if rig.material_of[number] != current:
            current = int(rig.material_of[number])
            lines.append(f"usemtl {rig.materials[current].name}")
        corners = [(a, b) for a, b in zip(rig.polygons[number], rig.uv_polygons[number], strict=True) if a >= 0]
        lines.append("f " + " ".join(f"{a + 1}/{b + 1}" for a, b in corners))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
