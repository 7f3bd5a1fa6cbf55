"""FaceMotion: operations with known answers, files round trip."""

from __future__ import annotations

import csv
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.arkit import ARKIT, INDEX, mirror
from studio.errors import MediaError, OutputError, UsageError
from studio.motion import FaceMotion, blocks, join, rotation_angles, rotation_matrix
from studio.motion_io import CSV_COLUMNS, load_motion, save_motion, timecode

RATES = [Fraction(24), Fraction(25), Fraction(30), Fraction(50), Fraction(60), Fraction(30000, 1001)]


def random_motion(frames: int, fps: Fraction, seed: int = 0) -> FaceMotion:
    pick = np.random.default_rng(seed)
    return FaceMotion(pick.random((frames, 52)), fps, pick.normal(0, 0.2, (frames, 6)), pick.random(frames))


def test_names_are_52_and_mirror_back() -> None:
    assert len(set(ARKIT)) == 52
    assert all(mirror(mirror(name)) == name and mirror(name) in INDEX for name in ARKIT)


@given(*[st.floats(-1.2, 1.2) for _ in range(3)])
def test_angles_come_back_from_their_rotation(yaw: float, pitch: float, roll: float) -> None:
    np.testing.assert_allclose(rotation_angles(rotation_matrix(yaw, pitch, roll)), (yaw, pitch, roll), atol=1e-9)


def test_signs_of_the_head() -> None:
    nose, up = np.array([0, 0, 1.0]), np.array([0, 1.0, 0])
    assert (rotation_matrix(0.3, 0, 0) @ nose)[0] > 0.2  # towards the picture's right
    assert (rotation_matrix(0, 0.3, 0) @ nose)[1] < -0.2  # down
    assert (rotation_matrix(0, 0, 0.3) @ up)[0] > 0.2  # clockwise in the picture


@given(st.lists(st.floats(-0.4, 0.4), min_size=4, max_size=4))
def test_gaze_round_trip(angles: list[float]) -> None:
    motion = FaceMotion.still(1, 25).with_gaze(np.reshape(angles, (1, 2, 2)))
    np.testing.assert_allclose(motion.gaze.ravel(), angles, atol=1e-6)
    assert motion.weights.min() >= 0


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("suffix", ["npz", "csv", "json"])
def test_files_round_trip(tmp_path, fps: Fraction, suffix: str) -> None:
    motion = random_motion(150, fps)
    motion.save(tmp_path / f"take.{suffix}")
    again = FaceMotion.load(tmp_path / f"take.{suffix}")
    assert again.fps == fps and len(again) == 150 and again.start == 0
    np.testing.assert_allclose(again.weights, motion.weights, atol=1e-6)
    np.testing.assert_allclose(again.head[:, :3], motion.head[:, :3], atol=1e-6)
    if suffix != "csv":
        np.testing.assert_allclose(again.head, motion.head, atol=1e-6)
        np.testing.assert_allclose(again.confidence, motion.confidence, atol=1e-6)


def test_live_link_layout(tmp_path) -> None:
    motion = FaceMotion.still(90, 60, {"jawOpen": 0.5, "mouthLeft": 0.25})
    save_motion(tmp_path / "take.csv", motion)
    rows = list(csv.reader((tmp_path / "take.csv").open()))
    assert tuple(rows[0]) == CSV_COLUMNS and len(rows[0]) == 2 + 61 and len(rows) == 91
    first = dict(zip(rows[0], rows[1], strict=True))
    assert first["Timecode"] == "00:00:00:00.000" and first["BlendShapeCount"] == "61"
    assert float(first["JawOpen"]) == 0.5 and float(first["MouthLeft"]) == 0.25 and float(first["MouthRight"]) == 0
    assert rows[0].index("JawRight") < rows[0].index("JawLeft")
    assert rows[61][0] == "00:00:01:00.000"


def test_tolerant_reader(tmp_path) -> None:
    """Columns in another order and case, degrees, missing shapes."""
    lines = ["timecode,jawopen,HEADYAW,Junk"] + [
        f"10:20:{30 + k // 30:02d}:{k % 30:02d}.000,0.25,20.0,x" for k in range(90)
    ]
    (tmp_path / "take.csv").write_text("\n".join(lines))
    motion = load_motion(tmp_path / "take.csv")
    assert motion.fps == 30 and len(motion) == 90
    assert np.allclose(motion.curve("jawOpen"), 0.25) and not motion.curve("mouthPucker").any()
    assert np.allclose(motion.head[:, 0], np.radians(20))


@pytest.mark.parametrize(
    "name,text", [("a.csv", "one\n"), ("a.csv", "a,b\n1,2\n"), ("a.json", "{"), ("a.npz", "no"), ("a.txt", "x")]
)
def test_bad_files_say_so(tmp_path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(MediaError, match=name):
        load_motion(tmp_path / name)


def test_a_failing_stream_leaves_no_file(tmp_path) -> None:
    def stream():
        yield random_motion(10, Fraction(25))
        raise RuntimeError("the driver broke")

    for name in ("a.csv", "a.npz", "a.json"):
        with pytest.raises(RuntimeError):
            save_motion(tmp_path / name, stream())
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match="no such folder"):
        save_motion(tmp_path / "missing" / "a.csv", random_motion(3, Fraction(25)))


@settings(max_examples=30)
@given(st.integers(1, 200), st.sampled_from(RATES), st.floats(0.05, 3))
def test_blocks_join_to_the_whole(frames: int, fps: Fraction, seconds: float) -> None:
    motion = random_motion(frames, fps)
    again = join(blocks(motion, seconds))
    assert np.array_equal(again.weights, motion.weights) and again.fps == fps and again.start == 0


@pytest.mark.parametrize("fps,to", [(25, 60), (60, 24), (30, Fraction(30000, 1001)), (24, 25)])
def test_resampling_keeps_time(fps: int, to: Fraction) -> None:
    """A ramp stays the same ramp in seconds, but for its ends."""
    time = (np.arange(10 * fps) + 0.5) / fps
    motion = FaceMotion(np.repeat(time[:, None] / 10, 52, 1), Fraction(fps)).with_fps(to)
    assert len(motion) == round(10 * to)
    middle = (np.arange(len(motion)) + 0.5) / float(to)
    np.testing.assert_allclose(motion.weights[5:-5, 0], middle[5:-5] / 10, atol=1e-3)


def test_arithmetic() -> None:
    a, b = FaceMotion.still(10, 25, {"jawOpen": 0.4}), FaceMotion.still(4, 25, {"jawOpen": 0.2}, start=8)
    assert np.allclose(a.add(b).curve("jawOpen"), [0.4] * 8 + [0.6] * 2)
    assert np.allclose(a.scale(0.5).curve("jawOpen"), 0.2)
    assert np.allclose(a.scale(0.5, ["mouthPucker"]).curve("jawOpen"), 0.4)
    assert np.allclose(a.blend(FaceMotion.still(10, 25, {"jawOpen": 0.8}), 0.25).curve("jawOpen"), 0.5)
    assert FaceMotion.still(3, 25, {"jawOpen": 3.0}).clamp().weights.max() == 1
    with pytest.raises(UsageError, match="frames a second"):
        a.add(FaceMotion.still(3, 30))
    left = FaceMotion.still(1, 25, {"mouthSmileLeft": 1.0}).mirrored()
    assert left.curve("mouthSmileRight") == 1 and left.curve("mouthSmileLeft") == 0


def test_smoothing_has_no_delay() -> None:
    pulse = np.zeros((101, 52), np.float32)
    pulse[50] = 1
    smooth = FaceMotion(pulse, Fraction(50)).smooth(0.05).curve("jawOpen")
    assert smooth.argmax() == 50 and np.isclose(smooth.sum(), 1, atol=1e-4)
    np.testing.assert_allclose(smooth, smooth[::-1], atol=1e-6)


def test_shapes_are_checked() -> None:
    with pytest.raises(UsageError, match="52"):
        FaceMotion(np.zeros((3, 51)), Fraction(25))
    with pytest.raises(UsageError, match="head"):
        FaceMotion(np.zeros((3, 52)), Fraction(25), np.zeros((2, 6)))
    with pytest.raises(UsageError, match="fps"):
        FaceMotion(np.zeros((3, 52)), Fraction(0))


@pytest.mark.parametrize(
    "frame,fps,code",
    [
        (0, 60, "00:00:00:00.000"),
        (61, 60, "00:00:01:01.000"),
        (30, Fraction(30000, 1001), "00:00:01:00.030"),
        (90000, 25, "01:00:00:00.000"),
    ],
)
def test_timecodes(frame: int, fps: Fraction, code: str) -> None:
    assert timecode(frame, Fraction(fps)) == code
