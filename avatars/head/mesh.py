"""A mesh of polygons in the making."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Cage:
    """points (V, 3); shapes (K, V, 3) displacement at weight 1; polygons, and for each its corners' (n, 2) texture
    coordinates and part. inside: the vertices of the lids' inside."""

    points: np.ndarray
    shapes: np.ndarray
    polygons: list[tuple[int, ...]] = field(default_factory=list)
    uv: list[np.ndarray] = field(default_factory=list)
    part: list[str] = field(default_factory=list)
    inside: np.ndarray = field(default_factory=lambda: np.zeros(0, int))

    def add(self, points: np.ndarray, shapes: np.ndarray | None = None) -> np.ndarray:
        """Puts vertices in; returns their numbers."""
        first = len(self.points)
        self.points = np.concatenate([self.points, points])
        moved = np.zeros((len(self.shapes), len(points), 3)) if shapes is None else shapes
        self.shapes = np.concatenate([self.shapes, moved], 1)
        return np.arange(first, first + len(points))

    def put(self, polygon: tuple[int, ...], uv: np.ndarray, part: str) -> None:
        """Puts a polygon in."""
        self.polygons.append(tuple(map(int, polygon)))
        self.uv.append(np.asarray(uv, np.float64))
        self.part.append(part)

    def strip(self, outer: np.ndarray, inner: np.ndarray, uv: np.ndarray, part: str, closed: bool = True) -> None:
        """Quads between two rows of as many vertices. uv (2, n + 1, 2): of both rows, the last closing the ring."""
        count = len(outer) if closed else len(outer) - 1
        for k in range(count):
            n = (k + 1) % len(outer)
            self.put(
                (outer[k], outer[n], inner[n], inner[k]),
                np.array([uv[0, k], uv[0, k + 1], uv[1, k + 1], uv[1, k]]),
                part,
            )
