"""The call: the backend in force computes. On a CPU it costs next to nothing beside torch's own."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from studio.attention.choice import _FOUND, _LARGEST, _NAME, _probe
from studio.attention.kernels import BACKENDS, Kernel, named, sdpa
from studio.errors import UsageError


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """softmax(q k' * scale + mask) v.

    q (B, H, N, D); k, v (B, H, M, D); mask broadcasts to (B, H, N, M): bool (True is seen) or numbers that are added;
    causal: token i sees tokens up to i; scale: 1/sqrt(D) by default. Returns (B, H, N, D). A network under
    `torch.compile` keeps the backend that was in force when it was compiled. Raises `UsageError` where the named
    backend can't do what is asked.
    """
    if mask is not None and causal:
        raise UsageError("mask and causal at once: put both into the mask")
    name = _name()
    if name == "auto":
        if not q.is_cuda:  # torch's own choice is the only fast one elsewhere
            return scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=scale)
        return _automatic(q, k, v, mask, causal)(q, k, v, mask, causal, scale)
    one = named(name)
    if mask is not None and not one.masks:
        raise UsageError(f"attention backend {name} takes no mask; use auto, sdpa or efficient")
    if one.gpu and not q.is_cuda:
        raise UsageError(f"attention backend {name} needs a GPU; use auto, sdpa or math")
    return one.run(q, k, v, mask, causal, scale)


@torch.compiler.assume_constant_result
def _name() -> str:
    """The name in force; compilers can't look into a context variable, and would cut the network at each layer."""
    return _NAME.get()


def _automatic(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Kernel:
    """The fastest backend for tensors like these on their GPU, probed once."""
    if torch.compiler.is_compiling() or torch.cuda.is_current_stream_capturing():
        return sdpa  # probing would be traced along
    gradients = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    tokens = min(_LARGEST, 1 << (max(q.shape[2], k.shape[2]) - 1).bit_length())
    key = (str(q.device), q.dtype, q.shape[3], tokens, mask is not None, causal, gradients)
    if key not in _FOUND:
        _FOUND[key] = _probe(key, q.device)
    return BACKENDS[_FOUND[key]].run
