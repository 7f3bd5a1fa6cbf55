"""Axes of identity: what makes one head another person's, in words of face anthropometry.

Each axis moves the skin round some places of the face smoothly, the same on both sides; its size is about what one
standard deviation is among adults (Farkas, Anthropometry of the Head and Face, 1994; the falloffs are this project's
own). Lengths in eye spans, the head's frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatars.facemesh import MEAN


@dataclass(frozen=True)
class Axis:
    """places  FaceMesh points whose surroundings move (their mirror points move alike), or points in space.
    way      displacement at a place; x counts outwards, to either side.
    reach    standard deviation of the falloff.
    scale    instead of a displacement: how much lengths grow, about the mean of the places.
    """

    name: str
    places: tuple[int | tuple[float, float, float], ...]
    way: tuple[float, float, float] = (0.0, 0.0, 0.0)
    reach: float = 0.2
    scale: tuple[float, float, float] | None = None


def _axis(name: str, places, way=(0.0, 0.0, 0.0), reach=0.2, scale=None) -> Axis:
    places = (places,) if isinstance(places, int) else tuple(places)
    return Axis(name, places, way, reach, scale)


_CRANIUM, _NAPE, _EAR = (0.0, 0.6, -1.0), (0.0, -1.7, -1.1), (0.93, -0.13, -0.85)
_FACE = (0.0, -0.4, -0.2)

AXES = (
    # the whole
    _axis("head_width", [_FACE], reach=9.0, scale=(0.035, 0, 0)),
    _axis("head_height", [_FACE], reach=9.0, scale=(0, 0.035, 0)),
    _axis("head_depth", [_FACE], reach=9.0, scale=(0, 0, 0.035)),
    _axis("face_length", [(0.0, -0.3, 0.0)], reach=0.75, scale=(0, 0.04, 0)),
    _axis("face_width", [(0.0, -0.4, -0.2)], reach=0.75, scale=(0.04, 0, 0)),
    _axis("upper_face_width", [(0.0, 0.2, -0.2)], reach=0.4, scale=(0.03, 0, 0)),
    _axis("lower_face_width", [(0.0, -0.85, -0.2)], reach=0.4, scale=(0.05, 0, 0)),
    _axis("cranium_height", [_CRANIUM], (0, 0.06, 0), 0.6),
    _axis("cranium_width", [(0.75, 0.45, -0.9)], (0.05, 0, 0), 0.5),
    _axis("cranium_back", [(0.0, 0.1, -1.9)], (0, 0, -0.07), 0.6),
    _axis("neck_width", [_NAPE], reach=0.7, scale=(0.08, 0, 0.08)),
    # forehead and brows
    _axis("forehead_height", [10], (0, 0.05, 0), 0.3),
    _axis("forehead_slope", [10, 109], (0, 0, -0.05), 0.28),
    _axis("forehead_width", [54, 103], (0.035, 0, 0), 0.3),
    _axis("temple_depth", [162, 21], (-0.03, 0, 0), 0.2),
    _axis("brow_ridge", [66, 105, 9], (0, 0, 0.022), 0.13),
    _axis("brow_height", [105, 66, 63], (0, 0.028, 0), 0.13),
    _axis("brow_inner_height", [55, 107], (0, 0.02, 0), 0.09),
    _axis("brow_outer_height", [70, 46], (0, 0.022, 0), 0.1),
    _axis("brow_distance", [55, 107], (0.014, 0, 0), 0.1),
    # eyes
    _axis("eye_distance", [159, 145], (0.022, 0, 0), 0.17),
    _axis("eye_height", [159, 145], (0, 0.02, 0), 0.17),
    _axis("eye_depth", [159, 145], (0, 0, -0.02), 0.17),
    _axis("eye_size", [(0.345, 0.0, 0.05)], reach=0.16, scale=(0.07, 0.07, 0.0)),
    _axis("eye_opening", [159], (0, 0.012, 0), 0.06),
    _axis("eye_lower_lid", [145], (0, -0.010, 0), 0.06),
    _axis("eye_slant", [33], (0, 0.022, 0), 0.09),
    _axis("eye_width", [33], (0.016, 0, 0), 0.08),
    _axis("inner_corner_height", [133], (0, 0.012, 0), 0.06),
    _axis("eye_bags", [119, 230], (0, -0.004, 0.014), 0.07),
    _axis("upper_lid_fold", [27, 28], (0, -0.006, 0.012), 0.06),
    # nose
    _axis("nose_length", [1, 2, 98], (0, -0.035, 0), 0.14),
    _axis("nose_projection", [4, 1], (0, 0, 0.04), 0.13),
    _axis("nose_tip_height", [4, 1], (0, 0.022, 0), 0.08),
    _axis("nose_tip_width", [45], (0.014, 0, 0), 0.06),
    _axis("nose_width", [48, 64, 98], (0.022, 0, 0), 0.09),
    _axis("nostril_height", [98, 64], (0, 0.014, 0), 0.06),
    _axis("nose_bridge_height", [168, 6], (0, 0, 0.024), 0.09),
    _axis("nose_bridge_width", [122, 196], (0.013, 0, 0), 0.07),
    _axis("nose_hump", [197, 195], (0, 0, 0.02), 0.07),
    _axis("nose_root_height", [168], (0, 0, 0.02), 0.07),
    _axis("columella_height", [2], (0, -0.014, 0), 0.05),
    # cheeks
    _axis("cheekbone_width", [116, 227], (0.028, 0, 0), 0.17),
    _axis("cheekbone_height", [116, 117], (0, 0.03, 0.006), 0.17),
    _axis("cheekbone_projection", [50, 117], (0.004, 0, 0.024), 0.14),
    _axis("cheek_fullness", [205, 187], (0.026, 0, 0.024), 0.17),
    _axis("cheek_hollow", [213, 192], (-0.024, 0, -0.01), 0.13),
    _axis("nasolabial_depth", [203, 206], (0.0, 0, -0.012), 0.06),
    # mouth
    _axis("mouth_width", [61], (0.022, 0, 0), 0.11),
    _axis("mouth_height", [13, 14, 61], (0, 0.022, 0), 0.16),
    _axis("mouth_projection", [13, 14], (0, 0, 0.022), 0.14),
    _axis("upper_lip_fullness", [0, 37], (0, 0.016, 0.010), 0.06),
    _axis("lower_lip_fullness", [17, 84], (0, -0.016, 0.012), 0.06),
    _axis("lip_corner_height", [61], (0, 0.014, 0), 0.07),
    _axis("philtrum_length", [0, 13, 37], (0, -0.018, 0), 0.09),
    _axis("cupid_bow", [37], (0, 0.010, 0), 0.03),
    # chin and jaw
    _axis("chin_height", [152, 199], (0, -0.045, 0), 0.2),
    _axis("chin_projection", [152, 199, 200], (0, 0, 0.045), 0.17),
    _axis("chin_width", [148, 176], (0.028, 0, 0), 0.14),
    _axis("chin_dimple", [199], (0, 0, -0.012), 0.04),
    _axis("jaw_width", [172, 58], (0.045, 0, 0), 0.2),
    _axis("jaw_angle_height", [172, 136], (0, -0.035, 0), 0.17),
    _axis("jaw_line", [150, 149], (0.022, -0.012, 0.01), 0.13),
    _axis("double_chin", [(0.0, -1.36, -0.35)], (0, -0.07, 0.03), 0.2),
    # ears
    _axis("ear_size", [_EAR], reach=0.3, scale=(0.05, 0.1, 0.1)),
    _axis("ear_stand_off", [(0.98, -0.1, -0.98)], (0.05, 0, 0), 0.16),
    _axis("ear_height", [_EAR], (0, 0.04, 0), 0.22),
    _axis("ear_lobe", [(0.93, -0.42, -0.75)], (0.01, -0.04, 0), 0.1),
)


def displacement(axis: Axis, points: np.ndarray) -> np.ndarray:
    """(N, 3) what one standard deviation of an axis does to points (N, 3)."""
    places = np.concatenate([_both(place) for place in axis.places])
    near = np.exp(-((points[:, None] - places[None]) ** 2).sum(2) / (2 * axis.reach**2))
    if axis.scale is not None:
        share = near.max(1)[:, None]
        left = np.concatenate([_both(place)[:1] for place in axis.places]).mean(0)
        middle = np.where(np.abs(left[0]) > 0.05, np.sign(points[:, :1]) * left[0], 0.0)
        centre = np.concatenate([middle, np.tile(left[1:], (len(points), 1))], 1)
        return share * (points - centre) * axis.scale
    # both sides of one place may overlap in the middle: then they share
    weight = near / np.maximum(near.sum(1, keepdims=True), 1e-9)
    side = np.sign(places[:, 0]) * (np.abs(places[:, 0]) > 1e-6)
    outward = (weight * side).sum(1)
    strength = near.max(1)[:, None]
    return strength * np.stack(
        [outward * axis.way[0], np.full(len(points), axis.way[1]), np.full(len(points), axis.way[2])], 1
    )


def _both(place: int | tuple[float, float, float]) -> np.ndarray:
    """(1 or 2, 3): a place and its mirror image, the left one first."""
    point = np.array([place if isinstance(place, tuple) else MEAN[place]], np.float64)
    if abs(point[0, 0]) < 1e-4:
        return point
    point = np.abs(point) * [1, 0, 0] + point * [0, 1, 1]
    return np.concatenate([point, point * [-1, 1, 1]])


def random_identity(seed: int, spread: float = 1.0) -> dict[str, float]:
    """A person at random: each axis normal with `spread` standard deviations, clipped at 2.5."""
    values = np.clip(np.random.default_rng(seed).normal(0, spread, len(AXES)), -2.5, 2.5)
    return {axis.name: float(value) for axis, value in zip(AXES, values)}
