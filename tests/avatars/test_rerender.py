# ruff: noqa: E402  (torch may be missing)
"""What SMIRK's neural renderer is shown, and where its painting goes, on a head that is known."""

from __future__ import annotations

import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="SMIRK runs on torch (extra: models)")

from flame_like import known_head

from avatars.flame.camera import project, to_pixels
from avatars.flame.codes import FlameCodes
from avatars.flame.correspondence import eyeballs
from avatars.flame.crop import Crop, cut_out
from avatars.flame.layer import Flame
from avatars.smirk.masking import RADIUS, hull_mask, masked, sampled
from avatars.smirk.rerender import Rerenderer, face_triangles
from studio.errors import WeightsError


@pytest.fixture(scope="module")
def scene():
    """A head in the middle of a crop, its face the vertices in front, and a photo that is coloured by place."""
    asset = known_head()[1]
    flame = Flame(asset)
    zero = torch.zeros(1, 3)
    codes = FlameCodes(torch.zeros(1, 1), torch.zeros(1, 48), zero, zero, torch.tensor([[8.0, 0.0, 0.03]]))
    front = (asset.template[:, 2] > -0.04) & (np.abs(asset.template[:, 1] + 0.03) < 0.09) & ~eyeballs(asset)
    row, column = np.mgrid[:224, :224].astype(np.float32)
    picture = np.stack([0.2 + column / 400, 0.2 + row / 400, np.full_like(row, 0.5)])
    marks = to_pixels(project(flame.full_landmarks(codes.head(flame)), codes.camera))[0, :, :2].numpy()
    return Rerenderer(torch.nn.Identity(), flame, front[asset.faces].all(1)), codes, picture, marks


def test_as_it_is(scene) -> None:
    renderer, codes, picture, marks = scene
    given = renderer.inputs(picture, marks, codes, codes)[0].numpy()
    rendered, rest = given[:3], given[3:]
    assert rendered.min() == 0 and 0.4 < rendered.max() <= 1
    assert np.array_equal(rendered[0], rendered[1])
    nose = marks[30].astype(int)
    assert rendered[0, nose[1], nose[0]] > 0.3
    hull = hull_mask(marks)
    away = np.abs(np.mgrid[:224, :224] - marks.mean(0)[::-1, None, None]).max(0) > 100
    assert hull[away].all()
    np.testing.assert_array_equal(rest[:, away], picture[:, away])  # surroundings stay
    inside = (hull == 0) | (rendered[0] > 0)
    left = (rest[:, inside] > 0).all(0)
    assert 0.7 * 0.01 * 224**2 < left.sum() < 1.3 * 0.01 * 224**2  # one in a hundred of all pixels
    y, x = np.argwhere(inside)[left].T
    assert np.abs(rest[:, y, x] - picture[:, y, x]).max() < 3 / 400  # of its own colour, to a pixel
    again = renderer.inputs(picture, marks, codes, codes)[0].numpy()
    other = renderer.inputs(picture, marks, codes, codes, seed=1)[0].numpy()
    assert np.array_equal(given, again)
    assert not np.array_equal(given, other)


def test_colours_move_with_the_skin(scene) -> None:
    renderer, codes, picture, marks = scene
    edited = replace(codes, camera=torch.tensor([[8.0, 0.01, 0.03]]))  # 0.01 * 8 * 112 = 8.96 pixels to the right
    rest = renderer.inputs(picture, marks, codes, edited)[0, 3:].numpy()
    rendered = renderer.inputs(picture, marks, codes, edited)[0, 0].numpy()
    y, x = np.argwhere((rest > 0).all(0) & (rendered > 0)).T
    assert len(y) > 200
    shift = (rest[0, y, x] - picture[0, y, x]) * 400
    assert np.median(shift) == pytest.approx(-8.96, abs=1)
    assert np.abs((rest[1, y, x] - picture[1, y, x]) * 400).max() < 3


class Painter(torch.nn.Module):
    """Paints all white."""

    def forward(self, x):
        return torch.ones_like(x[:, :3])


def test_it_goes_back_where_it_was(scene) -> None:
    renderer, codes, _, marks = scene
    crop = Crop(np.array([[2.0, 0, -100], [0, 2.0, -60], [0, 0, 1]]))  # from (50, 30), 112 pixels wide
    photo = np.full((200, 300, 3), 90, np.uint8)
    there = marks / 2 + [50, 30]
    out = replace(renderer, generator=Painter())(photo, crop, there, codes)
    assert (out[85:90, 100:110] == 255).all()
    outside = np.ones(out.shape[:2], bool)
    outside[29:144, 49:164] = False
    assert (out[outside] == 90).all()
    assert ((out > 90) & (out < 255)).any()  # it fades
    part = cut_out(photo, crop)
    hull = 1 - hull_mask(marks) | (renderer.inputs(part, marks, codes, codes)[0, 0].numpy() > 0)
    away = cv2.distanceTransform(1 - hull.astype(np.uint8), cv2.DIST_L2, 5)[1::2, 1::2]
    seen = (out[31:143, 51:163] != 90).any(2)
    assert seen[away == 0].all() and not seen[away > RADIUS + 18].any()  # what lies off the face stays sharp


def test_masks() -> None:
    picture = torch.full((1, 3, 64, 64), 0.5)
    outside = torch.ones(1, 1, 64, 64)
    outside[..., 30:34, 30:34] = 0
    rendered = torch.zeros(1, 3, 64, 64)
    rendered[..., 5, 5] = 0.1
    out = masked(picture, outside, rendered)[0, 0]
    assert (out[30 - RADIUS : 34 + RADIUS, 30 - RADIUS : 34 + RADIUS] == 0).all()
    assert int((out == 0).sum()) == (4 + 2 * RADIUS) ** 2 + 1
    kept = torch.zeros(1, 1, 64, 64)
    kept[..., 32, 32] = 1
    assert masked(picture, outside, rendered, kept)[0, 0, 32, 32] == 0.5
    colours = torch.zeros(1, 3, 64, 64)
    colours[0, 1] = 0.7
    assert masked(picture, outside, rendered, kept, colours=colours)[0, :, 32, 32].tolist() == pytest.approx(
        [0, 0.7, 0]
    )
    assert sampled(torch.zeros(2, 1, 64, 64)).sum() == 0
    few = sampled(torch.ones(1, 1, 200, 200), 0.02, generator=torch.Generator().manual_seed(0))
    assert 0.017 < float(few.mean()) < 0.023


def test_the_face_region(tmp_path) -> None:
    faces = np.array([[0, 1, 2], [1, 2, 3], [2, 3, 4]])
    path = tmp_path / "FLAME_masks.pkl"
    path.write_bytes(pickle.dumps({"face": np.array([0, 1, 2, 3])}))
    assert face_triangles(faces, tmp_path).tolist() == [True, True, False]
    path.write_bytes(pickle.dumps({"nose": np.array([0])}))
    with pytest.raises(WeightsError, match="'face'"):
        face_triangles(faces, path)
    with pytest.raises(WeightsError, match=r"flame\.is\.tue\.mpg\.de"):
        face_triangles(faces, tmp_path / "none.pkl")
