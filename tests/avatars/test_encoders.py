# ruff: noqa: E402  (torch may be missing)
"""Every network that sees faces: empty, single and double batches, half precision, a graphics card, a compiler."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the encoders run on torch (extra: models)")

from flame_like import known_head

from avatars.deca.decoder import DetailDecoder
from avatars.deca.encoder import DecaEncoder
from avatars.flame.layer import Flame
from avatars.mica import MicaEncoder
from avatars.smirk.encoder import SmirkEncoder
from avatars.smirk.generator import SmirkGenerator
from avatars.teaser.encoder import TeaserEncoder
from avatars.teaser.generator import TeaserGenerator

NETWORKS = {
    "deca": (DecaEncoder, (3, 224, 224)),
    "deca's detail": (DetailDecoder, (181,)),
    "mica": (MicaEncoder, (3, 112, 112)),
    "smirk": (SmirkEncoder, (3, 224, 224)),
    "smirk's renderer": (SmirkGenerator, (6, 64, 64)),
    "teaser": (TeaserEncoder, (3, 224, 224)),
    "teaser's renderer": (TeaserGenerator, (6, 224, 224)),
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    """A network with weights at random, and two inputs for it."""
    torch.manual_seed(0)
    maker, shape = NETWORKS[request.param]
    given = [torch.rand(2, *shape)]
    if request.param == "teaser's renderer":
        given.append(torch.rand(2, 4, 256))
    return maker().eval(), given


def parts(out) -> list[torch.Tensor]:
    """What a network gives, as a list."""
    if isinstance(out, torch.Tensor):
        return [out]
    return [value for item in fields(out) if (value := getattr(out, item.name)) is not None]


@torch.no_grad()
def test_batches(network) -> None:
    made, given = network
    both = parts(made(*given))
    for count in (0, 1):
        some = parts(made(*(value[:count] for value in given)))
        assert [part.shape for part in some] == [(count, *part.shape[1:]) for part in both]
        for one, two in zip(some, both, strict=True):
            assert torch.isfinite(one).all()
            np.testing.assert_allclose(one, two[:count], atol=1e-4 * float(two.abs().max()) + 1e-6)


@torch.no_grad()
def test_half_precision(network) -> None:
    """bfloat16 has eight bits: a few hundredths after fifty layers. The order of numbers is kept, their kind too."""
    made, given = network
    whole = parts(made(*given))
    try:
        half = parts(made.to(torch.bfloat16)(*(value.to(torch.bfloat16) for value in given)))
    finally:
        made.float()
    for one, two in zip(half, whole, strict=True):
        assert one.dtype == torch.bfloat16
        assert (one.float() - two).abs().max() < 0.1 * two.abs().max() + 0.01


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_on_a_graphics_card(network, dtype) -> None:
    made, given = network
    near = parts(made(*given))
    try:
        far = parts(made.to("cuda", dtype)(*(value.to("cuda", dtype) for value in given)))
    finally:
        made.to("cpu", torch.float32)
    within = 1e-2 if dtype == torch.float32 else 0.1
    for one, two in zip(far, near, strict=True):
        assert one.is_cuda and one.dtype == dtype
        assert (one.float().cpu() - two).abs().max() < within * two.abs().max() + 0.01


@pytest.fixture(scope="module")
def flame() -> Flame:
    return Flame(known_head()[1], shapes=10, expressions=20)


def coefficients(count: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    sizes = {"shape": 10, "expression": 20, "rotation": 3, "neck": 3, "jaw": 3, "eyes": 6, "eyelids": 2}
    return {name: 0.3 * torch.randn(count, size) for name, size in sizes.items()}


@pytest.mark.slow
def test_flame_is_compiled_whole(flame) -> None:
    """Without a break in the graph, for other batches too, with the same vertices, landmarks and gradients."""

    def marks(**given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out = flame(**given)
        return out.vertices, flame.landmarks(out)

    torch._dynamo.reset()
    compiled = torch.compile(marks, fullgraph=True, backend="aot_eager")
    for count in (1, 3):
        given = coefficients(count)
        for one, two in zip(compiled(**given), marks(**given), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-6)
    slopes = []
    for way in (compiled, marks):
        given = {name: value.requires_grad_() for name, value in coefficients(2).items()}
        way(**given)[1].square().sum().backward()
        slopes.append([given[name].grad for name in ("shape", "expression", "jaw", "rotation")])
    for one, two in zip(*slopes, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_flame_on_a_graphics_card(flame) -> None:
    given = coefficients(2)
    near = flame(**given)
    there = Flame(known_head()[1], shapes=10, expressions=20).cuda()
    far = there(**{name: value.cuda() for name, value in given.items()})
    np.testing.assert_allclose(far.vertices.cpu(), near.vertices, atol=1e-5)
    np.testing.assert_allclose(there.landmarks(far).cpu(), flame.landmarks(near), atol=1e-5)
