"""glTF 2.0 (Khronos, 2021) files of whoever made them, read with care."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from studio.errors import MediaError, require

MOST_TRIANGLES = 2_000_000
MOST_BYTES = 1 << 30
MOST_NODES = 20_000

_PACKED = ("KHR_draco_mesh_compression", "EXT_meshopt_compression")
_KINDS = {5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class GltfFile:
    """A glTF or VRM file: `document` is pygltflib's. Sizes are checked before anything is read.

    Raises MediaError for what is no glTF, is cut short, too large or has no mesh.
    """

    def __init__(self, path: Path) -> None:
        gltf = require("pygltflib", extra="export")
        self.path = path
        if path.stat().st_size > MOST_BYTES:
            raise MediaError(f"{path}: larger than {MOST_BYTES >> 30} GiB")
        try:
            if path.suffix.lower() == ".gltf":
                self.document = gltf.GLTF2().load(str(path))
            else:
                self.document = gltf.GLTF2().load_binary(str(path))
        except Exception as error:  # the library lets through whatever JSON and struct raise
            raise MediaError(f"{path}: not a glTF file, or cut short ({error})") from error
        if self.document is None or not self.document.meshes:
            raise MediaError(f"{path}: no mesh in it")
        packed = [name for name in self.document.extensionsRequired or [] if name in _PACKED]
        if packed:
            raise MediaError(f"{path}: its mesh is packed ({', '.join(packed)}); save it without compression")
        self._blobs: dict[int, bytes] = {}

    def picture(self, image: Any) -> bytes:
        """The file of an image of the document: of its chunk, its address or beside it."""
        if image.bufferView is not None:
            view = self.document.bufferViews[image.bufferView]
            first = view.byteOffset or 0
            return self._bytes(view.buffer)[first : first + view.byteLength]
        return self._outside(str(image.uri))

    def _outside(self, address: str) -> bytes:
        """What a data: address holds, or a file beside this one."""
        if address.startswith("data:"):
            return self.document.get_data_from_buffer_uri(address)
        from urllib.parse import unquote

        folder = self.path.parent.resolve()
        beside = (folder / unquote(address)).resolve()
        if folder not in beside.parents or not beside.is_file():
            raise MediaError(f"{self.path}: its part {address} is not beside it")
        if beside.stat().st_size > MOST_BYTES:
            raise MediaError(f"{beside}: larger than {MOST_BYTES >> 30} GiB")
        return beside.read_bytes()

    def _bytes(self, number: int) -> bytes:
        if number not in self._blobs:
            buffer = self.document.buffers[number]
            data = self.document.binary_blob() if not buffer.uri else None
            if data is None:
                data = self._outside(str(buffer.uri))
            self._blobs[number] = data
        return self._blobs[number]

    def check_triangles(self) -> None:
        """Raises MediaError where the meshes that are shown have more than `MOST_TRIANGLES`, before any is read."""
        total = 0
        for node in self.document.nodes:
            for primitive in [] if node.mesh is None else self.document.meshes[node.mesh].primitives:
                indexed = primitive.indices is not None
                number = primitive.indices if indexed else primitive.attributes.POSITION
                total += self.document.accessors[number].count // 3
        if total > MOST_TRIANGLES:
            raise MediaError(
                f"{self.path}: {total:,} triangles, and {MOST_TRIANGLES:,} are possible; reduce the mesh first"
            )

    def _view(self, number: int, offset: int, kind: Any, count: int, width: int) -> np.ndarray:
        view = self.document.bufferViews[number]
        size = np.dtype(kind).itemsize * width
        stride = view.byteStride or size
        first = (view.byteOffset or 0) + offset
        data = self._bytes(view.buffer)
        if count < 0 or first + stride * (count - 1) + size > len(data):
            raise MediaError(f"{self.path}: cut short: a table of {count} rows lies beyond the file's end")
        rows = np.lib.stride_tricks.as_strided(
            np.frombuffer(data, np.uint8, offset=first), (count, size), (stride, 1), writeable=False
        )
        return np.ascontiguousarray(rows).view(kind).reshape(count, width)

    def read(self, number: int) -> np.ndarray:
        """(N, C) float or integer values of an accessor."""
        accessor = self.document.accessors[number]
        kind, width, count = _KINDS[accessor.componentType], _WIDTH[accessor.type], accessor.count
        if count > 3 * MOST_TRIANGLES:
            raise MediaError(f"{self.path}: a table of {count} rows is more than a head needs")
        if accessor.bufferView is None:
            values = np.zeros((count, width), kind)
        else:
            values = self._view(accessor.bufferView, accessor.byteOffset or 0, kind, count, width).copy()
        if accessor.sparse is not None:
            part = accessor.sparse
            index = self._view(
                part.indices.bufferView, part.indices.byteOffset or 0, _KINDS[part.indices.componentType], part.count, 1
            )[:, 0]
            if len(index) and index.max() >= count:
                raise MediaError(f"{self.path}: a sparse table points beyond its end")
            values[index] = self._view(part.values.bufferView, part.values.byteOffset or 0, kind, part.count, width)
        if accessor.normalized and kind is not np.float32:
            values = values.astype(np.float32) / np.iinfo(kind).max
        if kind is np.float32 and not np.isfinite(values).all():
            raise MediaError(f"{self.path}: holds numbers that are none (NaN or infinite)")
        return values

    def names(self, mesh: Any) -> list[str]:
        """What the morph targets of a mesh of the document are called."""
        count = len(mesh.primitives[0].targets or [])
        told = (mesh.extras or {}).get("targetNames") or (mesh.primitives[0].extras or {}).get("targetNames") or []
        return [str(told[i]) if i < len(told) else f"target{i}" for i in range(count)]

    def placed(self, meshes: bool = True) -> list[tuple[int, np.ndarray]]:
        """(node, its (4, 4) place in the world) of every node, or of those that carry a mesh."""
        nodes = self.document.nodes
        children = {c for node in nodes for c in node.children or []}
        out, stack = [], [(i, np.eye(4), 0) for i in range(len(nodes)) if i not in children]
        while stack:
            number, above, depth = stack.pop()
            if depth > 200 or len(stack) + len(out) > MOST_NODES:
                raise MediaError(f"{self.path}: its nodes go in circles, or are more than a head needs")
            node = nodes[number]
            world = above @ local_matrix(node)
            if not meshes or node.mesh is not None:
                skinned = meshes and node.skin is not None
                out.append((number, np.eye(4) if skinned else world))  # a skinned mesh stands where its joints say
            stack += [(c, world, depth + 1) for c in node.children or []]
        return out


def local_matrix(node: Any) -> np.ndarray:
    """(4, 4) place of a node of the document in its parent."""
    if node.matrix is not None:
        return np.array(node.matrix, np.float64).reshape(4, 4).T
    out = np.eye(4)
    out[:3, :3] = quaternion_matrix(np.array(node.rotation or (0, 0, 0, 1.0)))
    out[:3, :3] = out[:3, :3] * np.array(node.scale or (1, 1, 1))
    out[:3, 3] = node.translation or (0, 0, 0)
    return out


def quaternion_matrix(q: np.ndarray) -> np.ndarray:
    """(3, 3) rotation of a quaternion x, y, z, w of any length."""
    x, y, z, w = q / max(np.linalg.norm(q), 1e-12)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


__all__ = ["MOST_BYTES", "MOST_TRIANGLES", "GltfFile", "local_matrix", "quaternion_matrix"]
