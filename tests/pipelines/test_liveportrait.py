# ruff: noqa: E402  (torch may be missing)
"""LivePortrait as the engine of the pipelines: performances, speech, takes, sliders; several faces; bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="LivePortrait runs on torch (extra: models)")

from liveportrait_parts import portrait_of, published_folder, tiny_networks
from liveportrait_takes import Performance, images, picture, short, template, tone
from pipeline_fakes import Avatar, Driver, Tracker, face

from avatars.liveportrait.avatar import LivePortraitAvatar
from avatars.liveportrait.crop import SIZE, crop_of
from avatars.liveportrait.settings import TransferSettings
from avatars.liveportrait.template import read_template
from pipelines import ExpressionEditPipeline, TalkingPortraitPipeline
from studio.errors import UsageError, WeightsError
from studio.media import Clip, VideoWriter
from studio.motion import FaceMotion

ROOT = Path(__file__).resolve().parents[2]


def pipeline(*faces, **parts) -> TalkingPortraitPipeline:
    return TalkingPortraitPipeline(Tracker(*faces), avatar=LivePortraitAvatar(tiny_networks()), **parts)


def test_the_embedded_speech_driver_moves_it() -> None:
    take = pipeline(driver=Driver(), layers=[])(picture(), audio=tone(0.3))
    frames = images(take)
    assert len(frames) == len(take.motion) == 8 and frames[0].shape == (240, 320, 3)
    assert not np.array_equal(frames[3], picture())


def test_a_recorded_take_moves_it() -> None:
    motion = FaceMotion.still(4, 30, {"jawOpen": 0.7, "mouthSmileLeft": 0.5})
    take = pipeline()(picture(), motion=motion)
    assert take.fps == 30 and len(images(take)) == 4


def test_speech_in_its_own_numbers() -> None:
    pipe = pipeline(driver=Performance())
    take = pipe(picture(), audio=tone(0.8))
    frames, motion = images(take), take.motion
    assert len(frames) == len(motion) == 20 and not motion.weights.any()
    np.testing.assert_allclose(np.diff(np.degrees(motion.head[:, 0])), -1, atol=1e-3)  # yaw to the picture's left
    assert all(np.array_equal(a, b) for a, b in zip(frames, images(take)))


def test_layers_and_emotions_on_top_of_it() -> None:
    pipe = pipeline(driver=Performance())
    plain = pipe(picture(), audio=tone(0.8)).motion
    more = pipe(picture(), audio=tone(0.8), shapes={"jawOpen": 0.5}, head_motion=1.0).motion
    np.testing.assert_allclose(more.curve("jawOpen"), 0.5, atol=0.01)
    assert len(more) == len(plain) and np.abs(more.head - plain.head).max() > 1e-3


def test_several_faces_keep_apart() -> None:
    faces = [face((80.0, 120.0), 40, (320, 240)), face((240.0, 120.0), 40, (320, 240), 1)]
    one = images(pipeline(*faces, driver=Performance())(picture(), audio=tone(0.8)))
    both = images(pipeline(*faces, driver=Performance())(picture(), audio=tone(0.8), face="all"))
    right = np.s_[:, 200:280]
    assert np.array_equal(one[5][right], picture()[right]) and not np.array_equal(both[5][right], picture()[right])
    assert not np.array_equal(one[5][:, 40:120], picture()[:, 40:120])
    assert np.array_equal(one[5][:, 40:100], both[5][:, 40:100])


def test_a_template_drives_as_the_take_it_was_saved_from(shared: Path, tmp_path: Path) -> None:
    take = pipeline()(picture(), driver=short(shared))
    take.save(tmp_path / "take.safetensors")
    take.save(tmp_path / "take.pkl")
    again = pipeline()(picture(), driver=tmp_path / "take.safetensors")
    assert all(np.array_equal(a, b) for a, b in zip(images(take), images(again)))
    slow = pipeline()(picture(), motion=read_template(tmp_path / "take.pkl"), fps=50)
    assert slow.fps == 50 and slow.total == len(images(slow)) >= 12


def test_a_template_drives_any_avatar(tmp_path: Path) -> None:
    path = template(tmp_path)
    take = TalkingPortraitPipeline(Tracker(), avatar=Avatar)(picture(), driver=path, audio=tone(0.24))
    np.testing.assert_allclose(np.degrees(take.motion.head[:, 0]), -np.arange(6), atol=1e-3)
    with pytest.raises(UsageError, match=r"none drives; write \.csv"):
        take.save(tmp_path / "x.pkl")


def test_another_background(tmp_path: Path) -> None:
    clear = np.dstack([picture(), np.full((240, 320), 255, np.uint8)])
    clear[:, :60, 3] = 0
    for source in ({"driver": template(tmp_path)}, {"audio": tone(0.2)}):
        pipe = pipeline(driver=Driver(), layers=[])
        frame = images(pipe(clear, **source, background="transparent"))[2]
        assert frame.shape == (240, 320, 4) and not frame[:, :50, 3].any() and frame[120, 160, 3] == 255
        red = images(pipe(clear, **source, background="#ff0000"))[2]
        assert red.shape == (240, 320, 3) and (red[:, :50] == (255, 0, 0)).all()


@pytest.mark.parametrize(
    "transfer",
    [
        TransferSettings(region=region, relative=relative, multiplier=1.3)
        for region in ("all", "exp", "pose", "lip", "eyes")
        for relative in (True, False)
    ]
    + [
        TransferSettings(eye_retargeting=True, lip_retargeting=True),
        TransferSettings(normalize_lip=True, smooth="off"),
    ],
    ids=str,
)
def test_ways_of_copying(shared: Path, transfer: TransferSettings) -> None:
    take = pipeline()(picture(), driver=short(shared), transfer=transfer)
    frames = images(take)
    assert len(frames) == 6 and frames[0].shape == (240, 320, 3)


def test_the_head_can_be_left_out(shared: Path) -> None:
    take = pipeline()(picture(), driver=short(shared), driver_head="off", intensity=0.5, reference="first")
    assert take.total == 6 and len(take.motion) == 6


def test_terms_are_told(tmp_path: Path) -> None:
    pipe = TalkingPortraitPipeline(
        Tracker(), Driver(), [], LivePortraitAvatar(tiny_networks(terms="LivePortrait: MIT"))
    )
    saved = pipe(picture(), audio=tone(0.2)).save(tmp_path / "out.mp4")
    assert "LivePortrait: MIT" in str(saved) and saved.frames == 5


def test_sliders_edit_a_picture() -> None:
    pipe = ExpressionEditPipeline(Tracker(), LivePortraitAvatar(tiny_networks()))
    plain = pipe(picture(), shapes={"smile": 0.5})
    assert plain.image.shape == (240, 320, 3)
    one = pipe(picture(), sliders={"smile": 0.8, "wink": 20, "pupil_x": 10, "a": 0.5, "zoom": 1.1, "lips": 0.3})
    more = pipe(
        picture(), sliders={"smile": 0.8, "wink": 20, "pupil_x": 10, "a": 0.5, "zoom": 1.1, "lips": 0.3}, yaw=20
    )
    assert not np.array_equal(one.image, picture()) and not np.array_equal(one.image, more.image)
    assert np.array_equal(pipe(picture()).image, picture())  # nothing asked for, nothing changed
    for wrong, says in (({"grin": 1}, "no slider"), ({"smile": 4}, "-0.3 to 1.3"), ({"zoom": 9}, "0.5 to 2")):
        with pytest.raises(UsageError, match=says):
            pipe(picture(), sliders=wrong)
    with pytest.raises(UsageError, match="engine='liveportrait'"):
        ExpressionEditPipeline(Tracker())(picture(), sliders={"smile": 1})


def test_a_video_is_edited(shared: Path) -> None:
    pipe = ExpressionEditPipeline(Tracker(), LivePortraitAvatar(tiny_networks()))
    take = pipe(short(shared), shapes={"smile": 0.5})
    frames = images(take)
    assert len(frames) == 6 and frames[0].shape == (256, 256, 3)
    with pytest.raises(UsageError, match="a picture"):
        pipe(short(shared), sliders={"smile": 0.5})


def test_a_sheet() -> None:
    pipe = ExpressionEditPipeline(Tracker(), LivePortraitAvatar(tiny_networks()))
    assert pipe.sheet(picture()).image.shape[2] == 3


def test_what_does_not_go_together(shared: Path) -> None:
    with pytest.raises(UsageError, match="engine='liveportrait'"):
        TalkingPortraitPipeline(Tracker())(picture(), audio=tone(0.2), transfer=TransferSettings())
    with pytest.raises(UsageError, match="normalize_lip"):
        pipeline()(picture(), driver=short(shared), neutralize=0.5)
    with pytest.raises(UsageError, match="nothing would move"):
        pipeline()(picture(), driver=short(shared), driver_head="off", transfer=TransferSettings(region="pose"))
    with pytest.raises(UsageError, match="photo, liveportrait"):
        TalkingPortraitPipeline(Tracker(), engine="liveportrat")(picture(), audio=tone(0.2))


def test_without_files_it_says_what_to_get(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACE_STUDIO_MODELS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="huggingface"):
        TalkingPortraitPipeline(engine="liveportrait")(picture(), audio=tone(0.2))


def long_clip(shared: Path, path: Path, seconds: int) -> Path:
    """Five frames a second of a real clip, over and over."""
    source = Clip.open(shared / "data/videos/talk_woman_25fps.mp4")
    frames = [np.ascontiguousarray(frame.image[::2, ::2]) for frame, _ in zip(source.frames(), range(40))]
    with VideoWriter(path, 5, size=(256, 256)) as writer:
        for k in range(seconds * 5):
            writer.write(frames[k % 40])
    return path


_PEAK = """
import resource, sys
from liveportrait_parts import tiny_networks
from pipeline_fakes import Tracker
from avatars.liveportrait.avatar import LivePortraitAvatar
from pipelines import TalkingPortraitPipeline
import numpy as np
pipe = TalkingPortraitPipeline(Tracker(), avatar=LivePortraitAvatar(tiny_networks()))
for source in (np.zeros((96, 128, 3), np.uint8), sys.argv[1]):
    count = sum(1 for _ in pipe(source, driver=sys.argv[1]).frames)
    assert count == int(sys.argv[2]), count
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the peak of memory is asked of Unix")
def test_memory_does_not_grow_with_the_clip(shared: Path, tmp_path: Path) -> None:
    """A picture and a video driven by 3 and by 30 seconds, through the whole chain with networks of tiny width: the
    peak of all memory, torch's and the decoder's too, in MB."""
    peaks = []
    for seconds in (3, 30):
        clip = long_clip(shared, tmp_path / f"{seconds}.mp4", seconds)
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, str(clip), str(5 * seconds)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "helpers")))},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
    assert peaks[1] < peaks[0] + 40, peaks  # 135 more frames are 26 MB, and what is painted of them 106


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_whole_chain_on_recipe_weights(shared: Path) -> None:
    """Published files, a real portrait and a real clip in, frames out: sizes, and the same each time."""
    pipe = TalkingPortraitPipeline(engine="liveportrait", weights=published_folder(shared))
    portrait = shared / "data/portraits/neutral_long_hair.png"
    take = pipe(portrait, driver=short(shared), reference="first", transfer=TransferSettings(smooth="off"))
    one = next(take.frames).image
    assert take.size == (474, 474) and one.shape == (474, 474, 3) and take.fps == 25 and "MIT" in take.note()
    original, seen = portrait_of(shared)
    place = crop_of(seen.landmarks).points(np.indices(one.shape[:2])[::-1].reshape(2, -1).T)
    outside = ((place < -8) | (place > SIZE + 8)).any(1).reshape(one.shape[:2])
    assert outside.any() and np.array_equal(one[outside], original[outside]) and not np.array_equal(one, original)
    assert np.array_equal(one, next(take.frames).image)
