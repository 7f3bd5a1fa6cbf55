"""Head pose from the landmarks of one face.

FaceMesh's landmarks are a solid shape in weak perspective, whatever the lens: a turned head's landmarks, turned back,
agree with the frontal ones within .010 eye spans, and worse (.011 to .012, with angles 8 % off) if perspective is taken
out first. So the fit is a similarity; `perspective` is for landmarks that carry it. Angles are those against the line
of sight to the face: one that looks straight into the camera is frontal wherever it stands in the picture.

For distances the camera is a pinhole with a focal length of `FOCAL` times the longer side of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatars.facemesh import MEAN, RIGID, to_head_frame
from studio.motion import EYE_SPAN, HEAD_JOINT, rotation_angles

FOCAL = 1.2
"""Focal length that is assumed for any camera, in longer sides of the picture (a view of 45 degrees)."""


@dataclass(frozen=True)
class Pose:
    """Where a head is: pixels = centre + scale * (rotation @ shape), y up and z towards the camera; with
    perspective x and y are magnified by 1 / (1 - nearness * depth).

    rotation  (3, 3) head to camera, in the head's frame (`studio.motion`).
    centre    (3,) pixels of the shape's origin, the middle of the outer eye corners: x right, y up (so minus the
              row in the picture), z towards the camera.
    scale     pixels per eye span at the origin's depth.
    nearness  what one eye span of depth magnifies: scale over focal length, 0 in weak perspective.
    size      (width, height) of the picture in pixels.
    """

    rotation: np.ndarray
    centre: np.ndarray
    scale: float
    nearness: float
    size: tuple[int, int]

    @property
    def distance(self) -> float:
        """Metres from the camera to the eyes; 0 where the picture's size is unknown."""
        return EYE_SPAN * FOCAL * max(self.size) / self.scale

    @property
    def view_distance(self) -> float:
        """Eye spans from the camera to the eyes for rendering: a perspective that is never harsh nor quite flat."""
        return float(np.clip(FOCAL * max(self.size) / self.scale, 8.0, 30.0))

    @property
    def head(self) -> np.ndarray:
        """(6,) float32 as in `Observation.head`: angles; then where the head's joint is: metres right of and above
        the picture's middle, and minus its distance to the camera (closer is larger)."""
        metres = EYE_SPAN / self.scale
        x = (self.centre[0] - self.size[0] / 2) * metres
        y = (self.centre[1] + self.size[1] / 2) * metres
        joint = np.array([x, y, -self.distance]) + self.rotation @ HEAD_JOINT
        return np.array([*rotation_angles(self.rotation), *joint], np.float32)


def fit_pose(
    points: np.ndarray,
    shape: np.ndarray = MEAN,
    size: tuple[int, int] = (0, 0),
    *,
    perspective: bool = False,
    rounds: int = 4,
) -> Pose:
    """The pose in which `shape` looks most like the landmarks.

    points       (468 or 478, 3) pixels.
    shape        (468, 3) eye spans in the head's frame: the person's neutral face, or the mean face.
    size         (width, height) of the picture: gives the distance.
    perspective  whether x and y of the landmarks are magnified by nearness.
    rounds       times that outliers are weighed anew.

    Least squares over points that expressions hardly move (`RIGID`), robust against those that still did: similarity in
    closed form (Umeyama 1991) with Cauchy weights.
    """
    seen = to_head_frame(np.asarray(points, np.float64))[RIGID]
    model = np.asarray(shape, np.float64)[RIGID]
    focal = FOCAL * max(size) if perspective and max(size) else np.inf
    weights = np.ones(len(RIGID))
    flat, nearness = seen, 0.0
    for _ in range(rounds):
        rotation, centre, scale = _similarity(model, flat, weights)
        placed = model @ rotation.T
        nearness = scale / focal
        flat = seen.copy()
        flat[:, :2] = centre[:2] + (seen[:, :2] - centre[:2]) * (1 - nearness * placed[:, 2:])
        error = np.linalg.norm(centre + scale * placed - flat, axis=1) / scale
        weights = 1 / (1 + (error / max(1.5 * np.median(error), 1e-6)) ** 2)
    return Pose(rotation, centre, scale, nearness, size)


def to_head(points: np.ndarray, pose: Pose) -> np.ndarray:
    """Landmarks (N, 3) pixels -> (N, 3) float32 eye spans in the head's frame, pose and perspective taken out."""
    seen = (to_head_frame(np.asarray(points, np.float64)) - pose.centre) / pose.scale
    seen[:, :2] *= 1 - pose.nearness * seen[:, 2:]
    return (seen @ pose.rotation).astype(np.float32)


def to_pixels(shape: np.ndarray, pose: Pose) -> np.ndarray:
    """The inverse of `to_head`: (N, 3) eye spans -> (N, 3) float32 pixels (x right, y down, z negative towards the
    camera)."""
    placed = np.asarray(shape, np.float64) @ pose.rotation.T
    placed[:, :2] /= 1 - pose.nearness * placed[:, 2:]
    return to_head_frame(placed * pose.scale + pose.centre).astype(np.float32)


def _similarity(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Rotation, translation and scale that take points a (N, 3) to b (N, 3) in weighted least squares."""
    w = (weights / weights.sum())[:, None]
    mean_a, mean_b = (w * a).sum(0), (w * b).sum(0)
    a, b = a - mean_a, b - mean_b
    u, s, vt = np.linalg.svd((w * b).T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((s * sign).sum() / (w * a * a).sum())
    return rotation, mean_b - scale * rotation @ mean_a, scale


__all__ = ["FOCAL", "Pose", "fit_pose", "to_head", "to_pixels"]
