# ruff: noqa: E402  (torch may be missing)
"""Heads that no tracker finds are placed: an animal's moves as a person's does, inside its box alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="LivePortrait runs on torch (extra: models)")

from liveportrait_parts import tiny_networks
from liveportrait_takes import Performance, images, picture, template, tone
from pipeline_fakes import Driver, Tracker

from avatars.liveportrait.avatar import LivePortraitAvatar
from avatars.liveportrait.crop import crop_of_box, cut_out
from avatars.liveportrait.settings import TransferSettings
from pipelines import TalkingPortraitPipeline
from pipelines.portrait import read_placed
from studio.errors import MediaError, NoFaceError, UsageError
from studio.media import Audio


class Blind(Tracker):
    """Finds nobody."""

    def observe(self, image: np.ndarray, thorough: bool = True):
        raise NoFaceError("no face found.")


def animals(**parts) -> TalkingPortraitPipeline:
    return TalkingPortraitPipeline(Blind(), avatar=LivePortraitAvatar(tiny_networks(animal=True)), **parts)


def test_the_whole_picture_is_a_square_in_its_middle(tmp_path: Path) -> None:
    frames = images(animals()(picture(), driver=template(tmp_path)))
    assert len(frames) == 6 and frames[0].shape == (240, 320, 3)
    changed = (frames[3] != picture()).any((0, 2))
    assert not changed[:40].any() and not changed[280:].any() and changed[120:200].all()


def test_boxes_say_where_heads_are(tmp_path: Path) -> None:
    frames = images(animals()(picture(), driver=template(tmp_path), box=(20, 30, 100, 100)))
    changed = (frames[3] != picture()).any(2)
    assert changed[70:90, 60:80].all() and not changed[:29].any() and not changed[:, 122:].any()
    two = images(animals()(picture(), driver=template(tmp_path), box=[(10, 30, 100, 100), (200, 30, 100, 100)]))
    changed = (two[3] != picture()).any(2)
    assert changed[70:90, 50:70].all() and changed[70:90, 240:260].all() and not changed[:, 112:198].any()


def test_speech_moves_an_animal() -> None:
    louder = Audio.from_array(np.linspace(0, 1, 12800, dtype=np.float32), 16000)
    for driver in (Driver(), Performance()):
        frames = images(animals(driver=driver, layers=[])(picture(), audio=louder))
        assert len(frames) == 20 and not np.array_equal(frames[4], frames[12])


def test_sizes_and_transparency(tmp_path: Path) -> None:
    clear = np.dstack([picture(), np.full((240, 320), 255, np.uint8)])
    clear[:, :60, 3] = 0
    take = animals()(clear, driver=template(tmp_path), background="transparent", size=160)
    frame = images(take)[2]
    assert frame.shape == (120, 160, 4) and not frame[:, :18, 3].any() and frame[60, 80, 3] == 255
    with pytest.raises(MediaError, match="PNG with transparency"):
        animals()(picture(), driver=template(tmp_path), background="white")


def test_a_box_is_the_crop() -> None:
    image = np.random.default_rng(1).integers(0, 255, (512, 700, 3), np.uint8)
    assert np.array_equal(cut_out(image, crop_of_box((100, 0, 612, 512))), image[:, 100:612])
    assert crop_of_box((0, 0, 30, 60)).side == 60


@pytest.mark.parametrize("box", [(300, 0, 100, 100), (-5, 0, 50, 50), (0, 0, 4, 50)])
def test_boxes_lie_in_the_picture(box: tuple) -> None:
    with pytest.raises(UsageError, match="320 x 240"):
        read_placed(picture(), [box])


def test_people_are_placed_where_none_is_found(tmp_path: Path) -> None:
    people = TalkingPortraitPipeline(Blind(), avatar=LivePortraitAvatar(tiny_networks()))
    with pytest.raises(NoFaceError, match=r"--box.*--engine liveportrait-animals"):
        people(picture(), driver=template(tmp_path))
    assert len(images(people(picture(), driver=template(tmp_path), box=(60, 20, 200, 200)))) == 6


def test_what_is_for_people_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="driver_head"):
        animals()(picture(), driver=template(tmp_path), driver_head="off")
    with pytest.raises(UsageError, match="a box says where"):
        animals()(picture(), driver=template(tmp_path), face=2)
    with pytest.raises(UsageError, match="engine='liveportrait'"):
        TalkingPortraitPipeline(Tracker())(picture(), audio=tone(0.2), box=(0, 0, 100, 100))
    with pytest.raises(UsageError, match="retargeting"):
        transfer = TransferSettings(animal=True, stitching=False, eye_retargeting=True)
        LivePortraitAvatar(tiny_networks(animal=True)).with_settings(transfer)
