"""FLAME's four published layers, by vectors made with a synthetic asset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conformance import SEED, Vectors, recipe

torch = pytest.importorskip("torch", reason="FLAME's layer is torch's (extra: models)")

from avatars.flame.asset import load_flame  # noqa: E402
from avatars.flame.camera import project, to_pixels  # noqa: E402
from avatars.flame.landmarks import contour_rows  # noqa: E402
from avatars.flame.layer import Flame  # noqa: E402
from avatars.flame.surface import vertex_normals  # noqa: E402

METRES, CAMERA = 1e-6, 1e-5


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return Vectors("flame")


@pytest.fixture(scope="module")
def asset(tmp_path_factory: pytest.TempPathFactory):
    folder = recipe("flame_synthetic").write(tmp_path_factory.mktemp("flame"), SEED)
    return load_flame(Path(folder) / "generic_model.pkl")


@pytest.fixture(scope="module")
def given(vectors: Vectors) -> dict:
    return {name: torch.from_numpy(value) for name, value in vectors.inputs.items()}


def test_deca(vectors, asset, given) -> None:
    flame = Flame(asset, shapes=100, expressions=50)
    zero = flame(torch.zeros(1, 100))
    vectors.check("deca_zero.vertices", zero.vertices, METRES)
    vectors.check("deca_zero.landmarks2d", flame.landmarks(zero), METRES)
    vectors.check("deca_zero.landmarks3d", flame.full_landmarks(zero), METRES)
    vectors.check("normals.deca_zero", vertex_normals(zero.vertices, flame.faces), 1e-4)
    known = {"rotation": given["global_rotation"], "jaw": given["jaw"]}
    shape, expression = given["shape"][:, :100], given["expression"][:, :50]
    out = flame(shape, expression, **known)
    vectors.check("deca.vertices", out.vertices, METRES)
    vectors.check("deca.landmarks2d", flame.landmarks(out), METRES)
    vectors.check("deca.landmarks3d", flame.full_landmarks(out), METRES)
    vectors.check("deca.contour_row", contour_rows(out.rotations[:, 0] @ out.rotations[:, 1], "deca"), 0)
    vectors.check("normals.deca", vertex_normals(out.vertices, flame.faces)[1:2], 1e-4)
    seen = project(flame.landmarks(out), given["camera"])[..., :2]
    vectors.check("camera.landmarks2d", seen, CAMERA)
    vectors.check("camera.landmarks2d_pixels_224", to_pixels(seen), 1e-3)
    vectors.check("camera.vertices", project(out.vertices, given["camera"])[:2], CAMERA)
    moved = flame(shape, expression, neck=given["neck"][:1].expand(6, 3), eyes=given["eyes"], **known)
    vectors.check("deca_full.vertices", moved.vertices[:3], METRES)
    vectors.check("deca_full.landmarks2d", flame.landmarks(moved), METRES)
    vectors.check("deca_full.landmarks3d", flame.full_landmarks(moved), METRES)


def test_smirk(vectors, asset, given) -> None:
    flame = Flame(asset, expressions=50)
    known = {"rotation": given["global_rotation"], "jaw": given["jaw"]}
    everything = {**known, "neck": given["neck"], "eyes": given["eyes"]}
    coefficients = (given["shape"], given["expression"][:, :50])
    out = flame(*coefficients, eyelids=given["eyelids"], **everything)
    vectors.check("smirk.vertices", out.vertices[:3], METRES)
    vectors.check("smirk.landmarks_fan", flame.landmarks(out), METRES)
    vectors.check("smirk.landmarks_fan_3d", flame.full_landmarks(out), METRES)
    vectors.check("smirk.landmarks_mp", flame.mediapipe_landmarks(out), METRES)
    vectors.check("smirk_no_eyelids.vertices", flame(*coefficients, **everything).vertices[:1], METRES)
    vectors.check("smirk_no_neck.vertices", flame(*coefficients, **known).vertices[:1], METRES)


def test_mica_and_smplx(vectors, asset, given) -> None:
    flame = Flame(asset)
    pose = {"rotation": given["global_rotation"], "jaw": given["jaw"]}
    moved = {**pose, "neck": given["neck"], "eyes": given["eyes"]}
    out = flame(given["shape"], given["expression"], **moved)
    for name in ("mica", "smplx"):
        vectors.check(f"{name}.vertices", out.vertices[:2], METRES)
    vectors.check("mica.landmarks2d", flame.landmarks(out, "deca"), METRES)
    vectors.check("smplx.landmarks", flame.landmarks(out, "smplx"), METRES)
    vectors.check("smplx.joints", out.joints, METRES)
    still = flame(given["shape"], given["expression"], **pose)
    vectors.check("smplx_no_neck.landmarks", flame.landmarks(still, "smplx"), METRES)


def test_the_worked_example(vectors, asset, given) -> None:
    flame = Flame(asset, shapes=100, expressions=50)
    pose = {"rotation": given["global_rotation"], "jaw": given["jaw"]}
    out = flame(given["shape"][:, :100], given["expression"][:, :50], **pose)
    np.testing.assert_allclose(
        project(out.vertices, given["camera"])[1, 1500], vectors.expected["camera.vertices"][1, 1500], atol=CAMERA
    )
