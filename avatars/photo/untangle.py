"""A mesh without folds, from landmarks that have some.

The tracker finds lips more exactly than the skin round them. In a shout the lower lip then comes to lie below points
of the chin that should be under it, and what the mesh shows there would tear when the mouth closes.
"""

from __future__ import annotations

import numpy as np

from avatars.facemesh import LIPS_INNER, LIPS_OUTER, MEAN, TRIANGLES
from avatars.fields_skin import facing, frontal_areas, neighbours

FOLDED, LEAST, RINGS = 0.05, 0.2, 5
"""A triangle this small, against the mean face's, is folded; untangled ones are this large if `RINGS` of points round
the folds, at most, let them."""


def untangled(shape: np.ndarray) -> np.ndarray:
    """The face (468, 3) in the head's frame with folds smoothed out; without folds it comes back as it was.

    Lips keep their places. Skin in the folds, and as many rings round them as it takes, differs from the mean face as
    its surroundings do (a harmonic field).
    """
    front = facing(MEAN) & (frontal_areas(MEAN) > 0)
    whole = frontal_areas(MEAN)

    def size(points: np.ndarray) -> np.ndarray:
        return np.where(front, frontal_areas(points) / np.where(front, whole, 1.0), 1.0)

    folded = size(shape) < FOLDED
    if not folded.any():
        return shape
    lips = np.union1d(LIPS_INNER, LIPS_OUTER)
    loose = set(TRIANGLES[folded].ravel().tolist()) - set(lips.tolist())
    out = shape
    for _ in range(RINGS):
        out = _harmonic(shape, np.array(sorted(loose)))
        if size(out).min() > LEAST:
            break
        loose |= set().union(*(neighbours()[i] for i in loose)) - set(lips.tolist())
    return out


def _harmonic(shape: np.ndarray, loose: np.ndarray) -> np.ndarray:
    """The face with its `loose` points moved so that each differs from the mean face as its neighbours do."""
    place = {int(i): k for k, i in enumerate(loose)}
    own = (shape - MEAN).astype(np.float64)
    matrix, right = np.zeros((len(loose), len(loose))), np.zeros((len(loose), 3))
    for i, k in place.items():
        matrix[k, k] = len(neighbours()[i])
        for j in neighbours()[i]:
            if j in place:
                matrix[k, place[j]] -= 1
            else:
                right[k] += own[j]
    out = shape.copy()
    out[loose] = MEAN[loose] + np.linalg.solve(matrix, right)
    return out
