"""Kalman smoothing of tracks, forwards and back (Rauch, Tung, Striebel 1965)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

PROCESS, OBSERVATION, STRONG = 1e-5, 3e-7, 3e-5
"""Variances: of the motion from frame to frame, of what is seen, and the same for strong smoothing."""

LAG = 40
"""Frames that `kalman_stream` looks ahead: what lies further counts less than 1e-9 under strong smoothing."""


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


def reach_of(observation: float = OBSERVATION, process: float = PROCESS, within: float = 1e-6) -> int:
    """Frames to each side beyond which what is seen counts less than `within` in a smoothed one; `LAG` at most."""
    before = (process + np.sqrt(process**2 + 4 * process * observation)) / 2  # variance that the filter settles at
    return min(LAG, int(np.ceil(np.log(within) / np.log(observation / (before + observation)))))


def kalman_stream(
    samples: Iterable[np.ndarray], observation: float = OBSERVATION, process: float = PROCESS, lag: int = LAG
) -> Iterator[np.ndarray]:
    """`kalman_smooth` of samples (...,) that arrive one by one, each given back once `lag` more are known.

    Memory doesn't grow; the backward pass starts anew at each of a few frames.
    """
    waiting: deque[tuple[np.ndarray, float, float]] = deque()  # mean, variance before and after it was seen
    variance, mean = 1.0, None

    def smoothed(count: int) -> list[np.ndarray]:
        later, out = waiting[-1][0], [waiting[-1][0]]
        for k in range(len(waiting) - 2, -1, -1):
            later = waiting[k][0] + waiting[k][2] / waiting[k + 1][1] * (later - waiting[k][0])
            out.append(later)
        done = out[::-1][:count]
        for _ in range(count):
            waiting.popleft()
        return done

    for sample in samples:
        seen = np.asarray(sample, np.float64)
        if mean is None:
            mean = seen
        else:
            variance += process
        before, gain = variance, variance / (variance + observation)
        mean = mean + gain * (seen - mean)
        variance *= 1 - gain
        waiting.append((mean, before, variance))
        if len(waiting) == 2 * lag:
            yield from smoothed(lag)
    if waiting:
        yield from smoothed(len(waiting))
