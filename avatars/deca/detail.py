"""DECA's displacement map as what other programs take: a tangent-space normal map, and a dense mesh."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatars.head.texels import texels
from avatars.rig import Rig
from avatars.shade3d import vertex_normals


def normal_map(rig: Rig, displacement: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 tangent-space normals (glTF's: x along u, y along v, z out) of metres of displacement (H, W) in
    the rig's texture space, first row v = 1. Flat where the texture is worn by nothing.
    """
    places, cover = _places(rig, len(displacement))
    down, right = np.gradient(places, axis=(0, 1))
    slope_down, slope_right = np.gradient(np.asarray(displacement, np.float64))
    whole = _inside(cover)
    x = -slope_right / np.maximum(np.linalg.norm(right, axis=2), 1e-6) * whole
    y = slope_down / np.maximum(np.linalg.norm(down, axis=2), 1e-6) * whole  # v rises where rows fall
    normal = np.stack([x, y, np.ones_like(x)], 2)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    return np.rint(127.5 * (normal + 1)).astype(np.uint8)


def dense_mesh(rig: Rig, displacement: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (N, 3) float32 metres and triangles (M, 3) int32: the texture's grid as a surface, each texel
    moved along its normal by metres of displacement (H, W). The rig's neutral head, without what has no texture.
    """
    size = len(displacement)
    places, cover = _places(rig, size)
    worn = texels(rig, size, None)
    normals = worn.spread(vertex_normals(rig.neutral, rig.triangles), rig.triangles)
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-6)
    points = places + np.asarray(displacement)[..., None] * normals
    number = np.full(cover.shape, -1)
    number[cover] = np.arange(cover.sum())
    a, b, c, d = number[:-1, :-1], number[1:, :-1], number[:-1, 1:], number[1:, 1:]
    step = np.linalg.norm(np.diff(points, axis=1), axis=2)
    near = np.maximum(step[:-1], step[1:]) < 8 * np.median(step[cover[:, :-1] & cover[:, 1:]])
    cells = (np.minimum(np.minimum(a, b), np.minimum(c, d)) >= 0) & near  # islands that touch stay apart
    corners = [np.stack(way, -1)[cells] for way in ((a, b, c), (c, b, d))]
    return points[cover].astype(np.float32), np.concatenate(corners).astype(np.int32)


def dense_rig(rig: Rig, displacement: np.ndarray) -> Rig:
    """`dense_mesh` as a rig at rest, without shapes and joints, in the colours of the first material."""
    points, triangles = dense_mesh(rig, displacement)
    size = len(displacement)
    row, column = np.nonzero(_places(rig, size)[1])
    polygons = np.c_[triangles, np.full(len(triangles), -1)].astype(np.int32)
    return Rig(
        name=f"{rig.name}-detail",
        neutral=points,
        polygons=polygons,
        uv=np.stack([(column + 0.5) / size, 1 - (row + 0.5) / size], 1).astype(np.float32),
        uv_polygons=polygons,
        materials=(replace(rig.materials[0], normal=None),),
        material_of=np.zeros(len(polygons), np.uint8),
        shape_names=(),
        deltas=np.zeros((0, len(points), 3), np.float32),
        arkit=np.zeros((rig.arkit.shape[0], 0), np.float32),
        licence=rig.licence,
    )


def _places(rig: Rig, size: int) -> tuple[np.ndarray, np.ndarray]:
    worn = texels(rig, size, None)
    return worn.spread(rig.neutral, rig.triangles).astype(np.float64), worn.cover


def _inside(cover: np.ndarray) -> np.ndarray:
    """Texels all of whose neighbours are worn too."""
    out = cover.copy()
    for axis in (0, 1):
        for shift in (-1, 1):
            out &= np.roll(cover, shift, axis)
    return out
