from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from pipeline_fakes import Avatar, Tracker, face

from pipelines import ExpressionEditPipeline
from pipelines.change import read_change, read_gaze
from pipelines.edit_video import Seen, faded, steadied
from studio.errors import UsageError
from studio.motion import FaceMotion


def picture(alpha=False):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (60, 80, 4 if alpha else 3), np.uint8)


def pipeline():
    return ExpressionEditPipeline(Tracker(), Avatar)


def test_sliders_at_zero_leave_every_pixel():
    image = picture(alpha=True)
    still = pipeline()(image, shapes={"smile": 0.0}, emotion={"joy": 0}, yaw=0.0, gaze=(0, 0))
    assert np.array_equal(still.image, image[..., :3]) and np.array_equal(still.alpha, image[..., 3])


def test_alpha_is_kept_and_goes_to_the_file(tmp_path):
    image = picture(alpha=True)
    still = pipeline()(image, shapes={"jawOpen": 0.5})
    assert np.array_equal(still.alpha, image[..., 3])
    still.save(tmp_path / "out.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), np.dstack([still.image, still.alpha]))


@pytest.mark.parametrize("gaze, degrees", [("left", (-20, 0)), ("10,-5", (10, -5)), ((0, 12), (0, 12)), (None, (0, 0))])
def test_gaze_is_read_as_degrees(gaze, degrees):
    assert np.allclose(np.degrees(read_gaze(gaze)), degrees)


@pytest.mark.parametrize("gaze", ["lfet", "1,2,3", "90,0", "a,b", (0, -60)])
def test_wrong_gaze(gaze):
    with pytest.raises(UsageError, match="gaze"):
        read_gaze(gaze)


@pytest.mark.parametrize(
    "wrong", [{"yaw": 90}, {"neutralize": 2}, {"aus": {"AU99": 1}}, {"gaze": "left", "shapes": {"eyeLookUpLeft": 1}}]
)
def test_wrong_settings(wrong):
    with pytest.raises(UsageError):
        read_change(**wrong)


def test_gaze_becomes_weights_of_both_eyes():
    change = read_change(gaze=(15, 0))
    weights = change.of(face((40, 30), 20, (80, 60)), np.zeros(52, np.float32))
    assert np.allclose(np.degrees(FaceMotion(weights[None], Fraction(1)).gaze[0]), [[15, 0], [15, 0]], atol=1e-3)


def test_looking_at_the_camera_undoes_the_turn_of_the_head():
    change = read_change(gaze="camera", yaw=12)
    weights = change.of(face((40, 30), 20, (80, 60)), np.zeros(52, np.float32))
    assert np.allclose(np.degrees(FaceMotion(weights[None], Fraction(1)).gaze[0, :, 0]), -12, atol=1e-3)


def test_neutralize_takes_out_what_the_portrait_shows():
    smile = FaceMotion.still(1, 1, {"mouthSmileLeft": 0.6}).weights[0]
    weights = read_change(neutralize=0.5).of(face((40, 30), 20, (80, 60)), smile)
    assert np.allclose(weights, -0.5 * smile)


def test_the_edit_fades_out_before_a_gap_and_in_after_it():
    one = face((40, 30), 20, (80, 60))
    frames = [Seen(picture(), {} if 20 <= k < 25 else {0: one}) for k in range(45)]
    strength = [s.get(0, 0.0) for _, s in faded(frames)]
    assert strength[0] == 1 and strength[10] == 1 and strength[-1] == 1 and strength[20:25] == [0.0] * 5
    assert (np.diff(strength[10:21]) <= 0).all() and (np.diff(strength[24:35]) >= 0).all()
    assert np.abs(np.diff(strength)).max() < 0.3


def test_trembling_landmarks_are_calmed_and_cuts_are_kept():
    rng = np.random.default_rng(1)
    frames = []
    for k in range(40):
        one = face((40 if k < 20 else 60, 30), 20, (80, 60))
        one.landmarks[:] += rng.normal(0, 0.3, one.landmarks.shape)
        frames.append(Seen(picture(), {0: one}))
    calm = [seen.faces[0].landmarks[1, 0] for seen in steadied(frames)]
    rough = [seen.faces[0].landmarks[1, 0] for seen in frames]
    assert len(calm) == 40
    assert np.std(np.diff(calm[:20])) < 0.6 * np.std(np.diff(rough[:20]))
    assert calm[20] - calm[19] > 18


def test_a_sheet_has_a_tile_for_each_expression_and_strength():
    sheet = pipeline().sheet(picture(), emotion={"joy": 1.0, "anger": 0.5}, tile=64)
    assert sheet.image.shape[0] > 2 * 40 and sheet.image.shape[1] > 5 * 60
