"""A photo as a rig's texture, whatever the rig: what the photo shows is laid on, what it doesn't comes from the face's
other side, and from an albedo model or from the edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from avatars.flame.maps import drawn
from avatars.head.photo import FACING, SURE, pulled
from avatars.head.texels import texels, with_margin
from avatars.rig import Rig
from avatars.shade3d import vertex_normals

SIZE = 1024
"""Pixels of the texture, either side."""

_OTHER_SIDE = 0.35
"""How much the face's other side counts beside what the photo shows itself."""

_ASIDE = 0.006
"""Metres that a head may be asymmetric by."""

Fill = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

_WHITE = (1.0, 1.0, 1.0, 1.0)


def with_photo(rig: Rig, picture: np.ndarray, placed: np.ndarray, size: int = SIZE, fill: Fill | None = None) -> Rig:
    """The rig in the photo's colours: a texture for all its materials, or one colour each where it has no texture
    coordinates.

    picture (H, W, 3) uint8 RGB; placed (V, 3): the rig's vertices on it, x and y in pixels, z in the same scale,
    smaller nearer. fill as in `photo_texture`.
    """
    if len(rig.uv) < 3:
        colour = _colour(rig, picture, placed)
        return replace(rig, materials=(replace(rig.materials[0], colour=colour), *rig.materials[1:]))
    texture = photo_texture(rig, picture, placed, size, fill)
    return replace(rig, materials=tuple(replace(m, colour=_WHITE, texture=texture) for m in rig.materials))


def photo_texture(
    rig: Rig, picture: np.ndarray, placed: np.ndarray, size: int = SIZE, fill: Fill | None = None
) -> np.ndarray:
    """(size, size, 3) uint8: the photo, then what the face's other side shows, then `fill`, or without it colours that
    grow from the edges.

    fill  colours (S, S, 3), trust (S, S) and normals (S, S, 3; viewer's axes) -> colours (S, S, 3) of everything.
    """
    triangles = rig.triangles
    worn = texels(rig, size, None)
    normals = vertex_normals(placed * [1, -1, -1], triangles)
    nearest = _nearest(placed, triangles, picture.shape)
    photo, trust = _shown(worn, triangles, picture, placed, normals, nearest)
    twin, there = mirrored(rig)
    other, also = _shown(worn, triangles, picture, placed[twin], normals[twin], nearest)
    also = _OTHER_SIDE * also * worn.spread(there[:, None].astype(np.float32), triangles)[..., 0] * (1 - trust)
    total = trust + also
    mixed = (trust[..., None] * photo + also[..., None] * other) / np.maximum(total, 1e-4)[..., None]
    if fill is None:
        rest = pulled(mixed, total)
    else:
        rest = fill(mixed, total, worn.spread(normals, triangles))
    share = np.clip(total / _OTHER_SIDE, 0, 1)[..., None]
    whole = share * mixed + (1 - share) * rest
    return np.clip(with_margin(whole, worn.cover, 16) + 0.5, 0, 255).astype(np.uint8)


def mirrored(rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """(V,) the vertex at each vertex's place on the other side of the face, and (V,) bool: whether one is there."""
    from scipy.spatial import cKDTree

    apart, twin = cKDTree(rig.neutral).query(rig.neutral * [-1, 1, 1])
    return twin, apart < _ASIDE


def _shown(worn, triangles, picture, placed, normals, nearest) -> tuple[np.ndarray, np.ndarray]:
    """(size, size, 3) float32 colours that the photo has at `placed` (V, 3), and (size, size), 0..1, how well it shows
    them; normals (V, 3) there, nearest as `_nearest` makes it."""
    import cv2

    where = worn.spread(placed, triangles)
    x, y = where[..., 0], where[..., 1]
    height, width = picture.shape[:2]
    facing = worn.spread(normals, triangles)[..., 2]
    inside = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
    scale, depth, slack = nearest
    row, column = (np.clip((v * scale).astype(int), 0, n - 1) for v, n in zip((y, x), depth.shape, strict=True))
    seen = where[..., 2] < depth[row, column] + slack
    photo = cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    trust = np.clip((facing - FACING) / (SURE - FACING), 0, 1) * seen * inside * worn.cover
    return photo, trust.astype(np.float32)


def _nearest(placed, triangles, shape) -> tuple[float, np.ndarray, float]:
    """What a smaller picture of the mesh shows: its scale, (h, w) z of the nearest surface, and how much further is the
    same surface still."""
    scale = min(1.0, 700 / max(shape[:2]))
    span = float(np.ptp(placed[:, 2]))
    moved = placed * [scale, scale, 1]
    seen = drawn(moved, triangles, (int(shape[1] * scale) + 1, int(shape[0] * scale) + 1))
    depth = seen.spread(placed[:, 2:].astype(np.float32), triangles)[..., 0]
    return scale, np.where(seen.cover, depth, -np.inf), 0.02 * span


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
