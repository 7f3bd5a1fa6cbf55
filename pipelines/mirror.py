"""A portrait does what a face before a camera does, picture by picture as they come."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from typing import Any

import numpy as np

from pipelines.change import Change
from studio.clip import Frame

TURN = np.radians(25.0)
"""Radians that the portrait's head follows; beyond it the hidden side of the face is a guess."""


class MirrorPipeline:
    """Each call takes a picture of somebody and gives the portrait with that expression and pose.

        mirror = MirrorPipeline("portrait.jpg", size=256)
        for picture in camera: show(mirror(picture))

    portrait  path, (H, W, 3) uint8 array or PIL image; size: pixels of its longer side; face: 0 is the largest.
    fps       about how many pictures come per second. In the first second the face should be at rest: what it does is
              seen against that.

    About 25 ms of one core for a picture at 256 pixels. Raises `NoFaceError`, `MediaError` for the portrait.
    """

    def __init__(
        self, portrait: Any, *, size: int = 256, face: int = 0, fps: Fraction | int = 15, avatar: Any = None
    ) -> None:
        from controls.live import LiveFace
        from controls.tracker import FaceTracker
        from pipelines.edit import ExpressionEditPipeline

        self._edit = ExpressionEditPipeline(avatar=avatar).prepare(portrait, face=face, size=size)
        self._edit.warm()
        self._follow, self._face = FaceTracker(max_faces=1).follow(), LiveFace(Fraction(fps))
        self._began, self._count, self._lock = time.monotonic(), 0, threading.Lock()

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """(h, w, 3) uint8 RGB of a picture (H, W, 3) uint8 RGB: the portrait as it is until a face was seen for a
        second, and as it was last where none is seen."""
        with self._lock:
            time_ = Fraction(round(1000 * (time.monotonic() - self._began)), 1000)
            faces = self._follow(Frame(picture, time_, self._count))
            self._count += 1
            motion = self._face.read(faces[0] if faces else None)
        if motion is None:
            return self._edit.portrait.rgb
        head = np.zeros(6, np.float32)
        head[:3] = np.clip(motion.head[0, :3] - self._face.rest[:3], -TURN, TURN)
        return self._edit.apply(Change(motion.weights[0], head)).image


__all__ = ["MirrorPipeline"]
