"""Morph targets added to a glTF file, with all else in it kept: textures, skins, nodes, animations, extensions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatars.export.gltf_buffer import Buffer
from avatars.gltf_file import MOST_TRIANGLES, GltfFile
from avatars.rig import Material, Rig
from avatars.shape_names import match_name
from studio.arkit import ARKIT
from studio.errors import MediaError, require


@dataclass(frozen=True)
class _Part:
    """The vertices of a POSITION accessor: which mesh, first and last vertex in the scene, the node's (3, 3) turn."""

    mesh: int
    accessor: int
    place: slice
    turn: np.ndarray


class OpenHead:
    """A glTF or VRM file whose meshes are known as one: `points` (V, 3) in the scene, `triangles` (F, 3).

    Raises MediaError for what can't be read, is too large or has no triangles.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in (".glb", ".vrm"):
            raise MediaError(f"{path}: shapes are added to .glb and .vrm")
        if not path.is_file():
            raise MediaError(f"{path}: no such file")
        self.path, self.file = path, GltfFile(path)
        self.parts: list[_Part] = []
        points, triangles, known, total = [], [], {}, 0
        for node_number, world in self.file.placed():
            number = self.document.nodes[node_number].mesh
            for primitive in self.document.meshes[number].primitives:
                accessor = primitive.attributes.POSITION
                key = (number, accessor)
                if key not in known:
                    own = self.file.read(accessor).astype(np.float64) @ world[:3, :3].T + world[:3, 3]
                    known[key] = total
                    self.parts.append(_Part(number, accessor, slice(total, total + len(own)), world[:3, :3]))
                    points.append(own)
                    total += len(own)
                if primitive.mode not in (None, 4):
                    continue
                size = self.document.accessors[accessor].count
                index = np.arange(size) if primitive.indices is None else self.file.read(primitive.indices)[:, 0]
                index = index[: len(index) // 3 * 3].astype(np.int64)
                if len(index) and index.max() >= size:
                    raise MediaError(f"{path}: triangles point beyond the vertices")
                triangles.append(index.reshape(-1, 3) + known[key])
                if sum(map(len, triangles)) > MOST_TRIANGLES:
                    raise MediaError(f"{path}: more than {MOST_TRIANGLES:,} triangles; reduce the mesh first")
        if not triangles or not sum(map(len, triangles)):
            raise MediaError(f"{path}: no triangles in it")
        self.points, self.triangles = np.concatenate(points), np.concatenate(triangles)

    @property
    def document(self) -> Any:
        """pygltflib's document."""
        return self.file.document

    def rig(self) -> Rig:
        """The mesh as a rig that nothing moves, to look at."""
        polygons = np.concatenate([self.triangles, np.full((len(self.triangles), 1), -1)], 1).astype(np.int32)
        flat = np.zeros((len(self.points), 2), np.float32)
        return Rig(
            self.path.stem,
            self.points.astype(np.float32),
            polygons,
            flat,
            polygons,
            (Material("skin", (0.55, 0.38, 0.3, 1.0), double_sided=True),),
            np.zeros(len(polygons), np.uint8),
            (),
            np.zeros((0, len(self.points), 3), np.float32),
            np.zeros((len(ARKIT), 0), np.float32),
        )

    def save(self, path: Path, deltas: np.ndarray) -> int:
        """Write the file with ARKit's shapes (52, V, 3), in the scene's frame, added; returns how many were missing.

        Shapes that a mesh has already are left alone. Raises MediaError where an animation moves its own targets.
        """
        gltf = require("pygltflib", extra="export")
        document = self.document
        moving = {
            document.nodes[channel.target.node].mesh
            for animation in document.animations
            for channel in animation.channels
            if channel.target.path == "weights"
        }
        buffer = Buffer(gltf, document, document.binary_blob() or b"")
        added = 0
        for number in sorted({part.mesh for part in self.parts}):
            parts = [part for part in self.parts if part.mesh == number]
            mesh = document.meshes[number]
            names = self.file.names(mesh)
            have = {match_name(name) for name in names}
            wanted = [k for k, name in enumerate(ARKIT) if name not in have]
            if not any(np.any(deltas[wanted, part.place]) for part in parts):
                continue
            if number in moving:
                raise MediaError(f"{self.path}: an animation moves the mesh's own targets; take it out first")
            made = {
                part.accessor: [
                    {"POSITION": buffer.sparse((deltas[k, part.place] @ np.linalg.inv(part.turn).T).astype(np.float32))}
                    for k in wanted
                ]
                for part in parts
            }
            for primitive in mesh.primitives:
                primitive.targets = [*(primitive.targets or []), *made[primitive.attributes.POSITION]]
            mesh.weights = [*(mesh.weights or [0.0] * len(names)), *[0.0] * len(wanted)]
            mesh.extras = {**(mesh.extras or {}), "targetNames": [*names, *(ARKIT[k] for k in wanted)]}
            added = max(added, len(wanted))
        if not added:
            raise MediaError(f"{self.path}: nothing was added: it has the shapes already, or no mesh lies at the face")
        buffer.save(path)
        return added


__all__ = ["OpenHead"]
