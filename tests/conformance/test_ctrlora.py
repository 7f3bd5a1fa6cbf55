# ruff: noqa: E402  (torch may be missing)
"""CtrLoRA's networks with weights by recipe give what the original gave."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from conformance import Vectors

torch = pytest.importorskip("torch", reason="CtrLoRA runs on torch (extra: models)")
diffusers = pytest.importorskip("diffusers", reason="CtrLoRA's UNet is diffusers' (extra: models)")

from controls.ctrlora.encoding import encode_condition
from controls.ctrlora.keys import CONTROL, UNET, VAE, diffusers_key, linear_order, part
from controls.ctrlora.network import ControlNetwork
from controls.ctrlora.residuals import Conditioning, ctrlora_residuals
from controls.ctrlora.weights import Condition
from studio.attention.processor import StudioAttnProcessor
from studio.weights import load_into

WIDTHS = (32, 64, 128, 128)
MIXES = {
    "eps_no_control": None,
    "eps_a_only": (1.0, 0.0, 1.0),
    "eps_b_only": (0.0, 1.0, 1.0),
    "eps_ab_1_1": (1.0, 1.0, 1.0),
    "eps_ab_07_05_strength_08": (0.7, 0.5, 0.8),
}
"""Weights of a and b, strength."""

GUIDED = ("eps_a_cfg_7.5", "ddim_prev_sample", "ddim_pred_x0")


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return Vectors("ctrlora")


@pytest.fixture(scope="module")
def network(vectors: Vectors) -> ControlNetwork:
    network = ControlNetwork.of(vectors.arrays("base"))
    for later, name in ((1, "a"), (2, "b")):
        network.add(name, Condition.of(vectors.arrays("lora", later=later)))
    return network


@pytest.fixture(scope="module")
def unet(vectors: Vectors):
    unet = diffusers.UNet2DConditionModel(block_out_channels=WIDTHS, cross_attention_dim=48, attention_head_dim=8)
    unet.set_attn_processor(StudioAttnProcessor())
    return load_into(unet, part(vectors.arrays("unet"), UNET), what="recipe")


@pytest.fixture(scope="module")
def vae(vectors: Vectors):
    vae = diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=WIDTHS, layers_per_block=2, latent_channels=4,
        scaling_factor=vectors.manifest["config"]["scale_factor"],
    )  # fmt: skip
    arrays = part(vectors.arrays("vae_encoder"), VAE)
    for name in ("encoder", "quant_conv"):
        own = {key[len(name) + 1 :]: value for key, value in arrays.items() if key.startswith(f"{name}.")}
        load_into(getattr(vae, name), own, what="recipe")
    vae.set_attn_processor(StudioAttnProcessor())
    return vae.eval()


@pytest.fixture(scope="module")
def case(vectors: Vectors, vae) -> SimpleNamespace:
    given = {name: torch.from_numpy(value) for name, value in vectors.inputs.items()}
    given |= {
        name: encode_condition(vae, given[f"cond_image_{name}"], noise=given[f"posterior_noise_{name}"])
        for name in ("a", "b")
    }
    return SimpleNamespace(**given)


def tolerance(vectors: Vectors, name: str) -> float:
    allowed = vectors.manifest["tolerance"]
    family = {"residual": "residuals", "eps": "eps", "vae": "vae_moments", "cond": "cond_latent"}
    return allowed[name] if name in allowed else allowed[family[name.partition("_")[0]]]


def names(vectors: Vectors, begin: str) -> list[str]:
    return sorted(name for name in vectors.expected if name.startswith(begin))


def test_every_vector_has_a_test(vectors) -> None:
    tested = {*MIXES, *GUIDED, "vae_moments_a", "cond_latent_a", "cond_latent_b", *names(vectors, "residual_")}
    assert tested == set(vectors.expected)
    assert len(names(vectors, "residual_a_")) == 13


def test_every_key_has_its_name_in_diffusers(vectors) -> None:
    for what in vectors.manifest["parts"].values():
        for entry in what["state_dict"]:
            assert diffusers_key(entry["key"]) == entry["diffusers_key"]


def test_the_linear_layers_are_numbered_as_in_training(vectors) -> None:
    assert linear_order(reversed(list(vectors.keys("base")))) == vectors.manifest["linear_order"]


@torch.no_grad()
def test_encoding(vectors, vae, case) -> None:
    moments = vae.encode(case.cond_image_a).latent_dist.parameters
    vectors.check("vae_moments_a", moments, tolerance(vectors, "vae_moments_a"))
    for name in ("a", "b"):
        vectors.check(f"cond_latent_{name}", getattr(case, name), tolerance(vectors, f"cond_latent_{name}"))
    mean = encode_condition(vae, case.cond_image_a)
    wanted = vectors.expected["vae_moments_a"][:, :4] * vectors.manifest["config"]["scale_factor"]
    assert np.abs(mean.numpy() - wanted).max() < tolerance(vectors, "cond_latent_a")


@torch.no_grad()
@pytest.mark.parametrize("condition", ["a", "b"])
def test_residuals(vectors, network, case, condition: str) -> None:
    residuals = network(condition, getattr(case, condition), case.timestep, case.text)
    assert len(residuals) == 13
    checked = names(vectors, f"residual_{condition}_")
    assert len(checked) >= 3
    for name in checked:
        vectors.check(name, residuals[int(name[-2:])], tolerance(vectors, name))


@torch.no_grad()
def predicted(network, unet, case, mix, text=None):
    text = case.text if text is None else text
    more = {}
    if mix is not None:
        both = [Conditioning("a", case.a, mix[0]), Conditioning("b", case.b, mix[1])]
        more = ctrlora_residuals(network, both, case.timestep, text, strength=mix[2])
    return unet(case.latents, case.timestep, text, **more).sample


@pytest.mark.parametrize("name", list(MIXES))
def test_mixes(vectors, network, unet, case, name: str) -> None:
    vectors.check(name, predicted(network, unet, case, MIXES[name]), tolerance(vectors, name))


def test_guidance_and_a_step(vectors, network, unet, case) -> None:
    alone = MIXES["eps_a_only"]
    with_text, without = (predicted(network, unet, case, alone, text) for text in (case.text, case.text_uncond))
    guided = without + 7.5 * (with_text - without)
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    )  # fmt: skip
    scheduler.set_timesteps(50)
    step = scheduler.step(guided, int(case.timestep[0]), case.latents)
    for name, got in zip(GUIDED, (guided, step.prev_sample, step.pred_original_sample), strict=True):
        vectors.check(name, got, tolerance(vectors, name))


@torch.no_grad()
def test_changing_conditions_is_exact(network, case) -> None:
    def run(name: str):
        return network(name, case.a, case.timestep, case.text)

    first, other, again = run("a"), run("b"), run("a")
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))
    assert not any(torch.equal(x, y) for x, y in zip(first, other, strict=True))


@torch.no_grad()
def test_left_over_layers_of_a_base_count_for_nothing(vectors, network, case) -> None:
    left_over = {key: value for key, value in vectors.arrays("lora", later=5).items() if "lora_layer" in key}
    raw = {f"{CONTROL}loras_dict.canny.0.down.weight": np.ones((4, 32), np.float32)}
    again = ControlNetwork.of(vectors.arrays("base") | left_over | raw)
    again.add("a", Condition.of(vectors.arrays("lora", later=1)))
    ours, theirs = (net("a", case.a, case.timestep, case.text) for net in (network, again))
    assert all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))


@torch.no_grad()
def test_a_task_of_a_pretraining_checkpoint(vectors, network, case) -> None:
    """Its LoRAs go by number, its zero convolutions and norms are the base's: the same as a file cut out of it."""
    base, lora = vectors.arrays("base"), vectors.arrays("lora", later=1)
    own = {key: value for key, value in lora.items() if "lora_layer" not in key}
    raw = base | own
    for number, layer in enumerate(vectors.manifest["linear_order"]):
        for half in ("down", "up"):
            name = f"{CONTROL}loras_dict.canny.{number}.{half}.weight"
            raw[name] = lora[f"{CONTROL}{layer}.lora_layer.{half}.weight"]
    other = ControlNetwork.of(raw)
    other.add("canny", Condition.of(raw, task="canny"))
    ours = network("a", case.a, case.timestep, case.text)
    theirs = other("canny", case.a, case.timestep, case.text)
    assert all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))
