"""Triangles drawn with depth: which triangle each pixel shows and where on it, then colour, depth and normals.

Camera's frame: x right, y up, z towards the viewer, metres. The image's rows run down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit


@dataclass(frozen=True)
class Camera:
    """A pinhole that looks along -z from `distance` metres in front of the origin.

    size (width, height) pixels; focal in pixels; centre (x, y) pixels of the optical axis.
    """

    size: tuple[int, int]
    focal: float
    distance: float
    centre: tuple[float, float]

    @classmethod
    def portrait(cls, size: tuple[int, int], height: float = 0.40, distance: float = 1.1, y: float = -0.03) -> Camera:
        """One that shows `height` metres round the height y at the origin's depth."""
        focal = size[1] / height * distance
        return cls(size, focal, distance, (size[0] / 2, size[1] / 2 + y * focal / distance))

    def project(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) metres -> (N, 3): x, y in pixels, and nearness z."""
        scale = self.focal / (self.distance - points[:, 2])
        return np.stack([self.centre[0] + scale * points[:, 0], self.centre[1] - scale * points[:, 1], points[:, 2]], 1)


@njit(cache=True, nogil=True, fastmath=True)
def _fill(pixels, triangles, keep, index, bary, near):
    h, w = index.shape
    for t in range(len(triangles)):
        if not keep[t]:
            continue
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, az = pixels[a, 0], pixels[a, 1], pixels[a, 2]
        bx, by, bz = pixels[b, 0], pixels[b, 1], pixels[b, 2]
        cx, cy, cz = pixels[c, 0], pixels[c, 1], pixels[c, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= -1e-12:  # rows run down, so what faces us is wound clockwise
            continue
        x0, x1 = max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0), min(int(np.floor(max(ax, bx, cx) - 0.5)), w - 1)
        y0, y1 = max(int(np.ceil(min(ay, by, cy) - 0.5)), 0), min(int(np.floor(max(ay, by, cy) - 0.5)), h - 1)
        if x0 > x1 or y0 > y1:
            continue
        inverse = 1.0 / area
        for y in range(y0, y1 + 1):
            py = y + 0.5
            for x in range(x0, x1 + 1):
                px = x + 0.5
                u = ((bx - px) * (cy - py) - (by - py) * (cx - px)) * inverse
                v = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) * inverse
                s = 1.0 - u - v
                if u < -1e-6 or v < -1e-6 or s < -1e-6:
                    continue
                z = u * az + v * bz + s * cz
                if z > near[y, x]:
                    near[y, x] = z
                    index[y, x] = t
                    bary[y, x, 0], bary[y, x, 1], bary[y, x, 2] = u, v, s


@dataclass(frozen=True)
class Fragments:
    """index (H, W) int32, the triangle that a pixel shows, -1 for none; bary (H, W, 3) float32; depth (H, W) float32 z,
    -inf where nothing is."""

    index: np.ndarray
    bary: np.ndarray
    depth: np.ndarray

    @property
    def cover(self) -> np.ndarray:
        """(H, W) bool: where something is."""
        return self.index >= 0

    def spread(self, values: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """(N, C) values at vertices -> (H, W, C) float32, 0 where nothing is."""
        out = np.zeros((*self.index.shape, values.shape[1]), np.float32)
        _spread(self.index, self.bary, triangles, np.ascontiguousarray(values, np.float32), out)
        return out


@njit(cache=True, nogil=True, fastmath=True)
def _spread(index, bary, triangles, values, out):
    h, w = index.shape
    for y in range(h):
        for x in range(w):
            t = index[y, x]
            if t >= 0:
                for c in range(out.shape[2]):
                    out[y, x, c] = (
                        bary[y, x, 0] * values[triangles[t, 0], c]
                        + bary[y, x, 1] * values[triangles[t, 1], c]
                        + bary[y, x, 2] * values[triangles[t, 2], c]
                    )


def rasterise(
    pixels: np.ndarray, triangles: np.ndarray, size: tuple[int, int], keep: np.ndarray | None = None
) -> Fragments:
    """Draws triangles (F, 3) of pixels (N, 3: x, y, nearness) into a picture of size (width, height); those that face
    away are left out, and those that `keep` (F,) says."""
    width, height = size
    index = np.full((height, width), -1, np.int32)
    bary = np.zeros((height, width, 3), np.float32)
    depth = np.full((height, width), -np.inf, np.float32)
    keep = np.ones(len(triangles), np.bool_) if keep is None else np.ascontiguousarray(keep, np.bool_)
    _fill(np.ascontiguousarray(pixels, np.float64), np.ascontiguousarray(triangles, np.int32), keep, index, bary, depth)
    return Fragments(index, bary, depth)


def vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(N, 3) float32 unit normals, weighted by area."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    out = np.zeros((len(points), 3))
    for k in range(3):
        for axis in range(3):
            out[:, axis] += np.bincount(triangles[:, k], face[:, axis], len(points))
    return (out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)).astype(np.float32)
