# ruff: noqa: E402  (torch may be missing)
"""TEASER's networks with weights by recipe give what the original gave."""

from __future__ import annotations

import pytest
from conformance import Vectors

torch = pytest.importorskip("torch", reason="TEASER runs on torch (extra: models)")

from avatars.teaser.encoder import TeaserEncoder
from avatars.teaser.generator import TeaserGenerator
from studio.weights import load_into, model


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return Vectors("teaser")


@pytest.fixture(scope="module")
def generator(vectors: Vectors):
    return load_into(TeaserGenerator(), vectors.arrays("teaser_generator", "teaser_generator."), what="recipe")


@torch.no_grad()
def test_encoder(vectors) -> None:
    encoder = load_into(TeaserEncoder(), vectors.arrays("teaser_encoder", "teaser_encoder."), what="recipe")
    image = torch.from_numpy(vectors.inputs["image"]).float() / 255
    out = encoder(image)
    for name, got, within in (
        ("pose_params", out.rotation, 1e-5),
        ("cam", out.camera, 1e-5),
        ("shape_params", out.shape, 1e-4),
        ("expression_params", out.expression, 1e-5),
        ("eyelid_params", out.eyelids, 1e-5),
        ("jaw_params", out.jaw, 1e-5),
        ("token", out.tokens.transpose(0, 1), 1e-5),
    ):
        vectors.check(f"encoder.{name}", got, within)
    vectors.check("expression.raw", encoder.expression_encoder(image), 1e-5)
    assert len(out[:1].tokens) == 1


@torch.no_grad()
def test_generator(vectors, generator) -> None:
    tokens = torch.from_numpy(vectors.inputs["tokens"]).transpose(0, 1)
    seen = {}
    generator.encoder1.register_forward_hook(lambda _, __, out: seen.update(encoder1=out))
    out = generator(torch.from_numpy(vectors.inputs["generator_input"]).float() / 255, tokens)
    for view in ("stride4", "corner", "centre"):
        vectors.check(f"generator.output_{view}", out, 1e-4)
    vectors.check("generator.encoder1_corner", seen["encoder1"], 1e-4)


@torch.no_grad()
def test_token_decoder(vectors, generator) -> None:
    maps = generator.token_decoder(torch.from_numpy(vectors.inputs["tokens"]).transpose(0, 1))
    for k, (got, step) in enumerate(zip(maps, (2, 4, 8, 16), strict=True)):
        vectors.check(f"token_decoder.{k}", got[:, ::8, ::step, ::step], 1e-5)


def test_its_terms_are_told() -> None:
    assert not model("teaser").commercial
    assert "not stated" in model("teaser").licence
