"""What a photo says about the colours of the mouth behind the lips: teeth, gums, tongue, cavity, grain, softness.

Everything follows the picture's own palette: a grey photo gives grey teeth, a marble head marble ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatars.facemesh import EYE_LEFT, EYE_RIGHT, LIPS_INNER, LIPS_OUTER, OVAL

_LOWER_FACE = np.array(
    [
        168,
        346,
        454,
        323,
        361,
        288,
        397,
        365,
        379,
        378,
        400,
        377,
        152,
        148,
        176,
        149,
        150,
        136,
        172,
        58,
        132,
        93,
        234,
        117,
    ]
)


@dataclass(frozen=True)
class MouthPalette:
    """Colours are RGB 0..255 as float64 (3,); lengths are photo pixels.

    teeth, gum, tongue, cavity: the matter; glow: wet highlights; lip: median of the lips; alive: 1 where
    the dark of a mouth glows red, 0 for grey, stone and clay; light (3,): unit vector
    towards the light in the face's frame (x right, y up, z out); blur: width of the photo's sharpest edges;
    grain: standard deviation of its fine noise."""

    teeth: np.ndarray
    gum: np.ndarray
    tongue: np.ndarray
    cavity: np.ndarray
    glow: np.ndarray
    lip: np.ndarray
    alive: float
    light: np.ndarray
    blur: float
    grain: float

    def colours(self) -> np.ndarray:
        """(6, 3) rows: teeth, gum, tongue, cavity, glow, exponents of shade per channel."""
        shade = np.array([1.0 - 0.22 * self.alive, 1.0 + 0.10 * self.alive, 1.0 + 0.06 * self.alive])
        return np.stack([self.teeth, self.gum, self.tongue, self.cavity, self.glow, shade])


def to_lab(rgb: np.ndarray) -> np.ndarray:
    import cv2

    flat = np.ascontiguousarray(rgb, np.float32).reshape(1, -1, 3) / 255.0
    return cv2.cvtColor(flat, cv2.COLOR_RGB2LAB).reshape(rgb.shape).astype(np.float64)


def to_rgb(lab: np.ndarray) -> np.ndarray:
    import cv2

    flat = np.ascontiguousarray(lab, np.float32).reshape(1, -1, 3)
    return np.clip(cv2.cvtColor(flat, cv2.COLOR_LAB2RGB), 0, 1).reshape(lab.shape).astype(np.float64) * 255.0


def _mask(shape: tuple[int, ...], *loops: np.ndarray, without: tuple[np.ndarray, ...] = ()) -> np.ndarray:
    import cv2

    mask = np.zeros(shape[:2], np.uint8)
    for loop in loops:
        cv2.fillPoly(mask, [np.round(loop * 16).astype(np.int32)], (1,), shift=4)
    for loop in without:
        cv2.fillPoly(mask, [np.round(loop * 16).astype(np.int32)], (0,), shift=4)
    return mask > 0


def _grown(loop: np.ndarray, factor: float) -> np.ndarray:
    centre = loop.mean(0)
    return centre + (loop - centre) * factor


def _smooth(x: float, low: float, high: float) -> float:
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


def read_palette(image: np.ndarray, mesh_px: np.ndarray) -> MouthPalette:
    """image (H, W, 3) uint8 RGB, mesh_px (468 or 478, 3) the photo's landmarks in its pixels."""
    import cv2

    points = np.asarray(mesh_px, np.float64)[:, :2]
    face = points[OVAL]
    low = np.maximum(np.floor(face.min(0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(face.max(0)).astype(int) + 3, image.shape[1::-1])
    low = np.minimum(low, high - 2)
    crop, points = image[low[1] : high[1], low[0] : high[0]], points - low
    reduce = min(1.0, 400.0 / max(crop.shape[:2]))
    small = cv2.resize(crop, None, fx=reduce, fy=reduce, interpolation=cv2.INTER_AREA) if reduce < 1 else crop
    at = points * reduce
    lab = to_lab(small)

    eyes = (at[EYE_RIGHT], at[EYE_LEFT])
    mouth = _grown(at[LIPS_OUTER], 1.2)
    lips_mask = _mask(small.shape, at[LIPS_OUTER], without=(at[LIPS_INNER],))
    # hair hides many a forehead: cheeks, nose and chin tell the skin
    skin_mask = _mask(small.shape, _grown(at[_LOWER_FACE], 0.9), without=(mouth, *(_grown(e, 1.7) for e in eyes)))
    skin_lab = _pixels(lab, skin_mask, lab)
    lip_lab = _pixels(lab, lips_mask, skin_lab)
    skin, lip = np.median(skin_lab, 0), np.median(lip_lab, 0)
    bright = np.percentile(skin_lab[:, 0], 93)
    white, trust = _sclera(lab, eyes, skin)
    chroma = float(np.hypot(*skin[1:]))
    # a statue's eye has the skin's own colour, an old painting's eye its varnish: teeth are of the same stuff
    same = _smooth(float(np.hypot(*white[1:])) / max(chroma, 4.0), 0.8, 1.05) * trust
    colourful = _smooth(chroma, 4.0, 12.0)
    alive = colourful * (1.0 - same)
    teeth = np.empty(3)
    teeth[0] = np.clip(max(bright + 6.0, skin[0] + 10.0, 0.9 * white[0] * trust), 20.0, 95.0)
    teeth[1:] = np.array([0.14 * skin[1], 0.46 * skin[2] + 2.0 * colourful]) * (1 - same) + 0.7 * skin[1:] * same
    tongue = np.array(
        [0.45 * lip[0] + 0.5 * skin[0], *(0.45 * lip[1:] + 0.35 * skin[1:] + np.array([9.0, 3.0]) * alive)]
    )
    gum = np.array([0.5 * lip[0] + 0.42 * skin[0], *(0.5 * lip[1:] + 0.2 * skin[1:] + np.array([9.0, 3.0]) * alive)])
    wall = np.array([0.4 * lip[0] + 3.0, *(0.55 * tongue[1:])])
    cavity = 0.5 * to_rgb(wall) + 0.5 * 0.36 * to_rgb(lip)
    glow = np.array([min(teeth[0] + 6.0, 99.0), *(0.3 * teeth[1:])])
    blur, grain = _texture(crop, points)
    return MouthPalette(
        to_rgb(teeth),
        to_rgb(gum),
        to_rgb(tongue),
        cavity,
        to_rgb(glow),
        to_rgb(lip),
        alive,
        _light(lab, at),
        blur,
        grain,
    )


def _pixels(lab: np.ndarray, mask: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    return lab[mask] if mask.sum() >= 6 else otherwise.reshape(-1, 3)


def _sclera(lab: np.ndarray, eyes: tuple[np.ndarray, ...], skin: np.ndarray) -> tuple[np.ndarray, float]:
    """Colour of the whites of the eyes (Lab) and how far to trust it (0: eyes closed or too small)."""
    found, size = [], 0
    for eye in eyes:
        inner = lab[_mask(lab.shape, _grown(eye, 0.85))]
        size += len(inner)
        if len(inner) >= 8:
            found.append(inner[inner[:, 0] >= np.percentile(inner[:, 0], 75)])
    if not found:
        return skin, 0.0
    return np.median(np.concatenate(found), 0), _smooth(size, 20, 120)


def _light(lab: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Direction towards the light from the brightness of left and right, upper and lower face."""

    def level(*indices: int) -> float:
        ij = np.clip(np.round(at[list(indices)]).astype(int), 1, np.array(lab.shape[1::-1]) - 2)
        return float(np.mean([np.median(lab[y - 1 : y + 2, x - 1 : x + 2, 0]) for x, y in ij]))

    right, left = level(280, 425, 330, 266), level(50, 205, 101, 36)
    x = np.clip((right - left) / 45.0, -0.55, 0.55)
    light = np.array([x, 0.42, 0.85])
    return light / np.linalg.norm(light)


def _texture(crop: np.ndarray, points: np.ndarray) -> tuple[float, float]:
    """Width of the sharpest edges round eyes and mouth, and the noise of the flattest skin."""
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2GRAY).astype(np.float32)
    gx, gy = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=0.125)
    slope = cv2.magnitude(gx, gy)
    zone = _mask(
        grey.shape, _grown(points[EYE_RIGHT], 1.3), _grown(points[EYE_LEFT], 1.3), _grown(points[LIPS_OUTER], 1.05)
    )
    blur = 2.0
    if zone.sum() > 30:
        contrast = np.percentile(grey[zone], 97) - np.percentile(grey[zone], 3)
        steep = np.percentile(slope[zone], 98.5)
        blur = float(np.clip(0.55 * contrast / max(steep, 1e-3), 1.0, 0.03 * crop.shape[1] + 2.0))
    skin = _mask(grey.shape, _grown(points[OVAL], 0.85))
    fine = grey - cv2.GaussianBlur(grey, (0, 0), 1.0)
    flat = np.abs(fine[skin]) if skin.any() else np.zeros(1)
    grain = float(np.clip(np.percentile(flat, 25) / 0.319 - 0.3, 0.0, 5.0))
    return blur, grain
