# ruff: noqa: E402  (torch may be missing)
"""Two adapters on one UNet: their sum, each alone, and off again."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from controls.identity.adapter import Adapter
from controls.identity.attention import layers_of
from controls.identity.guide import Guide
from controls.identity.stack import install_stack, stacked
from studio.errors import UsageError

WIDTH = 16


def tiny_unet():
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=2,
        norm_num_groups=2,
    ).eval()


def adapter(unet, seed, lora=False):
    pick, arrays = np.random.default_rng(seed), {}
    modules = dict(unet.named_modules())
    for n, name in enumerate(layers_of(unet)):
        attn = modules[name.removesuffix(".processor")]
        if attn.is_cross_attention:
            for part in ("to_k_ip", "to_v_ip"):
                arrays[f"{n}.{part}.weight"] = pick.normal(0, 0.5, (attn.inner_kv_dim, WIDTH)).astype(np.float32)
        if lora:
            arrays[f"{n}.to_q_lora.down.weight"] = pick.normal(0, 1, (2, attn.query_dim)).astype(np.float32)
            arrays[f"{n}.to_q_lora.up.weight"] = pick.normal(0, 1, (attn.inner_dim, 2)).astype(np.float32)
    return Adapter.of(arrays, unet, what="tiny")


@pytest.fixture
def seen():
    pick = torch.Generator().manual_seed(1)
    return torch.randn(2, 4, 8, 8, generator=pick), torch.randn(2, 3, WIDTH, generator=pick)


@torch.no_grad()
def run(unet, seen, guide=None):
    kwargs = {} if guide is None else {"cross_attention_kwargs": guide.kwargs()}
    return unet(seen[0], 100, seen[1], **kwargs).sample


def guides():
    pick = torch.Generator().manual_seed(2)
    return tuple(Guide(torch.randn(2, 2, WIDTH, generator=pick), scale) for scale in (1.0, 0.7))


def silent():
    return Guide(torch.zeros(2, 1, WIDTH), 0.0)


def test_one_of_a_stack_is_as_if_alone(seen):
    unet = tiny_unet()
    a, b = adapter(unet, 1), adapter(unet, 2)
    first, second = guides()
    before = a.install(unet)
    alone_a = run(unet, seen, first)
    b.install(unet)
    alone_b = run(unet, seen, second)
    install_stack(unet, [a, b])
    torch.testing.assert_close(run(unet, seen, stacked(first, silent())), alone_a)
    torch.testing.assert_close(run(unet, seen, stacked(silent(), second)), alone_b)
    both = run(unet, seen, stacked(first, second))
    assert (both - alone_a).abs().max() > 1e-4 and (both - alone_b).abs().max() > 1e-4
    unet.set_attn_processor(before)
    plain = run(unet, seen)
    install_stack(unet, [a, b])
    torch.testing.assert_close(run(unet, seen), plain)


def test_the_first_ones_lora_acts(seen):
    unet = tiny_unet()
    a, b = adapter(unet, 1, lora=True), adapter(unet, 2)
    a.install(unet)
    alone = run(unet, seen, guides()[0])
    install_stack(unet, [a, b])
    torch.testing.assert_close(run(unet, seen, stacked(guides()[0], silent())), alone)


def test_what_does_not_fit_is_refused(seen):
    unet = tiny_unet()
    with pytest.raises(UsageError, match="no adapters"):
        install_stack(unet, [])
    with pytest.raises(UsageError, match="LoRA"):
        install_stack(unet, [adapter(unet, 1), adapter(unet, 2, lora=True)])
    with pytest.raises(UsageError, match="no guides"):
        stacked()
    install_stack(unet, [adapter(unet, 1), adapter(unet, 2)])
    with pytest.raises(UsageError, match="1 guides for 2"):
        run(unet, seen, guides()[0])
