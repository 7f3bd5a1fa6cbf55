"""`studio.attention` under the attention layers of diffusers' UNets, ControlNets and VAEs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.attention.calling import attention

if TYPE_CHECKING:
    from torch import Tensor


class StudioAttnProcessor:
    """An attention processor of diffusers that computes by `studio.attention`, so that `backend` reaches it.

    network.set_attn_processor(StudioAttnProcessor())
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """hidden_states (B, N, C) or (B, C, H, W), shape kept; encoder_hidden_states (B, M, D): what is attended to."""
        x = hidden_states if attn.spatial_norm is None else attn.spatial_norm(hidden_states, temb)
        grid = x.shape[2:] if x.ndim == 4 else None
        if grid is not None:
            x = x.flatten(2).transpose(1, 2)
        context = encoder_hidden_states
        batch, seen = (x if context is None else context).shape[:2]
        if attention_mask is not None:
            attention_mask = attn.prepare_attention_mask(attention_mask, seen, batch)
            attention_mask = attention_mask.view(batch, attn.heads, -1, attention_mask.shape[-1])
        if attn.group_norm is not None:
            x = attn.group_norm(x.transpose(1, 2)).transpose(1, 2)
        if context is None:
            context = x
        elif attn.norm_cross:
            context = attn.norm_encoder_hidden_states(context)
        q, k, v = (
            layer(tokens).unflatten(2, (attn.heads, -1)).transpose(1, 2)
            for layer, tokens in ((attn.to_q, x), (attn.to_k, context), (attn.to_v, context))
        )
        q = q if attn.norm_q is None else attn.norm_q(q)
        k = k if attn.norm_k is None else attn.norm_k(k)
        out = attention(q, k, v, mask=attention_mask).transpose(1, 2).flatten(2).to(q.dtype)
        out = attn.to_out[1](attn.to_out[0](out))
        if grid is not None:
            out = out.transpose(1, 2).unflatten(2, grid)
        if attn.residual_connection:
            out = out + hidden_states
        return out / attn.rescale_output_factor
