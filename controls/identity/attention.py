"""Attention of a UNet with a second branch for image tokens (decoupled cross-attention; Ye et al. 2023, section 3.2.2),
LoRA (Hu et al. 2022) and a reference picture; key names of the published adapters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from controls.identity.guide import Guide, mask_of_tokens
from studio.attention import attention
from studio.errors import UsageError


class Lora(nn.Module):
    """x (..., before) -> up(down(x)) (..., after): no bias, no alpha."""

    def __init__(self, before: int, rank: int, after: int) -> None:
        super().__init__()
        self.down = nn.Linear(before, rank, bias=False)
        self.up = nn.Linear(rank, after, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.down(x))


class IdentityAttention(nn.Module):
    """A processor for diffusers' `Attention`. Without a `Guide` in the call it is plain attention.

    shapes: {key: shape} of this layer's weights: `to_k_ip.weight`, `to_v_ip.weight`, `to_{q,k,v,out}_lora.*`; any of
    them may be missing.
    """

    def __init__(self, name: str = "", shapes: Mapping[str, tuple[int, ...]] | None = None) -> None:
        super().__init__()
        self.name = name
        shapes = shapes or {}
        for part in ("to_q_lora", "to_k_lora", "to_v_lora", "to_out_lora"):
            down, up = shapes.get(f"{part}.down.weight"), shapes.get(f"{part}.up.weight")
            self.add_module(part, Lora(down[1], down[0], up[0]) if down and up else None)
        for part in ("to_k_ip", "to_v_ip"):
            shape = shapes.get(f"{part}.weight")
            self.add_module(part, nn.Linear(shape[1], shape[0], bias=False) if shape else None)

    def __call__(  # diffusers reads the names of its arguments; a module's own would hide them
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        identity: Guide | None = None,
    ) -> Tensor:
        """hidden_states (B, N, C), encoder_hidden_states (B, T, D) or None for self attention -> (B, N, C)."""
        if hidden_states.dim() != 3 or attn.group_norm is not None or attn.spatial_norm is not None:
            raise UsageError("identity adapters act on transformer blocks of Stable Diffusion's UNets alone")
        guide = identity or Guide()
        itself = encoder_hidden_states is None
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if attn.norm_cross and not itself:
            context = attn.norm_encoder_hidden_states(context)
        lora = guide.lora_scale if identity is not None else 0.0
        q = self._low_rank("to_q", attn.to_q, hidden_states, lora)
        k, v = (self._low_rank(n, getattr(attn, n), context, lora) for n in ("to_k", "to_v"))
        mask = _mask(attn, attention_mask, context.shape[1], len(hidden_states))
        if itself and guide.reference is not None:
            out = self._with_reference(attn, guide, hidden_states, lora, q, k, v, mask)
        else:
            out = _multihead(attn, q, k, v, mask)
        out = self._with_tokens(attn, q, guide, out)
        out = self._low_rank("to_out", attn.to_out[0], out, lora)
        out = attn.to_out[1](out)
        if attn.residual_connection:
            out = out + hidden_states
        return out / attn.rescale_output_factor

    def _low_rank(self, name: str, linear: nn.Module, x: Tensor, scale: float) -> Tensor:
        lora = getattr(self, f"{name}_lora")
        return linear(x) if lora is None or scale == 0 else linear(x) + scale * lora(x)

    def _with_tokens(self, attn: Any, q: Tensor, guide: Guide, out: Tensor) -> Tensor:
        if guide.tokens is None or self.to_k_ip is None or guide.scale == 0:
            return out
        return out + guide.scale * self._looked_up(attn, q, guide)

    def _looked_up(self, attn: Any, q: Tensor, guide: Guide) -> Tensor:
        """The image tokens' branch, (B, N, C)."""
        tokens = guide.tokens.to(q)  # type: ignore[union-attr]
        if tokens.dim() != 3 or tokens.shape[2] != self.to_k_ip.in_features or len(tokens) not in (1, len(q)):
            raise UsageError(
                f"image tokens {tuple(tokens.shape)}: ({len(q)}, tokens, {self.to_k_ip.in_features}) expected; "
                "with guidance the batch is the unconditional half and then the other"
            )
        tokens = tokens.expand(len(q), -1, -1)
        out = _multihead(attn, q, self.to_k_ip(tokens), self.to_v_ip(tokens))
        return out if guide.mask is None else out * mask_of_tokens(guide.mask, q.shape[1]).to(out)

    def _with_reference(
        self, attn: Any, guide: Guide, x: Tensor, lora: float, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None
    ) -> Tensor:
        """Recording: as usual, and x is kept. Else the conditional half sees its own tokens and the reference's."""
        bank = guide.reference
        assert bank is not None
        if bank.recording:
            bank.layers[self.name] = x.detach()
            return _multihead(attn, q, k, v, mask)
        if self.name not in bank.layers:
            raise UsageError("a reference that was not recorded with this UNet")
        kept = bank.layers[self.name].to(x)
        half = len(x) // 2
        if len(x) % 2 or len(kept) not in (2, len(x)) or kept.shape[2] != x.shape[2] or mask is not None:
            raise UsageError(
                f"a reference of batch {len(kept)} for a batch of {len(x)}: it needs guidance, and as many pictures"
            )
        kept = kept[len(kept) // 2 :].expand(half, -1, -1)
        more = (self._low_rank(n, getattr(attn, n), kept, lora) for n in ("to_k", "to_v"))
        longer = (torch.cat([own[half:], other], 1) for own, other in zip((k, v), more))
        first = _multihead(attn, q[:half], k[:half], v[:half])
        return torch.cat([first, _multihead(attn, q[half:], *longer)])


def layers_of(unet: Any) -> list[str]:
    """Names of a UNet's attention layers in the order that adapters count: down, up, middle. Raises UsageError for
    another network than one of transformer blocks.
    """
    names = list(getattr(unet, "attn_processors", {}))
    if not names or not all(".transformer_blocks." in name for name in names):
        raise UsageError(f"{type(unet).__name__}: not a UNet of Stable Diffusion 1.5 or SDXL")
    return names


def plain(network: Any) -> None:
    """Let a UNet's or ControlNet's attention go through `studio.attention`; its weights stay as they are."""
    network.set_attn_processor({name: IdentityAttention(name) for name in layers_of(network)})


def shapes_of(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, tuple[int, ...]]:
    """{key: shape} of the arrays that begin with `prefix`, without it."""
    return {k[len(prefix) :]: tuple(np.shape(v)) for k, v in arrays.items() if k.startswith(prefix)}


def _multihead(attn: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """(B, N, C) of q (B, N, C) and k, v (B, M, C)."""
    q, k, v = (x.unflatten(2, (attn.heads, -1)).transpose(1, 2) for x in (q, k, v))
    return attention(q, k, v, mask=mask, scale=attn.scale).transpose(1, 2).flatten(2)


def _mask(attn: Any, mask: Tensor | None, count: int, batch: int) -> Tensor | None:
    if mask is None:
        return None
    return attn.prepare_attention_mask(mask, count, batch).view(batch, attn.heads, -1, mask.shape[-1])
