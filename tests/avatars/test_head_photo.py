"""A head of a photo: the shape that landmarks tell, the photo's colours where it shows them, nothing elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.facemesh import EYE_LEFT, EYE_RIGHT, MEAN
from avatars.fields import displace, fields_for
from avatars.head import embedded_head
from avatars.head.identity import AXES, displacement, random_identity
from avatars.head.lids import EYE_RADIUS, HOLDERS
from avatars.head.measure import measure
from avatars.head.photo import facemesh_points, fit_head, head_from_photo
from avatars.pose import Pose, to_pixels
from avatars.render3d import RigRenderer
from studio.arkit import INDEX
from studio.errors import NoFaceError
from studio.motion import EYE_SPAN, rotation_matrix

SIZE = (640, 640)


def person(seed):
    """A face of random axes (468, 3), eye spans, corners in place."""
    values = random_identity(seed)
    face = MEAN + sum(values[a.name] * displacement(a, MEAN.astype(np.float64)) for a in AXES)
    span = np.linalg.norm(face[263] - face[33])
    return (face - (face[33] + face[263]) / 2) / span


def landmarks_of(face, weights, yaw=0.0):
    """(478, 3) pixels of a face seen without error."""
    pose = Pose(rotation_matrix(yaw, 0.05, 0.1), np.array([320.0, -300.0, 0.0]), 180.0, 0.0, SIZE)
    shown = displace(face, weights, fields_for(face))
    irises = [np.repeat(shown[loop].mean(0, keepdims=True), 5, 0) for loop in (EYE_RIGHT, EYE_LEFT)]
    ring = 0.06 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])
    return to_pixels(np.concatenate([shown, *(iris + ring for iris in irises)]), pose)


@pytest.mark.parametrize("yaw", [0.0, -0.5])
def test_measures_people_through_their_expressions(yaw):
    weights = np.zeros(52, np.float32)
    weights[[INDEX["jawOpen"], INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"], INDEX["browInnerUp"]]] = (
        0.3,
        0.6,
        0.6,
        0.5,
    )
    errors, found = [], []
    for seed in range(4):
        face = person(seed)
        got, measured = measure(landmarks_of(face, weights, yaw), SIZE)
        errors.append(np.linalg.norm(got - face, axis=1).mean() * 90)
        found.append(measured)
        plain = np.linalg.norm(MEAN - face, axis=1).mean() * 90
        assert errors[-1] < 0.6 * plain
    assert np.mean(errors) < 1.8  # millimetres at 90 between the eyes' outer corners
    assert np.corrcoef(np.tile(weights, 4), np.ravel(found))[0, 1] > 0.85


def test_a_face_in_profile_is_refused():
    with pytest.raises(NoFaceError, match="to the side"):
        fit_head(landmarks_of(MEAN.astype(np.float64), np.zeros(52, np.float32), yaw=1.4), SIZE)


def test_the_photo_is_its_texture():
    """A head painted green by its photo is green in front and keeps the photo's left and right."""
    face = person(1)
    landmarks = landmarks_of(face, np.zeros(52, np.float32))
    photo = np.zeros((*SIZE, 3), np.uint8)
    photo[:, :320], photo[:, 320:] = (40, 160, 60), (160, 60, 40)
    head = head_from_photo(photo, landmarks)
    shown = RigRenderer(head.rig, SIZE, flat=True).render(np.zeros(52, np.float32))
    at = RigRenderer(head.rig, SIZE).camera.project(facemesh_points(head.rig, head.rig.neutral))[:, :2].astype(int)
    for point, colour in ((50, (40, 160, 60)), (280, (160, 60, 40))):
        assert np.abs(shown[at[point][1], at[point][0]].astype(int) - colour).max() < 12


def test_same_photo_same_head():
    landmarks = landmarks_of(person(2), np.zeros(52, np.float32))
    a, b = fit_head(landmarks, SIZE), fit_head(landmarks, SIZE)
    assert np.array_equal(a.rig.neutral, b.rig.neutral) and np.array_equal(a.weights, b.weights)


@pytest.mark.parametrize("seed", [None, 3, 4])
def test_lids_lie_on_the_eyes_and_meet(seed):
    """Nothing of the lids dives into an eyeball, open or closed, and a blink leaves no slit."""
    rig = embedded_head() if seed is None else embedded_head(random_identity(seed))
    skin = rig.parts["skin"]
    for eye, loop in HOLDERS.items():
        side = "Left" if eye == "eye_left" else "Right"
        weights = np.zeros(52, np.float32)
        centre = np.array(rig.joints[rig.joint(eye)].position)
        for closed in (0.0, 1.0):
            weights[INDEX[f"eyeBlink{side}"]] = closed
            posed = rig.shaped(weights)[skin]
            ray = posed - centre
            distance = np.linalg.norm(ray, axis=1)
            front = (ray[:, 2] > 0.5 * distance) & (distance < 0.03)
            assert distance[front].min() > EYE_RADIUS * EYE_SPAN
        points = facemesh_points(rig, np.concatenate([posed, rig.shaped(weights)[skin.stop :]]))
        gap = points[loop[:8:-1], 1] - points[loop[1:8], 1]
        assert np.abs(gap).max() < 0.0015


def test_random_heads_differ_and_hold_together():
    heads = [embedded_head(random_identity(seed)) for seed in range(6)]
    mean = embedded_head().neutral
    for rig in heads:
        skin = rig.parts["skin"]
        assert 0.001 < np.abs(rig.neutral[skin] - mean[skin]).mean() < 0.012
        assert np.abs(rig.neutral - mean).max() < 0.04
    assert np.abs(heads[0].neutral - heads[1].neutral).max() > 0.004
