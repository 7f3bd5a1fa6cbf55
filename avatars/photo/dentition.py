"""The teeth of a grown person: how wide, high, pointed and bright each one is, and the curve they stand on."""

from __future__ import annotations

import numpy as np

TEETH = 7
"""Teeth on each side of an arch."""

_UPPER_WIDTH = (8.6, 6.5, 7.6, 7.0, 6.8, 10.0, 9.5)
_LOWER_WIDTH = (5.3, 5.9, 6.8, 7.0, 7.1, 11.0, 10.5)
_UPPER_EDGE = (0.0, 0.9, 0.35, 1.1, 1.5, 1.9, 2.2)  # how much higher than the front tooth a tooth ends
_LOWER_EDGE = (0.0, 0.1, -0.5, 0.3, 0.7, 1.0, 1.0)  # how much lower
_UPPER_HEIGHT = (10.4, 8.8, 10.2, 8.4, 7.6, 7.0, 6.5)
_LOWER_HEIGHT = (8.6, 8.8, 10.0, 8.4, 7.6, 7.0, 6.5)
_UPPER_POINT = (0.0, 0.0, 1.2, 0.9, 0.6, 0.3, 0.2)  # how far a cusp stands out
_LOWER_POINT = (0.0, 0.0, 0.9, 0.8, 0.5, 0.3, 0.2)
_UPPER_ROUND = (1.0, 1.3, 0.5, 0.6, 0.6, 0.6, 0.6)  # how far an edge's corners recede
_LOWER_ROUND = (0.35, 0.4, 0.5, 0.6, 0.6, 0.6, 0.6)
_UPPER_TINT = (1.0, 0.985, 0.94, 0.955, 0.95, 0.94, 0.93)
_LOWER_TINT = (0.97, 0.975, 0.94, 0.945, 0.94, 0.93, 0.92)

UPPER_CURVE = 0.0235
LOWER_CURVE = 0.031


def arch_table(upper: bool) -> np.ndarray:
    """One row per tooth from the middle outwards: x where it begins and ends, edge, height, cusp, rounding, tint,
    arc width, curve of the arch. Millimetres; (TEETH, 9) float64."""
    pick = (
        (_UPPER_WIDTH, _UPPER_EDGE, _UPPER_HEIGHT, _UPPER_POINT, _UPPER_ROUND, _UPPER_TINT)
        if upper
        else (_LOWER_WIDTH, _LOWER_EDGE, _LOWER_HEIGHT, _LOWER_POINT, _LOWER_ROUND, _LOWER_TINT)
    )
    curve = UPPER_CURVE if upper else LOWER_CURVE
    x = np.linspace(0.0, 60.0, 6001)
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(curve * x * x)))])
    ends = np.interp(np.cumsum(pick[0]), arc, x)
    begins = np.concatenate([[0.0], ends[:-1]])
    return np.stack([begins, ends, pick[1], pick[2], pick[3], pick[4], pick[5], pick[0], np.full(TEETH, curve)], 1)
