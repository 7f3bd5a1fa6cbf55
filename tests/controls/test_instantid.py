# ruff: noqa: E402  (torch and diffusers may be missing)
"""InstantID's parts: several control networks, a face's region, what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from controls.identity.keypoints import draw_keypoints, fitted_size
from studio.errors import UsageError, WeightsError

torch = pytest.importorskip("torch", reason="InstantID runs on torch (extra: models)")

from controls.identity.attention import layers_of
from controls.identity.instantid import InstantId, residuals
from controls.identity.resampler import Resampler


def parts(unet, seen: int = 512) -> dict[str, dict[str, torch.Tensor]]:
    """What ip-adapter.bin holds, for a UNet, at small sizes."""
    torch.manual_seed(0)
    projection = Resampler(16, embedding=seen, dim=64, out=16, depth=1, inner=64, hidden=64).state_dict()
    cross = {n: name for n, name in enumerate(layers_of(unet)) if "attn2" in name}
    rows = {n: unet.get_submodule(name.removesuffix(".processor")).inner_dim for n, name in cross.items()}
    layers = {f"{n}.to_{part}_ip.weight": torch.randn(rows[n], 16) for n in cross for part in "kv"}
    return {"image_proj": projection, "ip_adapter": layers}


@pytest.mark.filterwarnings("ignore::studio.weights.LicenceWarning")
def test_a_file_is_read(tmp_path) -> None:
    diffusers = pytest.importorskip("diffusers", reason="InstantID acts on diffusers' UNets (extra: models)")
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(16, 32), layers_per_block=1, attention_head_dim=2, norm_num_groups=4,
        cross_attention_dim=16, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    torch.save(parts(unet), tmp_path / "ip-adapter.bin")
    face = InstantId.from_pretrained(unet, tmp_path)
    one = np.random.default_rng(0).standard_normal((2, 512)).astype(np.float32) * 20
    tokens = face.tokens(one, per_face=3)
    assert tokens.shape == (12, 16, 16)
    assert torch.allclose(tokens[[0, 6, 9]], face.resampler(torch.from_numpy(np.stack([0 * one[0], *one]))), atol=1e-5)
    assert face.guide(one[0], guidance=False).tokens.shape == (1, 16, 16)
    with pytest.raises(UsageError, match="512"):
        face.tokens(np.zeros(128))
    torch.save(parts(unet, seen=1280), tmp_path / "ip-adapter.bin")
    with pytest.raises(WeightsError, match="1280"):
        InstantId.from_pretrained(unet, tmp_path)
    torch.save({"state_dict": {}}, tmp_path / "ip-adapter.bin")
    with pytest.raises(WeightsError, match="no part"):
        InstantId.from_pretrained(unet, tmp_path)


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
