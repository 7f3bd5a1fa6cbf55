"""A painted crop laid back into its picture: at the picture's own size, whatever that is, and without a seam."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.liveportrait.crop import cut_out, paste_back, placed, soft_mask


def test_a_picture_of_4k_keeps_its_pixels() -> None:
    """What the crop doesn't cover stays to the last bit; what it does is as large as it was."""
    picture = np.random.default_rng(0).integers(0, 255, (2160, 3840, 3), np.uint8)
    crop = placed((2500.0, 900.0), 1100.0, angle=0.3)
    painted = np.full((512, 512, 3), 200, np.uint8)
    out = paste_back(picture, crop, painted, soft_mask())
    assert out.shape == picture.shape and out.dtype == np.uint8
    y, x = np.mgrid[:2160:7, :3840:7]
    place = crop.points(np.column_stack([x.ravel(), y.ravel()])).reshape(*x.shape, 2)
    outside = ((place < -2) | (place > 513)).any(2)
    inside = ((place > 42) & (place < 468)).all(2)
    assert np.array_equal(out[::7, ::7][outside], picture[::7, ::7][outside]) and outside.sum() > 1000
    assert (np.abs(out[::7, ::7][inside].astype(int) - 200) <= 1).all() and inside.sum() > 1000


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_no_seam_where_the_crop_ends(angle: float) -> None:
    """A flat picture and a crop that is 100 levels lighter: nowhere a step that an eye would see as an edge."""
    picture, painted = np.full((600, 600, 3), 80, np.uint8), np.full((512, 512, 3), 180, np.uint8)
    out = paste_back(picture, placed((300.0, 300.0), 400.0, angle), painted, soft_mask()).astype(int)
    assert out[300, 300, 0] == 180 and out[5, 5, 0] == 80
    assert max(np.abs(np.diff(out, axis=axis)).max() for axis in (0, 1)) <= 5


def test_a_crop_beyond_the_pictures_edge() -> None:
    picture = np.random.default_rng(1).integers(0, 255, (90, 120, 3), np.uint8)
    crop = placed((10.0, 80.0), 100.0)
    cut = cut_out(picture, crop)
    assert cut.shape == (512, 512, 3) and not cut[:, :200].any()  # black where there is no picture
    out = paste_back(picture, crop, np.full_like(cut, 255), soft_mask())
    assert out[70, 10].tolist() == [255, 255, 255] and np.array_equal(out[:20], picture[:20])
    far = paste_back(picture, placed((900.0, 900.0), 50.0), cut, soft_mask())
    assert np.array_equal(far, picture)
