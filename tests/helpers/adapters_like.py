"""Random adapters in the shape of the published ones, for any UNet."""

from __future__ import annotations

from typing import Any

import numpy as np

from controls.identity.adapter import Adapter
from controls.identity.attention import layers_of
from controls.identity.faceid import FaceId, projection_of

SEEN, HEAD = 48, 64
"""Width of what CLIP says, and of an attention head of the perceiver."""


def token_weights(unet: Any, seed: int = 0) -> dict[str, np.ndarray]:
    """{key: float32} "{n}.to_k_ip.weight" and values of every cross attention."""
    draw, width, out = np.random.default_rng(seed), unet.config.cross_attention_dim, {}
    for n, name in enumerate(layers_of(unet)):
        layer = unet.get_submodule(name.removesuffix(".processor"))
        if layer.is_cross_attention:
            for part in "kv":
                made = draw.standard_normal((layer.inner_dim, width)).astype(np.float32)
                out[f"{n}.to_{part}_ip.weight"] = made
    return out


def projection_weights(width: int, seen: int = 512, plus: bool = False, seed: int = 1) -> dict[str, np.ndarray]:
    """Of FaceID's projection: what it sees -> 4 tokens of a width; plus: with the perceiver that looks at CLIP's."""
    draw = np.random.default_rng(seed)
    shapes = {"proj.0.weight": (24, seen), "proj.0.bias": (24,), "proj.2.weight": (4 * width, 24)}
    shapes |= {"proj.2.bias": (4 * width,), "norm.weight": (width,), "norm.bias": (width,)}
    out = {k: draw.standard_normal(s).astype(np.float32) for k, s in shapes.items()}
    if plus:
        from controls.identity.resampler import Perceiver

        inner = Perceiver(embedding=SEEN, dim=width, out=width, depth=1, inner=HEAD, hidden=2 * width)
        for key, value in inner.state_dict().items():
            out[f"perceiver_resampler.{key}"] = draw.standard_normal(tuple(value.shape)).astype(np.float32)
    return out


def face_id(unet: Any, plus: bool = False, shortcut: bool = True) -> FaceId:
    """FaceID, or FaceID-PlusV2 (`shortcut`) or Plus, made for a UNet; `load_identity` puts it in."""
    arrays = projection_weights(unet.config.cross_attention_dim, plus=plus)
    projection = projection_of(arrays, shortcut=shortcut, what="random weights")
    return FaceId(projection, Adapter.of(token_weights(unet), unet, what="random weights"))
