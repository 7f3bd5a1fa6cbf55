"""The binary chunk of a glTF file as it grows, with its views and accessors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FLOAT, UINT, USHORT, UBYTE = 5126, 5125, 5123, 5121
_MOVED = 1e-7  # metres below which a vertex counts as still


class Buffer:
    """The binary chunk as it grows, with its views and accessors."""

    def __init__(self, gltf: Any, document: Any, data: bytes = b"") -> None:
        """gltf: the module pygltflib; document: its document; data: what its binary chunk holds already."""
        self.gltf, self.document, self.data = gltf, document, bytearray(data)

    def view(self, data: bytes, target: int | None = None) -> int:
        """A view of bytes that are appended, on a boundary of four."""
        self.data += b"\0" * (-len(self.data) % 4)
        self.document.bufferViews.append(
            self.gltf.BufferView(buffer=0, byteOffset=len(self.data), byteLength=len(data), target=target)
        )
        self.data += data
        return len(self.document.bufferViews) - 1

    def accessor(
        self, values: np.ndarray, kind: str, component: int, target: int | None = None, bounds: bool = False
    ) -> int:
        """An accessor of its own view. values (N,) or (N, C)."""
        types = {FLOAT: np.float32, UINT: np.uint32, USHORT: np.uint16, UBYTE: np.uint8}
        values = np.ascontiguousarray(values, types[component])
        made = self.gltf.Accessor(
            bufferView=self.view(values.tobytes(), target),
            byteOffset=0,
            componentType=component,
            count=len(values),
            type=kind,
        )
        if bounds:
            flat = values.reshape(len(values), -1)
            made.min, made.max = flat.min(0).tolist(), flat.max(0).tolist()
        self.document.accessors.append(made)
        return len(self.document.accessors) - 1

    def sparse(self, values: np.ndarray) -> int:
        """An accessor of (N, 3) float32 that is zero but for a few rows."""
        gltf = self.gltf
        moved = np.flatnonzero(np.abs(values).max(1) > _MOVED)
        if len(moved) == 0:
            moved = np.array([0])
        made = gltf.Accessor(componentType=FLOAT, count=len(values), type="VEC3", byteOffset=None)
        shown = np.zeros_like(values)
        shown[moved] = values[moved]
        made.min, made.max = shown.min(0).tolist(), shown.max(0).tolist()
        made.sparse = gltf.Sparse(
            count=len(moved),
            indices=gltf.AccessorSparseIndices(
                bufferView=self.view(moved.astype(np.uint32).tobytes()), byteOffset=0, componentType=UINT
            ),
            values=gltf.AccessorSparseValues(
                bufferView=self.view(values[moved].astype(np.float32).tobytes()), byteOffset=0
            ),
        )
        self.document.accessors.append(made)
        return len(self.document.accessors) - 1

    def save(self, path: Path) -> None:
        """Write the document with its chunk as one binary file."""
        if not self.document.buffers:
            self.document.buffers.append(self.gltf.Buffer())
        self.document.buffers[0].byteLength = len(self.data)
        self.document.set_binary_blob(bytes(self.data))
        self.document.save_binary(str(path))


__all__ = ["FLOAT", "UBYTE", "UINT", "USHORT", "Buffer"]
