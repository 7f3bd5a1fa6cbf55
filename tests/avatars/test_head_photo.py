"""A head of a photo: the shape that landmarks tell, the photo's colours where it shows them, nothing elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from avatars.facemesh import EYE_LEFT, EYE_RIGHT, MEAN, MIRROR
from avatars.fields import displace, fields_for
from avatars.head import embedded_head
from avatars.head.identity import AXES, displacement, random_identity
from avatars.head.lids import EYE_RADIUS, HOLDERS
from avatars.head.measure import placed
from avatars.head.photo import facemesh_points, fit_head, head_from_photo
from avatars.head.regress import MIRRORED, MIRRORED_WEIGHTS, guess, load_network
from avatars.pose import Pose, to_pixels
from avatars.render3d import RigRenderer
from avatars.shade3d import Camera
from avatars.transfer import similarity
from controls.detection import Region, refine
from studio.arkit import INDEX
from studio.errors import NoFaceError, WeightsError
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


def seen(seed, yaw=0.0, pitch=0.0):
    """A rendered head that smiles with an open jaw: its neutral FaceMesh points, weights, rotation, and the landmarks
    that the tracker's network finds."""
    rig = embedded_head(random_identity(seed))
    weights = np.zeros(52, np.float32)
    weights[[INDEX["jawOpen"], INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"]]] = (0.4, 0.7, 0.7)
    turn = rotation_matrix(yaw, pitch, 0.0)
    shown = (rig.vertices(weights) @ turn.T).astype(np.float32)
    camera = Camera.portrait(SIZE, 0.34, 1.2, (0, -0.02, 0))
    picture = RigRenderer(rig, SIZE).draw(shown, camera)
    around = Region.of(camera.project(facemesh_points(rig, shown))[:, :2])
    return facemesh_points(rig, rig.neutral), weights, turn, refine(picture, around)[0]


def apart(a, b):
    """Mean distance of faces (468, 3) in millimetres at 64 between the eyes' centres, b laid on a; and that turn."""
    scaled = [p * 64 / np.linalg.norm(p[EYE_LEFT].mean(0) - p[EYE_RIGHT].mean(0)) for p in (a, b)]
    centred = [p - p.mean(0) for p in scaled]
    onto = similarity(centred[1], centred[0])
    return np.linalg.norm(centred[1] @ onto.rotation.T - centred[0], axis=1).mean(), onto.rotation


def test_measures_people_through_their_expressions():
    """Heads that were not trained on: nearer to the truth than the usual face, with their expression and pose."""
    errors, plain, found, angles = [], [], [], []
    usual = embedded_head()
    usual = facemesh_points(usual, usual.neutral)
    for seed, yaw in zip(range(900, 906), (-0.6, -0.3, 0.0, 0.1, 0.4, 0.6), strict=True):
        true, weights, turn, landmarks = seen(seed, yaw, 0.1)
        head = fit_head(landmarks, SIZE)
        error, frame = apart(true, facemesh_points(head.rig, head.rig.neutral))
        errors.append(error)
        plain.append(apart(true, usual)[0])
        found.append(head.weights)
        off = head.pose.rotation @ frame.T @ turn.T
        angles.append(np.degrees(np.arccos(np.clip((np.trace(off) - 1) / 2, -1, 1))))
    assert np.mean(errors) < 3.2
    assert np.mean(errors) < 0.8 * np.mean(plain)
    assert np.mean(angles) < 5.0
    assert np.corrcoef(np.tile(weights, 6), np.ravel(found))[0, 1] > 0.6


def test_a_mirrored_face_has_a_mirrored_head():
    landmarks = seen(910, 0.3)[3]
    other = landmarks[MIRRORED] * [-1, 1, 1] + [SIZE[0], 0, 0]
    a, b = guess(landmarks), guess(other)
    assert np.allclose(a.neutral, b.neutral[MIRROR] * [-1, 1, 1], atol=2e-4)
    assert np.allclose(a.weights, b.weights[MIRRORED_WEIGHTS], atol=2e-3)
    flip = np.diag([-1.0, 1.0, 1.0])
    assert np.allclose(a.rotation, flip @ b.rotation @ flip, atol=2e-3)


def test_the_place_of_a_known_shape_is_found():
    pose = Pose(rotation_matrix(0.4, -0.2, 0.3), np.array([200.0, -150.0, 0.0]), 120.0, 0.0, SIZE)
    found = placed(to_pixels(MEAN, pose), MEAN.astype(np.float64), pose.rotation, SIZE)
    assert np.isclose(found.scale, 120, rtol=1e-4)
    assert np.allclose(found.centre[:2], pose.centre[:2], atol=0.01)


def test_a_side_view_gives_a_plausible_head():
    """Turned by 50 degrees, a face is still about symmetric and no further from people than people are."""
    landmarks = seen(911, 0.87)[3]
    face = fit_head(landmarks, SIZE).rig
    points = facemesh_points(face, face.neutral) / EYE_SPAN
    assert np.linalg.norm(points[MIRROR] * [-1, 1, 1] - points, axis=1).mean() < 0.05
    usual = embedded_head()
    assert np.linalg.norm(points - facemesh_points(usual, usual.neutral) / EYE_SPAN, axis=1).max() < 0.25


def test_another_models_file_is_refused(tmp_path):
    save_file({"in.mean": np.zeros(3, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="not a network"):
        load_network(tmp_path / "other.safetensors")


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
