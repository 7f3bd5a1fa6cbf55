"""How a glTF file's polygons look: factors and pictures of its materials, and where on them its vertices lie."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from avatars.gltf_file import GltfFile
from avatars.rig import Material
from studio.errors import MediaError

MOST_PIXELS = 1 << 26
"""Of a picture in a file: larger ones are mistakes or attacks."""

LARGEST = 4096
"""Pixels of a side beyond which a picture is scaled down."""

_GLOSS = "KHR_materials_pbrSpecularGlossiness"


class Materials:
    """The materials of a file as the rig's: `.all()`; `.uv(primitive)` are places on their pictures."""

    def __init__(self, file: GltfFile) -> None:
        self.file = file
        self._pictures: dict[int, np.ndarray] = {}

    def all(self) -> tuple[Material, ...]:
        """One for each of the file's, and a plain one for polygons without."""
        made = [self._material(i, material) for i, material in enumerate(self.file.document.materials)]
        if len(made) > 254:
            raise MediaError(f"{self.file.path}: {len(made)} materials are more than a head needs; join some")
        return (*made, Material("plain"))

    def _base(self, material: Any) -> tuple[Any, Any]:
        """(factor, texture) of the base colour; None for what there is none of. Textures as plain dictionaries."""
        gloss = (material.extensions or {}).get(_GLOSS)
        if gloss is not None:
            return gloss.get("diffuseFactor"), gloss.get("diffuseTexture")
        rough = material.pbrMetallicRoughness
        if rough is None:
            return None, None
        info = rough.baseColorTexture
        if info is None:
            return rough.baseColorFactor, None
        return rough.baseColorFactor, {
            "index": info.index,
            "texCoord": info.texCoord or 0,
            "extensions": info.extensions or {},
        }

    def _material(self, number: int, material: Any) -> Material:
        factor, texture = self._base(material)
        rough = material.pbrMetallicRoughness
        mode = material.alphaMode or "OPAQUE"
        cutoff = 0.5 if material.alphaCutoff is None else float(material.alphaCutoff)
        picture = None if texture is None else self._picture(texture["index"])
        if picture is not None and mode == "OPAQUE":
            picture = np.ascontiguousarray(picture[..., :3])
        normal = material.normalTexture
        value = lambda name, usual: usual if rough is None or getattr(rough, name) is None else getattr(rough, name)
        return Material(
            material.name or f"material{number}",
            tuple(float(c) for c in factor or (1, 1, 1, 1)),
            roughness=float(value("roughnessFactor", 1.0)),
            metallic=float(value("metallicFactor", 1.0)),
            texture=picture,
            normal=None if normal is None else np.ascontiguousarray(self._picture(normal.index)[..., :3]),
            blend=mode == "BLEND",
            double_sided=bool(material.doubleSided),
            cutoff=cutoff if mode == "MASK" else 0.0,
        )

    def _picture(self, texture: int) -> np.ndarray:
        """(H, W, 3 or 4) uint8. Raises MediaError for what can't be decoded."""
        entry = self.file.document.textures[texture]
        extensions = entry.extensions or {}
        source = entry.source
        if source is None:
            source = (extensions.get("EXT_texture_webp") or {}).get("source")
        if source is None:
            raise MediaError(f"{self.file.path}: its pictures are neither PNG, JPEG nor WebP; save it with such")
        if source not in self._pictures:
            self._pictures[source] = decoded(
                self.file.picture(self.file.document.images[source]), f"{self.file.path}: texture {source}"
            )
        return self._pictures[source]

    def uv(self, primitive: Any, count: int) -> tuple[Any, np.ndarray]:
        """(key, (count, 2) float32 v up): places on the picture of a primitive's material. Equal keys, equal places."""
        texture = None
        if primitive.material is not None:
            texture = self._base(self.file.document.materials[primitive.material])[1]
        channel = 0 if texture is None else int(texture.get("texCoord") or 0)
        move = ((texture or {}).get("extensions") or {}).get("KHR_texture_transform") or {}
        offset, scale = tuple(move.get("offset") or (0, 0)), tuple(move.get("scale") or (1, 1))
        accessor = getattr(primitive.attributes, f"TEXCOORD_{move.get('texCoord', channel)}", None)
        key = (primitive.attributes.POSITION, accessor, offset, scale)
        if accessor is None:
            return key, np.zeros((count, 2), np.float32)
        places = self.file.read(accessor)[:, :2] * np.array(scale) + offset
        return key, (places * [1, -1] + [0, 1]).astype(np.float32)


def decoded(data: bytes, name: str) -> np.ndarray:
    """(H, W, 3 or 4) uint8 of a PNG, JPEG or WebP. Raises MediaError for what is none, cut short or a bomb."""
    import warnings

    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit stands below
            opened = Image.open(io.BytesIO(data))
        with opened as image:
            if image.width * image.height > MOST_PIXELS:
                raise MediaError(f"{name}: {image.width}x{image.height} pixels are more than a head needs")
            clear = "A" in image.getbands() or "transparency" in image.info
            image.draft("RGB", (LARGEST, LARGEST))
            whole = image.convert("RGBA" if clear else "RGB")
            if max(whole.size) > LARGEST:
                whole.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
            return np.ascontiguousarray(whole)
    except Image.DecompressionBombError as error:
        raise MediaError(f"{name}: more pixels than a head needs ({error})") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise MediaError(f"{name}: no PNG, JPEG or WebP that can be read ({error})") from error


__all__ = ["Materials", "decoded"]
