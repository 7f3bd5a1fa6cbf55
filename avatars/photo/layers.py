"""What lies behind a head that turns: a matte of the person and the background filled in behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatars import facenets
from avatars.facemesh import OVAL

_FILL = 256
"""Long side at which the background is filled: coarse enough to carry lines and colours behind a head."""


@dataclass(frozen=True)
class Layers:
    """matte (H, W) uint8, the person; plate (H, W, 3) uint8, the picture without the person's movable part."""

    matte: np.ndarray
    plate: np.ndarray


def make_layers(image: np.ndarray, landmarks: np.ndarray, span: float) -> Layers | None:
    """image (H, W, 3) uint8 RGB; landmarks (468+, 3); span pixels per eye span.

    None where no person can be told from the background (drawings, statues that the segmentation doesn't know):
    then the background bends with the head.
    """
    import cv2

    height, width = image.shape[:2]
    matte = _person(image)
    face = np.zeros((height, width), np.uint8)
    cv2.fillPoly(face, [np.round(landmarks[OVAL, :2]).astype(np.int32)], 1)
    if matte[face > 0].mean() < 0.75:
        return None
    radius = max(2, round(0.08 * span))
    small = min(1.0, 640 / max(height, width))
    guide = cv2.resize(image, None, fx=small, fy=small, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(matte, guide.shape[1::-1])
    fine = cv2.ximgproc.guidedFilter(guide, coarse, max(2, round(0.06 * span * small)), 60.0)
    loose = cv2.resize(np.maximum(fine, coarse), (width, height)) > 0.12  # single hairs must not stay in the background
    fine = np.clip((fine - 0.45) / 0.4, 0, 1)  # tight: a wide matte drags a rim of background along
    matte = cv2.resize(fine, (width, height), interpolation=cv2.INTER_CUBIC)
    matte = np.clip(np.maximum(matte, cv2.GaussianBlur(face.astype(np.float32), (0, 0), max(1.0, 0.01 * span))), 0, 1)
    hidden = cv2.dilate(
        ((matte > 0.04) | loose).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    )
    return Layers((matte * 255).round().astype(np.uint8), _plate(image, hidden, span))


def _person(image: np.ndarray) -> np.ndarray:
    """(H, W) float32 probability of a person (MediaPipe selfie segmentation)."""
    import cv2

    small = cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA)
    return cv2.resize(facenets.person(small), (image.shape[1], image.shape[0]))


def _plate(image: np.ndarray, hidden: np.ndarray, span: float) -> np.ndarray:
    """The picture with `hidden` filled: inpainted small, brought back to size, with the photo's own grain."""
    import cv2

    height, width = image.shape[:2]
    k = min(1.0, _FILL / max(height, width))
    size = (max(8, round(width * k)), max(8, round(height * k)))
    mask = cv2.resize(hidden, size, interpolation=cv2.INTER_NEAREST)
    mask = cv2.dilate(mask, np.ones((3, 3), np.uint8))
    if mask.all():
        return image
    # what is hidden must not leak into its surroundings when the picture is made small
    weight = cv2.resize((hidden == 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    seen = cv2.resize(image.astype(np.float32) * (hidden == 0)[..., None], size, interpolation=cv2.INTER_AREA)
    small = np.where(weight[..., None] > 0.02, seen / np.maximum(weight, 0.02)[..., None], 0)
    small = np.clip(small, 0, 255).astype(np.uint8)
    filled = cv2.inpaint(small, mask, 4, cv2.INPAINT_TELEA)
    filled = cv2.GaussianBlur(filled, (0, 0), 1.0)
    large = cv2.resize(filled, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    grain = image.astype(np.float32) - cv2.GaussianBlur(image, (0, 0), 1.2)
    free = hidden == 0
    strength = float(np.median(np.abs(grain[free]))) * 1.48 if free.any() else 0.0
    noise = np.random.default_rng(0).normal(0, min(strength, 6.0), (height, width, 1)).astype(np.float32)
    soft = cv2.GaussianBlur(hidden.astype(np.float32), (0, 0), max(1.0, 0.02 * span))[..., None]
    soft = np.clip(soft * 2, 0, 1)  # whole inside, fading outside what is hidden
    return np.clip(image * (1 - soft) + (large + noise) * soft + 0.5, 0, 255).astype(np.uint8)
