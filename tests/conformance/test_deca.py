# ruff: noqa: E402  (torch may be missing)
"""DECA's networks with weights by recipe give what the original gave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conformance import SEED, Vectors, recipe

torch = pytest.importorskip("torch", reason="DECA runs on torch (extra: models)")

from avatars.deca import shading
from avatars.deca.albedo import AlbedoModel
from avatars.deca.decode import decoded
from avatars.deca.decoder import DetailDecoder
from avatars.deca.encoder import DETAIL, DecaEncoder, Encoder, codes, euler_to_axis_angle
from avatars.flame.asset import load_flame
from avatars.flame.crop import DECA, crop_of, cut_out
from avatars.flame.layer import Flame
from avatars.flame.surface import detail_normals, grid_faces
from studio.weights import load_into


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return Vectors("deca")


@pytest.fixture(scope="module")
def given(vectors: Vectors) -> dict:
    return {name: torch.from_numpy(value) for name, value in vectors.inputs.items()}


@pytest.fixture(scope="module")
def encoder(vectors: Vectors):
    made = DecaEncoder()
    load_into(made.coarse, vectors.arrays("E_flame", "E_flame."), what="recipe")
    load_into(made.detail, vectors.arrays("E_detail", "E_detail."), what="recipe")
    return made.eval()


@pytest.fixture(scope="module")
def decoder(vectors: Vectors):
    return load_into(DetailDecoder(), vectors.arrays("D_detail", "D_detail."), what="recipe")


@pytest.fixture(scope="module")
def parameters(encoder, given):
    with torch.no_grad():
        return encoder(given["image"].float() / 255)


@torch.no_grad()
def test_encoders(vectors, encoder, given, parameters) -> None:
    image = given["image"].float() / 255
    vectors.check("E_flame.features", encoder.coarse.encoder(image), 1e-3)
    vectors.check("E_flame.parameters", encoder.coarse(image), 2e-5)
    vectors.check("E_detail.code", parameters.detail, 2e-5)
    pose = torch.cat([parameters.rotation, parameters.jaw], 1)
    named = {"shape": parameters.shape, "tex": parameters.texture, "exp": parameters.expression, "pose": pose}
    for name, got in (named | {"cam": parameters.camera, "light": parameters.light}).items():
        vectors.check(f"code.{name}", got, 2e-5)


@torch.no_grad()
def test_detail(vectors, decoder, given, parameters) -> None:
    seen = {}
    decoder.conv_blocks[3].register_forward_hook(lambda _, __, out: seen.update(norm3=out))
    out = decoder(given["detail_input"])
    for view in ("stride4", "corner", "centre"):
        vectors.check(f"D_detail.{view}", out, 1e-6)
    vectors.check("D_detail.after_norm3", seen["norm3"], 1e-5)
    vectors.check("D_detail.l1", decoder.l1(given["detail_input"]).reshape(-1, 128, 8, 8), 1e-5)
    vectors.check("D_detail.from_codes_stride4", decoder.of(parameters), 1e-6)


def test_albedo(vectors, given) -> None:
    albedo = AlbedoModel(*recipe("flame_synthetic").texture(50, 512, SEED))(given["texcode"])
    vectors.check("flametex.stride8", albedo, 1e-5)
    vectors.check("flametex.corner", albedo, 1e-5)


def test_shading(vectors, given) -> None:
    vectors.check("shading.constant_factor", shading.FACTORS, 1e-6)
    light = shading.harmonic_shading(given["normal_image"], given["light"])
    vectors.check("shading.spherical_harmonics", light, 1e-5)
    points, normals, lights = (given[f"point_{name}"] for name in ("vertices", "normals", "lights"))
    vectors.check("shading.point", shading.point_shading(points, normals, lights), 1e-5)
    vectors.check("shading.directional", shading.directional_shading(normals, lights), 1e-5)


def test_detail_normals(vectors, given) -> None:
    names = ("vertices", "normals", "displacement", "mask", "fixed_displacement")
    vectors.check("uv_detail_normals", detail_normals(*(given[f"uv_{name}"] for name in names)), 1e-3)
    vectors.check("dense_faces_16x16", grid_faces(16, 16), 0)


@torch.no_grad()
def test_decode(vectors, given, parameters, tmp_path_factory) -> None:
    folder = recipe("flame_synthetic").write(tmp_path_factory.mktemp("flame"), SEED)
    flame = Flame(load_flame(Path(folder) / "generic_model.pkl"), shapes=100, expressions=50)
    out = decoded(flame, replace(parameters, camera=given["camera"]))
    vectors.check("decode.trans_verts", out.projected, 1e-5)
    vectors.check("decode.landmarks2d", out.landmarks, 1e-5)
    vectors.check("decode.landmarks3d", out.landmarks3d, 1e-5)
    vectors.check("decode.landmark_visibility", out.visible, 0)


def test_crop(vectors) -> None:
    crop = crop_of(vectors.inputs["kpt68"], DECA)
    vectors.check("crop.matrix", crop.to_crop, 1e-4)
    vectors.check("crop.image_stride2", cut_out(vectors.inputs["picture_rgb"], crop), 1e-3)
    height, width = vectors.inputs["picture_rgb"].shape[:2]
    on_picture = crop.on_picture(vectors.expected["decode.landmarks2d"][:1])
    vectors.check("crop.landmarks2d_on_picture", on_picture / [width, height] * 2 - 1, 1e-4)


def test_jaws_in_euler_angles(vectors, given) -> None:
    vectors.check("euler_to_axis_angle", euler_to_axis_angle(given["euler"]), 1e-5)
    assert torch.equal(euler_to_axis_angle(torch.zeros(1, 3)), torch.zeros(1, 3))


@torch.no_grad()
def test_batches_of_none(encoder, decoder) -> None:
    none = encoder(torch.zeros(0, 3, 224, 224))
    assert none.light.shape == (0, 9, 3)
    assert none.detail.shape == (0, DETAIL)
    assert decoder.of(none).shape == (0, 1, 256, 256)
    assert codes(torch.arange(236.0)[None]).light[0, 1].tolist() == [212.0, 213.0, 214.0]
    assert sum(p.numel() for p in Encoder(236).parameters()) == 23_508_032 + 1024 * 2049 + 236 * 1025
