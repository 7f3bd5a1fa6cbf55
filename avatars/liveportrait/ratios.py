"""How far eyes and lips are open: ratios that the retargeting networks speak of."""

from __future__ import annotations

import numpy as np

EYES_203 = ((6, 18, 0, 12), (30, 42, 24, 36))
LIPS_203 = (90, 102, 48, 66)
"""Upper, lower, and the two ends, among the published 203 landmarks. The first eye is the picture's left."""

EYES_MESH = ((159, 145, 33, 133), (386, 374, 362, 263))
LIPS_MESH = (13, 14, 78, 308)
"""The same among MediaPipe's 478."""


def openness(points: np.ndarray, which: tuple[int, int, int, int]) -> np.ndarray:
    """(T, 1) height over width of an opening; points (T, N, 2) in pixels, which as the constants above."""
    upper, lower, left, right = (points[:, i, :2] for i in which)
    height, width = np.linalg.norm(upper - lower, axis=1), np.linalg.norm(left - right, axis=1)
    return (height / (width + 1e-6))[:, None].astype(np.float32)


def ratios(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eyes (T, 2) and lips (T, 1) of landmarks (T, 203 or 478, 2 or more)."""
    points = np.asarray(landmarks, np.float64)
    eyes, lips = (EYES_203, LIPS_203) if points.shape[1] == 203 else (EYES_MESH, LIPS_MESH)
    return np.concatenate([openness(points, eye) for eye in eyes], 1), openness(points, lips)
