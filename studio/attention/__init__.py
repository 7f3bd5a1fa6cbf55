"""One attention for every transformer and UNet of the library; importing this needs no torch.

from studio.attention import attention, backend

out = attention(q, k, v)                 # (B, heads, tokens, width), like torch's own
with backend("math"):                    # for this thread or task only, and gone afterwards
    out = attention(q, k, v, causal=True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.attention.choice import backend, chosen, report
from studio.attention.kernels import BACKENDS

if TYPE_CHECKING:
    from studio.attention.calling import attention

__all__ = ["BACKENDS", "attention", "backend", "chosen", "report"]


def __getattr__(name: str) -> Any:
    if name != "attention":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from studio.attention.calling import attention

    return attention
