"""Several adapters on one UNet at once, each with tokens of its own: a face's identity and an expression, say.

before = install_stack(unet, [face.adapter, expression.adapter])
together = stacked(face.guide(rows), expression.guide(numbers))
unet(latents, t, text, cross_attention_kwargs=together.kwargs())
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from controls.identity.adapter import Adapter
from controls.identity.attention import IdentityAttention
from controls.identity.guide import Guide
from studio.errors import UsageError


class StackedAttention(IdentityAttention):
    """One layer of several adapters: attention with the first one's LoRA, and the sum of what each looks up."""

    def __init__(self, layers: Sequence[IdentityAttention]) -> None:
        super().__init__(layers[0].name)
        for part in ("to_q_lora", "to_k_lora", "to_v_lora", "to_out_lora"):
            self.add_module(part, getattr(layers[0], part))
            if any(getattr(layer, part) is not None for layer in layers[1:]):
                raise UsageError("of stacked adapters the first alone may bring a LoRA; put that one first")
        self.layers = nn.ModuleList(layers)

    def _with_tokens(self, attn: Any, q: Tensor, guide: Guide, out: Tensor) -> Tensor:
        guides = (guide, *guide.others)
        if guide.tokens is not None and len(guides) != len(self.layers):
            raise UsageError(f"{len(guides)} guides for {len(self.layers)} stacked adapters: see stacked()")
        for layer, one in zip(self.layers, guides):
            out = layer._with_tokens(attn, q, one, out)  # type: ignore[operator]
        return out


def install_stack(unet: Any, adapters: Sequence[Adapter]) -> dict[str, Any]:
    """Puts adapters that were made for this UNet into it together; returns what was there, for `set_attn_processor`.
    Raises UsageError for none, and for a second one with a LoRA.
    """
    if not adapters:
        raise UsageError("a stack of no adapters")
    before = dict(unet.attn_processors)
    layers = [StackedAttention(row) for row in zip(*(adapter.values() for adapter in adapters), strict=True)]
    unet.set_attn_processor({layer.name: layer for layer in layers})
    return before


def stacked(*guides: Guide) -> Guide:
    """One guide of several, in the order of the adapters; scale 0 silences one. Raises UsageError for none."""
    if not guides:
        raise UsageError("a stack of no guides")
    return replace(guides[0], others=tuple(guides[1:]))
