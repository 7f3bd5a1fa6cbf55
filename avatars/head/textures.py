"""Pictures for the head, painted by code: skin with lips and brows, eyes, teeth, tongue. Rows run from v = 1 down."""

from __future__ import annotations

import numpy as np

from avatars.facemesh import BROW_LEFT, BROW_RIGHT, EYE_LEFT, EYE_RIGHT, LIPS_INNER, LIPS_OUTER, MEAN
from avatars.head.cage import face_uv

SKIN, LIP, BROW = np.array([222.0, 176.0, 152.0]), np.array([186.0, 104.0, 98.0]), np.array([74.0, 54.0, 42.0])
INSIDE = np.array([122.0, 46.0, 46.0])


def skin_picture(size: int = 1024) -> np.ndarray:
    """(size, size, 3) uint8 sRGB."""
    import cv2

    pick = np.random.default_rng(5)
    picture = np.tile(SKIN, (size, size, 1))
    for scale, strength in ((8, 3.0), (32, 3.5), (128, 2.5)):
        noise = cv2.resize(pick.normal(0, 1, (scale, scale)), (size, size), interpolation=cv2.INTER_CUBIC)
        picture += strength * noise[..., None] * [0.7, 1.0, 1.0]
    uv = face_uv(MEAN.astype(np.float64))
    place = uv * [size, -size] + [0, size]
    y, x = np.mgrid[0:size, 0:size] + 0.5

    def blush(point: np.ndarray, radius: float, colour: list[float]) -> None:
        near = np.exp(-(((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * (radius * size) ** 2)))
        picture[:] += near[..., None] * np.array(colour)

    for point in (50, 280, 4):
        blush(place[point], 0.03, [4, -9, -8])
    for point in (159, 386, 145, 374):
        blush(place[point], 0.018, [-14, -16, -12])

    def paint(loop: np.ndarray, colour: np.ndarray, blur: float, strength: float, grow: float = 1.0) -> None:
        mask = np.zeros((size, size), np.float32)
        shape = place[loop].mean(0) + (place[loop] - place[loop].mean(0)) * grow
        cv2.fillPoly(mask, [np.round(shape * 16).astype(np.int32)], (1.0,), lineType=cv2.LINE_AA, shift=4)
        mask = cv2.GaussianBlur(mask, (0, 0), blur * size)[..., None] * strength
        picture[:] = picture * (1 - mask) + colour * mask

    paint(LIPS_OUTER, LIP, 0.003, 0.85)
    for loop in (BROW_LEFT, BROW_RIGHT):
        paint(loop, BROW, 0.0035, 0.8)
    for loop in (EYE_LEFT, EYE_RIGHT):  # the lash line
        mask = np.zeros((size, size), np.float32)
        cv2.polylines(mask, [np.round(place[loop] * 16).astype(np.int32)], True, (1.0,), 3, cv2.LINE_AA, 4)
        mask = cv2.GaussianBlur(mask, (0, 0), 0.0012 * size)[..., None] * 0.75
        picture[:] = picture * (1 - mask) + np.array([60.0, 40.0, 34.0]) * mask
    paint(LIPS_INNER, np.array([120.0, 54.0, 54.0]), 0.002, 0.8)
    box = lambda u0, u1, v0, v1: (
        slice(int(size * (1 - v1)), int(size * (1 - v0))),
        slice(int(size * u0), int(size * u1)),
    )
    picture[box(0.79, 0.97, 0.915, 0.99)] = [150.0, 92.0, 84.0]  # inside of the lids
    picture[box(0.79, 0.97, 0.965, 0.99)] = [84.0, 56.0, 48.0]  # their edge, with the lashes
    picture[box(0.79, 0.99, 0.70, 0.89)] = INSIDE
    picture[box(0.79, 0.99, 0.855, 0.89)] = LIP * 0.85
    return np.clip(picture, 0, 255).astype(np.uint8)


def eye_picture(iris: tuple[float, float, float] = (96.0, 68.0, 44.0), size: int = 512) -> np.ndarray:
    """(size, size, 3) uint8 sRGB: sclera, iris with its dark rim and fibres, pupil."""
    pick = np.random.default_rng(3)
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size - 0.5
    radius, turn = np.hypot(x, y), np.arctan2(y, x)
    polar = radius * 2 * np.pi  # radians from the pole
    edge, pupil = 0.50, 0.19
    smooth = lambda low, high: np.clip((polar - low) / (high - low), 0, 1)[..., None]
    white = np.array([236.0, 230.0, 224.0]) - smooth(0.5, 1.4) * [18.0, 42.0, 44.0]
    fibres = sum(np.cos(k * turn + pick.uniform(0, 6)) / (1 + 0.02 * k) for k in (17, 31, 47, 71))
    colour = np.array(iris) * (0.8 + 0.5 * smooth(pupil, edge)) * (1 + 0.07 * fibres)[..., None]
    colour = colour * (1 - 0.65 * smooth(edge - 0.07, edge))
    picture = colour + (white - colour) * smooth(edge - 0.015, edge + 0.02)
    picture = picture * smooth(pupil - 0.015, pupil + 0.015) + 12 * (1 - smooth(pupil - 0.015, pupil + 0.015))
    return np.clip(picture, 0, 255).astype(np.uint8)


def teeth_picture(size: int = 256) -> np.ndarray:
    """(size, size, 3) uint8 sRGB: upper half the upper row, gum at the top of each half."""
    v = 1 - (np.arange(size) + 0.5) / size
    share = (v % 0.5) * 2  # 1 at the gum's end, 0 at the back
    u = (np.arange(size) + 0.5) / size
    crown = np.abs(np.sin(np.pi * 7 * (2 * u - 1)))
    gum_line = 0.84 - 0.05 * crown
    gum = np.clip((share[:, None] - gum_line) / 0.03, 0, 1)[..., None]
    tooth = np.array([236.0, 228.0, 208.0]) * (1 - 0.22 * (1 - crown) ** 5)[None, :, None]
    picture = tooth + (np.array([196.0, 112.0, 110.0]) - tooth) * gum
    picture = picture * (0.55 + 0.45 * np.clip(share[:, None, None] / 0.3, 0, 1))  # the back lies in the dark
    return np.clip(picture, 0, 255).astype(np.uint8)


def tongue_picture(size: int = 64) -> np.ndarray:
    """(size, size, 3) uint8 sRGB."""
    pick = np.random.default_rng(4)
    picture = np.array([196.0, 104.0, 104.0]) + 6 * pick.normal(size=(size, size, 1))
    return np.clip(picture, 0, 255).astype(np.uint8)
