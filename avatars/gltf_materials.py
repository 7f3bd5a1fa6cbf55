"""Materials of a glTF file as a `Rig` has them, with their pictures."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from avatars.gltf_file import GltfFile
from avatars.rig import Material
from studio.errors import MediaError
from studio.picture import MAX_PIXELS


def materials_of(file: GltfFile) -> tuple[Material, ...]:
    """The materials in the file's order, at least one. Raises MediaError for a picture that can't be read."""
    made = tuple(_material(file, number, told) for number, told in enumerate(file.document.materials))
    return made or (Material("skin"),)


def _material(file: GltfFile, number: int, told: Any) -> Material:
    name, look = told.name or f"material{number}", told.pbrMetallicRoughness
    own = {"blend": told.alphaMode == "BLEND", "double_sided": bool(told.doubleSided)}
    normal = _picture(file, told.normalTexture)
    if normal is not None:
        own["normal"] = normal[..., :3]
    if look is None:
        return Material(name, roughness=1.0, metallic=1.0, **own)
    return Material(
        name,
        tuple(float(v) for v in look.baseColorFactor or (1, 1, 1, 1)),
        roughness=1.0 if look.roughnessFactor is None else float(look.roughnessFactor),
        metallic=1.0 if look.metallicFactor is None else float(look.metallicFactor),
        texture=_picture(file, look.baseColorTexture),
        **own,
    )


def _picture(file: GltfFile, told: Any) -> np.ndarray | None:
    """(H, W, 3 or 4) uint8 of a texture; None where there is none, or only in a form of an extension."""
    if told is None:
        return None
    from PIL import Image

    try:
        source = file.document.textures[told.index].source
        if source is None:
            return None
        data = file.picture(file.document.images[source])
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise MediaError(f"{file.path}: a texture of {picture.width}x{picture.height} pixels is too large")
            clear = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
            return np.array(picture.convert("RGBA" if clear else "RGB"))
    except (OSError, ValueError, IndexError, TypeError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError(f"{file.path}: a texture that can't be read ({error})") from error


__all__ = ["materials_of"]
