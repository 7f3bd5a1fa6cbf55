"""Stanford PLY, binary little-endian: points, normals and polygons of a rig, at rest or in a frame. Metres."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avatars.rig import Rig
from avatars.shade3d import vertex_normals


def ply_faces(rig: Rig) -> bytes:
    """The polygons as a PLY file has them, quads before triangles; the same in every frame."""
    out = b""
    for size in (4, 3):
        own = rig.polygons[(rig.polygons >= 0).sum(1) == size, :size]
        rows = np.empty(len(own), [("size", "u1"), ("corners", "<i4", (size,))])
        rows["size"], rows["corners"] = size, own
        out += rows.tobytes()
    return out


def write_ply(rig: Rig, path: Path, points: np.ndarray | None = None, faces: bytes | None = None) -> None:
    """Writes a mesh. points (V, 3) metres, at rest if None; faces: `ply_faces(rig)`, where it is known already."""
    points = rig.neutral if points is None else points
    name = " ".join(rig.name.split())
    lines = ["ply", "format binary_little_endian 1.0", f"comment {name}; metres, +Y up, facing +Z"]
    lines += [
        f"element vertex {len(points)}",
        *(f"property float {axis}" for axis in ("x", "y", "z", "nx", "ny", "nz")),
    ]
    lines += [f"element face {len(rig.polygons)}", "property list uchar int vertex_indices", "end_header"]
    table = np.concatenate([points, vertex_normals(points, rig.triangles)], 1).astype("<f4")
    with path.open("wb") as file:
        file.write("\n".join([*lines, ""]).encode("ascii", "replace"))
        file.write(table.tobytes())
        file.write(ply_faces(rig) if faces is None else faces)


__all__ = ["ply_faces", "write_ply"]
