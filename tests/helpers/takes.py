"""Motions whose every value is known."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from studio.arkit import INDEX
from studio.motion import FaceMotion


def wave(frames: int = 200, fps: Fraction = Fraction(30000, 1001)) -> FaceMotion:
    """Slow curves, with a fast blink in between."""
    t = np.arange(frames) / float(fps)
    weights = np.zeros((frames, 52), np.float32)
    weights[:, INDEX["jawOpen"]] = 0.3 + 0.3 * np.sin(2 * t)
    weights[:, INDEX["mouthSmileLeft"]] = np.clip(t / 4, 0, 1)
    weights[:, INDEX["eyeBlinkLeft"]] = np.exp(-(((t - 3) / 0.05) ** 2))
    weights[:, INDEX["eyeLookUpLeft"]] = 0.5 + 0.4 * np.cos(t)
    head = np.zeros((frames, 6), np.float32)
    head[:, 0], head[:, 1], head[:, 4] = 0.6 * np.sin(t), 0.2 * np.cos(3 * t), 0.02 * np.sin(t)
    return FaceMotion(weights, fps, head)
