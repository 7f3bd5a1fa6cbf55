# ruff: noqa: E402  (torch and diffusers may be missing)
"""InstantID with weights by recipe gives what the original gave."""

from __future__ import annotations

import numpy as np
import pytest
from conformance import Vectors

torch = pytest.importorskip("torch", reason="InstantID runs on torch (extra: models)")
diffusers = pytest.importorskip("diffusers", reason="InstantID acts on diffusers' UNets (extra: models)")

from controls.identity.attention import layers_of, plain
from controls.identity.guide import Guide
from controls.identity.instantid import InstantId, residuals
from controls.identity.keypoints import draw_keypoints, fitted_size
from studio.weights import load_into

TOLERANCE = 1e-4
NAMES = {
    *(f"control_{k}" for k in range(5)),
    *("kps_image_1", "kps_image_2", "tokens", "noise_pred_08_08", "noise_pred_0_08", "noise_pred_08_0"),
}
"""What the tests below check."""


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return Vectors("instantid")


@pytest.fixture(scope="module")
def unet(vectors):
    network = diffusers.UNet2DConditionModel(**vectors.manifest["unet_config"])
    return load_into(network, vectors.arrays("unet"), what="recipe")


@pytest.fixture(scope="module")
def face(vectors, unet) -> InstantId:
    return InstantId.of(vectors.arrays("image_proj"), vectors.arrays("ip_adapter"), unet, what="recipe")


@pytest.fixture(scope="module")
def identity_net(vectors):
    network = diffusers.ControlNetModel(**vectors.manifest["controlnet_config"])
    load_into(network, vectors.arrays("controlnet"), what="recipe")
    plain(network)
    return network


@pytest.fixture(scope="module")
def run(vectors, unet, face, identity_net):
    """(control residuals, noise) for the strengths of the tokens and of the IdentityNet."""
    given = {name: torch.from_numpy(value) for name, value in vectors.inputs.items()}
    latents, picture = given["latents"].repeat(2, 1, 1, 1), given["control_image"].repeat(2, 1, 1, 1)
    conditions = {"text_embeds": given["pooled"], "time_ids": given["time_ids"]}
    tokens = face.tokens(vectors.inputs["face_embedding"])

    @torch.no_grad()
    def once(look: float, identity: float, seen=tokens):
        down, middle = residuals(
            identity_net, latents, given["timestep"], given["text"], picture,
            tokens=seen, scales=identity, conditions=conditions,
        )  # fmt: skip
        noise = unet(
            latents, given["timestep"], given["text"], cross_attention_kwargs=Guide(tokens, look).kwargs(),
            added_cond_kwargs=conditions, down_block_additional_residuals=down, mid_block_additional_residual=middle,
        ).sample  # fmt: skip
        return [*down, middle], noise

    return once


def test_every_vector_is_checked(vectors) -> None:
    assert set(vectors.expected) == NAMES


def test_tokens(vectors, unet, face) -> None:
    table = vectors.manifest["ip_adapter_layers"]
    assert {n: name for n, name in enumerate(layers_of(unet)) if str(n) in table} == {
        int(n): name for n, name in table.items()
    }
    vectors.check("tokens", face.tokens(vectors.inputs["face_embedding"]), TOLERANCE)


def test_identity_net(vectors, run) -> None:
    for k, got in enumerate(run(0.8, 0.8)[0]):
        vectors.check(f"control_{k}", got, TOLERANCE)


def test_unet(vectors, run) -> None:
    vectors.check("noise_pred_08_08", run(0.8, 0.8)[1], TOLERANCE)
    vectors.check("noise_pred_0_08", run(0.0, 0.8)[1], TOLERANCE)
    vectors.check("noise_pred_08_0", run(0.8, 0.0)[1], TOLERANCE)


def test_the_identity_net_does_not_see_the_text(vectors, run) -> None:
    wrong = run(0.8, 0.8, torch.from_numpy(vectors.inputs["text"]))[1].numpy()
    assert np.abs(wrong - vectors.expected["noise_pred_08_08"]).max() > 0.1


@pytest.mark.parametrize("name", ["1", "2"])
def test_key_points(vectors, name: str) -> None:
    vectors.check(f"kps_image_{name}", draw_keypoints(vectors.inputs[f"kps_{name}"], 160, 208), 0)


def test_sizes(vectors) -> None:
    for case in vectors.manifest["resize_examples"]:
        assert fitted_size(*case["in"]) == tuple(case["out"])
        assert fitted_size(*case["in"], longest=1024, shortest=768) == tuple(case["out_max_1024_min_768"])
