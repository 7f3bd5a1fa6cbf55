# ruff: noqa: E402  (torch may be missing)
"""CtrLoRA's network on small random weights under published keys: exact changes of condition, sums, and errors."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="CtrLoRA runs on torch (extra: models)")
diffusers = pytest.importorskip("diffusers", reason="CtrLoRA's blocks are diffusers' (extra: models)")

from controls.ctrlora.encoding import condition_tensor, cropped_alike, encode_condition
from controls.ctrlora.keys import diffusers_key, linear_order
from controls.ctrlora.network import ControlNetwork
from controls.ctrlora.residuals import Conditioning, ctrlora_residuals
from controls.ctrlora.weights import Condition
from studio.attention import backend
from studio.errors import UsageError, WeightsError
from studio.weights import save_weights

ROOT = Path(__file__).resolve().parents[2]
LEVELS = (32, 64, 64, 64)
TEXT = 24
NAME = "control_model"


def layer(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def resnet(name: str, width: int, out: int, time: int) -> dict[str, tuple[int, ...]]:
    shapes = layer(f"{name}.in_layers.0", width) | layer(f"{name}.in_layers.2", out, width, 3, 3)
    shapes |= layer(f"{name}.emb_layers.1", out, time) | layer(f"{name}.out_layers.0", out)
    shapes |= layer(f"{name}.out_layers.3", out, out, 3, 3)
    return shapes | (layer(f"{name}.skip_connection", out, width, 1, 1) if width != out else {})


def transformer(name: str, width: int, text: int) -> dict[str, tuple[int, ...]]:
    shapes = layer(f"{name}.norm", width)
    for place in ("proj_in", "proj_out"):
        shapes |= layer(f"{name}.{place}", width, width, 1, 1)
    block = f"{name}.transformer_blocks.0"
    for number, seen in ((1, width), (2, text)):
        for what, size in (("to_q", width), ("to_k", seen), ("to_v", seen)):
            shapes[f"{block}.attn{number}.{what}.weight"] = (width, size)
        shapes |= layer(f"{block}.attn{number}.to_out.0", width, width)
    shapes |= layer(f"{block}.ff.net.0.proj", 8 * width, width) | layer(f"{block}.ff.net.2", width, 4 * width)
    for number in (1, 2, 3):
        shapes |= layer(f"{block}.norm{number}", width)
    return shapes


def base_shapes(levels: tuple[int, ...] = LEVELS, text: int = TEXT) -> dict[str, tuple[int, ...]]:
    """Published keys of a base, as the original's module tree gives them."""
    first, last = levels[0], levels[-1]
    shapes = layer(f"{NAME}.time_embed.0", 4 * first, first) | layer(f"{NAME}.time_embed.2", 4 * first, 4 * first)
    shapes |= layer(f"{NAME}.input_blocks.0.0", first, 4, 3, 3)
    widths, width = [first], first
    for level, out in enumerate(levels):
        for place in (1, 2):
            name = f"{NAME}.input_blocks.{3 * level + place}"
            shapes |= resnet(f"{name}.0", width, out, 4 * first) | (
                transformer(f"{name}.1", out, text) if level < 3 else {}
            )
            width = out
            widths.append(width)
        if level < 3:
            shapes |= layer(f"{NAME}.input_blocks.{3 * level + 3}.0.op", width, width, 3, 3)
            widths.append(width)
    for place in (0, 2):
        shapes |= resnet(f"{NAME}.middle_block.{place}", last, last, 4 * first)
    shapes |= transformer(f"{NAME}.middle_block.1", last, text) | layer(f"{NAME}.middle_block_out.0", last, last, 1, 1)
    for number, width in enumerate(widths):
        shapes |= layer(f"{NAME}.zero_convs.{number}.0", width, width, 1, 1)
    return shapes


def filled(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    drawn = np.random.default_rng(seed)
    return {
        key: (drawn.standard_normal(shape) / max(1, np.prod(shape[1:])) ** 0.5).astype(np.float32)
        for key, shape in shapes.items()
    }


def condition_shapes(base: dict[str, tuple[int, ...]], rank: int) -> dict[str, tuple[int, ...]]:
    """Published keys of a condition file: its LoRA, zero convolutions and norms."""
    shapes = {key: s for key, s in base.items() if any(w in key for w in ("zero_convs", "middle_block_out", "norm"))}
    for name in linear_order(base):
        out, width = base[f"{NAME}.{name}.weight"]
        shapes[f"{NAME}.{name}.lora_layer.down.weight"] = (rank, width)
        shapes[f"{NAME}.{name}.lora_layer.up.weight"] = (out, rank)
    return shapes


def condition(seed: int, rank: int = 3) -> dict[str, np.ndarray]:
    return filled(condition_shapes(base_shapes(), rank), seed)


@pytest.fixture(scope="module")
def base() -> dict[str, np.ndarray]:
    return filled(base_shapes(), 0)


@pytest.fixture(scope="module")
def network(base) -> ControlNetwork:
    network = ControlNetwork.of(base)
    network.add("depth", Condition.of(condition(1)))
    network.add("line.art", Condition.of(condition(2, rank=5)))
    return network


@pytest.fixture(scope="module")
def given():
    made = torch.Generator().manual_seed(3)
    latent, text = torch.randn(1, 4, 8, 8, generator=made), torch.randn(2, 5, TEXT, generator=made)
    return latent, torch.tensor([300, 300]), text


@torch.no_grad()
def run(network, name: str, given) -> tuple:
    return network(name, *given)


def same(one, other) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_it_is_a_controlnet_with_the_lora_merged(base, network, given) -> None:
    """Ground truth: diffusers' own ControlNet with W + up·down and the condition's zero convolutions and norms."""
    plain = diffusers.ControlNetModel(block_out_channels=LEVELS, cross_attention_dim=TEXT, attention_head_dim=8)
    plain.controlnet_cond_embedding = torch.nn.Identity()
    own = condition(2, rank=5)
    merged = base | {key: value for key, value in own.items() if "lora" not in key}
    for name in linear_order(base):
        down, up = (own[f"{NAME}.{name}.lora_layer.{half}.weight"] for half in ("down", "up"))
        merged[f"{NAME}.{name}.weight"] = base[f"{NAME}.{name}.weight"] + up @ down
    plain.load_state_dict({diffusers_key(key): torch.from_numpy(value) for key, value in merged.items()})
    latent, timestep, text = given
    with torch.no_grad():
        down, mid = plain(latent.repeat(2, 1, 1, 1), timestep, text, torch.zeros(()), return_dict=False)
    for got, wanted in zip(run(network, "line.art", given), (*down, mid), strict=True):
        assert (got - wanted).abs().max() <= 1e-3 * wanted.abs().max()


def test_the_published_size() -> None:
    """385.6 million parameters with a condition of rank 128, 36.9 million of them its own, 25.4 million in the LoRA."""
    base = base_shapes((320, 640, 1280, 1280), 768)
    own = condition_shapes(base, 128)
    assert len(own) == 246
    network = ControlNetwork.of({key: np.zeros(shape, np.float32) for key, shape in base.items()})
    network.add("x", Condition.of({key: np.zeros(shape, np.float32) for key, shape in own.items()}))
    whole, its = (sum(p.numel() for p in part.parameters()) for part in (network, network.kept))
    lora = sum(int(np.prod(shape)) for key, shape in own.items() if "lora" in key)
    assert [round(count / 1e6, 1) for count in (whole, its, lora)] == [385.6, 36.9, 25.4]


def test_changing_conditions_is_exact(network, given) -> None:
    first, other, again = (run(network, name, given) for name in ("depth", "line.art", "depth"))
    assert same(first, again)
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_threads_use_one_network_at_once(network, given) -> None:
    names = ("depth", "line.art") * 4
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: run(network, name, given), names))
    assert all(same(found[i], found[i % 2]) for i in range(len(names)))
    assert not same(found[0], found[1])


def test_conditions_come_and_go(base, network, given) -> None:
    other = ControlNetwork.of(base)
    other.add("x", Condition.of(condition(2, rank=5)))
    other.add("y", Condition.of(condition(1)))
    other.add("x", Condition.of(condition(1)))
    assert set(other.conditions) == {"x", "y"}
    assert same(run(other, "x", given), run(network, "depth", given))
    other.remove("x")
    assert other.conditions == ("y",)
    assert same(run(other, "y", given), run(network, "depth", given))
    with pytest.raises(UsageError, match="no condition 'x'; there are y"):
        run(other, "x", given)


def test_from_files(tmp_path, base, network, given) -> None:
    paths = {name: tmp_path / f"{name}.ckpt" for name in ("base", "depth")}
    for name, tree in (("base", base), ("depth", condition(1))):
        torch.save({"state_dict": {key: torch.from_numpy(value) for key, value in tree.items()}}, paths[name])
    line_art = save_weights(tmp_path / "lineart.safetensors", condition(2, rank=5))
    read = ControlNetwork.from_pretrained(paths["base"], {"a": paths["depth"], "b": line_art})
    assert read.conditions == ("a", "b")
    assert same(run(read, "a", given), run(network, "depth", given))
    assert same(run(read, "b", given), run(network, "line.art", given))
    assert (Condition.open(paths["depth"]).rank, Condition.open(line_art).rank) == (3, 5)


def test_the_base_is_found_or_asked_for(tmp_path, monkeypatch, base) -> None:
    for variable in ("FACE_STUDIO_MODELS", "HF_HUB_CACHE"):
        monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(WeightsError, match=r"xyfJASON/ctrlora.*Apache-2\.0"):
        ControlNetwork.from_pretrained()
    (tmp_path / "ctrlora").mkdir()
    save_weights(tmp_path / "ctrlora" / "ctrlora_sd15_basecn700k.safetensors", base)
    assert ControlNetwork.from_pretrained().conditions == ()
    assert ControlNetwork.from_pretrained(tmp_path / "ctrlora").conditions == ()


def test_one_file_may_hold_everything(base, network, given) -> None:
    tree = base | condition(1) | {"model.diffusion_model.out.2.bias": np.zeros(4, np.float32)}
    whole = ControlNetwork.of(tree)
    whole.add("depth", Condition.of(tree))
    assert same(run(whole, "depth", given), run(network, "depth", given))


def test_lower_precision_reaches_the_conditions(base, network, given) -> None:
    low = ControlNetwork.of(base)
    low.add("early", Condition.of(condition(1)))
    low.to(torch.bfloat16)
    low.add("late", Condition.of(condition(1)))
    found = run(low, "early", given)
    assert {x.dtype for x in found} == {torch.bfloat16}
    assert same(found, run(low, "late", given))
    assert (found[0] - run(network, "depth", given)[0]).abs().max() < 0.2


def test_attention_is_the_studio_s(network, given) -> None:
    with backend("math"):
        plain = run(network, "depth", given)
    assert all(torch.allclose(a, b, atol=1e-3, rtol=1e-3) for a, b in zip(plain, run(network, "depth", given)))
    with pytest.raises(UsageError, match="needs a GPU"), backend("flash"):
        run(network, "depth", given)


@torch.no_grad()
def test_weighted_sums_enter_a_unet(network, given) -> None:
    latent, timestep, text = given
    both = [Conditioning("depth", latent, 0.7), Conditioning("line.art", 2 * latent, 0.5)]
    strengths = [0.1 * k for k in range(13)]
    out = ctrlora_residuals(network, both, timestep, text, strength=strengths)
    total = (*out["down_block_additional_residuals"], out["mid_block_additional_residual"])
    a, b = network("depth", latent, timestep, text), network("line.art", 2 * latent, timestep, text)
    for got, x, y, much in zip(total, a, b, strengths, strict=True):
        assert torch.allclose(got, much * (0.7 * x + 0.5 * y), atol=1e-5)

    unet = diffusers.UNet2DConditionModel(
        block_out_channels=LEVELS, cross_attention_dim=TEXT, attention_head_dim=8
    ).eval()  # fmt: skip
    noisy = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    free = unet(noisy, timestep, text).sample
    for much, changes in ((1.0, True), (0.0, False)):
        more = ctrlora_residuals(network, both, timestep, text, strength=much)
        assert torch.equal(unet(noisy, timestep, text, **more).sample, free) is not changes


def test_a_weight_of_zero_leaves_a_condition_out(network, given) -> None:
    latent, timestep, text = given
    alone = ctrlora_residuals(network, [Conditioning("depth", latent)], timestep, text)
    unread = Conditioning("never loaded", latent, 0)
    with_other = ctrlora_residuals(network, [unread, Conditioning("depth", latent)], timestep, text)
    middle = "mid_block_additional_residual"
    assert torch.equal(alone[middle], with_other[middle])
    none = ctrlora_residuals(network, [Conditioning("depth", latent, 0)], timestep, text)
    assert none[middle].shape == alone[middle].shape and not none[middle].any()


def test_wrong_uses_are_told(network, given) -> None:
    latent, timestep, text = given
    with pytest.raises(UsageError, match="no condition is given"):
        ctrlora_residuals(network, [], timestep, text)
    with pytest.raises(UsageError, match="differ in size"):
        small = Conditioning("line.art", latent[:, :, :4])
        ctrlora_residuals(network, [Conditioning("depth", latent), small], timestep, text)
    with pytest.raises(UsageError, match="13 strengths"):
        ctrlora_residuals(network, [Conditioning("depth", latent)], timestep, text, strength=[1.0, 2.0])
    with pytest.raises(UsageError, match=r"\(1, 3, 8, 8\)"):
        network("depth", latent[:, :3], timestep, text)


def without(tree: dict, word: str) -> dict:
    return {key: value for key, value in tree.items() if word not in key}


def test_files_of_other_families_are_told_apart(base) -> None:
    hint = base | {f"{NAME}.input_hint_block.0.weight": np.zeros((16, 3, 3, 3), np.float32)}
    other = {"lora_unet_down_blocks_0.lora_down.weight": np.zeros((4, 4), np.float32)}
    stable = {"model.diffusion_model.out.2.bias": np.zeros(4, np.float32)}
    raw = base | {f"{NAME}.loras_dict.canny.0.down.weight": np.zeros((4, 4), np.float32)}
    for tree, told in (
        (hint, "an ordinary ControlNet"), (condition(1), "a CtrLoRA condition file"), (stable, "a Stable Diffusion"),
        (other, "a LoRA of another network"), ({"x": np.zeros(1)}, "another model's"), ({}, "no arrays"),
    ):  # fmt: skip
        with pytest.raises(WeightsError, match=f"f.ckpt: {told}.*not a CtrLoRA base" if tree else told):
            ControlNetwork.of(tree, what="f.ckpt")
    for tree, told in (
        (hint, "an ordinary ControlNet"), (base, "a CtrLoRA base"), (raw, "name one of its tasks"),
        (other, "a LoRA of another"), (stable, "a Stable Diffusion"),
    ):  # fmt: skip
        with pytest.raises(WeightsError, match=f"f.ckpt: .*{told}.*not a CtrLoRA condition"):
            Condition.of(tree, what="f.ckpt")


def test_damaged_files_are_told(base, network) -> None:
    whole = condition(1)
    up = f"{NAME}.time_embed.0.lora_layer.up.weight"
    with pytest.raises(WeightsError, match="half of a LoRA pair"):
        Condition.of(without(whole, up))
    with pytest.raises(WeightsError, match="mixes the ranks 2, 3"):
        Condition.of(whole | {up: whole[up][:, :2]})
    with pytest.raises(WeightsError, match="no condition 'canny'"):
        Condition.of(whole, task="canny")
    for tree in (without(whole, "zero_convs.3."), without(whole, "norm2"), without(whole, "attn1.to_q")):
        with pytest.raises(WeightsError, match="not a condition of this base"):
            network.add("bad", Condition.of(tree))
    wide = {key: np.repeat(value, 2, -1) if key.endswith("down.weight") else value for key, value in whole.items()}
    with pytest.raises(WeightsError, match="82 layers differ"):
        network.add("bad", Condition.of(wide))
    assert network.conditions == ("depth", "line.art")
    with pytest.raises(WeightsError, match="not this network's weights"):
        ControlNetwork.of(without(base, "input_blocks.4.0.skip"))
    with pytest.raises(WeightsError, match="levels"):
        ControlNetwork.of(without(base, "input_blocks.1.0"))
    with pytest.raises(WeightsError, match="no key of a control network"):
        ControlNetwork.of(base | {f"{NAME}.label_emb.0.0.weight": np.zeros((4, 4), np.float32)})


def test_pictures_of_conditions() -> None:
    picture = np.zeros((16, 24, 3), np.uint8)
    picture[2, 5] = (255, 0, 51)
    tensor = condition_tensor(picture)
    assert tensor.shape == (1, 3, 16, 24)
    assert torch.allclose(tensor[0, :, 2, 5], torch.tensor([1, 0, 0.2]))
    assert torch.equal(condition_tensor(picture.astype(np.float32) / 255), tensor)
    for wrong, told in (
        (np.full((8, 8, 3), -1.0), "in \\[0, 1\\]"), (np.full((8, 8, 3), 255.0), "in \\[0, 1\\]"),
        (np.full((8, 8, 3), np.nan), "in \\[0, 1\\]"), (np.zeros((8, 8)), "\\(H, W, 3\\)"),
        (np.zeros((8, 12, 3)), "multiples of 8, not 12x8"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=told):
            condition_tensor(wrong)
    wide, high = torch.arange(24.0).expand(1, 3, 8, 24), torch.zeros(1, 3, 16, 8)
    cut, other = cropped_alike([wide, high])
    assert cut.shape == other.shape == (1, 3, 8, 8)
    assert cut[0, 0, 0].tolist() == list(range(8, 16))


def test_encoding_takes_the_mean_or_samples() -> None:
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKL(block_out_channels=(32,), latent_channels=4, scaling_factor=0.5).eval()
    picture = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        posterior = vae.encode(picture).latent_dist
    assert torch.allclose(encode_condition(vae, picture), 0.5 * posterior.mean, atol=1e-6)
    noise = torch.randn(posterior.mean.shape)
    wanted = 0.5 * (posterior.mean + posterior.std * noise)
    assert torch.allclose(encode_condition(vae, picture, noise=noise), wanted, atol=1e-6)
    drawn = [encode_condition(vae, picture, noise=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    with pytest.raises(UsageError, match="noise is"):
        encode_condition(vae, picture, noise=noise[:, :2])


def test_importing_the_room_needs_no_torch() -> None:
    code = "import controls.ctrlora.weights, controls.ctrlora.residuals, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
