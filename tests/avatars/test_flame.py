"""FLAME: NumPy against torch against smplx, gradients, batches, files, cameras. On a synthetic asset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conformance import SEED, Vectors, recipe

torch = pytest.importorskip("torch", reason="FLAME's layer is torch's (extra: models)")

from avatars.flame.asset import load_flame, save_flame  # noqa: E402
from avatars.flame.camera import FLIP, perspective, project, to_pixels  # noqa: E402
from avatars.flame.layer import Flame  # noqa: E402
from avatars.flame.numpy_layer import flame_landmarks, flame_vertices  # noqa: E402
from avatars.flame.surface import detail_normals, grid_faces  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(recipe("flame_synthetic").write(tmp_path_factory.mktemp("flame"), SEED))


@pytest.fixture(scope="module")
def asset(folder: Path):
    return load_flame(folder)


def drawn(batch: int) -> dict:
    rng = np.random.default_rng(3)
    sizes = {"shape": 300, "expression": 100, "rotation": 3, "neck": 3, "jaw": 3, "eyes": 6, "eyelids": 2}
    return {k: torch.from_numpy((0.4 * rng.standard_normal((batch, n))).astype(np.float32)) for k, n in sizes.items()}


def test_numpy_gives_the_same(asset) -> None:
    given = drawn(3)
    out = Flame(asset)(**given)
    pose = torch.cat([given[k] for k in ("rotation", "neck", "jaw", "eyes")], 1).numpy()
    plain = [given[k].numpy() for k in ("shape", "expression")]
    vertices, joints, rotations = flame_vertices(asset, *plain, pose, given["eyelids"].numpy())
    np.testing.assert_allclose(out.vertices, vertices, atol=1e-6)
    np.testing.assert_allclose(out.joints, joints, atol=1e-6)
    for convention in ("deca", "smplx"):
        ours = Flame(asset).landmarks(out, convention)
        np.testing.assert_allclose(ours, flame_landmarks(asset, vertices, rotations, convention), atol=1e-6)


def test_smplx_gives_the_same(asset, folder: Path) -> None:
    smplx = pytest.importorskip("smplx", reason="smplx is compared with (pip install smplx)")
    given = drawn(2)
    options = {"num_betas": 300, "num_expression_coeffs": 100, "use_face_contour": True, "batch_size": 2}
    theirs = smplx.FLAME(str(folder), **options)(
        betas=given["shape"],
        expression=given["expression"],
        global_orient=given["rotation"],
        neck_pose=given["neck"],
        jaw_pose=given["jaw"],
        leye_pose=given["eyes"][:, :3],
        reye_pose=given["eyes"][:, 3:],
    )
    given.pop("eyelids")
    out = Flame(asset)(**given)
    np.testing.assert_allclose(out.vertices, theirs.vertices.detach(), atol=1e-6)
    np.testing.assert_allclose(Flame(asset).landmarks(out, "smplx"), theirs.joints.detach()[:, 5:], atol=1e-6)


@pytest.mark.parametrize("batch", (0, 1, 2))
def test_batches_and_sequences(asset, batch: int) -> None:
    flame, given = Flame(asset), drawn(batch)
    out = flame(**given)
    assert out.vertices.shape == (batch, 5023, 3) and flame.landmarks(out).shape == (batch, 68, 3)
    one = given.pop("shape")[:1] if batch else torch.zeros(1, 300)
    given.pop("shape", None)
    blocks = list(flame.sequence(one, given.pop("expression"), block=1, **given))
    assert len(blocks) == batch
    if batch:
        np.testing.assert_allclose(blocks[0].vertices, out.vertices[:1], atol=1e-6)


def test_gradients_reach_every_parameter(asset) -> None:
    flame = Flame(asset)
    given = {name: value.requires_grad_() for name, value in drawn(2).items()}
    camera = torch.tensor([[7.0, 0.0, 0.0]] * 2, requires_grad=True)
    out = flame(**given)
    points = torch.cat([flame.landmarks(out), flame.mediapipe_landmarks(out)], 1)
    to_pixels(project(points, camera)).square().sum().backward()
    for name, value in {**given, "camera": camera}.items():
        if name != "eyes":  # no landmark lies on an eyeball
            assert value.grad is not None and value.grad.abs().max() > 0, name


def test_our_file_holds_everything(asset, tmp_path: Path) -> None:
    again = load_flame(save_flame(tmp_path / "flame.safetensors", asset))
    np.testing.assert_array_equal(again.shapedirs, asset.shapedirs)
    np.testing.assert_array_equal(again.dynamic.barycentric, asset.dynamic.barycentric)
    np.testing.assert_array_equal(again.uv_faces, asset.faces)


def test_cameras_agree() -> None:
    """A point of the origin's plane is seen at the same pixel by all of them."""
    camera = np.array([7.35, -0.018, -0.012])
    to_picture = np.array([[1.5, 0, 40.0], [0, 1.5, 25.0], [0, 0, 1]])
    seen = perspective(camera, to_picture, (640, 480), distance=2.0)
    points = np.array([[0.03, 0.02, 0.0], [-0.05, 0.06, 0.0]])
    weak = project(torch.from_numpy(points)[None], torch.from_numpy(camera)[None])[0, :, :2]
    wanted = to_pixels(weak).numpy() @ to_picture[:2, :2].T + to_picture[:2, 2]
    np.testing.assert_allclose(seen.project(points), wanted, atol=1e-9)
    solid = np.c_[points + np.array([0, 0, 0.04]), np.ones(2)]
    clip = solid @ (seen.opengl_projection() @ seen.opengl_view()).T
    screen = (clip[:, :2] / clip[:, 3:] * [1, -1] + 1) / 2 * [640, 480]
    np.testing.assert_allclose(screen, seen.project(solid[:, :3]), atol=1e-9)
    blender = seen.blender()
    upright = np.c_[solid[:, 0], -solid[:, 2], solid[:, 1], np.ones(2)]
    local = upright @ np.linalg.inv(blender["matrix_world"]).T
    plane = blender["lens"] / blender["sensor_width"] * local[:, :2] / -local[:, 2:3]
    plane = (plane - [blender["shift_x"], blender["shift_y"]]) * 640
    np.testing.assert_allclose(plane * [1, -1] + [320, 240], seen.project(solid[:, :3]), atol=1e-9)
    assert np.array_equal(FLIP @ FLIP, np.eye(3))


def test_detail_normals_are_decas() -> None:
    vectors = Vectors("deca")
    given = {k: torch.from_numpy(v) for k, v in vectors.inputs.items() if k.startswith("uv_")}
    parts = ("uv_vertices", "uv_normals", "uv_displacement", "uv_mask", "uv_fixed_displacement")
    vectors.check("uv_detail_normals", detail_normals(*(given[k] for k in parts)), 1e-3)
    vectors.check("dense_faces_16x16", grid_faces(16, 16), 0)
