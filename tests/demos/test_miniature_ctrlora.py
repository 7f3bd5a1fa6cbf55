# ruff: noqa: E402  (torch may be missing)
"""The miniature's control networks before training: they add nothing yet; CtrLoRA's files have the published form."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from controls.ctrlora.keys import diffusers_key, published_key
from controls.ctrlora.network import ControlNetwork
from controls.ctrlora.weights import Condition
from controls.identity.stack import install_stack
from demos.miniature.control import new_controlnet
from demos.miniature.ctrlora import CONDITIONS, new_network, published
from demos.miniature.parts import CONTEXT, LATENT, new_adapter, new_unet
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


def test_a_controlnet_is_made_of_a_unet_with_adapters():
    unet = new_unet()
    install_stack(unet, [new_adapter(unet, 1), new_adapter(unet, 2)])
    installed = dict(unet.attn_processors)
    made = new_controlnet(unet)
    assert not any("_ip" in key for key in made.state_dict())
    assert unet.attn_processors == installed
    torch.testing.assert_close(made.mid_block.resnets[0].conv1.weight, unet.mid_block.resnets[0].conv1.weight)


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
