"""Volume of the convex hull of a few points."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np


@cache
def _triples(count: int) -> np.ndarray:
    return np.array(list(itertools.combinations(range(count), 3)))


def hull_volume(points: np.ndarray) -> float:
    """Volume of the hull of points (N, 3) in general position (no four of its corners in one plane).

    A triangle of points is a face where all the others lie on one side; the pyramids from the faces to the centre
    fill the hull. With 21 points that is less work than building it.
    """
    points = np.asarray(points, np.float64) - np.mean(points, axis=0)
    a, b, c = (points[i] for i in _triples(len(points)).T)
    normal = np.cross(b - a, c - a)
    height = (normal * a).sum(1)
    side = normal @ points.T - height[:, None]
    slack = 1e-12 * np.abs(points).max() ** 3
    face = (side <= slack).all(1) | (side >= -slack).all(1)
    return float(np.abs(height[face]).sum() / 6)


def hull_multiplier(source: np.ndarray, first: np.ndarray) -> float:
    """Root of the ratio of hull volumes, source (21, 3) against the driving's first frame: how much larger the moved
    face is drawn. 1 where the first frame has no volume."""
    volume = hull_volume(first)
    return float(np.sqrt(hull_volume(source) / volume)) if volume > 0 else 1.0
