"""The skin's picture seen from the mesh: which triangle wears each pixel, and where it lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatars.rig import Rig
from avatars.shade3d import Fragments, rasterise


def texels(rig: Rig, size: int, material: str | None = "skin") -> Fragments:
    """For each pixel of a material's picture (size, size) the triangle of `rig.triangles` that wears it, and where on
    it; None for a picture that all materials share."""
    number = next((i for i, m in enumerate(rig.materials) if m.name == material), None)
    worn = np.flatnonzero((rig.material_of[rig.triangle_polygon] == number) | (number is None))
    corners = rig.uv[rig.uv_triangles[worn]].reshape(-1, 2)
    pixels = np.column_stack([corners[:, 0] * size, (1 - corners[:, 1]) * size, np.ones(len(corners))])
    triangles = np.arange(len(corners)).reshape(-1, 3)
    found = rasterise(pixels, triangles, (size, size), two_sided=np.ones(len(worn), bool))
    return replace(found, index=np.where(found.index >= 0, worn[np.maximum(found.index, 0)], -1).astype(np.int32))


def with_margin(picture: np.ndarray, cover: np.ndarray, width: int = 8) -> np.ndarray:
    """The picture (H, W, C) with colours carried `width` pixels beyond its islands, cover (H, W) bool."""
    import cv2

    away = np.where(cover, 0, 255).astype(np.uint8)
    distance, labels = cv2.distanceTransformWithLabels(away, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    places = np.zeros((labels.max() + 1, 2), np.int64)
    y, x = np.nonzero(cover)
    places[labels[y, x]] = np.stack([y, x], 1)
    near = places[labels]
    return np.where(((distance > 0) & (distance <= width))[..., None], picture[near[..., 0], near[..., 1]], picture)
