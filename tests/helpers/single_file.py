"""A pipeline in the shape of Stable Diffusion 1.5 as one file with the original's keys (CompVis/stable-diffusion)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET = {
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "conv_in.": "input_blocks.0.0.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
    "mid_block.attentions.0.": "middle_block.1.",
    "mid_block.resnets.0.": "middle_block.0.",
    "mid_block.resnets.1.": "middle_block.2.",
}
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def original(pipe: Any) -> dict[str, Any]:
    """{key: tensor} as the original names them."""
    out = {f"model.diffusion_model.{k}": v for k, v in _unet(pipe.unet).items()}
    out |= {f"first_stage_model.{k}": v for k, v in _vae(pipe.vae).items()}
    text = {k.removeprefix("text_model."): v for k, v in pipe.text_encoder.state_dict().items()}
    return out | {f"cond_stage_model.transformer.text_model.{k}": v for k, v in text.items()}


def save(pipe: Any, path: Path) -> Path:
    """Writes it as .safetensors."""
    from safetensors.torch import save_file

    save_file({k: v.contiguous().clone() for k, v in original(pipe).items()}, path)
    return path


def _renamed(key: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        if ours in key:
            return key.replace(ours, theirs)
    return key


def _unet(unet: Any) -> dict[str, Any]:
    levels, each = len(unet.config.block_out_channels), unet.config.layers_per_block
    names = dict(_UNET)
    for i in range(levels):
        for j in range(each + 1):
            place = (each + 1) * i + j
            names[f"up_blocks.{i}.resnets.{j}."] = f"output_blocks.{place}.0."
            names[f"up_blocks.{i}.attentions.{j}."] = f"output_blocks.{place}.1."
            if j < each:
                names[f"down_blocks.{i}.resnets.{j}."] = f"input_blocks.{place + 1}.0."
                names[f"down_blocks.{i}.attentions.{j}."] = f"input_blocks.{place + 1}.1."
        names[f"down_blocks.{i}.downsamplers.0.conv."] = f"input_blocks.{(each + 1) * (i + 1)}.0.op."
        after = 2 if "CrossAttn" in unet.config.up_block_types[i] else 1
        names[f"up_blocks.{i}.upsamplers.0.conv."] = f"output_blocks.{(each + 1) * i + each}.{after}.conv."
    out = {}
    for key, value in unet.state_dict().items():
        new = _renamed(key, names)
        out[_renamed(new, _RESNET) if ".resnets." in key else new] = value
    return out


def _vae(vae: Any) -> dict[str, Any]:
    last = len(vae.config.block_out_channels) - 1
    names = {"mid_block.attentions.0.": "mid.attn_1.", "conv_norm_out": "norm_out"}
    names |= {f"mid_block.resnets.{j}.": f"mid.block_{j + 1}." for j in (0, 1)}
    for i in range(last + 1):
        for j in range(vae.config.layers_per_block + 1):
            names[f"down_blocks.{i}.resnets.{j}."] = f"down.{i}.block.{j}."
            names[f"up_blocks.{i}.resnets.{j}."] = f"up.{last - i}.block.{j}."
        names[f"down_blocks.{i}.downsamplers.0."] = f"down.{i}.downsample."
        names[f"up_blocks.{i}.upsamplers.0."] = f"up.{last - i}.upsample."
    out = {}
    for key, value in vae.state_dict().items():
        new = _renamed(key, names).replace("conv_shortcut", "nin_shortcut")
        if ".attentions." in key:
            new = _renamed(new, _ATTENTION)
            value = value[..., None, None] if new.endswith("weight") and value.ndim == 2 else value
        out[new] = value
    return out
