"""The names that Stable Diffusion 1.5's layers have in published checkpoints, and those of diffusers.

Both follow from one order: a level is two layers and a downsampler on the way down, three layers and an upsampler on
the way up, so a block's number tells its place. Nothing here needs torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np

from studio.errors import WeightsError

CONTROL, UNET, VAE = "control_model.", "model.diffusion_model.", "first_stage_model."
"""What the keys of each network begin with in a published checkpoint."""

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_VAE_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
_WHOLE = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "middle_block_out.0": "controlnet_mid_block",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_LORA = {"lora_layer.down.": "lora_A.", "lora_layer.up.": "lora_B."}
_ORDER = ("time_embed", "input_blocks", "middle_block", "emb_layers", "transformer_blocks", "attn1", "ff", "attn2")
_ORDER += ("to_q", "to_k", "to_v", "to_out", "net", "proj")


def diffusers_key(key: str) -> str:
    """A published key, its network's prefix included, as diffusers' ControlNetModel, UNet or AutoencoderKL names it.

    A LoRA pair comes out under PEFT's names. Of the VAE the encoder is known. Raises WeightsError for a key that
    belongs to none of the three.
    """
    for prefix, rename in ((CONTROL, _unet), (UNET, _unet), (VAE, _vae)):
        if key.startswith(prefix) and (found := rename(key[len(prefix) :])):
            for ours, theirs in _LORA.items():
                found = found.replace(ours, theirs)
            return found
    raise WeightsError(f"{key}: no key of a control network, a UNet or a VAE encoder of Stable Diffusion 1.5")


def published_key(key: str) -> str:
    """The inverse of `diffusers_key` for a control network: its key, or a LoRA's, as published files name it. Raises
    WeightsError for another network's.
    """
    for theirs, ours in _LORA.items():
        key = key.replace(ours, theirs)
    if found := _split(key, {ours: name for name, ours in _WHOLE.items()}):
        return f"{CONTROL}{found}"
    if match := re.fullmatch(r"controlnet_down_blocks\.(\d+)\.(.+)", key):
        return f"{CONTROL}zero_convs.{match[1]}.0.{match[2]}"
    if match := re.fullmatch(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.+)", key):
        return f"{CONTROL}input_blocks.{3 * int(match[1]) + 3}.0.op.{match[2]}"
    match = re.fullmatch(r"(?:down_blocks\.(\d+)|mid_block)\.(resnets|attentions)\.(\d)\.(.+)", key)
    if match is None:
        raise WeightsError(f"{key}: no key of a control network of Stable Diffusion 1.5")
    layer, place, rest = int(match[2] == "attentions"), int(match[3]), match[4]
    if match[2] == "resnets":
        rest = _split(rest, {ours: name for name, ours in _RESNET.items()}) or rest
    if match[1] is None:
        return f"{CONTROL}middle_block.{1 if layer else 2 * place}.{rest}"
    return f"{CONTROL}input_blocks.{3 * int(match[1]) + place + 1}.{layer}.{rest}"


def part(tree: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """One network of a checkpoint by diffusers' names: {key: array}.

    prefix is `CONTROL`, `UNET` or `VAE` (its encoder alone). The VAE's attention, published as 1×1 convolutions
    (O, I, 1, 1), becomes matrices (O, I).
    """
    if prefix == VAE:
        own = (key for key in tree if key.startswith((f"{VAE}encoder.", f"{VAE}quant_conv.")))
        return {diffusers_key(key): _squeezed(key, tree[key]) for key in own}
    return {diffusers_key(key): value for key, value in tree.items() if key.startswith(prefix)}


def linear_order(keys: Iterable[str]) -> list[str]:
    """Names of the Linear layers that a LoRA changes, without prefix, in the order in which training numbered them.

    keys are the published keys of a base; convolutions, norms and LoRAs among them are left out.
    """
    names = {key[len(CONTROL) :].removesuffix(".weight") for key in keys if key.startswith(CONTROL)}
    linear = re.compile(r"time_embed\.\d|.*\.emb_layers\.1|.*\.(to_[qkv]|to_out\.0|net\.0\.proj|net\.2)")
    return sorted((name for name in names if linear.fullmatch(name)), key=_place)


def _place(name: str) -> list[int]:
    return [int(word) if word.isdigit() else _ORDER.index(word) for word in name.split(".")]


def _squeezed(key: str, value: np.ndarray) -> np.ndarray:
    return value[:, :, 0, 0] if ".attn_1." in key and value.ndim == 4 else value


def _split(rest: str, names: Mapping[str, str]) -> str | None:
    """`rest` with the layer that it begins with renamed; None where `names` has no such layer."""
    for name, ours in names.items():
        if rest.startswith(f"{name}."):
            return f"{ours}{rest[len(name) :]}"
    return None


def _unet(key: str) -> str | None:
    if found := _split(key, _WHOLE):
        return found
    if match := re.fullmatch(r"zero_convs\.(\d+)\.0\.(.+)", key):
        return f"controlnet_down_blocks.{match[1]}.{match[2]}"
    match = re.fullmatch(r"(input_blocks|output_blocks|middle_block)(?:\.(\d+))?\.(\d)\.(.+)", key)
    if match is None:
        return None
    kind, layer, rest = match[1], int(match[3]), match[4]
    if kind == "middle_block":
        return f"mid_block.attentions.0.{rest}" if layer == 1 else _resnet(f"mid_block.resnets.{layer // 2}", rest)
    if match[2] is None:
        return None
    if kind == "input_blocks":
        block, (level, place) = "down_blocks", divmod(int(match[2]) - 1, 3)
        if place == 2:
            return f"{block}.{level}.downsamplers.0.conv.{rest[3:]}" if rest.startswith("op.") else None
    else:
        block, (level, place) = "up_blocks", divmod(int(match[2]), 3)
        if rest.startswith("conv."):
            return f"{block}.{level}.upsamplers.0.{rest}"
    if layer == 1:
        return f"{block}.{level}.attentions.{place}.{rest}"
    return _resnet(f"{block}.{level}.resnets.{place}", rest)


def _resnet(where: str, rest: str) -> str | None:
    found = _split(rest, _RESNET)
    return f"{where}.{found}" if found else None


def _vae(key: str) -> str | None:
    if key.startswith(("quant_conv.", "encoder.conv_in.", "encoder.conv_out.")):
        return key
    if key.startswith("encoder.norm_out."):
        return f"encoder.conv_norm_out.{key[17:]}"
    if match := re.fullmatch(r"encoder\.down\.(\d)\.(?:block\.(\d)|downsample)\.(.+)", key):
        layer = "downsamplers.0" if match[2] is None else f"resnets.{match[2]}"
        return f"encoder.down_blocks.{match[1]}.{layer}.{match[3].replace('nin_shortcut', 'conv_shortcut')}"
    if match := re.fullmatch(r"encoder\.mid\.block_([12])\.(.+)", key):
        return f"encoder.mid_block.resnets.{int(match[1]) - 1}.{match[2]}"
    if match := re.fullmatch(r"encoder\.mid\.attn_1\.(.+)", key):
        found = _split(match[1], _VAE_ATTENTION)
        return found and f"encoder.mid_block.attentions.0.{found}"
    return None
