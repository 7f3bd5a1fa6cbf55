"""The face of a photo in three dimensions: its mesh, what an expression does to it, how a head motion moves it.

Three frames occur. The head's frame (`avatars.facemesh`): eye spans, pose taken out. The camera's frame: eye spans,
x right, y up, z towards the camera, origin between the outer eye corners as they are in the photo. The picture: pixels,
x right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatars.facemesh import EYE_LEFT, EYE_RIGHT, LIPS_INNER, TRIANGLES
from avatars.fields import LIDS, LIP_LOWER, LIP_UPPER
from avatars.fields_skin import spread_weights
from avatars.pose import Pose, fit_pose, to_head
from studio.motion import EYE_SPAN, HEAD_JOINT, rotation_angles, rotation_matrix

DEPTH_GAIN = 1.25
"""Detected depth is multiplied by this, so that the head looks as far turned as was asked for."""

DEPTH_BEHIND = 0.4
"""Depth behind the eyes is limited softly to this many eye spans: a frontal photo has hardly any texture for more."""

NECK = np.array(HEAD_JOINT) / EYE_SPAN
"""Where the head turns, head's frame: the top of the neck."""

FIT_ROUNDS = 2
"""Gauss-Newton steps with which a head's change is fitted to the depths that are rendered."""

SIDE_VIEW = np.radians(40)
"""A photo turned further than this shows too little of the far side to bring it to the front."""


def _strip(loop: np.ndarray) -> np.ndarray:
    """Triangles that close an opening whose loop runs from one corner over the lower edge to the other and back."""
    n = len(loop)
    low, high = loop[: n // 2 + 1], np.r_[loop[:1], loop[: n // 2 - 1 : -1]]
    out = []
    for k in range(n // 2):
        out += [(low[k], low[k + 1], high[k + 1]), (low[k], high[k + 1], high[k])]
    return np.array([t for t in out if len(set(t)) == 3], np.int32)


FACE_TRIANGLES = np.concatenate([TRIANGLES, _strip(LIPS_INNER), _strip(EYE_RIGHT), _strip(EYE_LEFT)])
"""(898, 3) the mesh with its three openings closed."""


def _turn(vector: np.ndarray) -> np.ndarray:
    """(3, 3) rotation about `vector` by its length in radians."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / max(angle, 1e-12)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew


@dataclass(frozen=True)
class HeadChange:
    """A change of the head's pose in the camera's frame: turned by `rotation` (3, 3) about `pivot` (3,), then moved
    by `shift` (3,), eye spans."""

    rotation: np.ndarray
    pivot: np.ndarray
    shift: np.ndarray

    @property
    def still(self) -> bool:
        """Whether nothing moves."""
        return bool(np.abs(self.rotation - np.eye(3)).max() < 1e-6 and np.abs(self.shift).max() < 1e-6)


class FaceGeometry:
    """The mesh of one photo.

    landmarks (478, 3) pixels, size (width, height) of the picture.

    pose      where the head is.
    shape     (468, 3) eye spans, head's frame, expression included.
    points    (468, 3) the same in the camera's frame with depth as it is rendered.
    source    (468, 2) pixels of the photo.
    distance  eye spans from the camera to the eyes, for a mild perspective.
    """

    def __init__(self, landmarks: np.ndarray, size: tuple[int, int]) -> None:
        landmarks = np.asarray(landmarks, np.float64)
        self.pose: Pose = fit_pose(landmarks, size=size)
        self.shape = to_head(landmarks, self.pose)[:468].astype(np.float64)
        self.source = landmarks[:468, :2].copy()
        self.angles = np.array(rotation_angles(self.pose.rotation))
        self.distance = self.pose.view_distance
        depth = (self.shape @ self.pose.rotation.T)[:, 2] + self._deepened() * self.pose.rotation[2, 2]
        self.points = self.unproject(self.source, depth)

    def _deepened(self) -> np.ndarray:
        """(468,) what is added to the depth of each point along the head's own axis."""
        z = self.shape[:, 2] * DEPTH_GAIN
        behind = np.maximum(-z, 0.0)
        return np.where(z < 0, -DEPTH_BEHIND * np.tanh(behind / DEPTH_BEHIND), z) - self.shape[:, 2]

    @property
    def centre(self) -> np.ndarray:
        """(2,) pixels of the middle between the eyes."""
        return self.pose.centre[:2] * [1.0, -1.0]

    def unproject(self, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """(N, 2) pixels at depths (N,) -> (N, 3) camera's frame."""
        flat = (pixels - self.centre) * [1.0, -1.0] / self.pose.scale
        return np.column_stack([flat * (1 - depth / self.distance)[:, None], depth])

    def project(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) camera's frame -> (N, 3) pixels and depth (towards the camera, in pixels, negative)."""
        flat = points[:, :2] / (1 - points[:, 2:] / self.distance) * [1.0, -1.0]
        return np.column_stack([flat * self.pose.scale + self.centre, -points[:, 2] * self.pose.scale])

    def head_change(self, head: np.ndarray) -> HeadChange:
        """The change that head (6,) stands for: angles are added to the photo's own, metres move the neck.

        The depths that are rendered are not the face's own, and turned by the same angles the nose would go too far and
        the cheeks not far enough. So the change is the one that brings the rendered face nearest to where the true one
        would be seen.
        """
        turned = rotation_matrix(*(self.angles + np.asarray(head[:3], np.float64)))
        own = self.pose.rotation
        rotation, pivot = turned @ rotation_matrix(*self.angles).T, own @ NECK
        shift = np.asarray(head[3:], np.float64) / EYE_SPAN
        if not np.any(head):
            return HeadChange(rotation, pivot, shift)
        eyes = pivot - rotation @ pivot + shift
        wanted = (eyes[:2] + (self.shape @ own.T @ rotation.T)[:, :2]) / (1 - eyes[2] / self.distance)
        for _ in range(FIT_ROUNDS):
            arm = (self.points - pivot) @ rotation.T
            x, y, z = (arm + pivot + shift).T
            k = 1 / (1 - z / self.distance)
            left = wanted - np.column_stack([x * k, y * k])
            zero = np.zeros_like(k)
            slope_x = np.column_stack([k, zero, x * k * k / self.distance])
            slope_y = np.column_stack([zero, k, y * k * k / self.distance])
            # A small turn w moves a point by w x arm.
            slopes = np.concatenate(
                [np.column_stack([np.cross(arm, slope_x), slope_x]), np.column_stack([np.cross(arm, slope_y), slope_y])]
            )
            step = np.linalg.lstsq(slopes, left.T.ravel(), rcond=None)[0]
            rotation, shift = _turn(step[:3]) @ rotation, shift + step[3:]
        return HeadChange(rotation, pivot, shift)

    def allowed(self, head: np.ndarray) -> tuple[np.ndarray, bool]:
        """The head change (6,) with the turn towards the front limited in a side view, and whether it was."""
        yaw = self.angles[0]
        limit = np.radians(12)
        back = -np.sign(yaw) * head[0]
        if abs(yaw) < SIDE_VIEW or back <= limit:
            return head, False
        head = np.array(head, np.float64)
        head[0] = -np.sign(yaw) * limit
        return head, True

    def openings_kept(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """The displacement (468, 3) between two model faces, corrected so that the photo's own openings, which the
        model only approximates, close when the model's do, and skin never crosses skin. Lips give way by 35 and 65 %,
        lids by 93 and 7 %."""
        move = (after - before).astype(np.float64)
        posed = self.shape + move
        for upper, lower, share, rings in _OPENINGS:
            was, now = before[upper, 1] - before[lower, 1], after[upper, 1] - after[lower, 1]
            left_over = (self.shape[upper, 1] - self.shape[lower, 1]) - was
            closing = np.clip(1 - now.max() / max(was.max(), 1e-3), 0.0, 1.0)
            wish = now + left_over * (1 - closing)
            # what was open in the photo stays at least shut, never crossed
            floor = np.minimum(self.shape[upper, 1] - self.shape[lower, 1], 0.0)
            gap = posed[upper, 1] - posed[lower, 1]
            push = np.maximum(wish, floor) - gap
            push[np.abs(push) < 1e-6] = 0
            if push.any():
                move[:, 1] += spread_weights(upper, lower, rings) @ (share * push)
                move[:, 1] -= spread_weights(lower, upper, rings) @ ((1 - share) * push)
        return move


_OPENINGS = ((LIP_UPPER, LIP_LOWER, 0.35, 4), (*LIDS["Left"], 0.93, 2), (*LIDS["Right"], 0.93, 2))
