"""A photo as a rig's texture, whatever the rig: what the photo shows is laid on, the rest grows from its edges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatars.head.photo import FACING, SURE, pulled, visible
from avatars.head.texels import texels, with_margin
from avatars.rig import Rig
from avatars.shade3d import vertex_normals

SIZE = 1024
"""Pixels of the texture, either side."""

_WHITE = (1.0, 1.0, 1.0, 1.0)


def with_photo(rig: Rig, picture: np.ndarray, placed: np.ndarray, size: int = SIZE) -> Rig:
    """The rig in the photo's colours: a texture for all its materials, or one colour each where it has no texture
    coordinates.

    picture (H, W, 3) uint8 RGB; placed (V, 3): the rig's vertices on it, x and y in pixels, z in the same scale,
    smaller nearer.
    """
    if len(rig.uv) < 3:
        colour = _colour(rig, picture, placed)
        return replace(rig, materials=(replace(rig.materials[0], colour=colour), *rig.materials[1:]))
    texture = photo_texture(rig, picture, placed, size)
    return replace(rig, materials=tuple(replace(m, colour=_WHITE, texture=texture) for m in rig.materials))


def photo_texture(rig: Rig, picture: np.ndarray, placed: np.ndarray, size: int = SIZE) -> np.ndarray:
    """(size, size, 3) uint8, as `with_photo`."""
    import cv2

    triangles = rig.triangles
    worn = texels(rig, size, None)
    where = worn.spread(placed[:, :2], triangles)
    trust = _trust(worn, where, picture, placed, triangles)
    x, y = where[..., 0].astype(np.float32), where[..., 1].astype(np.float32)
    photo = cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    filled = pulled(photo, trust)
    mixed = trust[..., None] * photo + (1 - trust[..., None]) * filled
    return np.clip(with_margin(mixed, worn.cover, 16) + 0.5, 0, 255).astype(np.uint8)


def _trust(worn, where, picture, placed, triangles) -> np.ndarray:
    """(size, size) float32, 0..1: how well the photo shows a texel."""
    facing = worn.spread(vertex_normals(placed * [1, -1, -1], triangles), triangles)[..., 2]
    height, width = picture.shape[:2]
    inside = (where[..., 0] > 0) & (where[..., 0] < width - 1) & (where[..., 1] > 0) & (where[..., 1] < height - 1)
    seen = visible(worn, placed, triangles, picture.shape)
    return (np.clip((facing - FACING) / (SURE - FACING), 0, 1) * seen * inside * worn.cover).astype(np.float32)


def _colour(rig: Rig, picture: np.ndarray, placed: np.ndarray) -> tuple[float, float, float, float]:
    """RGBA, linear light: the median of the photo at vertices that face it; the rig's own where none do."""
    skin = rig.triangles[rig.material_of[rig.triangle_polygon] == 0]
    near = np.unique(skin)
    near = near[vertex_normals(placed * [1, -1, -1], rig.triangles)[near, 2] > SURE]
    x, y = np.rint(placed[near, :2]).astype(int).T
    inside = (x >= 0) & (x < picture.shape[1]) & (y >= 0) & (y < picture.shape[0])
    if not inside.any():
        return rig.materials[0].colour
    srgb = np.median(picture[y[inside], x[inside]] / 255, axis=0)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return (*map(float, linear), 1.0)
