"""Triangles that push their corners apart: the loop of `avatars.fields_skin.unfold`, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

STEP = 0.01
"""Eye spans that a corner moves at most in a round, as the gradient turns with the triangle."""


@njit(cache=True, nogil=True)
def relax(points, triangles, least, free, rounds):
    """Moves points (N, 3) in the picture plane, in place, until each triangle (F, 3) has its `least` (F,) area or more.

    free (N,) 0 for points that stay. All triangles of a round push at once, and a point goes the mean of its ways
    (position based dynamics, Mueller et al. 2007)."""
    total = np.zeros((len(points), 2))
    count = np.zeros(len(points))
    gradient = np.zeros((3, 2))
    for _ in range(rounds):
        total[:] = 0.0
        count[:] = 0.0
        folded = False
        for t in range(len(triangles)):
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            ax, ay, bx, by = points[a, 0], points[a, 1], points[b, 0], points[b, 1]
            cx, cy = points[c, 0], points[c, 1]
            lacking = least[t] - 0.5 * ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
            if not lacking > 0.0:
                continue
            folded = True
            gradient[0, 0], gradient[0, 1] = 0.5 * (by - cy), 0.5 * (cx - bx)
            gradient[1, 0], gradient[1, 1] = 0.5 * (cy - ay), 0.5 * (ax - cx)
            gradient[2, 0], gradient[2, 1] = 0.5 * (ay - by), 0.5 * (bx - ax)
            size = 1e-6
            for k in range(3):
                give = free[triangles[t, k]]
                size += give * (gradient[k, 0] ** 2 + gradient[k, 1] ** 2)
            scale = (1.1 * lacking + 1e-7) / size  # a little too far, so that it ends
            widest = 1e-12
            for k in range(3):
                give = free[triangles[t, k]]
                widest = max(widest, abs(scale * give * gradient[k, 0]), abs(scale * give * gradient[k, 1]))
            scale *= min(1.0, STEP / widest)
            for k in range(3):
                i = triangles[t, k]
                total[i, 0] += scale * free[i] * gradient[k, 0]
                total[i, 1] += scale * free[i] * gradient[k, 1]
                count[i] += 1.0
        if not folded:
            break
        for i in range(len(points)):
            if count[i] > 0:
                points[i, 0] += total[i, 0] / count[i]
                points[i, 1] += total[i, 1] / count[i]
