"""Kalman smoothing of tracks, forwards and back (Rauch, Tung, Striebel 1965)."""

from __future__ import annotations

import numpy as np

PROCESS, OBSERVATION, STRONG = 1e-5, 3e-7, 3e-5
"""Variances: of the motion from frame to frame, of what is seen, and the same for strong smoothing."""


def kalman_smooth(track: np.ndarray, observation: float = OBSERVATION, process: float = PROCESS) -> np.ndarray:
    """A track (T, ...) smoothed, each number on its own as a random walk that is seen with noise.

    The gain doesn't depend on the data, so one set of gains serves all numbers. T frames take T steps each way.
    """
    seen = np.asarray(track, np.float64)
    mean, before, after = seen.copy(), np.empty(len(seen)), np.empty(len(seen))
    variance = 1.0
    for k in range(len(seen)):
        if k:
            variance += process
            mean[k] = mean[k - 1]
        before[k] = variance
        gain = variance / (variance + observation)
        mean[k] += gain * (seen[k] - mean[k])
        variance *= 1 - gain
        after[k] = variance
    for k in range(len(seen) - 2, -1, -1):
        mean[k] += after[k] / before[k + 1] * (mean[k + 1] - mean[k])
    return mean.astype(np.asarray(track).dtype)
