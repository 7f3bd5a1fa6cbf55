"""Curves of fewer keys: Ramer (1972), Douglas and Peucker (1973), with the distance measured at equal times.

What is interpolated between the keys that are kept stays within a tolerance of every sample.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Between = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(C,) first value, (C,) last value, (n,) shares 0..1 of the way -> (n, C) values."""


def blended(first: np.ndarray, last: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Linear interpolation, as `Between`."""
    return first + (last - first) * share[:, None]


def slerped(first: np.ndarray, last: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Spherical linear interpolation of unit quaternions (Shoemake 1985), the shorter way, as `Between`."""
    cosine = float(first @ last)
    if cosine < 0:
        last, cosine = -last, -cosine
    angle = np.arccos(min(cosine, 1.0))
    if angle < 1e-6:
        return blended(first, last, share)
    return (np.sin((1 - share) * angle)[:, None] * first + np.sin(share * angle)[:, None] * last) / np.sin(angle)


def distances(values: np.ndarray, wanted: np.ndarray, between: Between) -> np.ndarray:
    """(n,) how far values (n, C) are from the wanted: the largest difference, for rotations the angle in radians."""
    if between is slerped:
        apart = np.minimum(np.linalg.norm(values - wanted, axis=1), np.linalg.norm(values + wanted, axis=1))
        return 4 * np.arcsin(np.clip(apart / 2, 0, 1))
    return np.abs(values - wanted).max(1)


def thinned(times: np.ndarray, values: np.ndarray, tolerance: float, between: Between = blended) -> np.ndarray:
    """Numbers of the samples that are kept as keys: the first, the last, and as few more as the tolerance allows.

    times (T,) rising seconds; values (T, C), float, unit quaternions for `slerped`; tolerance in their unit, in radians
    for rotations.
    """
    values = np.asarray(values, np.float64)
    keep = np.zeros(len(values), bool)
    keep[[0, -1]] = True
    stack = [(0, len(values) - 1)]
    while stack:
        low, high = stack.pop()
        if high - low < 2:
            continue
        share = (times[low + 1 : high] - times[low]) / (times[high] - times[low])
        apart = distances(between(values[low], values[high], share), values[low + 1 : high], between)
        worst = int(apart.argmax())
        if apart[worst] > tolerance:
            middle = low + 1 + worst
            keep[middle] = True
            stack += [(low, middle), (middle, high)]
    return np.flatnonzero(keep)


__all__ = ["Between", "blended", "distances", "slerped", "thinned"]
