"""The backends: every way to compute attention that may be installed, under one signature.

Each takes q (B, H, N, D), k and v (B, H, M, D), mask (broadcast to (B, H, N, M); bool: True is seen; float: added to
the scores) or None, causal and scale, and returns (B, H, N, D).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from studio.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

Kernel = Callable[..., Any]


@dataclass(frozen=True)
class Backend:
    """run       the kernel.
    module    what must be installed, besides torch.
    gpu       needs CUDA.
    masks     takes a mask.
    gradients  can be trained through.
    exact     computes in the inputs' own precision; those that don't are used only when named.
    """

    run: Kernel
    module: str = "torch"
    gpu: bool = True
    masks: bool = True
    gradients: bool = True
    exact: bool = True

    @property
    def installed(self) -> bool:
        """Whether its package is there (nothing is imported)."""
        return find_spec("torch") is not None and find_spec(self.module.partition(".")[0]) is not None


def sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float | None) -> Tensor:
    """torch's `scaled_dot_product_attention`, which chooses its kernel itself."""
    from torch.nn.functional import scaled_dot_product_attention

    return scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=scale)


def _only(kernel: str) -> Kernel:
    def run(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float | None) -> Tensor:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        with sdpa_kernel(getattr(SDPBackend, kernel)):
            return sdpa(q, k, v, mask, causal, scale)

    return run


def _xformers(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float | None) -> Tensor:
    from xformers.ops import LowerTriangularMask, memory_efficient_attention

    bias: Any = LowerTriangularMask() if causal else None
    if mask is not None:
        bias = _added(mask, q).expand(q.shape[0], q.shape[1], q.shape[2], k.shape[2])
    out = memory_efficient_attention(*(x.transpose(1, 2) for x in (q, k, v)), attn_bias=bias, scale=scale)
    return out.transpose(1, 2)


def _flash_attn(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float | None) -> Tensor:
    from flash_attn import flash_attn_func

    turned = (x.transpose(1, 2) for x in (q, k, v))
    return flash_attn_func(*turned, softmax_scale=scale, causal=causal).transpose(1, 2)


def _flash_attn_3(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float | None) -> Tensor:
    from flash_attn_interface import flash_attn_func

    out = flash_attn_func(*(x.transpose(1, 2) for x in (q, k, v)), softmax_scale=scale, causal=causal)
    return (out[0] if isinstance(out, tuple) else out).transpose(1, 2)


def _sage(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float | None) -> Tensor:
    from sageattention import sageattn

    return sageattn(q, k, v, tensor_layout="HND", is_causal=causal, sm_scale=scale)


@cache
def _compiled_flex() -> Kernel:
    import torch
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)


def _flex(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float | None) -> Tensor:
    import torch

    bias = None if mask is None else _added(mask, q).expand(q.shape[0], q.shape[1], q.shape[2], k.shape[2])

    def score(value: Tensor, b: Tensor, h: Tensor, row: Tensor, column: Tensor) -> Tensor:
        if bias is not None:
            value = value + bias[b, h, row, column]
        return torch.where(row >= column, value, -float("inf")) if causal else value

    return _compiled_flex()(q, k, v, score_mod=None if bias is None and not causal else score, scale=scale)


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """A mask as numbers to add to the scores."""
    import torch

    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(~mask, -float("inf"))


BACKENDS: dict[str, Backend] = {
    "sdpa": Backend(sdpa, gpu=False),
    "math": Backend(_only("MATH"), gpu=False),
    "flash": Backend(_only("FLASH_ATTENTION"), masks=False),
    "efficient": Backend(_only("EFFICIENT_ATTENTION")),
    "cudnn": Backend(_only("CUDNN_ATTENTION")),
    "xformers": Backend(_xformers, module="xformers"),
    "flash-attn": Backend(_flash_attn, module="flash_attn", masks=False),
    "flash-attn-3": Backend(_flash_attn_3, module="flash_attn_interface", masks=False),
    "sage": Backend(_sage, module="sageattention", masks=False, gradients=False, exact=False),
    "flex": Backend(_flex, exact=False),
}
"""By the name a user gives. `flex` is exact too, but compiles for seconds, so it is used only when named."""


def named(name: str) -> Backend:
    """The backend of a name. Raises `UsageError` where there is none, or its package is missing."""
    if name not in BACKENDS:
        raise UsageError(f"{name!r} is no attention backend; there are auto, {', '.join(BACKENDS)}")
    if not BACKENDS[name].installed:
        raise UsageError(f"attention backend {name}: {BACKENDS[name].module} is not installed")
    return BACKENDS[name]
