# ruff: noqa: E402  (torch may be missing)
"""The miniature's CtrLoRA before training: it adds nothing yet, and its files are of the published form."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from controls.ctrlora.keys import diffusers_key, published_key
from controls.ctrlora.network import ControlNetwork
from controls.ctrlora.weights import Condition
from demos.miniature.ctrlora import CONDITIONS, new_network, published
from demos.miniature.parts import CONTEXT, LATENT, new_unet
from studio.errors import WeightsError


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return new_network(new_unet())


def call(network, name):
    pick = torch.Generator().manual_seed(1)
    latent, text = torch.randn(1, *LATENT, generator=pick), torch.randn(2, 5, CONTEXT, generator=pick)
    with torch.no_grad():
        return network(name, latent, 300, text)


def test_a_new_condition_adds_nothing(network):
    residuals = call(network, CONDITIONS[0])
    assert len(residuals) == 10  # of three levels: 1 + 2 x 3 + 2 downsamplers, and the middle
    assert all((one == 0).all() for one in residuals)


def test_files_of_the_published_form_compute_the_same(network):
    torch.manual_seed(1)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    base, conditions = published(network)
    numpy = lambda tree: {key: value.detach().numpy() for key, value in tree.items()}
    again = ControlNetwork.of(numpy(base))
    for name in CONDITIONS:
        again.add(name, Condition.of(numpy(conditions[name])))
        for a, b in zip(call(network, name), call(again, name), strict=True):
            assert a.abs().max() > 0
            torch.testing.assert_close(a, b)


def test_published_names_are_the_inverse(network):
    base, conditions = published(network)
    for key in (*base, *conditions["normals"]):
        assert published_key(diffusers_key(key)) == key
    with pytest.raises(WeightsError, match="no key of a control network"):
        published_key("up_blocks.0.resnets.0.conv1.weight")
