"""A person's fit: faces made from known weights give the weights back."""

from __future__ import annotations

import time

import numpy as np
import pytest

from avatars.facemesh import EYE_LEFT, EYE_RIGHT, MEAN
from avatars.fields import displace, fields_for, lid_opening
from avatars.fit import EYEBALL, IRIS, ExpressionFit, Neutral, fit_photo, nnls
from avatars.pose import Pose, to_pixels
from studio.arkit import ARKIT, INDEX
from studio.motion import FaceMotion, rotation_matrix


def weights_of(**shapes: float) -> np.ndarray:
    out = np.zeros(len(ARKIT), np.float32)
    for name, value in shapes.items():
        out[INDEX[name]] = value
    return out


def face(
    weights: np.ndarray, shape: np.ndarray = MEAN, angles=(0, 0, 0), gaze=(0.0, 0.0), noise: float = 0.0, seed: int = 0
) -> np.ndarray:
    """(478, 3) landmarks in pixels, 110 to an eye span; the irises look along `gaze` (yaw, pitch) radians."""
    head = displace(shape, weights, fields_for(shape))
    eyes = []
    for rest, corners in ((IRIS[1], EYE_RIGHT[[0, 8]]), (IRIS[0], EYE_LEFT[[0, 8]])):
        middle = head[corners].mean(0) + [*rest, 0] + EYEBALL * np.array([np.sin(gaze[0]), -np.sin(gaze[1]), 0])
        eyes.append(np.repeat(middle[None], 5, 0))
    pose = Pose(rotation_matrix(*np.radians(angles)), np.array([300.0, -250.0, 0.0]), 110.0, 0.0, (600, 600))
    points = to_pixels(np.concatenate([head, *eyes]), pose)
    return points + np.random.default_rng(seed).normal(0, 1, points.shape) * noise


@pytest.fixture(scope="module")
def person() -> np.ndarray:
    """Somebody who isn't the mean face: wider, with a longer chin and a smoothly different surface."""
    shape = MEAN * np.float32([1.0, 1.06, 1.03])
    shape[:, 0] += 0.03 * np.sin(2 * MEAN[:, 1]) * MEAN[:, 0]
    return shape.astype(np.float32)


@pytest.fixture(scope="module")
def fit(person) -> ExpressionFit:
    calm = [face(weights_of(), person, (4 * k - 8, k - 2, 0), noise=0.3, seed=k) for k in range(5)]
    return ExpressionFit(Neutral.from_frames(calm))


def test_least_squares_meets_its_conditions():
    random = np.random.default_rng(3)
    for n in (3, 12, 46):
        a, b = random.normal(size=(2 * n, n)), random.normal(size=2 * n)
        x = nnls(a.T @ a, a.T @ b)
        slope = a.T @ (a @ x - b)
        assert (x >= 0).all()
        assert np.abs(slope[x > 0]).max() < 1e-8
        assert (slope[x == 0] > -1e-8).all()
        np.testing.assert_allclose(nnls(a.T @ a, a.T @ b, random.random(n) > 0.5), x, atol=1e-9)


def test_the_neutral_is_found_under_pose_and_noise(fit, person):
    assert np.abs(fit.neutral.shape - person)[:, :2].mean() < 0.01


SINGLE = (
    "jawOpen",
    "mouthSmileLeft",
    "browInnerUp",
    "browDownRight",
    "mouthPucker",
    "eyeWideLeft",
    "mouthFrownRight",
    "noseSneerLeft",
    "mouthLeft",
    "cheekPuff",
    "mouthFunnel",
)


@pytest.mark.parametrize("name", SINGLE)
def test_a_shape_comes_back(fit, person, name):
    found, _, _ = fit(face(weights_of(**{name: 0.6}), person, (8, -3, 5), noise=0.3))
    assert abs(found[INDEX[name]] - 0.6) < 0.2
    others = np.delete(found, INDEX[name])
    assert others.max() < 0.25, ARKIT[int(np.argmax(np.where(np.arange(52) == INDEX[name], 0, found)))]


def test_a_mixture_comes_back(fit, person):
    wanted = weights_of(jawOpen=0.4, mouthSmileLeft=0.5, mouthSmileRight=0.3, browInnerUp=0.4, eyeBlinkLeft=1.0)
    found, _, residual = fit(face(wanted, person, (-12, 4, 3)))
    assert np.abs(found - wanted).mean() < 0.03
    assert np.corrcoef(found, wanted)[0, 1] > 0.95
    assert np.abs(residual).mean() < 0.01


@pytest.mark.parametrize("closed", [0.0, 0.5, 1.0])
def test_each_eye_blinks_alone(fit, person, closed):
    found, _, _ = fit(face(weights_of(eyeBlinkRight=closed), person))
    assert abs(found[INDEX["eyeBlinkRight"]] - closed) < 0.15
    assert found[INDEX["eyeBlinkLeft"]] < 0.1
    if closed == 1.0:
        assert found[INDEX["eyeBlinkRight"]] == 1.0


def test_gaze_comes_from_the_irises(fit, person):
    for gaze in ((0.3, 0.0), (-0.3, 0.0), (0.0, 0.2), (0.0, -0.2)):
        found, _, _ = fit(face(weights_of(), person, gaze=gaze))
        seen = FaceMotion(found[None], 25).gaze[0].mean(0)
        np.testing.assert_allclose(seen, gaze, atol=0.06)


def test_a_smile_is_no_blink(fit, person):
    found, _, _ = fit(face(weights_of(mouthSmileLeft=0.8, mouthSmileRight=0.8), person))
    assert found[INDEX["eyeBlinkLeft"]] < 0.15 and found[INDEX["eyeBlinkRight"]] < 0.15


def test_a_calm_face_stays_calm(fit, person):
    sums = [fit(face(weights_of(), person, (3, 2, 1), noise=0.3, seed=s))[0].sum() for s in range(10, 16)]
    assert np.mean(sums) < 1.0


def test_half_the_frames_may_be_expressive(person):
    frames = [face(weights_of(), person, noise=0.3, seed=k) for k in range(6)]
    shouting = weights_of(jawOpen=0.7, eyeBlinkLeft=1, eyeBlinkRight=1)
    frames += [face(shouting, person, noise=0.3, seed=k) for k in range(6)]
    neutral = Neutral.from_frames(frames)
    assert np.abs(neutral.shape - person)[:, :2].mean() < 0.012
    assert abs(neutral.lids[0] / lid_opening(person, "Left") - 1) < 0.15


def test_an_open_smile_in_one_photo_is_seen_and_taken_out(person):
    wanted = weights_of(jawOpen=0.35, mouthSmileLeft=0.6, mouthSmileRight=0.6)
    neutral, found = fit_photo(face(wanted, person))
    assert found[INDEX["mouthSmileLeft"]] > 0.3 and found[INDEX["mouthSmileRight"]] > 0.3
    assert found[INDEX["jawOpen"]] > 0.15
    smiling = displace(person, wanted, fields_for(person))
    assert abs(neutral.shape[13, 1] - neutral.shape[14, 1]) < 0.02  # lips meet
    assert np.abs(neutral.shape - person)[:, :2].mean() < 0.6 * np.abs(smiling - person)[:, :2].mean()


def test_a_calm_photo_is_left_alone(person):
    _, found = fit_photo(face(weights_of(), person))
    assert found.sum() < 1.5 and found.max() < 0.4


def test_a_frame_is_fitted_fast(fit, person):
    shapes = [weights_of(jawOpen=0.3 + 0.02 * k, mouthSmileLeft=0.4) for k in range(20)]
    frames = [face(w, person, (k, 0, 0), noise=0.3) for k, w in enumerate(shapes)]
    fit(frames[0])
    began = time.thread_time()
    for frame in frames:
        fit(frame)
    assert (time.thread_time() - began) / len(frames) < 0.02  # 2 ms, and room for busy machines
