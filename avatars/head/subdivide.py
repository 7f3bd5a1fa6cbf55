"""Catmull-Clark subdivision of a polygon cage as a linear map, so that shapes are refined like the mesh itself.

Catmull and Clark, "Recursively generated B-spline surfaces on arbitrary topological meshes", 1978; borders become
cubic B-spline curves, as in DeRose, Kass and Truong 1998.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class Refinement:
    """Where the vertices of the refined mesh come from.

    quads   (Q, 4) int32 of the refined mesh, wound like the cage's polygons.
    origin  (Q,) int32 the cage's polygon that a quad was cut from.
    rows, columns, values   the matrix (refined vertices, cage vertices) as triplets, row by row.
    count   number of refined vertices.
    edges   the refined vertex of each edge (lower, higher vertex of the cage).
    """

    quads: np.ndarray
    origin: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    count: int
    edges: dict[tuple[int, int], int]

    def apply(self, points: np.ndarray) -> np.ndarray:
        """(V, ...) values at the cage's vertices -> (count, ...) float64 at the refined ones."""
        flat = points.reshape(len(points), -1).astype(np.float64)
        out = np.zeros((self.count, flat.shape[1]))
        rows, firsts = np.unique(self.rows, return_index=True)
        out[rows] = np.add.reduceat(self.values[:, None] * flat[self.columns], firsts, axis=0)
        return out.reshape(self.count, *points.shape[1:])


def catmull_clark(polygons: list[tuple[int, ...]], vertices: int) -> Refinement:
    """One step of subdivision: a vertex for each of the cage's vertices, then edges, then polygons.

    Heads share their topology: what was worked out for one serves the next.
    """
    return _refinement(tuple(polygons), vertices)


@lru_cache(maxsize=4)
def _refinement(polygons: tuple[tuple[int, ...], ...], vertices: int) -> Refinement:
    edges: dict[tuple[int, int], list[int]] = {}
    for number, polygon in enumerate(polygons):
        for a, b in zip(polygon, (*polygon[1:], polygon[0])):
            edges.setdefault((min(a, b), max(a, b)), []).append(number)
    place = {edge: vertices + k for k, edge in enumerate(edges)}
    middle = vertices + len(edges)
    table: list[dict[int, float]] = [{} for _ in range(middle + len(polygons))]

    def add(row: int, columns: tuple[int, ...] | list[int], weight: float) -> None:
        for column in columns:
            table[row][column] = table[row].get(column, 0.0) + weight / len(columns)

    for number, polygon in enumerate(polygons):
        add(middle + number, polygon, 1.0)
    for edge, owners in edges.items():
        if len(owners) == 2:
            add(place[edge], edge, 0.5)
            for owner in owners:
                add(place[edge], polygons[owner], 0.25)
        else:
            add(place[edge], edge, 1.0)
    near: list[list[tuple[int, int]]] = [[] for _ in range(vertices)]
    faces: list[list[int]] = [[] for _ in range(vertices)]
    for edge in edges:
        near[edge[0]].append(edge)
        near[edge[1]].append(edge)
    for number, polygon in enumerate(polygons):
        for vertex in polygon:
            faces[vertex].append(number)
    for vertex in range(vertices):
        border = [edge for edge in near[vertex] if len(edges[edge]) == 1]
        if border:
            ends = [a if b == vertex else b for a, b in border]
            add(vertex, [vertex], 0.75 if len(ends) == 2 else 1.0)
            if len(ends) == 2:
                add(vertex, ends, 0.25)
            continue
        n = len(faces[vertex])
        if n == 0:
            add(vertex, [vertex], 1.0)
            continue
        add(vertex, [vertex], (n - 3) / n)
        for number in faces[vertex]:
            add(vertex, polygons[number], 1 / (n * n))
        for edge in near[vertex]:
            add(vertex, edge, 2 / (n * len(near[vertex])))
    quads, origin = [], []
    for number, polygon in enumerate(polygons):
        count = len(polygon)
        for k, corner in enumerate(polygon):
            after, before = polygon[(k + 1) % count], polygon[k - 1]
            quads.append(
                (
                    corner,
                    place[min(corner, after), max(corner, after)],
                    middle + number,
                    place[min(corner, before), max(corner, before)],
                )
            )
            origin.append(number)
    rows = np.concatenate([np.full(len(row), i) for i, row in enumerate(table)])
    columns = np.concatenate([np.fromiter(row.keys(), int) for row in table])
    values = np.concatenate([np.fromiter(row.values(), float) for row in table])
    return Refinement(np.array(quads, np.int32), np.array(origin, np.int32), rows, columns, values, len(table), place)


def refine_corners(polygons: list[tuple[int, ...]], uv: list[np.ndarray]) -> np.ndarray:
    """(Q, 4, 2) texture coordinates of the refined quads' corners from those of each polygon's (n, 2), linearly."""
    counts = np.array([len(polygon) for polygon in polygons])
    first = np.repeat(np.cumsum(counts) - counts, counts)
    step, count = np.arange(len(first)) - first, np.repeat(counts, counts)
    corners = np.concatenate(uv)
    after, before = corners[first + (step + 1) % count], corners[first + (step - 1) % count]
    centre = np.repeat(np.add.reduceat(corners, np.cumsum(counts) - counts) / counts[:, None], counts, 0)
    return np.stack([corners, (corners + after) / 2, centre, (corners + before) / 2], 1).astype(np.float32)
