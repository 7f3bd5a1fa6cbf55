"""glTF files made by hand, whole and broken, for tests of what reads them."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_KINDS = {"f": (5126, np.float32), "I": (5125, np.uint32), "B": (5121, np.uint8)}
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


class Glb:
    """A document and its binary part: `add` puts arrays in, `save` writes. `document` may be spoilt at will."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.document: dict[str, Any] = {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": []}
        for name in ("meshes", "nodes", "materials", "textures", "images"):
            self.document[name] = []

    def view(self, data: bytes) -> int:
        self.data += b"\0" * (-len(self.data) % 4)
        self.document["bufferViews"].append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)})
        self.data += data
        return len(self.document["bufferViews"]) - 1

    def add(self, values: Any, kind: str = "f") -> int:
        """An accessor of (N,) or (N, C) values."""
        component, dtype = _KINDS[kind]
        table = np.asarray(values, dtype).reshape(len(values), -1)
        self.document["accessors"].append(
            {
                "bufferView": self.view(table.tobytes()),
                "componentType": component,
                "count": len(table),
                "type": _TYPES[table.shape[1]],
            }
        )
        return len(self.document["accessors"]) - 1

    def put(self, kind: str, **entry: Any) -> int:
        """A mesh, node, material, texture, image or skin; returns its number."""
        self.document.setdefault(kind, []).append(entry)
        return len(self.document[kind]) - 1

    def picture(self, pixels: np.ndarray | bytes) -> int:
        """A texture of (H, W, 3 or 4) uint8, or of a file's bytes."""
        if not isinstance(pixels, bytes):
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "PNG")
            pixels = out.getvalue()
        image = self.put("images", bufferView=self.view(pixels), mimeType="image/png")
        return self.put("textures", source=image)

    def save(self, path: Path) -> Path:
        document = {name: entry for name, entry in self.document.items() if entry != []}
        document["buffers"] = [{"byteLength": len(self.data)}]
        text = json.dumps(document).encode()
        text += b" " * (-len(text) % 4)
        body = bytes(self.data) + b"\0" * (-len(self.data) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(body), b"BIN\0") + body
        path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
        return path


QUAD = np.array([[-0.1, -0.1, 0], [0.1, -0.1, 0], [0.1, 0.1, 0], [-0.1, 0.1, 0]])
"""A plate of 20 cm that faces +Z."""


def plate(
    made: Glb,
    centre: tuple[float, float, float] = (0, 0, 0),
    size: float = 1.0,
    shapes: tuple[str, ...] = (),
    **more: Any,
) -> int:
    """A mesh: a square plate, whose named shapes lift it by 2 cm. more: attributes, material, of its primitive."""
    material = more.pop("material", None)
    attributes = {
        "POSITION": made.add(size * QUAD + centre),
        "TEXCOORD_0": made.add([[0, 1], [1, 1], [1, 0], [0, 0]]),
        **more,
    }
    primitive: dict[str, Any] = {"attributes": attributes, "indices": made.add([0, 1, 2, 0, 2, 3], "I")}
    if material is not None:
        primitive["material"] = material
    mesh: dict[str, Any] = {"primitives": [primitive]}
    if shapes:
        lifted = np.zeros((4, 3))
        lifted[:, 1] = 0.02
        primitive["targets"] = [{"POSITION": made.add(lifted)} for _ in shapes]
        mesh["extras"] = {"targetNames": list(shapes)}
    return made.put("meshes", **mesh)


def talking_plate(shapes: tuple[str, ...] = ("jawOpen",)) -> Glb:
    """The least that is a head."""
    made = Glb()
    made.put("nodes", mesh=plate(made, shapes=shapes))
    return made
