"""Pose: landmarks made from a known pose give that pose back."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.facemesh import MEAN, to_head_frame
from avatars.fields import displace
from avatars.pose import FOCAL, Pose, fit_pose, to_head, to_pixels
from studio.arkit import ARKIT
from studio.motion import EYE_SPAN, rotation_angles, rotation_matrix

SIZE = (640, 480)


def posed(
    shape: np.ndarray,
    yaw: float,
    pitch: float,
    roll: float,
    scale: float = 110.0,
    nearness: float = 0.0,
    at: tuple[float, float] = (300.0, 200.0),
) -> np.ndarray:
    """Landmarks in pixels of a shape under a pose in degrees."""
    rotation = rotation_matrix(*np.radians([yaw, pitch, roll]))
    return to_pixels(shape, Pose(rotation, np.array([at[0], -at[1], 0.0]), scale, nearness, SIZE))


def degrees(pose: Pose) -> np.ndarray:
    return np.degrees(rotation_angles(pose.rotation))


@pytest.mark.parametrize("angles", [(0, 0, 0), (15, 0, 0), (0, 10, 0), (0, 0, -8), (-35, 12, 20), (50, -20, -10)])
def test_a_neutral_face_gives_its_pose_exactly(angles):
    pose = fit_pose(posed(MEAN, *angles), MEAN, SIZE)
    np.testing.assert_allclose(degrees(pose), angles, atol=1e-3)
    np.testing.assert_allclose(pose.scale, 110, rtol=1e-4)
    np.testing.assert_allclose(pose.centre[:2], [300, -200], atol=1e-2)


def test_signs_are_those_of_the_vocabulary():
    nose = lambda *angles: posed(MEAN, *angles)[1] - posed(MEAN, *angles)[[33, 263]].mean(0)
    assert nose(20, 0, 0)[0] > 10  # yaw: towards the picture's right
    assert nose(0, 20, 0)[1] > nose(0, 0, 0)[1] + 5  # pitch: down
    left = posed(MEAN, 0, 0, 15)[263] - posed(MEAN, 0, 0, 15)[33]
    assert left[1] > 10  # roll: clockwise, so the picture's right eye sinks


def test_expressions_and_noise_leave_the_pose():
    random = np.random.default_rng(1)
    for _ in range(20):
        angles = random.uniform([-30, -15, -20], [30, 15, 20])
        weights = np.zeros(len(ARKIT), np.float32)
        weights[random.choice(len(ARKIT), 4)] = random.uniform(0.2, 0.8, 4)
        seen = posed(displace(MEAN, weights), *angles) + random.normal(0, 0.5, (468, 3))
        assert np.abs(degrees(fit_pose(seen, MEAN, SIZE)) - angles).max() < 1.0, ARKIT[int(weights.argmax())]


def test_perspective_is_taken_out():
    random = np.random.default_rng(2)
    for _ in range(20):
        angles = random.uniform([-40, -20, -20], [40, 20, 20])
        seen = posed(MEAN, *angles, nearness=110 / (FOCAL * 640))
        pose = fit_pose(seen, MEAN, SIZE, perspective=True)
        assert np.abs(degrees(pose) - angles).max() < 0.5
        np.testing.assert_allclose(to_head(seen, pose), MEAN, atol=0.01)


def test_pixels_and_head_are_inverse():
    pose = fit_pose(posed(MEAN, 20, 5, -4), MEAN, SIZE)
    there = to_pixels(MEAN, pose)
    np.testing.assert_allclose(to_head(there, pose), MEAN, atol=1e-5)
    assert to_head_frame(there)[1, 2] > to_head_frame(there)[33, 2]  # the nose is nearer than the eye's corner


def test_distance_follows_the_size_of_the_face():
    near, far = (fit_pose(posed(MEAN, 0, 0, 0, scale=s), MEAN, SIZE) for s in (200, 100))
    np.testing.assert_allclose(far.distance, 2 * near.distance, rtol=1e-4)
    np.testing.assert_allclose(far.distance, EYE_SPAN * FOCAL * 640 / 100, rtol=1e-4)
    assert near.head[5] > far.head[5]  # closer is larger
