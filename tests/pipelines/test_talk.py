from fractions import Fraction

import numpy as np
import pytest
from pipeline_fakes import Avatar, Driver, Tracker, face

from pipelines import TalkingPortraitPipeline
from studio.errors import Cancelled, MediaError, UsageError
from studio.media import Audio, Clip
from studio.motion import FaceMotion

RATES = [Fraction(24), Fraction(25), Fraction(30), Fraction(50), Fraction(60), Fraction(30000, 1001)]


def portrait(width=64, height=48):
    return np.full((height, width, 3), 90, np.uint8)


def tone(seconds, rate=16000):
    t = np.arange(int(seconds * rate)) / rate
    return Audio.from_array(
        (0.5 * np.sin(2 * np.pi * 220 * t) * (np.sin(2 * np.pi * 2 * t) > 0)).astype(np.float32), rate
    )


def pipeline(*faces, layers=()):
    return TalkingPortraitPipeline(Tracker(*faces), Driver(), list(layers), Avatar)


@pytest.mark.parametrize("fps", RATES)
def test_rates_and_durations_are_exact(tmp_path, fps):
    seconds = 1.3
    take = pipeline()(portrait(), audio=tone(seconds), fps=fps)
    saved = take.save(tmp_path / "out.mp4")
    clip = Clip.open(tmp_path / "out.mp4")
    assert clip.fps == fps
    times = [frame.time for frame in clip.frames()]
    assert len(times) == saved.frames and abs(len(times) / fps - Fraction(seconds)) <= 1 / fps
    for k, time in enumerate(times):
        assert abs(time - k / fps) < Fraction(1, 1000)
    sound = Audio.open(tmp_path / "out.mp4")
    assert abs(sound.duration - len(times) / float(fps)) <= 1 / float(fps)


def test_frame_times_are_exact_rationals():
    take = pipeline()(portrait(), audio=tone(0.5), fps=Fraction(30000, 1001))
    assert [frame.time for frame in take.frames][:3] == [0, Fraction(1001, 30000), Fraction(2002, 30000)]


def test_motion_is_the_same_each_time_and_that_of_the_frames():
    take = pipeline()(portrait(), audio=tone(0.8))
    first, second = take.motion, take.motion
    assert np.array_equal(first.weights, second.weights)
    red = np.array([frame.image[0, 0, 0] for frame in take.frames])
    jaw = np.where(first.weights.any(1), 255 * first.curve("jawOpen"), 90)
    assert len(red) == len(first) and np.abs(red - jaw).max() <= 1


def test_an_expression_is_added_to_speech():
    plain = pipeline()(portrait(), audio=tone(0.5)).motion
    happy = pipeline()(portrait(), audio=tone(0.5), shapes={"browInnerUp": 0.4}).motion
    assert np.allclose(happy.curve("browInnerUp"), 0.4)
    assert np.array_equal(happy.curve("jawOpen"), plain.curve("jawOpen"))


def test_every_face_of_a_crowd_moves_with_its_own_life():
    size = (300, 100)
    faces = [face((60 + 90 * k, 50), 20, size, k) for k in range(3)]
    seeds = []

    def layered(stream):
        seeds.append(1)
        yield from stream

    take = pipeline(*faces, layers=[layered])(portrait(*size), audio=tone(0.2), face="all")
    image = [frame.image for frame in take.frames][2]
    spots = [image[50, 60 + 90 * k, 0] for k in range(3)]
    assert len(seeds) == 3 and len(set(map(int, spots))) == 1 and spots[0] != 90


def test_one_face_of_a_crowd_leaves_the_others_alone():
    size = (300, 100)
    faces = [face((60 + 90 * k, 50), 20, size, k) for k in range(3)]
    take = pipeline(*faces)(portrait(*size), audio=tone(0.2), face=1)
    image = [frame.image for frame in take.frames][2]
    assert image[50, 150, 0] != 90 and (image[:, :100] == 90).all() and (image[:, 200:] == 90).all()


def test_a_recorded_motion_drives(tmp_path):
    motion = FaceMotion.still(30, 30, {"jawOpen": 0.5})
    motion.save(tmp_path / "take.npz")
    take = pipeline()(portrait(), motion=tmp_path / "take.npz", intensity=0.5)
    assert take.fps == 30 and np.allclose(take.motion.curve("jawOpen"), 0.25)
    assert pipeline()(portrait(), motion=motion, fps=60).save(tmp_path / "out.mp4").frames == 60


def test_cancelling_leaves_nothing(tmp_path):
    import threading

    cancel = threading.Event()
    take = pipeline()(portrait(), audio=tone(2.0))
    with pytest.raises(Cancelled):
        take.save(tmp_path / "out.mp4", progress=lambda _: cancel.set(), cancel=cancel)
    assert list(tmp_path.iterdir()) == []


def test_an_error_half_way_leaves_nothing(tmp_path):
    def breaks(stream):
        for k, block in enumerate(stream):
            if k == 1:
                raise MediaError("the sound ends in noise")
            yield block

    with pytest.raises(MediaError, match="noise"):
        pipeline(layers=[breaks])(portrait(), audio=tone(2.0)).save(tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({}, "what moves the face"),
        ({"audio": 1, "driver": "a.mp4", "motion": "b.csv"}, "two sources"),
        ({"audio": 1, "blink": 2}, "blink=2"),
        ({"audio": 1, "fps": 1000}, "fps"),
        ({"audio": 1, "shapes": {"smlie": 1}}, "smile"),
        ({"audio": 1, "emotion": {"joy": 3}}, "joy"),
    ],
)
def test_wrong_arguments_are_refused_before_any_work(wrong, words):
    if "audio" in wrong:
        wrong = {**wrong, "audio": tone(0.1)}
    with pytest.raises(UsageError, match=words):
        pipeline()(portrait(), **wrong)


def test_memory_does_not_grow_with_the_length():
    """Frames of a long take are made and dropped: a block ahead, never the clip."""
    import tracemalloc

    take = pipeline()(portrait(256, 256), audio=tone(60.0))
    peaks = []
    frames = take.frames
    next(frames)
    tracemalloc.start()
    for k, _ in enumerate(frames):
        if k in (200, 1400):
            peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
