"""An IP-Adapter's weights on a UNet: checked against it, put in, taken out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from controls.identity.attention import IdentityAttention, layers_of, shapes_of
from studio.errors import WeightsError
from studio.weights import load_into

_FAMILIES = {768: "Stable Diffusion 1.5", 1024: "Stable Diffusion 2", 2048: "SDXL"}


def family(width: int) -> str:
    """What a cross-attention width is usual for."""
    return f"{_FAMILIES[width]} (width {width})" if width in _FAMILIES else f"a UNet of width {width}"


class Adapter(nn.ModuleDict):
    """The attention of every layer, named by its place in the UNet, as published files name it."""

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], unet: Any, *, what: str) -> Adapter:
        """From an adapter's arrays ("{n}.to_k_ip.weight", ...) for this UNet, at its device and type; `install` puts it
        in. Raises WeightsError for another family's adapter (SD 1.5 on SDXL), or one that doesn't fit.
        """
        names = layers_of(unet)
        check_width(arrays, unet, what=what)
        layers = {str(n): IdentityAttention(name, shapes_of(arrays, f"{n}.")) for n, name in enumerate(names)}
        made = cls(layers)
        load_into(made, arrays, what=what)
        _check_layers(made, unet, names, what)
        parameter = next(unet.parameters())
        return made.to(parameter.device, parameter.dtype).requires_grad_(False)

    def install(self, unet: Any) -> dict[str, Any]:
        """Put it into the UNet; returns what was there, for `unet.set_attn_processor`. Without a `Guide` in a call the
        UNet computes as before.
        """
        before = dict(unet.attn_processors)
        unet.set_attn_processor({layer.name: layer for layer in self.values()})
        return before


def check_width(arrays: Mapping[str, np.ndarray], unet: Any, *, what: str) -> None:
    """Raises WeightsError where an adapter's tokens are of another width than the UNet's cross attention."""
    widths = {np.shape(value)[1] for key, value in arrays.items() if key.endswith("to_k_ip.weight")}
    own = unet.config.cross_attention_dim
    own = own if isinstance(own, int) else own[0]
    if not widths:
        raise WeightsError(f"{what}: no image-token weights (to_k_ip); is it an IP-Adapter?")
    if widths != {own}:
        other = " and ".join(family(width) for width in sorted(widths))
        raise WeightsError(f"{what}: made for {other}, but this UNet is {family(own)}; take the file for it")


def _check_layers(adapter: Adapter, unet: Any, names: list[str], what: str) -> None:
    """Every cross attention has token weights, and all weights are as wide as their layer."""
    modules = dict(unet.named_modules())
    for n, name in enumerate(names):
        layer, attn = adapter[str(n)], modules[name.removesuffix(".processor")]
        if attn.is_cross_attention != (layer.to_k_ip is not None) or (layer.to_k_ip is None) != (layer.to_v_ip is None):
            raise WeightsError(
                f"{what}: layer {n} is {name}, and its image-token weights don't fit; another UNet's file"
            )
        wide = {"to_k_ip": (layer.to_k_ip, attn.inner_kv_dim), "to_v_ip": (layer.to_v_ip, attn.inner_kv_dim)}
        for part, (linear, width) in wide.items():
            if linear is not None and linear.out_features != width:
                raise WeightsError(f"{what}: {n}.{part} has {linear.out_features} rows, {name} needs {width}")
        for part, inside, outside in (
            ("q", attn.query_dim, attn.inner_dim),
            ("k", attn.cross_attention_dim, attn.inner_kv_dim),
            ("v", attn.cross_attention_dim, attn.inner_kv_dim),
            ("out", attn.inner_dim, attn.out_dim),
        ):
            lora = getattr(layer, f"to_{part}_lora")
            if lora is not None and (lora.down.in_features, lora.up.out_features) != (inside, outside):
                got = (lora.down.in_features, lora.up.out_features)
                raise WeightsError(f"{what}: {n}.to_{part}_lora maps {got}, {name} needs {(inside, outside)}")
