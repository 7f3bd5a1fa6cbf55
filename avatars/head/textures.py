"""Pictures for the head, painted by code: skin with lips and brows, eyes, teeth, tongue. Rows run from v = 1 down."""

from __future__ import annotations

import numpy as np

from avatars.facemesh import BROW_LEFT, BROW_RIGHT, EYE_LEFT, EYE_RIGHT, LIPS_INNER, LIPS_OUTER, MEAN
from avatars.head.cage import FACE_SCALE, face_uv

SKIN, LIP, BROW = np.array([222.0, 176.0, 152.0]), np.array([186.0, 104.0, 98.0]), np.array([74.0, 54.0, 42.0])
INSIDE = np.array([122.0, 46.0, 46.0])
_NOSTRILS = ([79, 239, 242, 99, 60, 75, 166], [309, 459, 462, 328, 290, 305, 392])
"""FaceMesh points round either nostril, which lies in its own shade."""


def skin_picture(places: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """(size, size, 3) uint8 sRGB. places (size, size, 3) where on the head each pixel lies, eye spans; cover (size,
    size) bool: where there is skin. Tone and mottling live in space, so that no seam shows."""
    import cv2

    size = len(places)
    picture = np.tile(SKIN, (size, size, 1))
    at = places[cover].astype(np.float32)
    tone = np.tile(SKIN, (len(at), 1)).astype(np.float32)
    pick = np.random.default_rng(5)
    for waves, strength in ((2.2, 2.6), (7.0, 2.0), (24.0, 1.6)):
        noise = np.zeros(len(at), np.float32)
        for _ in range(7):
            way = pick.normal(0, waves, 3).astype(np.float32)
            noise += np.cos(at @ way + np.float32(pick.uniform(0, 6.3)))
        tone += (strength / 7**0.5 * noise)[:, None] * np.array([0.7, 1.0, 1.0], np.float32)

    def blush(point: np.ndarray, radius: float, colour: list[float]) -> None:
        nonlocal tone
        near = np.exp(-((at - point.astype(np.float32)) ** 2).sum(1) / (2 * radius * radius))
        tone += near[:, None] * np.array(colour, np.float32)

    for point, radius in ((50, 0.16), (280, 0.16), (4, 0.09), (199, 0.10)):
        blush(MEAN[point], radius, [3, -10, -9])
    for point in (159, 386, 145, 374):
        blush(MEAN[point], 0.09, [-12, -15, -11])
    for side in (-1, 1):
        blush(np.array([side * 0.92, -0.14, -0.85]), 0.22, [5, -10, -8])
    picture[cover] = tone
    place = face_uv(MEAN.astype(np.float64)) * [size, -size] + [0, size]
    reach = FACE_SCALE * size  # pixels of an eye span

    def paint(loop: np.ndarray, colour: np.ndarray, blur: float, strength: float) -> None:
        mask = np.zeros((size, size), np.float32)
        cv2.fillPoly(mask, [np.round(place[loop] * 16).astype(np.int32)], (1.0,), lineType=cv2.LINE_AA, shift=4)
        mask = cv2.GaussianBlur(mask, (0, 0), blur * reach)[..., None] * strength
        picture[:] = picture * (1 - mask) + colour * mask

    paint(LIPS_OUTER, LIP, 0.012, 0.85)
    paint(LIPS_INNER, LIP * 0.72, 0.006, 0.8)
    for loop in _NOSTRILS:
        paint(loop, SKIN * 0.42, 0.012, 0.9)
    for loop in (BROW_LEFT, BROW_RIGHT):
        paint(loop, BROW, 0.022, 0.45)
        _hairs(picture, place[loop], reach, pick)
    for loop in (EYE_LEFT, EYE_RIGHT):  # the lash line, heavier above
        for part, width in ((np.append(loop[8:], loop[0]), 0.020), (loop[:9], 0.010)):
            mask = np.zeros((size, size), np.float32)
            thick = max(1, round(width * reach))
            line = [np.round(place[part] * 16).astype(np.int32)]
            cv2.polylines(mask, line, False, (1.0,), thick, cv2.LINE_AA, 4)
            mask = cv2.GaussianBlur(mask, (0, 0), 0.005 * reach)[..., None] * 0.8
            picture[:] = picture * (1 - mask) + np.array([52.0, 34.0, 29.0]) * mask
    v = 1 - (np.arange(size) + 0.5) / size
    u = (np.arange(size) + 0.5) / size
    inside = LIP * 0.72 + (INSIDE * 0.8 - LIP * 0.72) * np.clip((0.378 - v) / 0.02, 0, 1)[:, None, None]
    picture = np.where(((v < 0.395) & (v > 0.306))[:, None, None], inside, picture)
    lid = np.where((v > 0.752)[:, None, None], np.array([92.0, 60.0, 52.0]), np.array([196.0, 128.0, 116.0]))
    where = ((v > 0.70) & (v < 0.775))[:, None] & (np.abs(u - 0.5) > 0.36)[None]
    return np.clip(np.where(where[..., None], lid, picture), 0, 255).astype(np.uint8)


def _hairs(picture: np.ndarray, outline: np.ndarray, reach: float, pick: np.random.Generator) -> None:
    """A brow's hairs, from its inner end upwards, then along it. outline (10, 2) pixels: upper edge from the outer end,
    lower edge back."""
    import cv2

    mask = np.zeros(picture.shape[:2], np.float32)
    upper, lower = outline[4::-1], outline[5:]
    steps = np.linspace(0, 1, 5)
    on = lambda line, t: np.array([np.interp(t, steps, line[:, k]) for k in range(2)])
    for _ in range(150):
        t, across = pick.uniform(0, 0.94), pick.uniform(0.05, 0.9)
        root = on(lower, t) * (1 - across) + on(upper, t) * across
        along = on(upper, min(t + 0.12, 1)) - on(upper, max(t - 0.12, 0))
        along /= np.linalg.norm(along) + 1e-9
        rise = np.array([0.0, -1.0]) * np.clip(0.9 - 1.7 * t, -0.35, 1) * (1.2 - across)
        way = along + rise + pick.normal(0, 0.08, 2)
        tip = root + way / np.linalg.norm(way) * reach * pick.uniform(0.05, 0.085) * (1 - 0.3 * t)
        line = np.round(np.array([root, tip]) * 16).astype(np.int32)
        x0, y0 = np.floor(np.minimum(root, tip)).astype(int) - 4
        x1, y1 = np.ceil(np.maximum(root, tip)).astype(int) + 5
        cut = np.zeros((y1 - y0, x1 - x0), np.float32)
        start = line - np.array([x0, y0]) * 16
        cv2.line(cut, tuple(map(int, start[0])), tuple(map(int, start[1])), 1.0, 1, cv2.LINE_AA, 4)
        mask[y0:y1, x0:x1] = np.maximum(mask[y0:y1, x0:x1], 0.5 * cut + 0.35 * mask[y0:y1, x0:x1])
    picture[:] = picture * (1 - 0.85 * mask[..., None]) + BROW * 0.8 * 0.85 * mask[..., None]


def eye_picture(
    iris: tuple[float, float, float] = (96.0, 68.0, 44.0),
    white: tuple[float, float, float] = (226.0, 220.0, 214.0),
    size: int = 512,
) -> np.ndarray:
    """(size, size, 3) uint8 sRGB: sclera, in the shade of the upper lid above, iris with its dark rim and fibres,
    pupil."""
    pick = np.random.default_rng(3)
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size - 0.5
    radius, turn = np.hypot(x, y), np.arctan2(y, x)
    polar = radius * 2 * np.pi  # radians from the pole
    edge, pupil = 0.41, 0.15
    smooth = lambda low, high: np.clip((polar - low) / (high - low), 0, 1)[..., None]
    sclera = np.array(white) * (1 - smooth(0.5, 1.4) * [0.08, 0.19, 0.20])
    shade = 1 - 0.38 * np.clip((-y * 2 * np.pi - 0.08) / 0.42, 0, 1)[..., None]
    fibres = sum(np.cos(k * turn + pick.uniform(0, 6)) / (1 + 0.02 * k) for k in (17, 31, 47, 71))
    colour = np.array(iris) * (0.8 + 0.5 * smooth(pupil, edge)) * (1 + 0.07 * fibres)[..., None]
    colour = colour * (1 - 0.65 * smooth(edge - 0.07, edge))
    picture = colour + (sclera - colour) * smooth(edge - 0.015, edge + 0.02)
    picture = picture * shade * smooth(pupil - 0.015, pupil + 0.015) + 12 * (1 - smooth(pupil - 0.015, pupil + 0.015))
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
    """(size, size, 3) uint8 sRGB: paler at the tip, darker at the root."""
    v = 1 - (np.arange(size) + 0.5) / size
    shade = np.array([204.0, 112.0, 112.0]) * (1.04 - 0.5 * v[:, None, None] ** 2)
    return np.clip(np.repeat(shade, size, 1), 0, 255).astype(np.uint8)
