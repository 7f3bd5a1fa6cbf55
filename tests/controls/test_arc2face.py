# ruff: noqa: E402  (torch and diffusers may be missing)
"""Arc2Face's parts: its files are read, others refused, adapters and references act in their own call alone."""

from __future__ import annotations

import numpy as np
import pytest

from studio.errors import UsageError, WeightsError
from studio.weights import save_weights

torch = pytest.importorskip("torch", reason="Arc2Face runs on torch (extra: models)")
diffusers = pytest.importorskip("diffusers", reason="Arc2Face has a UNet of diffusers (extra: models)")
transformers = pytest.importorskip("transformers", reason="its encoder is compared with transformers' own")

from controls.identity.arc2face import Arc2FaceEncoder
from controls.identity.attention import layers_of, plain
from controls.identity.clip_text import ClipText
from controls.identity.expression import ExpressionAdapter, expression_projection, expression_vector, with_neutral
from controls.identity.guide import Guide
from controls.identity.reference import record

pytestmark = pytest.mark.filterwarnings("ignore::studio.weights.LicenceWarning")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def unet():
    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), layers_per_block=1, attention_head_dim=2, norm_num_groups=4,
        cross_attention_dim=16, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    ).eval()  # fmt: skip


def run(unet, guide: Guide | None = None):
    made = torch.Generator().manual_seed(1)
    latents, text = torch.randn(2, 4, 8, 8, generator=made), torch.randn(2, 5, 16, generator=made)
    with torch.no_grad():
        return unet(latents, 5, text, cross_attention_kwargs=guide.kwargs() if guide else {}).sample


@torch.no_grad()
def test_the_text_model_is_clips(tmp_path) -> None:
    torch.manual_seed(0)
    sizes = dict(vocab_size=99, hidden_size=128, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    other = transformers.CLIPTextModel(transformers.CLIPTextConfig(**sizes, bos_token_id=0, eos_token_id=98)).eval()
    arrays = {f"text_model.{k.removeprefix('text_model.')}": v.numpy() for k, v in other.state_dict().items()}
    ours = ClipText.of(arrays | {"text_model.embeddings.position_ids": np.arange(77)[None]}, what="file")
    ids = torch.randint(0, 98, (2, 77))
    assert (ours(ids) - other(ids).last_hidden_state).abs().max() < 1e-4
    with pytest.raises(WeightsError, match="width 128"):
        Arc2FaceEncoder(ours)
    with pytest.raises(UsageError, match="77"):
        ours.encode(torch.zeros(1, 78, 128))
    save_weights(tmp_path / "unet.safetensors", {"conv_in.weight": np.zeros((4, 4), np.float32)})
    with pytest.raises(WeightsError, match="not a CLIP text encoder"):
        Arc2FaceEncoder.from_pretrained(tmp_path / "unet.safetensors")


def adapter_parts(unet, rng, hidden: int | None, seen: int = 55) -> dict[str, np.ndarray]:
    """A flat adapter file; its projection is one linear layer, or has a hidden one."""
    ends = {"proj": (64, seen)} if hidden is None else {"proj.0": (hidden, seen), "proj.2": (64, hidden)}
    out = {f"image_proj.{k}.weight": rng.standard_normal(shape) for k, shape in ends.items()}
    out |= {f"image_proj.{k}.bias": rng.standard_normal(shape[0]) for k, shape in ends.items()}
    out |= {"image_proj.norm.weight": np.ones(16), "image_proj.norm.bias": np.zeros(16)}
    modules = dict(unet.named_modules())
    for n, name in enumerate(layers_of(unet)):
        attn = modules[name.removesuffix(".processor")]
        if attn.is_cross_attention:
            for part in ("k", "v"):
                out[f"ip_adapter.{n}.to_{part}_ip.weight"] = rng.standard_normal((attn.inner_dim, 16))
    return {key: value.astype(np.float32) for key, value in out.items()}


@pytest.mark.parametrize("hidden", [None, 20])
def test_the_expression_adapter_is_read(unet, rng, tmp_path, hidden) -> None:
    before = run(unet)
    path = save_weights(tmp_path / "exp_adapter.safetensors", adapter_parts(unet, rng, hidden))
    made = ExpressionAdapter.from_pretrained(unet, path)
    vector = expression_vector(torch.from_numpy(rng.standard_normal((1, 55)).astype(np.float32)))
    guide = made.guide(vector)
    assert guide.tokens is not None and guide.tokens.shape == (2, 4, 16)
    assert torch.allclose(guide.tokens, made.projection(with_neutral(vector)[:, 0]))
    assert (run(unet, guide) - before).abs().max() > 1e-3
    assert (run(unet) - before).abs().max() < 1e-5


def test_an_adapter_of_other_numbers_is_refused(unet, rng) -> None:
    for hidden in (None, 20):
        flat = adapter_parts(unet, rng, hidden, seen=512)
        arrays = {k.removeprefix("image_proj."): v for k, v in flat.items() if k.startswith("image_proj.")}
        with pytest.raises(WeightsError, match="512 numbers"):
            expression_projection(arrays, what="file")
    with pytest.raises(UsageError, match="55"):
        expression_vector(torch.zeros(1, 53))


def test_a_reference_is_seen_by_the_conditional_half_alone(unet) -> None:
    with pytest.raises(UsageError, match="plain"):
        record(unet, torch.zeros(2, 4, 8, 8), torch.zeros(2, 5, 16))
    plain(unet)
    before = run(unet)
    bank = record(unet, torch.randn(2, 4, 8, 8), torch.randn(2, 5, 16))
    got = run(unet, Guide(reference=bank))
    assert (got[0] - before[0]).abs().max() < 1e-6
    assert (got[1] - before[1]).abs().max() > 1e-4
    assert torch.equal(run(unet), before)
    with pytest.raises(UsageError, match="both halves"):
        record(unet, torch.zeros(1, 4, 8, 8), torch.zeros(1, 5, 16))
    bank.layers.popitem()
    with pytest.raises(UsageError, match="not recorded"):
        run(unet, Guide(reference=bank))


def test_a_reference_is_seen_without_lora(unet) -> None:
    peft = pytest.importorskip("peft", reason="LoRA of diffusers' networks comes with peft")
    plain(unet)
    unet.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q"]), adapter_name="ref")
    with pytest.raises(UsageError, match="LoRA"):
        record(unet, torch.zeros(2, 4, 8, 8), torch.zeros(2, 5, 16))
    unet.disable_adapters()
    assert record(unet, torch.zeros(2, 4, 8, 8), torch.zeros(2, 5, 16)).layers
