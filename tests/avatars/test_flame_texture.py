# ruff: noqa: E402  (torch may be missing)
"""A head's texture where the photo doesn't show it: from the other side, from an albedo; and its light."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the albedo model runs on torch (extra: models)")
pytest.importorskip("scipy", reason="scipy is not installed (extra: export)")

from flame_like import known_head

from avatars.deca.albedo import SIDE, AlbedoModel
from avatars.flame.albedo_fit import filled_by, fit_albedo
from avatars.flame.lighting import even_light, fit_light, from_direction, harmonics, relit
from avatars.flame.maps import drawn
from avatars.flame.texture import mirrored, photo_texture
from avatars.rig import Material, Rig
from studio.motion import rotation_matrix


@pytest.fixture(scope="module")
def rig() -> Rig:
    """The known head, unwrapped round its axis: u is the angle, v the height."""
    asset = known_head()[1]
    points = asset.template
    u = np.arctan2(points[:, 0], points[:, 2] + 0.08) / (2 * np.pi) + 0.5
    v = (points[:, 1] + 0.2) / 0.35
    near = np.ptp(u[asset.faces], axis=1) < 0.5  # without the seam behind
    polygons = np.c_[asset.faces[near], np.full(near.sum(), -1)].astype(np.int32)
    return Rig(
        "cylinder", points.astype(np.float32), polygons, np.stack([u, v], 1).astype(np.float32), polygons,
        (Material("skin"),), np.zeros(len(polygons), np.uint8), (), np.zeros((0, len(points), 3), np.float32),
        np.zeros((52, 0), np.float32),
    )  # fmt: skip


def colours_of(points: np.ndarray) -> np.ndarray:
    """(V, 3) 0..255, alike on both sides."""
    return np.stack([60 + 1800 * np.abs(points[:, 0]), 100 + 400 * points[:, 1], 120 + 0 * points[:, 0]], 1).clip(
        20, 235
    )


def photo_of(rig: Rig, yaw: float, colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture of the turned head, and where its vertices lie on it."""
    turned = rig.neutral @ rotation_matrix(yaw, 0, 0).T
    placed = turned * [1500, -1500, -1500] + [200, 200, 0]
    seen = drawn(placed, rig.triangles, (400, 400))
    return np.where(seen.cover[..., None], seen.spread(colours, rig.triangles), 0).astype(np.uint8), placed


def at(texture: np.ndarray, rig: Rig, vertices: np.ndarray) -> np.ndarray:
    column, row = (rig.uv[vertices] * [1, -1] + [0, 1]).T * len(texture)
    return texture[row.astype(int).clip(0, len(texture) - 1), column.astype(int).clip(0, len(texture) - 1)].astype(
        float
    )


def cheek(rig: Rig, side: int) -> np.ndarray:
    """Vertices at the side of the face that a turned head hides."""
    x, y, z = rig.neutral.T
    return np.flatnonzero((side * x > 0.055) & (side * x < 0.075) & (abs(y + 0.03) < 0.03) & (z > -0.09) & (z < -0.02))


def test_the_other_side_fills_in(rig) -> None:
    twin, there = mirrored(rig)
    assert there.mean() > 0.99
    np.testing.assert_allclose(rig.neutral[twin[there]] * [-1, 1, 1], rig.neutral[there], atol=0.006)
    colours = colours_of(rig.neutral)
    for yaw, hidden in ((0.8, -1), (-0.8, 1)):
        picture, placed = photo_of(rig, yaw, colours)
        texture = photo_texture(rig, picture, placed, 512)
        for side in (hidden, -hidden):
            where = cheek(rig, side)
            assert len(where) > 20
            assert np.abs(at(texture, rig, where) - colours[where]).mean() < 8


@pytest.fixture(scope="module")
def model() -> AlbedoModel:
    """Mean skin with a darker band, and three smooth ways to differ."""
    row, column = np.mgrid[:SIDE, :SIDE] / SIDE
    mean = np.stack([0.4 - 0.1 * (np.abs(row - 0.5) < 0.05), 0.45 + 0 * row, 0.6 + 0 * row], 2)
    ways = [np.sin(3 * column), np.cos(5 * row), np.sin(4 * (row + column))]
    basis = np.stack([0.05 * way[..., None] * [1.0, 0.8, 1.2] for way in ways], 3)
    return AlbedoModel(mean, basis.reshape(-1, 3), 3)


def dome(side: int) -> np.ndarray:
    """(side, side, 3) unit normals of a dome that faces the viewer."""
    y, x = np.mgrid[1 : -1 : side * 1j, -1 : 1 : side * 1j] * 0.65
    return np.stack([x, y, np.sqrt(1 - x**2 - y**2)], 2)


def test_albedo_and_light_are_found(model) -> None:
    normals, light = dome(256), from_direction((0.6, 0.3, 1.0))
    wanted = torch.tensor([[1.5, -1.0, 0.8]])
    albedo = model(wanted)[0].permute(1, 2, 0).numpy()
    colours = albedo * (harmonics(normals) @ light)
    trust = np.zeros((256, 256), np.float32)
    trust[:, :150] = 1
    fit = fit_albedo(model, colours, trust, normals)
    hidden = trust == 0
    np.testing.assert_allclose(fit.shaded(normals)[hidden], colours[hidden], atol=0.02)
    given = np.where(trust[..., None] > 0, colours, 0)
    whole = filled_by(model, 255 * given, trust, normals) / 255
    np.testing.assert_allclose(whole[hidden], colours[hidden], atol=0.02)
    nothing = fit_albedo(model, colours, np.zeros_like(trust), normals)
    assert not nothing.coefficients.any()


def test_an_albedo_takes_the_place_of_grown_colours(rig, model) -> None:
    """Behind the ears of a frontal photo neither side shows anything: the model does."""
    picture, placed = photo_of(rig, 0.0, np.full((len(rig.neutral), 3), [150.0, 115, 100]))
    filled = photo_texture(rig, picture, placed, 256, partial(filled_by, model))
    grown = photo_texture(rig, picture, placed, 256)
    behind = np.flatnonzero(rig.neutral[:, 2] < -0.12)
    front = np.flatnonzero((rig.neutral[:, 2] > -0.02) & (abs(rig.neutral[:, 0]) < 0.02))
    assert np.median(np.abs(at(filled, rig, front) - at(grown, rig, front))) < 2  # the photo shows these
    v = rig.uv[behind, 1]
    band, beside = behind[np.abs(v - 0.5) < 0.03], behind[(np.abs(v - 0.5) > 0.08) & (np.abs(v - 0.5) < 0.12)]
    assert len(band) > 10 and len(beside) > 10
    drop = at(filled, rig, beside)[:, 2].mean() - at(filled, rig, band)[:, 2].mean()  # the file's red is our blue
    assert drop > 10 > abs(at(grown, rig, beside)[:, 2].mean() - at(grown, rig, band)[:, 2].mean())


def test_light_is_found_and_exchanged() -> None:
    normals = dome(64)
    before, after = from_direction((1, 0.2, 0.8)), from_direction((-1, 0.2, 0.8))
    albedo = np.array([0.6, 0.5, 0.4])
    photo = np.rint(255 * albedo * (harmonics(normals) @ before)).astype(np.uint8)
    cover = np.ones((64, 64), bool)
    found = fit_light(photo.reshape(-1, 3) / 255, normals.reshape(-1, 3), albedo)
    np.testing.assert_allclose(harmonics(normals) @ found, harmonics(normals) @ before, atol=0.02)
    out = relit(photo, normals, cover, found, after).astype(float)
    wanted = 255 * albedo * (harmonics(normals) @ after)
    assert np.abs(out - wanted)[4:-4, 4:-4].max() < 6
    assert photo[32, 50].sum() > photo[32, 14].sum() and out[32, 50].sum() < out[32, 14].sum()
    assert np.array_equal(relit(photo, normals, cover, found, found), photo)
    assert np.array_equal(relit(photo, normals, ~cover, found, after), photo)
    np.testing.assert_allclose(harmonics(normals) @ even_light(0.7), 0.7, atol=1e-6)


def test_both_harmonics_are_one() -> None:
    from avatars.deca.shading import sphere_harmonics

    normals = dome(8)
    theirs = sphere_harmonics(torch.from_numpy(normals).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    np.testing.assert_allclose(harmonics(normals), theirs, atol=1e-6)


def test_a_head_that_is_asymmetric_keeps_its_sides(rig) -> None:
    moved = rig.neutral.copy()
    moved[moved[:, 0] > 0.03] += [0, 0.02, 0.01]
    assert mirrored(replace(rig, neutral=moved))[1].mean() < 0.9
