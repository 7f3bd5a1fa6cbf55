"""Depth of the face: detected landmarks make faces too flat at the sides, with too long a nose and lips set back.

A few bumps on the face bring the mean face's depth nearer to measured proportions; their sizes were chosen against a
measured mean head (Li et al. 2020, Learning Formation of Physically-Based Face Attributes). Eye spans.
"""

from __future__ import annotations

import numpy as np

BUMPS = {
    # name: (|x|, y) of the middle, (across, up) standard deviations, depth added
    "nose": ((0.0, -0.36), (0.085, 0.13), -0.046),
    "lips": ((0.0, -0.80), (0.25, 0.075), 0.036),
    "chin": ((0.0, -1.10), (0.25, 0.13), 0.034),
    "cheek": ((0.50, -0.42), (0.16, 0.20), -0.040),
    "brow": ((0.56, 0.22), (0.16, 0.15), -0.050),
    "forehead": ((0.0, 0.35), (0.30, 0.25), -0.012),
    "temple": ((0.74, 0.28), (0.10, 0.20), -0.070),
    "nose wing": ((0.22, -0.44), (0.05, 0.06), -0.014),
}


def deepened(points: np.ndarray) -> np.ndarray:
    """Points (N, 3) of the mean face with its depth put right."""
    x, y = np.abs(points[:, 0]), points[:, 1]
    out = np.array(points, np.float64)
    for (across, up), (wide, tall), depth in BUMPS.values():
        out[:, 2] += depth * np.exp(-(((x - across) / wide) ** 2 + ((y - up) / tall) ** 2) / 2)
    return out
