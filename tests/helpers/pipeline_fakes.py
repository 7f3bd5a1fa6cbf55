"""Small stand-ins for the parts of pipelines, so that a test looks at the pipeline alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from math import ceil

import numpy as np

from avatars.facemesh import MEAN
from studio.arkit import INDEX
from studio.motion import FaceMotion
from studio.observation import Observation


def face(centre: tuple[float, float], eye_span: float, size: tuple[int, int], face_id: int = 0) -> Observation:
    """The mean face, looking at the camera, somewhere in a picture."""
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[:468] = MEAN * [eye_span, -eye_span, -eye_span]
    landmarks[468:] = landmarks[[33] * 5 + [263] * 5]
    landmarks[:, :2] += centre
    return Observation(landmarks, size, np.zeros(6, np.float32), np.zeros(52, np.float32), face_id=face_id)


class Tracker:
    """Finds the faces that it was given."""

    def __init__(self, *faces: Observation) -> None:
        self.faces = list(faces)

    def observe(self, image: np.ndarray, thorough: bool = True) -> list[Observation]:
        size = image.shape[1], image.shape[0]
        return self.faces or [face((size[0] / 2, size[1] / 2), size[0] / 4, size)]


class Driver:
    """Opens the jaw by the loudness of the sound; a frame of motion for every begun frame of sound."""

    def stream(self, audio: object, fps: Fraction) -> Iterator[FaceMotion]:
        done, dropped, samples = 0, 0, np.zeros(0, np.float32)
        for block in (*audio.blocks(rate=16000, seconds=0.5), None):
            if block is not None:
                samples = np.concatenate([samples, block])
            heard = dropped + len(samples)
            ready = ceil(heard * fps / 16000) if block is None else int(heard * fps / 16000)
            if ready > done:
                edges = [int(k * 16000 / fps) - dropped for k in range(done, ready + 1)]
                weights = np.zeros((ready - done, 52), np.float32)
                for k, (low, high) in enumerate(itertools.pairwise(edges)):
                    weights[k, INDEX["jawOpen"]] = np.abs(samples[low:high]).max(initial=0)
                yield FaceMotion(weights, fps, start=done)
                done, dropped, samples = ready, dropped + edges[-1], samples[edges[-1] :].copy()


class Avatar:
    """Writes what it was asked for into its picture: red the jaw, green the yaw, in its whole area."""

    def __init__(self, image: np.ndarray, observation: Observation, *, alpha: np.ndarray | None = None) -> None:
        self.image, self.observation, self.alpha = image, observation, alpha
        self.expression = np.zeros(52, np.float32)

    def render_frame(
        self, weights: np.ndarray, head: np.ndarray, residual: np.ndarray | None = None, *, with_alpha: bool = False
    ) -> np.ndarray:
        out = self.image.copy()
        if weights.any() or np.any(head):
            out[..., 0] = np.uint8(np.clip(255 * weights[INDEX["jawOpen"]], 0, 255))
            out[..., 1] = np.uint8(np.clip(128 + 100 * head[0], 0, 255))
        if with_alpha:
            return np.dstack([out, np.full(out.shape[:2], 255, np.uint8) if self.alpha is None else self.alpha])
        return out

    def render(self, motion: object, *, neutralize: object = 0.0, with_alpha: bool = False) -> Iterator[np.ndarray]:
        for block in motion:
            for k in range(len(block)):
                yield self.render_frame(block.weights[k], block.head[k], with_alpha=with_alpha)
