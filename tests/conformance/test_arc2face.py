# ruff: noqa: E402  (torch and diffusers may be missing)
"""Arc2Face with weights by recipe gives what the original gave."""

from __future__ import annotations

import numpy as np
import pytest
from conformance import Vectors

torch = pytest.importorskip("torch", reason="Arc2Face runs on torch (extra: models)")
diffusers = pytest.importorskip("diffusers", reason="Arc2Face has a UNet of diffusers (extra: models)")

from controls.identity.arc2face import PROMPT, Arc2FaceEncoder, padded
from controls.identity.attention import plain
from controls.identity.clip_text import ClipText
from controls.identity.embeddings import unit
from controls.identity.expression import expression_vector, with_neutral
from controls.identity.guide import Guide
from controls.identity.reference import record
from studio.weights import load_into

NAMES = {
    *("id_embeds_normalised", "prompt_embeds", "prompt_embeds_plain_text", "token_embeds_before_1014"),
    *("expression_vector", "ip_adapter_image_embeds", "reference_bank_shapes", "reference_bank_first"),
    *("reference_noise_pred_without_reference", "reference_noise_pred_with_reference"),
}
"""What the tests below check."""


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return Vectors("arc2face")


@pytest.fixture(scope="module")
def encoder(vectors) -> Arc2FaceEncoder:
    return Arc2FaceEncoder(ClipText.of(vectors.arrays("text_encoder"), what="recipe"))


def test_every_vector_is_checked(vectors) -> None:
    assert set(vectors.expected) == NAMES


@torch.no_grad()
def test_prompts(vectors, encoder) -> None:
    faces = vectors.inputs["id_embeds_raw"]
    vectors.check("id_embeds_normalised", unit(faces), 1e-6)
    ids = padded(PROMPT)
    assert np.array_equal(ids.numpy(), vectors.inputs["input_ids"])
    vectors.check("token_embeds_before_1014", encoder.text.embed(ids)[0, 4], 1e-6)
    vectors.check("prompt_embeds", encoder.prompts(faces), 1e-4)
    vectors.check("prompt_embeds_plain_text", encoder.text(ids), 1e-4)
    alone = encoder.prompts(faces[1])
    assert (alone[0] - encoder.prompts(faces)[1]).abs().max() < 1e-4
    assert encoder.nothing(2).shape == (2, 77, 768)


def test_expression(vectors) -> None:
    vector = expression_vector(torch.from_numpy(vectors.inputs["smirk_expression_head"]))
    vectors.check("expression_vector", vector, 1e-6)
    vectors.check("ip_adapter_image_embeds", with_neutral(vector[:1], 2), 1e-6)


@torch.no_grad()
def test_reference(vectors) -> None:
    given = {name: torch.from_numpy(value) for name, value in vectors.inputs.items()}
    unet = diffusers.UNet2DConditionModel(**vectors.manifest["unet_config"])
    load_into(unet, vectors.arrays("unet"), what="recipe")
    plain(unet)

    def run(**more):
        latents, text = given["reference_latents"], given["reference_text"]
        return unet(latents, given["reference_timestep"], text, cross_attention_kwargs=more).sample

    without = run()
    vectors.check("reference_noise_pred_without_reference", without, 1e-4)
    latents = given["reference_ref_latents"][:1].repeat(2, 1, 1, 1)
    bank = record(unet, latents, given["reference_text"][1:].repeat(2, 1, 1))
    kept = list(bank.layers.values())
    assert [list(x.shape) for x in kept] == vectors.expected["reference_bank_shapes"].tolist()
    vectors.check("reference_bank_first", kept[0][:1, ::8], 1e-4)
    got = run(identity=Guide(reference=bank))
    vectors.check("reference_noise_pred_with_reference", got, 1e-4)
    assert (got[0] - without[0]).abs().max() < 1e-6
    assert torch.equal(run(), without), "nothing stays behind in the UNet"
