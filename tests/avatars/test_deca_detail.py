# ruff: noqa: E402  (torch may be missing)
"""DECA's wrinkles, albedo and light, on surfaces whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="DECA runs on torch (extra: models)")

from avatars.deca.albedo import SIDE, AlbedoModel
from avatars.deca.detail import dense_mesh, dense_rig, normal_map
from avatars.deca.shading import harmonic_shading, relit
from avatars.flame.maps import depth_picture, drawn, normal_picture, overlay, shape_picture
from avatars.rig import Material, Rig
from avatars.shade3d import vertex_normals
from studio.errors import UsageError, WeightsError

pytestmark = pytest.mark.filterwarnings("ignore::studio.weights.LicenceWarning")


@pytest.fixture
def sheet() -> Rig:
    """A square of 0.2 m that faces the viewer and fills its texture."""
    corners = np.array([[-0.1, -0.1, 0], [0.1, -0.1, 0], [0.1, 0.1, 0], [-0.1, 0.1, 0]], np.float32)
    polygons = np.array([[0, 1, 2, 3]], np.int32)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    none = np.zeros((0, 4, 3), np.float32)
    return Rig("sheet", corners, polygons, uv, polygons, (Material("skin"),), np.zeros(1, np.uint8), (), none,
               np.zeros((52, 0), np.float32))  # fmt: skip


def bump(size: int = 128) -> np.ndarray:
    """5 mm high, at u = 0.25, v = 0.75 (left, above)."""
    row, column = (np.mgrid[:size, :size] + 0.5) / size
    return 0.005 * np.exp(-(((column - 0.25) ** 2) + (row - 0.25) ** 2) / 0.01)


def test_normals_lean_away_from_a_bump(sheet) -> None:
    picture = normal_map(sheet, bump()).astype(float) / 127.5 - 1
    flat = picture[100, 100]
    np.testing.assert_allclose(flat, [0, 0, 1], atol=0.01)
    right, above = picture[32, 42], picture[22, 32]  # of the bump
    assert right[0] > 0.15 and abs(right[1]) < 0.05
    assert above[1] > 0.15 and abs(above[0]) < 0.05
    # the slope itself: the surface z(x, y) has the normal (-dz/dx, -dz/dy, 1)
    slope = np.gradient(bump())[1][32, 42] / (0.2 / 128)
    np.testing.assert_allclose(-right[0] / right[2], slope, atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(picture[2:-2, 2:-2], axis=2), 1, atol=0.02)


def test_a_dense_mesh_has_the_bump(sheet) -> None:
    points, triangles = dense_mesh(sheet, bump())
    assert len(points) == 128 * 128
    assert len(triangles) == 2 * 127 * 127
    top = points[points[:, 2].argmax()]
    np.testing.assert_allclose(top, [-0.05, 0.05, 0.005], atol=0.002)
    assert (vertex_normals(points, triangles)[:, 2] > 0).all()  # counter-clockwise from outside


def test_a_dense_rig_wears_the_texture(sheet) -> None:
    """Each vertex has the texel that it was made of."""
    made = dense_rig(sheet, bump())
    assert len(made.neutral) == 128 * 128 and made.licence == sheet.licence
    np.testing.assert_allclose(made.neutral[:, 0] / 0.2 + 0.5, made.uv[:, 0], atol=1e-3)
    np.testing.assert_allclose(made.neutral[:, 1] / 0.2 + 0.5, made.uv[:, 1], atol=1e-3)
    assert made.vertices(np.zeros(52)).shape == made.neutral.shape


def test_light() -> None:
    normals = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]).T[None, :, None]  # (1, 3, 1, 2)
    light = torch.zeros(1, 9, 3)
    light[:, 0] = 1  # the same from everywhere
    np.testing.assert_allclose(harmonic_shading(normals, light), np.full((1, 3, 1, 2), 0.282095), atol=1e-5)
    light[:, 3, 0] = 2  # red from where z grows
    out = relit(torch.full((1, 3, 1, 2), 0.5), normals, light)[0, :, 0]
    np.testing.assert_allclose(out[0], [0.5 * (0.282095 + 2 * 1.023327), 0.5 * 0.282095], atol=1e-5)
    np.testing.assert_allclose(out[1], [0.5 * 0.282095] * 2, atol=1e-5)


def test_both_textures_of_flame(tmp_path) -> None:
    rng = np.random.default_rng(0)
    mean = rng.uniform(0.2, 0.8, (SIDE, SIDE, 3)).astype(np.float32)
    basis = rng.standard_normal((SIDE * SIDE * 3, 3)).astype(np.float32) * 0.1
    np.savez(tmp_path / "FLAME_albedo_from_BFM.npz", MU=mean.reshape(1, -1), PC=basis)
    bfm = AlbedoModel.from_pretrained(tmp_path / "FLAME_albedo_from_BFM.npz", 2)
    out = bfm(torch.tensor([[0.0, 0.0], [1.0, -2.0]]))
    np.testing.assert_allclose(out[0], mean[::2, ::2, ::-1].transpose(2, 0, 1), atol=1e-6)
    both = (mean.reshape(-1) + basis[:, 0] - 2 * basis[:, 1]).reshape(SIDE, SIDE, 3)[::2, ::2, ::-1]
    np.testing.assert_allclose(out[1], both.transpose(2, 0, 1), atol=1e-5)
    assert bfm(torch.zeros(0, 2)).shape == (0, 3, 256, 256)
    np.savez(tmp_path / "FLAME_texture.npz", mean=255 * mean, tex_dir=255 * basis.reshape(SIDE, SIDE, 3, 3))
    own = AlbedoModel.from_pretrained(tmp_path / "FLAME_texture.npz", 2)
    np.testing.assert_allclose(own(torch.tensor([[1.0, -2.0]]))[0], out[1], atol=1e-5)
    with pytest.raises(UsageError, match="has 3"):
        AlbedoModel.from_pretrained(tmp_path / "FLAME_texture.npz", 4)
    with pytest.raises(UsageError, match="up to 2"):
        own(torch.zeros(1, 3))
    np.savez(tmp_path / "other.npz", x=mean)
    with pytest.raises(WeightsError, match="no texture"):
        AlbedoModel.from_pretrained(tmp_path / "other.npz")
    with pytest.raises(WeightsError, match=r"flame\.is\.tue\.mpg\.de"):
        AlbedoModel.from_pretrained(tmp_path / "none.npz")


def test_pictures_of_a_tilted_square() -> None:
    """Turned by 30 degrees about y, its left side (in the picture) nearer."""
    turn = np.radians(30)
    flat = np.array([[-0.1, -0.1, 0], [0.1, -0.1, 0], [0.1, 0.1, 0], [-0.1, 0.1, 0]])
    vertices = flat @ np.array([[np.cos(turn), 0, -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]])
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    placed = np.column_stack([50 + 300 * vertices[:, 0], 50 - 300 * vertices[:, 1], -300 * vertices[:, 2]])
    near_left = placed[0, 2] < placed[1, 2]
    seen = drawn(placed, faces, (100, 100))
    normal = normal_picture(seen, vertices, faces)[50, 50] / 127.5 - 1
    np.testing.assert_allclose(normal, vertex_normals(vertices, faces)[0], atol=0.01)
    depth = depth_picture(seen, placed, faces)
    row = depth[50][seen.cover[50]]
    assert (np.diff(row) < 0).all() if near_left else (np.diff(row) > 0).all()
    assert depth[2, 2] == 0
    x = np.flatnonzero(seen.cover[50])
    assert len(x) == pytest.approx(300 * 0.2 * np.cos(turn), abs=1.5)
    shape = shape_picture(seen, vertices, faces)
    lights = np.array([[-1, 1, 1], [1, 1, 1], [-1, -1, 1], [1, -1, 1], [0, 0, 1]]) / np.sqrt([[3], [3], [3], [3], [1]])
    wanted = 180 / 255 * 1.7 * np.clip(lights @ vertex_normals(vertices, faces)[0], 0, 1).mean()
    np.testing.assert_allclose(shape[50, 50], [wanted] * 3, atol=1e-3)
    photo = np.full((100, 100, 3), 7, np.uint8)
    over = overlay(photo, seen, vertices, faces)
    assert (over[~seen.cover] == 7).all()
    assert abs(int(over[50, 50, 0]) - 255 * wanted) <= 1
    assert not drawn(placed, faces, (100, 100), np.zeros(2, bool)).cover.any()
