"""A driver's performance: nothing where it looks as in the reference, the truth where it moves."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import controls.performance as performance
from avatars.facemesh import EYE_LEFT, EYE_RIGHT, MEAN
from avatars.fields import displace
from avatars.fit import IRIS
from avatars.pose import Pose, fit_pose, to_pixels
from controls.performance import PerformanceDriver
from studio.arkit import ARKIT, INDEX
from studio.errors import MediaError, NoFaceError, UsageError
from studio.media import Frame
from studio.motion import join, rotation_matrix
from studio.observation import Observation

FPS = Fraction(25)
SIZE = (640, 480)
OTHER = (MEAN * np.float32([0.93, 1.12, 1.1])).astype(np.float32)


def seen(
    k: int,
    shapes: dict[str, float] | None = None,
    angles=(0.0, 0.0, 0.0),
    shape=MEAN,
    at=(320.0, 240.0),
    scale: float = 120.0,
) -> Observation:
    weights = np.zeros(len(ARKIT), np.float32)
    for name, value in (shapes or {}).items():
        weights[INDEX[name]] = value
    head = displace(shape, weights)
    eyes = [
        np.repeat((head[c].mean(0) + np.array([*r, 0]))[None], 5, 0)
        for r, c in ((IRIS[1], EYE_RIGHT[[0, 8]]), (IRIS[0], EYE_LEFT[[0, 8]]))
    ]
    pose = Pose(rotation_matrix(*np.radians(angles)), np.array([at[0], -at[1], 0.0]), scale, 0.0, SIZE)
    points = to_pixels(np.concatenate([head, *eyes]), pose)
    return Observation(points, SIZE, fit_pose(points, size=SIZE).head, None, 1.0, 0, k / FPS)


class Clip:
    """As many frames as there are observations; a picture says which."""

    path, fps, has_audio = Path("take.mp4"), FPS, False

    def __init__(self, count: int) -> None:
        self.count, self.duration = count, count / 25

    def frames_at(self, fps):
        return (Frame(np.full((1, 1, 3), k, np.uint8), k / FPS, k) for k in range(self.count))


@pytest.fixture
def drive(monkeypatch):
    def make(faces: list[Observation | None], portrait: Observation | None = None, **settings) -> PerformanceDriver:
        monkeypatch.setattr("studio.media.Clip.open", lambda path: Clip(len(faces)))

        class Tracker:
            def __init__(self, **_):
                pass

            def track(self, frames):
                for frame in frames:
                    face = faces[frame.index]
                    yield frame, [] if face is None else [face]

        monkeypatch.setattr(performance, "FaceTracker", Tracker)
        return PerformanceDriver("take.mp4", portrait=portrait, smooth=False, **settings)

    return make


def calm(count: int, start: int = 0) -> list[Observation]:
    return [seen(start + k) for k in range(count)]


def test_a_still_driver_moves_nothing(drive):
    portrait = seen(0, shape=OTHER, angles=(10, 0, 0))
    motion = join(drive(calm(40), portrait).stream())
    assert len(motion) == 40 and motion.fps == FPS
    assert np.abs(motion.weights).max() < 1e-3 and np.abs(motion.head).max() < 1e-3


def test_a_first_frame_that_is_not_neutral(drive):
    talking = [seen(k, {"jawOpen": 0.5, "mouthSmileLeft": 0.4}) for k in range(10)]
    motion = join(drive(talking + calm(20, 10), seen(0, shape=OTHER)).stream())
    assert abs(motion.curve("jawOpen")[5] - 0.5) < 0.12
    assert motion.weights[20].max() < 0.1


def test_a_full_close_is_a_full_close(drive):
    faces = calm(30)
    for k in (10, 11):
        faces[k] = seen(k, {"eyeBlinkLeft": 1, "eyeBlinkRight": 1})
    motion = join(drive(faces, seen(0, shape=OTHER)).stream())
    assert motion.curve("eyeBlinkLeft")[10] == pytest.approx(1, abs=0.02)
    assert motion.curve("eyeBlinkLeft")[20] == 0


def test_the_drivers_own_portrait_gives_absolute_truth(drive):
    shapes = {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}
    faces = calm(20) + [seen(20 + k, {**shapes, "jawOpen": 0.4}, (2.0 * k, 0, 0)) for k in range(10)]
    portrait = seen(0, {**shapes, "jawOpen": 0.4}, (6.0, 0, 0))  # frame 23
    driver = drive(faces, portrait)
    motion = join(driver.stream())
    assert motion.residual is not None
    assert np.abs(motion.weights[23]).max() < 1e-3 and np.abs(motion.head[23]).max() < 1e-3
    assert motion.curve("jawOpen")[5] == pytest.approx(-0.4, abs=0.12)  # the portrait's mouth closes
    np.testing.assert_allclose(np.degrees(motion.head[29, 0] - motion.head[20, 0]), 18, atol=0.2)


def test_another_person_gets_no_residual_and_no_negative_weights(drive):
    faces = calm(20) + [seen(20 + k, {"mouthPucker": 0.5}) for k in range(10)]
    motion = join(drive(faces, seen(0, {"jawOpen": 0.3}, shape=OTHER)).stream())
    assert motion.residual is None
    assert motion.weights.min() >= 0
    forced = join(drive(faces, seen(0, shape=OTHER), residual="on").stream())
    assert forced.residual is not None
    assert join(drive(faces, faces[0], residual="off").stream()).residual is None


def test_head_moves_as_the_driver_does(drive):
    faces = calm(20) + [seen(20 + k, angles=(0, 0, 3.0 * k), at=(320.0 + 6 * k, 240.0)) for k in range(5)]
    portrait = seen(0, shape=OTHER, angles=(8, 0, 0))
    motion = join(drive(faces, portrait).stream())
    np.testing.assert_allclose(np.degrees(motion.head[24, 2]), 12, atol=0.3)
    assert np.abs(join(drive(faces, portrait, head="off").stream()).head).max() == 0
    absolute = join(drive(faces, portrait, head="absolute").stream())
    np.testing.assert_allclose(np.degrees(absolute.head[24, :3] + portrait.head[:3]), [0, 0, 12], atol=0.5)


def test_a_driver_who_comes_closer_makes_the_face_grow(drive):
    faces = calm(20) + [seen(20 + k, scale=120.0 + 6 * k) for k in range(6)]
    portrait = seen(0, shape=OTHER, scale=60.0)
    motion = join(drive(faces, portrait).stream())
    distance = fit_pose(portrait.landmarks, size=SIZE).view_distance * 0.09
    np.testing.assert_allclose(distance / (distance - motion.head[25, 5]), 150 / 120, rtol=0.01)


def test_intensity_scales_the_expression_not_the_head(drive):
    faces = calm(20) + [seen(20 + k, {"jawOpen": 0.3}, (10, 0, 0)) for k in range(5)]
    once, half = (join(drive(faces, seen(0, shape=OTHER), intensity=i).stream()) for i in (1.0, 0.5))
    np.testing.assert_allclose(half.weights, once.weights / 2, atol=1e-5)
    np.testing.assert_allclose(half.head, once.head, atol=1e-6)


def test_lost_frames_are_marked_and_come_to_rest(drive):
    faces: list[Observation | None] = calm(20) + [seen(20, {"jawOpen": 0.6})] + [None] * 40 + calm(5, 61)
    motion = join(drive(faces, seen(0, shape=OTHER)).stream())
    assert len(motion) == len(faces)
    assert (motion.confidence[21:61] == 0).all() and (motion.confidence[61:] > 0).all()
    jaw = motion.curve("jawOpen")
    assert 0.4 < jaw[21] < jaw[20] and jaw[59] < 0.02
    assert (np.diff(jaw[20:60]) <= 1e-6).all()


def test_reference_first_keeps_the_first_pose_at_zero(drive):
    faces = [seen(k, angles=(12, 0, 0)) for k in range(5)] + calm(20, 5)
    first = join(drive(faces, seen(0, shape=OTHER), reference="first").stream())
    frontal = join(drive(faces, seen(0, shape=OTHER), reference="frontal").stream())
    assert abs(first.head[0, 0]) < 1e-6
    np.testing.assert_allclose(np.degrees(frontal.head[0, 0]), 12, atol=0.3)


def test_blocks_follow_each_other(drive):
    starts, count = [], 0
    for block in drive(calm(60), seen(0, shape=OTHER)).stream():
        starts.append((block.start, count))
        count += len(block)
    assert count == 60 and all(a == b for a, b in starts) and len(starts) > 3


def test_no_face_at_all(drive):
    with pytest.raises(NoFaceError, match="no face in 30 frames"):
        join(drive([None] * 30).stream())


def test_wrong_arguments():
    with pytest.raises(MediaError):
        PerformanceDriver("nowhere.mp4")
    for settings in ({"head": "up"}, {"reference": "last"}, {"residual": "yes"}, {"intensity": -1.0}, {"face": -1}):
        with pytest.raises(UsageError):
            PerformanceDriver("nowhere.mp4", **settings)


@pytest.mark.slow
def test_a_real_clip_repeats_itself(shared):
    """The mesh of a calm frame, moved by its own clip, meets the true landmarks."""
    from avatars.fields import fields_for
    from avatars.fit import fit_photo
    from avatars.photo.geometry import FaceGeometry
    from controls.tracker import FaceTracker

    path = shared / "data" / "videos" / "talk_suit_22fps.mp4"
    driver = PerformanceDriver(path)
    real = [(frame.image, faces[0]) for frame, faces in FaceTracker().track(driver.clip.frames_at(driver.fps))]
    portrait = FaceTracker().observe(real[11][0])[0]
    neutral, weights = fit_photo(portrait.landmarks)
    table = fields_for(neutral.shape)
    geometry = FaceGeometry(portrait.landmarks, portrait.size)
    for residual, limit in (("off", 0.25), ("auto", 0.18)):
        motion = join(PerformanceDriver(path, portrait=portrait, residual=residual).stream())
        error, frozen = 0.0, 0.0
        for k, (_, face) in enumerate(real):
            move = displace(neutral.shape, weights + motion.weights[k], table) - displace(neutral.shape, weights, table)
            move = move if motion.residual is None else move + motion.residual[k]
            change = geometry.head_change(motion.head[k])
            points = geometry.points + move @ geometry.pose.rotation.T
            points = (points - change.pivot) @ change.rotation.T + change.pivot + change.shift
            true = face.landmarks[:468, :2]
            error += np.linalg.norm(geometry.project(points)[:, :2] - true, axis=1).mean() / face.eye_span
            frozen += np.linalg.norm(portrait.landmarks[:468, :2] - true, axis=1).mean() / face.eye_span
        assert error / frozen < limit
