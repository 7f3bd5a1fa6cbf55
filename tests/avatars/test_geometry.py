"""The mesh of a photo under a head motion, against where the true face would be seen."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.facemesh import MEAN
from avatars.photo.geometry import FaceGeometry
from avatars.pose import Pose, to_pixels
from studio.motion import EYE_SPAN, HEAD_JOINT, rotation_matrix

SIZE = (640, 480)


def seen(yaw: float, pitch: float, roll: float, centre=(320.0, -200.0), scale: float = 120.0) -> np.ndarray:
    """(478, 3) landmarks of the mean face, degrees, middle of the eyes at `centre` (y up)."""
    turn = rotation_matrix(*np.radians([yaw, pitch, roll]))
    points = to_pixels(MEAN, Pose(turn, np.array([*centre, 0.0]), scale, 0.0, SIZE))
    return np.concatenate([points, np.repeat(points[[159]], 10, 0)])


def moved(geometry: FaceGeometry, head: np.ndarray) -> np.ndarray:
    change = geometry.head_change(head)
    points = (geometry.points - change.pivot) @ change.rotation.T + change.pivot + change.shift
    return geometry.project(points)[:, :2]


def test_no_motion_leaves_the_photo():
    geometry = FaceGeometry(seen(8, 3, -2), SIZE)
    np.testing.assert_allclose(moved(geometry, np.zeros(6)), geometry.source, atol=1e-3)


@pytest.mark.parametrize("angles", [(15, 0, 0), (-15, 0, 0), (0, 10, 0), (0, -10, 0), (0, 0, 12), (12, 6, -8)])
def test_a_turned_face_lands_where_the_true_one_does(angles):
    """Depth behind the eyes is limited, so ears can't be right; the face as a whole is, without drift."""
    geometry = FaceGeometry(seen(0, 0, 0), SIZE)
    turn = rotation_matrix(*np.radians(angles))
    joint = turn @ HEAD_JOINT - np.array(HEAD_JOINT)  # the eyes stay where they are
    out = moved(geometry, np.array([*np.radians(angles), *joint]))
    off = (out - seen(*angles)[:468, :2]) / 120
    still = (geometry.source - seen(*angles)[:468, :2]) / 120
    assert np.abs(off.mean(0)).max() < 0.004
    assert np.linalg.norm(off, axis=1).mean() < 0.35 * np.linalg.norm(still, axis=1).mean()


def test_shifts_are_metres_of_the_face():
    geometry = FaceGeometry(seen(0, 0, 0), SIZE)
    out = moved(geometry, np.array([0, 0, 0, 0.3 * EYE_SPAN, -0.2 * EYE_SPAN, 0]))
    np.testing.assert_allclose((out - geometry.source).mean(0) / 120, [0.3, 0.2], atol=0.003)
