# ruff: noqa: E402  (torch may be missing)
"""SMIRK's networks with weights by recipe give what the original gave."""

from __future__ import annotations

import numpy as np
import pytest
from conformance import Vectors

torch = pytest.importorskip("torch", reason="SMIRK runs on torch (extra: models)")

from avatars.flame.crop import SMIRK, crop_of, cut_out
from avatars.smirk.encoder import SmirkEncoder
from avatars.smirk.generator import SmirkGenerator
from avatars.smirk.masking import hull_mask, masked
from studio.weights import load_into

BRANCHES = ("pose", "shape", "expression")


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return Vectors("smirk")


@pytest.fixture(scope="module")
def image(vectors: Vectors):
    return torch.from_numpy(vectors.inputs["image"]).float() / 255


@pytest.fixture(scope="module")
def encoder(vectors: Vectors):
    return load_into(SmirkEncoder(), vectors.arrays("smirk_encoder", "smirk_encoder."), what="recipe")


@pytest.fixture(scope="module")
def generator(vectors: Vectors):
    return load_into(SmirkGenerator(), vectors.arrays("smirk_generator", "smirk_generator."), what="recipe")


@torch.no_grad()
def test_codes(vectors, encoder, image) -> None:
    out = encoder(image)
    for name, got, within in (
        ("pose_params", out.rotation, 1e-5),
        ("cam", out.camera, 1e-5),
        ("shape_params", out.shape, 1e-4),
        ("expression_params", out.expression, 1e-5),
        ("eyelid_params", out.eyelids, 1e-5),
        ("jaw_params", out.jaw, 1e-5),
    ):
        vectors.check(f"encoder.{name}", got, within)
    vectors.check("expression.raw", encoder.expression_encoder(image), 1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", BRANCHES)
def test_backbones(vectors, encoder, image, name: str) -> None:
    maps = getattr(encoder, f"{name}_encoder").encoder(image)
    assert [list(m.shape[1:]) for m in maps] == vectors.expected[f"{name}.stage_shapes"].tolist()
    vectors.check(f"{name}.stage0", maps[0], 1e-4)
    vectors.check(f"{name}.stage2_corner", maps[2], 1e-4)
    vectors.check(f"{name}.features_pooled", maps[-1].mean((2, 3)), 1e-3)


def masked_picture(vectors, image):
    rendered = torch.from_numpy(vectors.inputs["rendered"]).float() / 255
    hull = torch.from_numpy(hull_mask(vectors.inputs["mask_landmarks"]))[None, None]
    return rendered, masked(image[:1], hull, rendered, torch.from_numpy(vectors.inputs["keep_points"]))


def test_masks(vectors, image) -> None:
    vectors.check("mask.hull", hull_mask(vectors.inputs["mask_landmarks"]), 0)
    picture = masked_picture(vectors, image)[1]
    vectors.check("mask.masked_image", (picture * 255).round().to(torch.uint8), 0)


@torch.no_grad()
def test_generator(vectors, generator, image) -> None:
    seen: dict[str, torch.Tensor] = {}
    for name in ("bottleneck", "resnet_blocks"):
        getattr(generator, name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    out = generator(torch.cat(masked_picture(vectors, image), 1))
    for view in ("stride4", "corner", "centre"):
        vectors.check(f"generator.output_{view}", out, 1e-5)
    vectors.check("generator.bottleneck", seen["bottleneck"], 1e-4)
    vectors.check("generator.resnet", seen["resnet_blocks"], 1e-3)


def test_crop(vectors) -> None:
    crop = crop_of(vectors.inputs["picture_landmarks"], SMIRK)
    vectors.check("crop.matrix", crop.to_crop, 1e-4)
    rgb = np.ascontiguousarray(vectors.inputs["picture_bgr"][..., ::-1])
    levels = np.rint(cut_out(rgb, crop).transpose(1, 2, 0) * 255).astype(np.uint8)
    vectors.check("crop.image_rgb_stride2", levels, 1)


@torch.no_grad()
def test_the_picture_decides(encoder, image) -> None:
    """Colour order is one of the mistakes that the vectors must tell apart."""
    right, wrong = encoder(image).shape, encoder(image.flip(1)).shape
    assert (right - wrong).abs().max() > 0.01
