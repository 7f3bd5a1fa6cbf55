"""Pictures of a mesh that lies on a photo: its shape over the photo, normals and depth (for a ControlNet)."""

from __future__ import annotations

import numpy as np

from avatars.raster import Backend, rasterise
from avatars.shade3d import Fragments, vertex_normals

GREY = 180 / 255
"""Albedo of the drawn shape."""

LIGHTS = np.array([[-1, 1, 1], [1, 1, 1], [-1, -1, 1], [1, -1, 1], [0, 0, 1.0]])
"""Ways towards the five lights of DECA's and SMIRK's shape pictures, in FLAME's axes."""

INTENSITY = 1.7


def drawn(
    placed: np.ndarray,
    faces: np.ndarray,
    size: tuple[int, int],
    keep: np.ndarray | None = None,
    *,
    backend: Backend = "auto",
) -> Fragments:
    """The mesh seen in parallel projection.

    placed (V, 3): x and y pixels from the picture's top left corner, z in the same scale, smaller nearer; faces (F, 3),
    counter-clockwise from outside; size (width, height); keep (F,) bool: faces to draw, all without; backend as in
    `avatars.raster.rasterise`.
    """
    far = 1000 * max(float(np.ptp(placed[:, 2])), 1.0)  # so far that perspective doesn't show
    nearest = placed[:, 2] - placed[:, 2].min()
    return rasterise(np.column_stack([placed[:, :2], 1 / (far + nearest)]), faces, size, keep, backend=backend)


def shape_picture(
    seen: Fragments, vertices: np.ndarray, faces: np.ndarray, keep: np.ndarray | None = None
) -> np.ndarray:
    """(H, W, 3) float32, 0..1: a grey surface under five lights, black where nothing is, as DECA and SMIRK draw it.

    vertices (V, 3) metres in FLAME's axes, posed. With `keep` the normals at its edge are those of the kept part alone.
    """
    normals = vertex_normals(vertices, faces if keep is None else faces[keep])
    towards = LIGHTS / np.linalg.norm(LIGHTS, axis=1, keepdims=True)
    pixel = seen.spread(normals, faces)
    light = INTENSITY * np.clip(pixel @ towards.T.astype(np.float32), 0, 1).mean(-1)
    return np.repeat((GREY * light * seen.cover)[..., None], 3, 2).astype(np.float32)


def normal_picture(seen: Fragments, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: normals in the viewer's axes (x right, y up, z towards the viewer) as 127.5 (n + 1); black where
    nothing is.
    """
    pixel = seen.spread(vertex_normals(vertices, faces), faces)
    pixel /= np.maximum(np.linalg.norm(pixel, axis=2, keepdims=True), 1e-6)
    return np.where(seen.cover[..., None], np.rint(127.5 * (pixel + 1)), 0).astype(np.uint8)


def depth_picture(seen: Fragments, placed: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(H, W) float32, 1 at the nearest point of the mesh, 0 at its farthest and where nothing is."""
    depth = seen.spread(placed[:, 2:], faces)[..., 0]
    low, high = float(placed[:, 2].min()), float(placed[:, 2].max())
    return np.where(seen.cover, (high - depth) / max(high - low, 1e-6), 0).astype(np.float32)


def overlay(picture: np.ndarray, seen: Fragments, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the shape over the photo (H, W, 3) uint8."""
    shape = np.rint(255 * np.clip(shape_picture(seen, vertices, faces), 0, 1)).astype(np.uint8)
    return np.where(seen.cover[..., None], shape, picture)
