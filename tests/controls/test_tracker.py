"""Faces: in real pictures where they are, none where there is none; through clips with gaps, cuts and company."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import controls.tracker as tracking
from avatars.pose import fit_pose
from controls import detection
from controls.detection import Region
from controls.tracker import FaceTracker
from studio.errors import NoFaceError
from studio.media import Frame
from studio.observation import Observation

ASTRONAUT = Path(__file__).resolve().parents[2] / "demos" / "assets" / "astronaut.jpg"
FPS = 25


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return np.array(Image.open(ASTRONAUT).convert("RGB"))


@pytest.fixture(scope="module")
def seen(astronaut) -> Observation:
    return FaceTracker().observe(astronaut)[0]


def frames(pictures):
    return [Frame(picture, Fraction(k, FPS), k) for k, picture in enumerate(pictures)]


def turned(image: np.ndarray, degrees: float) -> np.ndarray:
    return np.array(Image.fromarray(image).rotate(degrees, Image.Resampling.BICUBIC))


def test_regions_map_pixels_to_crops():
    region = Region(100, 60, 50, np.radians(90))
    matrix = region.matrix(200)
    np.testing.assert_allclose(matrix @ [100, 60, 1], [100, 100], atol=1e-9)
    np.testing.assert_allclose(matrix @ [100, 85, 1], [200, 100], atol=1e-9)  # along the turned x axis


def test_a_crop_of_the_whole_picture_is_the_picture():
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    np.testing.assert_array_equal(detection.crop(image, Region(32, 32, 64), 64), image)


def test_a_face_is_where_it_is(seen):
    x0, y0, x1, y1 = seen.box
    assert 170 < x0 < 200 and 260 < x1 < 285 and 60 < y0 < 80 and 170 < y1 < 200
    assert seen.confidence > 0.9 and seen.landmarks.shape == (478, 3)
    assert np.abs(np.degrees(seen.head[:3])).max() < 10


def test_the_same_face_at_any_size_and_place(astronaut, seen):
    for scale, offset in ((2.0, 0), (0.5, 40)):
        small = Image.fromarray(astronaut).resize((int(512 * scale),) * 2, Image.Resampling.LANCZOS)
        canvas = np.full((int(512 * scale) + offset,) * 2 + (3,), 90, np.uint8)
        canvas[offset:, offset:] = small
        found = FaceTracker().observe(canvas)[0]
        error = np.linalg.norm(found.landmarks[:, :2] - offset - seen.landmarks[:, :2] * scale, axis=1)
        assert error.mean() / found.eye_span < 0.04


def test_roll_of_the_picture_is_roll_of_the_head(astronaut, seen):
    for degrees in (-20, 20):  # Pillow turns counter-clockwise
        found = FaceTracker().observe(turned(astronaut, degrees))[0]
        assert abs(np.degrees(found.head[2] - seen.head[2]) + degrees) < 2


def test_a_mirrored_picture_mirrors_the_head(astronaut, seen):
    found = FaceTracker().observe(np.ascontiguousarray(astronaut[:, ::-1]))[0]
    np.testing.assert_allclose(np.degrees(found.head[:3]), np.degrees(seen.head[:3]) * [-1, 1, -1], atol=3)


def test_nothing_but_noise_is_no_face():
    noise = np.random.default_rng(1).integers(0, 255, (240, 320, 3), np.uint8)
    with pytest.raises(NoFaceError, match="no face found"):
        FaceTracker().observe(noise)
    for shape in ((8, 8, 3), (1, 700, 3)):
        with pytest.raises(NoFaceError):
            FaceTracker().observe(np.zeros(shape, np.uint8))


def test_a_tiny_face_is_refused_with_its_size(astronaut):
    canvas = np.full((300, 300, 3), 128, np.uint8)
    canvas[80:190, 80:190] = np.array(Image.fromarray(astronaut).resize((110, 110), Image.Resampling.LANCZOS))
    with pytest.raises(NoFaceError, match=r"pixels wide, 24 are needed|no face found"):
        FaceTracker().observe(canvas)


def test_two_faces_largest_first(astronaut):
    both = np.zeros((512, 900, 3), np.uint8)
    both[128:384, :256] = np.array(Image.fromarray(astronaut).resize((256, 256), Image.Resampling.LANCZOS))
    both[:, 388:] = astronaut
    large, small = FaceTracker(max_faces=5).observe(both)
    assert large.eye_span > 1.7 * small.eye_span and large.box[0] > 388 > small.box[2]
    assert [large.face_id, small.face_id] == [0, 1]
    assert len(FaceTracker(max_faces=1).observe(both)) == 1


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="max_faces"):
        FaceTracker(max_faces=0)
    with pytest.raises(ValueError, match="uint8"):
        FaceTracker().observe(np.zeros((10, 10, 3), np.float32))


def test_a_clip_keeps_its_frames_and_its_face(astronaut):
    moving = [np.roll(astronaut, 4 * k, axis=1) for k in range(12)]
    out = list(FaceTracker().track(frames(moving)))
    assert [frame.index for frame, _ in out] == list(range(12))
    left = [faces[0].box[0] for _, faces in out]
    np.testing.assert_allclose(np.diff(left), 4, atol=1.2)
    assert all(faces[0].face_id == 0 and faces[0].confidence > 0.9 for _, faces in out)
    assert [faces[0].time for _, faces in out] == [Fraction(k, FPS) for k in range(12)]


def test_a_short_gap_is_bridged_and_a_long_one_held(astronaut):
    blank = np.full_like(astronaut, 60)
    near, far = astronaut, np.roll(astronaut, 20, axis=1)
    short = list(FaceTracker().track(frames([near] * 3 + [blank] * 4 + [far] * 3)))
    confidence = [faces[0].confidence > 0 for _, faces in short]
    assert confidence == [True] * 3 + [False] * 4 + [True] * 3
    steps = np.diff([faces[0].box[0] for _, faces in short[2:8]])
    np.testing.assert_allclose(steps, 4, atol=1.5)
    long = list(FaceTracker().track(frames([near] * 2 + [blank] * 40 + [far] * 2)))
    assert len(long) == 44
    np.testing.assert_array_equal(long[6][1][0].landmarks, long[1][1][0].landmarks)
    assert long[35][1] == []  # given up after a second
    assert long[-1][1][0].confidence > 0.9 and long[-1][1][0].face_id == 0


def test_frames_wait_only_while_a_face_is_lost(astronaut):
    blank = np.full_like(astronaut, 60)
    read = 0

    def counted(pictures):
        nonlocal read
        for frame in frames(pictures):
            read += 1
            yield frame

    ahead = []
    for frame, _ in FaceTracker().track(counted([astronaut] * 5 + [blank] * 20)):
        ahead.append(read - 1 - frame.index)
    assert ahead[:5] == [0] * 5
    assert max(ahead) <= float(tracking.BRIDGE) * FPS + 1


def test_ids_stay_with_their_faces(astronaut):
    small = np.array(Image.fromarray(astronaut).resize((320, 320), Image.Resampling.LANCZOS))
    pictures = []
    for k in range(8):
        both = np.full((512, 900, 3), 40, np.uint8)
        both[20 + 3 * k : 340 + 3 * k, 10:330] = small
        both[:, 388:] = astronaut
        pictures.append(both)
    out = [faces for _, faces in FaceTracker(max_faces=3).track(frames(pictures))]
    assert all([f.face_id for f in faces] == [0, 1] for faces in out)
    assert all(faces[0].box[0] > 388 > faces[1].box[2] for faces in out)


def test_two_pictures_in_turn_are_no_motion(astronaut):
    """Across a cut nothing is bridged."""
    here = tracking.FaceTracker().observe(astronaut)[0]
    held = Observation(here.landmarks, here.size, here.head, None, 0.0, 0, Fraction(0))
    moved = here.landmarks + np.float32([200, 0, 0])
    now = Observation(moved, here.size, here.head, None, 1.0, 0, Fraction(2, FPS))
    waiting = deque([(Frame(astronaut, Fraction(1, FPS), 1), {0: held})])
    tracking._bridge(waiting, {0: now})
    np.testing.assert_array_equal(waiting[0][1][0].landmarks, here.landmarks)


def test_loading_the_networks_is_silent_and_light():
    code = (
        "import sys, numpy as np\nfrom controls.tracker import FaceTracker\n"
        "from studio.errors import NoFaceError\n"
        "try: FaceTracker().observe(np.zeros((64, 64, 3), np.uint8))\n"
        "except NoFaceError: pass\n"
        "print('heard', file=sys.stderr)\n"
        "assert not {'jax', 'matplotlib', 'torch'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and done.stderr == "heard\n"


FOUND = {
    "astronaut_smile.png": 1,
    "cartoon_boy_3d.jpg": 1,
    "dark_skin_disgust.jpg": 1,
    "face_cut_by_border.jpg": 1,
    "fear_tiny.jpg": 1,
    "glasses_curly_frown.jpg": 1,
    "grey_beard_34.png": 1,
    "hat_smile.png": 1,
    "large_3500px.jpg": 1,
    "neutral_long_hair.png": 1,
    "old_photo_moustache.jpg": 1,
    "old_woman_painting.png": 1,
    "painted_child.jpg": 1,
    "painting_half_length.jpg": 1,
    "shout_open_mouth.jpg": 1,
    "side_view_rgba.png": 1,
    "six_faces.jpg": 6,
    "statue_terracotta.jpg": 1,
    "wink_crooked_smile.png": 1,
    "cat.png": 0,
    "no_face_coffee.png": 0,
}


@pytest.mark.parametrize("name", FOUND)
def test_real_portraits(shared, name):
    image = np.array(Image.open(shared / "data" / "portraits" / name).convert("RGB"))
    try:
        found = FaceTracker(max_faces=50).observe(image)
    except NoFaceError:
        found = []
    assert len(found) == FOUND[name]


@pytest.mark.slow
def test_head_angles_agree_with_the_judge(shared):
    """Turn by turn against an independent measure: correlation above .99 and a slope of 1."""
    sys.path.insert(0, str(shared / "judges"))
    measure = pytest.importorskip("facemeasure")
    from studio.media import Clip

    clip = Clip.open(shared / "data" / "videos" / "expressions_head_turns.mp4")
    faces = [f[0] for _, f in FaceTracker().track(clip.frames()) if f]
    points = [f.landmarks.astype(float) for f in faces]
    start = measure.axes(points[0])
    judged = np.array([measure.angles(measure.rotation_between(points[0], p) @ start) for p in points])
    ours = np.degrees([fit_pose(p).head[:3] for p in points])
    for axis in range(3):
        assert np.corrcoef(ours[:, axis], judged[:, axis])[0, 1] > 0.99
        assert abs(np.polyfit(judged[:, axis], ours[:, axis], 1)[0] - 1) < 0.05
