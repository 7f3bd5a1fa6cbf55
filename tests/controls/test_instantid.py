# ruff: noqa: E402  (torch and diffusers may be missing)
"""InstantID's parts: several control networks, a face's region, what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from controls.identity.keypoints import draw_keypoints, fitted_size
from studio.errors import UsageError, WeightsError

torch = pytest.importorskip("torch", reason="InstantID runs on torch (extra: models)")

from controls.identity.instantid import residuals
from controls.identity.resampler import Resampler


class Network:
    """A control network that answers with the mean of what it sees."""

    config = SimpleNamespace(cross_attention_dim=6)

    def __call__(self, latents, timestep, seen, picture, *, conditioning_scale: float, **_):
        out = torch.ones_like(latents) * seen.mean() * conditioning_scale
        return [out, out[..., ::2, ::2]], out[..., ::4, ::4]


def ask(networks, pictures, **more):
    tokens = more.pop("tokens", torch.full((2, 16, 6), 3.0))
    return residuals(networks, torch.zeros(2, 4, 8, 8), 5, torch.full((2, 7, 6), 10.0), pictures, tokens=tokens, **more)


def test_only_the_first_network_sees_tokens_and_the_region() -> None:
    picture, mask = torch.zeros(2, 3, 64, 64), torch.zeros(16, 16)
    mask[:, 8:] = 1
    down, middle = ask([Network(), Network()], [picture, picture], scales=[1.0, 0.5], mask=mask)
    assert len(down) == 2
    assert torch.allclose(down[0][..., 4:], torch.tensor(8.0))
    assert torch.allclose(down[0][..., :4], torch.tensor(5.0))
    assert middle.shape == (2, 4, 2, 2)
    assert torch.allclose(middle[..., 1], torch.tensor(8.0))


def test_what_does_not_fit_is_refused() -> None:
    picture = torch.zeros(2, 3, 64, 64)
    with pytest.raises(UsageError, match="2 control networks, 1 pictures"):
        ask([Network(), Network()], picture)
    with pytest.raises(UsageError, match="width 6"):
        ask(Network(), picture, tokens=torch.zeros(2, 16, 5))
    with pytest.raises(UsageError, match="batch of 2"):
        ask(Network(), picture, tokens=torch.zeros(1, 16, 6))
    with pytest.raises(WeightsError, match="latents"):
        Resampler.of({"proj.0.weight": np.zeros((2, 2))}, what="file")
    with pytest.raises(WeightsError, match="perceiver"):
        Resampler.of({"latents": np.zeros((1, 4, 8))}, what="file")
    with pytest.raises(UsageError, match="key points"):
        draw_keypoints(np.zeros((4, 2)), 64, 64)
    with pytest.raises(UsageError, match="key points"):
        draw_keypoints(np.full((5, 2), np.nan), 64, 64)
    with pytest.raises(UsageError, match="narrow"):
        fitted_size(10, 4000)
