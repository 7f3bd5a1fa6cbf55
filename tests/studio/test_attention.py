"""Attention: every backend gives the plain sums; the choice holds for its block alone."""

from __future__ import annotations

import threading

import pytest

from studio.attention import BACKENDS, backend, chosen, report
from studio.errors import UsageError

torch = pytest.importorskip("torch", reason="attention computes with torch (extra: models)")

from studio.attention import attention  # noqa: E402
from studio.attention.choice import _FOUND, _probe, candidates  # noqa: E402


def plain(q, k, v, mask=None, causal=False, scale=None):
    """The sums, written out in float64."""
    q, k, v = q.double(), k.double(), v.double()
    scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, -float("inf"))
    elif mask is not None:
        scores = scores + mask
    return scores.softmax(-1) @ v


def some(*shape: int, seed: int = 0):
    made = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=made) for _ in range(3)]


@pytest.mark.parametrize("name", ["auto", "sdpa", "math"])
@pytest.mark.parametrize("how", ["open", "causal", "bool", "added", "scaled", "cross"])
def test_gives_the_plain_sums(name: str, how: str) -> None:
    q, k, v = some(2, 3, 17, 8)
    options = {
        "open": {},
        "causal": {"causal": True},
        "bool": {"mask": torch.rand(2, 1, 17, 17, generator=torch.Generator().manual_seed(1)) > 0.3},
        "added": {"mask": torch.randn(1, 3, 17, 17, generator=torch.Generator().manual_seed(1))},
        "scaled": {"scale": 0.7},
        "cross": {},
    }[how]
    if how == "cross":
        k, v = k[:, :, :5], v[:, :, :5]
    with backend(name):
        out = attention(q, k, v, **options)
    assert torch.allclose(out.double(), plain(q, k, v, **options), atol=1e-5)


def test_choice_ends_with_its_block_and_stays_in_its_thread() -> None:
    seen = []
    with backend("math"):
        thread = threading.Thread(target=lambda: seen.append(chosen()))
        thread.start()
        thread.join()
        assert chosen() == "math"
        with pytest.raises(RuntimeError), backend("sdpa"):
            raise RuntimeError
        assert chosen() == "math"
    assert (chosen(), seen) == ("auto", ["auto"])


def test_unknown_missing_and_unfit_backends_are_refused() -> None:
    q, k, v = some(1, 1, 4, 8)
    with pytest.raises(UsageError, match="no attention backend"), backend("magic"):
        pass
    absent = [name for name, one in BACKENDS.items() if not one.installed]
    for name in absent:
        with pytest.raises(UsageError, match="not installed"), backend(name):
            pass
    with backend("flash"), pytest.raises(UsageError, match="takes no mask"):
        attention(q, k, v, mask=torch.zeros(4, 4))
    with backend("efficient"), pytest.raises(UsageError, match="needs a GPU"):
        attention(q, k, v)
    with pytest.raises(UsageError, match="both into the mask"):
        attention(q, k, v, mask=torch.zeros(4, 4), causal=True)


def test_gradients_pass() -> None:
    q, k, v = (x.requires_grad_() for x in some(1, 2, 6, 8))
    attention(q, k, v).sum().backward()
    assert all(x.grad is not None and torch.isfinite(x.grad).all() for x in (q, k, v))


def test_probe_keeps_what_is_right_and_reports_it() -> None:
    key = ("cpu", torch.float32, 8, 64, True, False, False)
    _FOUND[key] = _probe(key, torch.device("cpu"))
    try:
        assert _FOUND[key] in candidates(True, False, gpu=False)
        lines = report()
        assert "sdpa" in lines["cpu float32 64x8 masked"]
        assert set(BACKENDS) <= set(lines)
    finally:
        _FOUND.clear()
