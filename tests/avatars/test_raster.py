# ruff: noqa: E402  (torch may be missing)
"""Either rasteriser shows the same triangle, at the same place on it, at the same depth."""

from __future__ import annotations

import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pytorch3d needs torch (extra: models)")
import pytorch3d_like

from avatars.raster import rasterise, rasterise_tensor
from avatars.shade3d import Camera, Cutout
from studio.errors import MissingExtraError, UsageError

SIZES = [(48, 48), (64, 40), (36, 60)]


def scene(size: tuple[int, int], seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Forty triangles at random before a camera, some turned away, some beyond the picture's edge."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform(-0.12, 0.12, (40, 1, 3)) * [1, 1, 2]
    points = (middle + rng.uniform(-0.06, 0.06, (40, 3, 3))).reshape(-1, 3)
    camera = Camera.portrait(size, height=0.25, distance=0.8, target=(0, 0, 0))
    return camera.project(points), np.arange(len(points)).reshape(-1, 3)


@pytest.fixture(params=["published conventions", "pytorch3d itself"])
def pytorch3d(request, monkeypatch) -> str:
    """A stand-in with pytorch3d's conventions, and pytorch3d."""
    if request.param == "pytorch3d itself":
        pytest.importorskip("pytorch3d._C", reason="pytorch3d is not installed")
    else:
        pytorch3d_like.install(monkeypatch)
    return request.param


def alike(one, other) -> None:
    """The same picture; a pixel whose centre lies on an edge may be either's."""
    same = one.index == other.index
    assert one.cover.mean() > 0.15
    assert (~same).sum() <= 2
    seen = same & one.cover
    np.testing.assert_allclose(other.bary[seen], one.bary[seen], atol=2e-4)
    np.testing.assert_allclose(other.depth[seen], one.depth[seen], rtol=1e-4)
    assert (other.near[~other.cover] == 0).all()


@pytest.mark.parametrize("size", SIZES)
def test_both_show_the_same(pytorch3d, size) -> None:
    pixels, triangles = scene(size)
    alike(rasterise(pixels, triangles, size, backend="numba"), rasterise(pixels, triangles, size, backend="pytorch3d"))


def test_sides_and_what_is_kept(pytorch3d) -> None:
    pixels, triangles = scene((64, 40))
    keep, both = np.arange(40) % 3 > 0, np.arange(40) % 2 == 0
    draws = [rasterise(pixels, triangles, (64, 40), keep, both, backend=name) for name in ("numba", "pytorch3d")]
    alike(*draws)
    assert keep[draws[1].index[draws[1].cover]].all()
    nothing = rasterise(pixels, triangles, (64, 40), np.zeros(40, bool), backend="pytorch3d")
    assert not nothing.cover.any() and np.isinf(nothing.depth).all()


def test_a_known_triangle(pytorch3d) -> None:
    """Left is left and up is up: the first corner is top left, and nearest."""
    pixels = np.array([[0.0, 0, 2.0], [0, 30, 1.0], [30, 0, 1.0]])  # counter-clockwise, distances .5, 1, 1
    seen = rasterise(pixels, np.array([[0, 1, 2]]), (40, 30), backend="pytorch3d")
    assert seen.cover[1, 1] and not seen.cover[25, 25]
    assert seen.cover[20, 2] and seen.cover[2, 20]
    flat = np.array([1 - 20.5 / 30 - 2.5 / 30, 20.5 / 30, 2.5 / 30])
    near = flat @ pixels[:, 2]
    assert seen.near[20, 2] == pytest.approx(near, rel=1e-5)
    np.testing.assert_allclose(seen.bary[20, 2], flat * pixels[:, 2] / near, rtol=1e-4)


def test_gradients_by_the_pixels(pytorch3d) -> None:
    pixels = torch.tensor([[0.0, 0, 2.0], [0, 30, 1.0], [30, 0, 1.0]], requires_grad=True)
    triangles = torch.tensor([[0, 1, 2]])
    seen = rasterise_tensor(pixels, triangles, (40, 30))
    near = seen.near[20, 2]
    near.backward()
    np.testing.assert_allclose(pixels.grad[:, 2], [1 - 23 / 30, 20.5 / 30, 2.5 / 30], rtol=1e-3)
    colours = torch.tensor([[1.0], [3.0], [3.0]])
    value = seen.spread(colours, triangles)
    assert value[20, 2].item() == pytest.approx(3 - 2 * seen.bary[20, 2, 0].item(), rel=1e-5)
    assert value[25, 35].item() == 0
    assert seen.numpy().index.dtype == np.int32


def test_tensors_are_drawn_by_numba_on_the_cpu(pytorch3d, monkeypatch) -> None:
    pixels, triangles = scene((48, 48))
    monkeypatch.setattr("avatars.raster.import_pytorch3d", lambda: pytest.fail("pytorch3d was not asked for"))
    given = torch.from_numpy(pixels).requires_grad_()
    seen = rasterise(given, torch.from_numpy(triangles), (48, 48))
    np.testing.assert_array_equal(seen.index, rasterise(pixels, triangles, (48, 48), backend="numba").index)


def test_a_head_is_drawn_alike(pytorch3d) -> None:
    """What calls a rasteriser calls either: a coarse head in the renderer of rigs and in the maps for ControlNets."""
    from avatars.flame.maps import drawn
    from avatars.render3d import RigRenderer
    from avatars.rig import Material, Rig

    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    rings = [np.stack([r * np.sin(turn), np.full(12, y), r * np.cos(turn)], 1) for y, r in ((-0.1, 0.05), (0.1, 0.09))]
    points = np.concatenate(rings).astype(np.float32)
    around = np.arange(12)
    after = (around + 1) % 12
    quads = np.stack([around, after, after + 12, around + 12], 1).astype(np.int32)
    empty = np.zeros((52, 0), np.float32)
    rig = Rig(
        "tube", points, quads, np.zeros((1, 2), np.float32), np.zeros_like(quads), (Material("skin"),),
        np.zeros(12, np.uint8), (), np.zeros((0, 24, 3), np.float32), empty,
    )  # fmt: skip
    one, other = (RigRenderer(rig, (40, 40), samples=1, backend=name) for name in ("numba", "pytorch3d"))
    apart = np.abs(one.draw(points).astype(int) - other.draw(points))
    assert (apart.max(2) > 2).sum() <= 2
    placed = points * [150, -150, -150] + [20.31, 20.17, 0]  # no edge through the centre of a pixel
    alike(*(drawn(placed, rig.triangles, (40, 40), backend=name) for name in ("numba", "pytorch3d")))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_a_graphics_card() -> None:
    pixels, triangles = scene((64, 40))
    there = torch.from_numpy(pixels).cuda()
    alike(rasterise(pixels, triangles, (64, 40)), rasterise(there, torch.from_numpy(triangles).cuda(), (64, 40)))


def test_what_does_not_go(monkeypatch) -> None:
    pixels, triangles = scene((48, 48))
    monkeypatch.setitem(sys.modules, "pytorch3d", None)
    with pytest.raises(MissingExtraError, match=r"INSTALL\.md"):
        rasterise(pixels, triangles, (48, 48), backend="pytorch3d")
    with pytest.raises(UsageError, match="auto, numba, pytorch3d"):
        rasterise(pixels, triangles, (48, 48), backend="nvdiffrast")
    hole = Cutout(*(np.zeros(1) for _ in range(5)))
    with pytest.raises(UsageError, match="holes"):
        rasterise(pixels, triangles, (48, 48), cutout=hole, backend="pytorch3d")
