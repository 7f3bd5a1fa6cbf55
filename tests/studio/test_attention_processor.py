# ruff: noqa: E402  (torch may be missing)
"""Attention layers of diffusers give the same by the studio's attention as by their own."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="attention runs on torch (extra: models)")
layers = pytest.importorskip("diffusers.models.attention_processor", reason="the layers are diffusers' (extra: models)")

from studio.attention.processor import StudioAttnProcessor

KINDS = {
    "self": {"query_dim": 32},
    "cross": {"query_dim": 32, "cross_attention_dim": 24},
    "normed": {
        "query_dim": 32,
        "cross_attention_dim": 24,
        "cross_attention_norm": "layer_norm",
        "qk_norm": "layer_norm",
    },
    "picture": {"query_dim": 32, "norm_num_groups": 8, "residual_connection": True, "rescale_output_factor": 1.5},
}


@torch.no_grad()
def test_it_is_compiled_in_one_piece() -> None:
    torch.manual_seed(0)
    layer = layers.Attention(query_dim=32, heads=4, dim_head=8).eval()
    layer.set_processor(StudioAttnProcessor())
    x = torch.randn(2, 15, 32)
    wanted = layer(x)
    assert torch.equal(torch.compile(layer, backend="eager", fullgraph=True)(x), wanted)


@torch.no_grad()
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", list(KINDS))
def test_it_agrees_with_diffusers(kind: str, masked: bool) -> None:
    torch.manual_seed(0)
    layer = layers.Attention(heads=4, dim_head=8, bias=True, **KINDS[kind]).eval()
    x = torch.randn(2, 32, 3, 5) if kind == "picture" else torch.randn(2, 15, 32)
    context = torch.randn(2, 7, 24) if kind in ("cross", "normed") else None
    mask = None
    if masked:
        mask = torch.zeros(2, 1, 15 if context is None else 7)
        mask[1, :, 3:] = -1e4
    given = {"encoder_hidden_states": context, "attention_mask": mask}
    layer.set_processor(layers.AttnProcessor2_0())
    wanted = layer(x, **given)
    layer.set_processor(StudioAttnProcessor())
    got = layer(x, **given)
    assert got.shape == x.shape
    assert (got - wanted).abs().max() < 1e-5
    if masked:
        assert (got[1] - layer(x, encoder_hidden_states=context)[1]).abs().max() > 1e-3
