"""Which backend is to compute: named for a context, or the fastest that proved to work. Needs no torch to be read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from studio.attention.kernels import BACKENDS, named

if TYPE_CHECKING:
    import torch

_NAME: ContextVar[str] = ContextVar("attention_backend", default="auto")

_LARGEST = 4096
"""Tokens that a probe tries at most."""

Key = tuple[str, Any, int, int, bool, bool, bool]
_FOUND: dict[Key, str] = {}
_SECONDS: dict[Key, dict[str, float | str]] = {}
"""By device, type, width, tokens, mask, causal, gradients: what was found, and what each candidate took or said."""


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Use one backend ("auto", or a name of `BACKENDS`) within the block, in this thread or task alone."""
    if name != "auto":
        named(name)
    token = _NAME.set(name)
    try:
        yield
    finally:
        _NAME.reset(token)


def chosen() -> str:
    """The name in force here."""
    return _NAME.get()


def candidates(mask: bool, gradients: bool, gpu: bool) -> list[str]:
    """Names of installed backends that can do it, the safest first."""
    return [
        name
        for name, one in BACKENDS.items()
        if one.installed
        and one.exact
        and (one.masks or not mask)
        and (one.gradients or not gradients)
        and (gpu or not one.gpu)
    ]


def _probe(key: Key, device: torch.device) -> str:
    """Try each candidate at this shape: those that agree with plain sums are timed; the fastest wins."""
    import torch

    _, dtype, width, tokens, masked, causal, gradients = key
    made = torch.Generator(device).manual_seed(0)
    q, k, v = (torch.randn(1, 8, tokens, width, device=device, dtype=dtype, generator=made) for _ in range(3))
    mask = torch.zeros(1, 1, tokens, tokens, device=device, dtype=dtype) if masked else None
    said: dict[str, float | str] = {}
    with torch.no_grad():
        small = [x[:, :, :64] for x in (q, k, v)]
        part = None if mask is None else mask[:, :, :64, :64]
        truth = BACKENDS["math"].run(*(x.float() for x in small), None, causal, None)
        for name in candidates(masked, gradients, device.type == "cuda"):
            run = BACKENDS[name].run
            try:
                off = (run(*small, part, causal, None).float() - truth).abs().max().item()
                if not off < 0.05:
                    said[name] = f"wrong by {off:.2g}"
                    continue
                said[name] = _seconds(lambda run=run: run(q, k, v, mask, causal, None), device)
            except (RuntimeError, ValueError, NotImplementedError, ImportError, TypeError) as error:
                said[name] = str(error).strip().partition("\n")[0] or type(error).__name__
    _SECONDS[key] = said
    timed = {name: took for name, took in said.items() if isinstance(took, float)}
    return min(timed, key=timed.__getitem__) if timed else "sdpa"


def _seconds(call: Any, device: torch.device, times: int = 5) -> float:
    import torch

    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for _ in range(2):
        call()
    best = float("inf")
    for _ in range(times):
        wait()
        began = time.perf_counter()
        call()
        wait()
        best = min(best, time.perf_counter() - began)
    return best


def report(probe: bool = False) -> dict[str, Any]:
    """For `face-studio doctor`: which backends are installed, and what probes said so far.

    probe: try the shapes of image and speech models on this machine's GPU first (imports torch).
    """
    if probe:
        _probe_usual()
    out: dict[str, Any] = {"backend": chosen()}
    for name, one in BACKENDS.items():
        state = _version(one.module) if one.installed else f"missing {one.module}"
        out[name] = state + ("" if one.exact else ", when named") + (", needs a GPU" if one.gpu else "")
    for key, said in _SECONDS.items():
        device, dtype, width, tokens, masked, *_ = key
        words = [f"{n} {t * 1e6:.0f} us" if isinstance(t, float) else f"{n}: {t}" for n, t in said.items()]
        title = f"{device} {str(dtype).removeprefix('torch.')} {tokens}x{width}{' masked' if masked else ''}"
        out[title] = f"{_FOUND.get(key, '-')} of " + "; ".join(words)
    return out


def _probe_usual() -> None:
    import torch

    if not torch.cuda.is_available():
        return
    device = torch.device("cuda", torch.cuda.current_device())
    for dtype in (torch.float16, torch.bfloat16):
        for tokens, width in ((1024, 64), (4096, 64), (4096, 40)):
            key = (str(device), dtype, width, tokens, False, False, False)
            if key not in _FOUND:
                _FOUND[key] = _probe(key, device)


def _version(module: str) -> str:
    try:
        return f"{module} {version(module)}"
    except PackageNotFoundError:
        return module
