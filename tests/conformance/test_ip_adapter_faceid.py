# ruff: noqa: E402  (torch and diffusers may be missing)
"""IP-Adapter FaceID with weights by recipe gives what the original gave."""

from __future__ import annotations

import pytest
from conformance import Vectors

torch = pytest.importorskip("torch", reason="FaceID runs on torch (extra: models)")
diffusers = pytest.importorskip("diffusers", reason="FaceID acts on diffusers' UNets (extra: models)")

from controls.identity.adapter import Adapter
from controls.identity.attention import layers_of
from controls.identity.faceid import projection_of
from controls.identity.guide import Guide
from studio.weights import load_into

TOLERANCE = 1e-4
CHECKED: set[str] = set()


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return Vectors("ip_adapter_faceid")


@pytest.fixture(scope="module")
def tensor(vectors):
    return lambda name: torch.from_numpy(vectors.inputs[name])


@pytest.fixture
def check(vectors):
    def one(name: str, got) -> None:
        vectors.check(name, got, TOLERANCE)
        CHECKED.add(name)

    return one


def projection(vectors: Vectors, part: str = "image_proj", shortcut: bool | None = None):
    return projection_of(vectors.arrays(part), shortcut=shortcut, what="recipe")


@torch.no_grad()
def test_tokens(vectors, tensor, check) -> None:
    made = projection(vectors)
    check("tokens", made(tensor("id_embeds")))
    check("tokens_uncond", made(torch.zeros_like(tensor("id_embeds"))))
    check("tokens_five", made(tensor("id_five")))


@torch.no_grad()
def test_plus(vectors, tensor, check) -> None:
    faces, seen = tensor("id_embeds"), tensor("clip_hidden")
    check("tokens_plus", projection(vectors, "image_proj_plus", False)(faces, seen))
    made = projection(vectors, "image_proj_plus", True)
    check("tokens_plus_v2", made(faces, seen))
    check("tokens_plus_v2_s_0.6", made(faces, seen, 0.6))
    check("tokens_plus_v2_uncond", made(torch.zeros_like(faces), tensor("clip_hidden_uncond")))


@pytest.fixture(scope="module")
def unet(vectors):
    network = diffusers.UNet2DConditionModel(**vectors.manifest["unet_config"])
    return load_into(network, vectors.arrays("unet"), what="recipe")


@torch.no_grad()
def test_unet(vectors, tensor, check, unet) -> None:
    def run(**given):
        return unet(tensor("latents"), tensor("timestep"), tensor("text"), cross_attention_kwargs=given).sample

    before = run()
    adapter = Adapter.of(vectors.arrays("ip_adapter"), unet, what="recipe")
    assert {str(n): name for n, name in enumerate(layers_of(unet))} == vectors.manifest["attention_layers"]
    processors = adapter.install(unet)
    tokens = projection(vectors)(tensor("id_embeds"))
    for scale in (0.0, 0.7, 1.0):
        check(f"noise_pred_scale_{scale}", run(identity=Guide(tokens, scale)))
    check("noise_pred_scale_0.7_no_lora", run(identity=Guide(tokens, 0.7, lora_scale=0.0)))
    assert (run() - before).abs().max() < 1e-5, "without a guide the UNet computes as before"
    unet.set_attn_processor(processors)
    assert torch.equal(run(), before)


def test_nothing_is_left_out(vectors) -> None:
    if not CHECKED:
        pytest.skip("the tests before it did not run")
    assert set(vectors.expected) == CHECKED
