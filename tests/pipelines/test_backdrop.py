"""What lies behind a portrait that speaks: its own picture, another one, or nothing."""

from __future__ import annotations

import numpy as np
import pytest
from pipeline_fakes import Avatar, Driver, Tracker, face

from avatars.photo import PhotoAvatar
from demos.cli.options import sample
from pipelines import TalkingPortraitPipeline
from pipelines.backdrop import cut_out
from pipelines.portrait import Portrait, default_tracker, read_portrait
from studio.backdrop import fitted, laid_over
from studio.errors import MediaError
from studio.media import Audio
from studio.motion import FaceMotion

SOUND = Audio.from_array(np.full(3200, 0.4, np.float32), 16000)


def frames(portrait, **options):
    take = TalkingPortraitPipeline(Tracker(), Driver(), [], Avatar)(portrait, audio=SOUND, **options)
    return [frame.image for frame in take.frames]


def see_through():
    """Grey, clear on its left half."""
    picture = np.full((48, 64, 4), 90, np.uint8)
    picture[:, :32, 3], picture[:, 32:, 3] = 0, 255
    return picture


def test_transparency_is_kept_when_asked_for():
    shown = frames(see_through(), background="transparent")
    assert len(shown) == 5 and shown[2].shape == (48, 64, 4)
    assert not shown[2][:, :32, 3].any() and (shown[2][:, 32:, 3] == 255).all()
    assert frames(see_through())[2].shape == (48, 64, 3)


def test_another_background_is_put_behind():
    green = frames(see_through(), background="#00ff00")[2]
    assert (green[:, :32] == (0, 255, 0)).all() and (green[:, 32:, 2] == 90).all()
    wall = np.full((10, 10, 3), 33, np.uint8)
    assert (frames(see_through(), background=wall)[2][:, :32] == 33).all()
    assert (frames(see_through(), background=(1, 2, 3))[2][:, :32] == (1, 2, 3)).all()


def test_people_are_cut_out():
    seen = read_portrait(sample("astronaut.jpg"), default_tracker())
    assert seen.alpha is None
    alpha = cut_out(seen).alpha
    points = seen.faces[0].landmarks[[4, 50, 280, 152], :2].astype(int)
    assert alpha[points[:, 1], points[:, 0]].min() > 250
    assert alpha[:60, :60].max() < 5 and 0.2 < (alpha > 128).mean() < 0.9
    own = Portrait(seen.rgb, np.full(alpha.shape, 7, np.uint8), seen.faces)
    assert cut_out(own) is own


def test_who_can_not_be_told_from_the_background_is_told():
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    with pytest.raises(MediaError, match="transparency"):
        cut_out(Portrait(noise, None, (face((100, 100), 60, (200, 200)),)))


def test_the_photo_avatar_moves_alpha_along():
    seen = cut_out(read_portrait(sample("astronaut.jpg"), default_tracker(), size=256))
    avatar = PhotoAvatar(seen.rgb, seen.faces[0], alpha=seen.alpha)
    head = np.zeros((2, 6), np.float32)
    head[1, 3] = 0.02
    rest, moved = avatar.render(FaceMotion(np.zeros((2, 52), np.float32), 25, head), with_alpha=True)
    assert np.array_equal(rest[..., 3], seen.alpha) and np.array_equal(rest[..., :3], seen.rgb)
    centre = lambda picture: (np.arange(256) * (picture[20:90, :, 3] > 128)).sum() / (picture[20:90, :, 3] > 128).sum()
    assert centre(moved) > centre(rest) + 1


def test_pictures_are_fitted_and_laid_over():
    stripes = np.zeros((10, 40, 3), np.uint8)
    stripes[:, 15:25] = 200
    assert (fitted(stripes, (10, 10)) == 200).all() and fitted(stripes, (100, 60)).shape == (60, 100, 3)
    half = np.full((1, 1, 4), 128, np.uint8)
    half[..., :3] = 255
    assert laid_over(half, np.zeros(3, np.uint8))[0, 0, 0] == 128
