# ruff: noqa: E402  (torch and diffusers may be missing)
"""Identity adapters: what they refuse, what they read, and that a guide acts in its own call alone."""

from __future__ import annotations

import numpy as np
import pytest

from controls.identity.embeddings import combined, unit
from studio.errors import UsageError, WeightsError
from studio.weights import MODELS, save_weights

torch = pytest.importorskip("torch", reason="identity adapters run on torch (extra: models)")
diffusers = pytest.importorskip("diffusers", reason="identity adapters act on diffusers' UNets (extra: models)")

from controls.identity.adapter import Adapter
from controls.identity.attention import IdentityAttention, layers_of, plain
from controls.identity.faceid import FaceId, clip_states, projection_of, shortcut_of
from controls.identity.guide import Guide, mask_of_tokens

pytestmark = pytest.mark.filterwarnings("ignore::studio.weights.LicenceWarning")


def small_unet(width: int = 16):
    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), layers_per_block=1, attention_head_dim=2, norm_num_groups=4,
        cross_attention_dim=width, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    ).eval()  # fmt: skip


def adapter_arrays(unet, rng, rank: int | None = 2) -> dict[str, np.ndarray]:
    """An adapter's weights for a UNet, drawn at random."""
    modules, out = dict(unet.named_modules()), {}
    for n, name in enumerate(layers_of(unet)):
        attn = modules[name.removesuffix(".processor")]
        ends = {"q": (attn.query_dim, attn.inner_dim), "k": (attn.cross_attention_dim, attn.inner_dim)}
        ends |= {"v": ends["k"], "out": (attn.inner_dim, attn.out_dim)}
        for part, (inside, outside) in ends.items() if rank else ():
            out[f"{n}.to_{part}_lora.down.weight"] = rng.standard_normal((rank, inside))
            out[f"{n}.to_{part}_lora.up.weight"] = rng.standard_normal((outside, rank))
        if attn.is_cross_attention:
            for part in ("k", "v"):
                out[f"{n}.to_{part}_ip.weight"] = rng.standard_normal((attn.inner_dim, attn.cross_attention_dim))
    return {key: value.astype(np.float32) for key, value in out.items()}


def projection_arrays(rng, width: int = 16, tokens: int = 4) -> dict[str, np.ndarray]:
    shapes = {
        "proj.0.weight": (24, 512), "proj.0.bias": (24,), "proj.2.weight": (width * tokens, 24),
        "proj.2.bias": (width * tokens,), "norm.weight": (width,), "norm.bias": (width,),
    }  # fmt: skip
    return {key: rng.standard_normal(shape).astype(np.float32) for key, shape in shapes.items()}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def run(unet, guide: Guide | None = None, batch: int = 2):
    made = torch.Generator().manual_seed(1)
    latents, text = torch.randn(batch, 4, 8, 8, generator=made), torch.randn(batch, 5, 16, generator=made)
    given = {} if guide is None else guide.kwargs()
    with torch.no_grad():
        return unet(latents, 5, text, cross_attention_kwargs=given).sample


def test_several_photos(rng) -> None:
    photos = rng.standard_normal((3, 512)).astype(np.float32) * np.array([[1], [5], [20]], np.float32)
    units = photos / np.linalg.norm(photos, axis=1, keepdims=True)
    mean = units.mean(0) / np.linalg.norm(units.mean(0))
    assert np.abs(combined(photos, normalise=True) - mean).max() < 1e-6
    assert np.abs(combined(list(photos), normalise=False) - photos.mean(0)).max() < 1e-6
    assert np.abs(combined(photos[1], normalise=True) - units[1]).max() < 1e-6


@pytest.mark.parametrize("wrong", [[], np.zeros((2, 512)), np.ones((2, 128)), np.full((1, 512), np.nan)])
def test_photos_that_tell_nothing(wrong) -> None:
    with pytest.raises(UsageError):
        combined(wrong, normalise=True)
    with pytest.raises(UsageError):
        unit(np.zeros(512))


def test_plus_by_name() -> None:
    assert shortcut_of("ip-adapter-faceid-plusv2_sdxl.bin") is True
    assert shortcut_of("ip-adapter-faceid-plus_sd15.bin") is False
    assert shortcut_of("ip-adapter-faceid_sd15.bin") is None


@pytest.mark.parametrize("ending", ["bin", "safetensors"])
def test_a_file_is_read(ending: str, rng, tmp_path) -> None:
    unet = small_unet()
    before = run(unet)
    parts = {"image_proj": projection_arrays(rng), "ip_adapter": adapter_arrays(unet, rng)}
    path = tmp_path / f"ip-adapter-faceid_sd15.{ending}"
    if ending == "bin":
        torch.save({p: {k: torch.from_numpy(v) for k, v in a.items()} for p, a in parts.items()}, path)
    else:
        save_weights(path, {f"{part}.{key}": value for part, a in parts.items() for key, value in a.items()})
    face = FaceId.from_pretrained(unet, path)
    guide = face.guide(combined(rng.standard_normal((2, 512)), normalise=True)[None], scale=0.8)
    assert guide.tokens is not None and guide.tokens.shape == (2, 4, 16)
    assert torch.equal(guide.tokens[:1], face.projection(torch.zeros(1, 512)))
    assert (run(unet, guide) - before).abs().max() > 1e-3
    assert (run(unet) - before).abs().max() < 1e-5, "the guide acts in its own call alone"
    with pytest.raises(UsageError, match="length 1"):
        face.guide(np.full((1, 512), 3.0))


def test_another_family_is_refused(rng) -> None:
    arrays = adapter_arrays(small_unet(768), rng)
    with pytest.raises(WeightsError, match=r"made for Stable Diffusion 1\.5 .* is SDXL"):
        Adapter.of(arrays, small_unet(2048), what="file")
    with pytest.raises(WeightsError, match="no image-token weights"):
        Adapter.of({"conv.weight": np.zeros((3, 3))}, small_unet(), what="file")
    fewer = {key: value for key, value in adapter_arrays(small_unet(), rng).items() if not key.startswith("7.")}
    with pytest.raises(WeightsError, match="another UNet"):
        Adapter.of(fewer, small_unet(), what="file")
    narrow = adapter_arrays(small_unet(), rng)
    narrow["0.to_q_lora.up.weight"] = narrow["0.to_q_lora.up.weight"][:3]
    with pytest.raises(WeightsError, match="to_q_lora maps"):
        Adapter.of(narrow, small_unet(), what="file")
    with pytest.raises(UsageError, match="not a UNet"):
        layers_of(torch.nn.Linear(1, 1))


def test_another_projection_is_refused(rng) -> None:
    with pytest.raises(WeightsError, match="not a FaceID"):
        projection_of({"latents": np.zeros((1, 16, 8))}, what="file")
    plus = projection_arrays(rng) | {"perceiver_resampler.proj_in.weight": np.zeros((16, 8), np.float32)}
    with pytest.raises(UsageError, match="PlusV2"):
        projection_of(plus, what="file")
    with pytest.raises(WeightsError, match="perceiver"):
        projection_of(plus, shortcut=True, what="file")


def test_tokens_of_another_width_are_refused(rng) -> None:
    unet = small_unet()
    Adapter.of(adapter_arrays(unet, rng), unet, what="file").install(unet)
    for tokens in (torch.zeros(2, 4, 8), torch.zeros(3, 4, 16)):
        with pytest.raises(UsageError, match="image tokens"):
            run(unet, Guide(tokens))


def test_the_mask_keeps_tokens_in_their_place(rng) -> None:
    layer = IdentityAttention("a", {"to_k_ip.weight": (16, 16), "to_v_ip.weight": (16, 16)})
    torch.manual_seed(0)
    attn = diffusers.models.attention_processor.Attention(16, 16, heads=2, dim_head=8)
    x, text, tokens = torch.randn(1, 16, 16), torch.randn(1, 3, 16), torch.randn(1, 4, 16)
    mask = torch.zeros(8, 8)
    mask[:, 4:] = 1
    with torch.no_grad():
        none, everywhere = layer(attn, x, text), layer(attn, x, text, identity=Guide(tokens))
        half = layer(attn, x, text, identity=Guide(tokens, mask=mask))
    right = (torch.arange(16) % 4 >= 2)[None, :, None]
    assert torch.allclose(half, torch.where(right, everywhere, none), atol=1e-6)
    assert mask_of_tokens(torch.ones(64, 128), 32).shape == (1, 32, 1)
    wide = torch.arange(8.0)[None].expand(4, 8)
    assert mask_of_tokens(wide, 32).flatten().tolist() == wide.flatten().tolist()


def test_plain_attention_is_diffusers_own() -> None:
    unet = small_unet()
    before = run(unet)
    plain(unet)
    assert (run(unet) - before).abs().max() < 1e-5


def test_clip_states() -> None:
    transformers = pytest.importorskip("transformers")
    sizes = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2, image_size=8)
    encoder = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**sizes, patch_size=4)).eval()
    seen, nothing = clip_states(encoder, torch.ones(2, 3, 8, 8))
    assert seen.shape == nothing.shape == (2, 5, 8)
    assert not torch.equal(seen, nothing)
    assert not torch.equal(nothing, torch.zeros_like(nothing))


def test_terms_are_told() -> None:
    for name in ("ip-adapter-faceid", "instantid", "arc2face"):
        assert "non-commercial" in MODELS[name].licence
        assert not MODELS[name].commercial
