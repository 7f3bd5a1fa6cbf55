"""What users of such programs ask for most, on the package's own portrait and through the whole pipeline."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from controls.tracker import FaceTracker
from pipelines import ExpressionEditPipeline, TalkingPortraitPipeline
from studio.arkit import INDEX
from studio.media import Audio, read_image
from studio.motion import FaceMotion

pytestmark = pytest.mark.slow

ASTRONAUT = Path(__file__).resolve().parents[2] / "demos" / "assets" / "astronaut.jpg"


@pytest.fixture(scope="module")
def face():
    """The astronaut's face, large: (660, 600, 3)."""
    part = read_image(ASTRONAUT).rgb[0:220, 130:330]
    return cv2.resize(part, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def edit():
    return ExpressionEditPipeline()


@pytest.fixture(scope="module")
def tracker():
    return FaceTracker()


def measures(tracker, image):
    """Openings and heights in eye spans, as landmarks show them; left and right are the subject's own."""
    p = tracker.observe(image)[0].landmarks[:, :2]
    span = np.linalg.norm(p[33] - p[263])
    right = (p[263] - p[33]) / span
    down = np.array([-right[1], right[0]])
    height = lambda i: float((p[i] - (p[33] + p[263]) / 2) @ down) / span
    gap = lambda a, b: float(np.linalg.norm(p[a] - p[b])) / span
    return {
        "eye_left": gap(386, 374),
        "eye_right": gap(159, 145),
        "brow_left": -height(334),
        "brow_right": -height(105),
        "brow_inner": -(height(55) + height(285)) / 2,
        "corner_left": -height(291),
        "corner_right": -height(61),
        "mouth": gap(13, 14),
        "width": gap(61, 291),
        "brow_low": float(np.mean([height(i) for i in (65, 52, 105)])),  # the right one: hair hangs over the left
        "corners_low": (height(61) + height(291)) / 2,
        "lids": -(gap(386, 374) + gap(159, 145)),
        "lips_narrow": -gap(61, 291),
    }


@pytest.mark.parametrize(
    "shape, moves, stays",
    [
        ("eyeBlinkLeft", "eye_left", "eye_right"),
        ("eyeBlinkRight", "eye_right", "eye_left"),
        ("browOuterUpLeft", "brow_left", "brow_right"),
        ("browOuterUpRight", "brow_right", "brow_left"),
        ("mouthFrownLeft", "corner_left", "corner_right"),
        ("mouthFrownRight", "corner_right", "corner_left"),
    ],
)
def test_left_and_right_move_alone(edit, tracker, face, shape, moves, stays):
    before = measures(tracker, face)
    after = measures(tracker, edit(face, shapes={shape: 1.0}).image)
    moved, stayed = abs(after[moves] - before[moves]), abs(after[stays] - before[stays])
    assert moved > 0.015 and stayed < 0.45 * moved


def test_a_still_head_stays_still(face):
    """Silence without life gives the same picture, frame after frame."""
    quiet = Audio.from_array(np.zeros(16000, np.float32), 16000)
    take = TalkingPortraitPipeline()(face, audio=quiet, blink=0, gaze_motion=0, head_motion=0)
    images = [frame.image for frame in take.frames]
    assert len(images) == 25 and all(np.array_equal(images[0], image) for image in images[1:])


def test_nothing_drifts_in_a_long_take(face):
    """After 70 seconds a picture is what it was: the same motion gives the same pixels."""
    weights = np.zeros((70 * 2, 52), np.float32)
    weights[:, INDEX["jawOpen"]] = 0.4 * (np.arange(140) % 4 == 1)
    motion = FaceMotion(weights, Fraction(2))
    take = TalkingPortraitPipeline()(cv2.resize(face, (200, 220)), motion=motion)
    images = [frame.image for frame in take.frames]
    assert np.array_equal(images[1], images[137]) and np.array_equal(images[0], images[138])
    assert not np.array_equal(images[0], images[1])


@pytest.mark.parametrize("scale", [0.35, 1.0, 2.5])
@pytest.mark.parametrize("margin", [0, 120])
def test_the_mouth_opens_at_any_size_and_crop(edit, tracker, face, scale, margin):
    image = face[margin // 2 : len(face) - margin // 2, margin : -margin or None]
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    opened = measures(tracker, edit(image, shapes={"jawOpen": 0.6}).image)["mouth"] - measures(tracker, image)["mouth"]
    assert 0.1 < opened < 0.5


def test_a_close_up_stays_sharp(edit, face):
    large = cv2.resize(face, (1820, 2000), interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(0).normal(0, 20, (2000, 1820))
    grain = cv2.GaussianBlur(grain, (0, 0), 0.5)[..., None]  # as fine as a lens leaves it
    large = np.clip(large + grain, 0, 255).astype(np.uint8)
    after = edit(large, shapes={"smile": 0.5}, yaw=6).image
    assert after.shape == large.shape
    detail = lambda image: cv2.Laplacian(image[1100:1700, 500:1300].astype(np.float32), cv2.CV_32F).var()
    assert detail(after) > 0.7 * detail(large)


def test_a_driver_that_does_not_begin_neutral(tracker, face, tmp_path):
    """The driver begins with an open mouth; where it rests, so does the portrait."""
    small = cv2.resize(face, (400, 440), interpolation=cv2.INTER_AREA)
    weights = np.zeros((75, 52), np.float32)
    weights[:20, INDEX["jawOpen"]] = 0.6
    weights[45:60, INDEX["jawOpen"]] = 0.5
    pipe = TalkingPortraitPipeline()
    pipe(small, motion=FaceMotion(weights, Fraction(25))).save(tmp_path / "driver.mp4")
    images = [frame.image for frame in pipe(small, driver=tmp_path / "driver.mp4", residual="off").frames]
    mouth = [measures(tracker, images[k])["mouth"] for k in (5, 32, 52)]
    assert len(images) == 75
    assert mouth[0] > mouth[1] + 0.08 and mouth[2] > mouth[1] + 0.06


@pytest.mark.parametrize(
    "settings, measure",
    [
        ({"shapes": {"smile": 1.0}}, "width"),
        ({"shapes": {"frown": 1.0}}, "corners_low"),
        ({"emotion": {"surprise": 1.0}}, "brow_inner"),
        ({"emotion": {"anger": 1.0}}, "brow_low"),
        ({"shapes": {"blink": 1.0}}, "lids"),
        ({"shapes": {"mouthPucker": 1.0}}, "lips_narrow"),
        ({"shapes": {"jawOpen": 1.0}}, "mouth"),
    ],
)
def test_edits_are_linear(edit, tracker, face, settings, measure):
    """The measured action grows with the slider, R² at least .95."""
    kind, named = next(iter(settings.items()))
    amounts = np.linspace(0, 1, 11)
    values = []
    for amount in amounts:
        image = edit(face, **{kind: {name: value * amount for name, value in named.items()}}).image
        values.append(measures(tracker, image)[measure])
    values = np.array(values)
    assert values[-1] - values[0] > 0.02
    assert np.corrcoef(amounts, values)[0, 1] ** 2 > 0.95
    assert (np.diff(values) > -0.15 * (values[-1] - values[0])).all()
