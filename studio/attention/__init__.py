"""One attention for every transformer and UNet of the library; importing this needs no torch.

from studio.attention import attention, backend

out = attention(q, k, v)                 # (B, heads, tokens, width), like torch's own
with backend("math"):                    # for this thread or task only, and gone afterwards
    out = attention(q, k, v, causal=True)
"""

from __future__ import annotations

from studio.attention.choice import attention, backend, chosen, report
from studio.attention.kernels import BACKENDS

__all__ = ["BACKENDS", "attention", "backend", "chosen", "report"]
