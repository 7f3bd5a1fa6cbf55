"""Random miniatures of every diffusion pipeline, made here in moments with no download."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

SIDE = 64
"""Pixels of the pictures, either side."""

FACE = 16
"""Width of the miniatures' cross attention."""


def tiny_pipelines() -> dict[str, Callable[[], tuple[Any, dict[str, Any]]]]:
    """{name: make}; make() gives a new pipeline and the keyword arguments of a call of it."""
    from pipelines.diffusion import families

    made: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {}
    for prefix, parts, kinds in (
        ("portrait", sd_parts, families.KINDS["Stable Diffusion 1.5"]),
        ("portrait-xl", xl_parts, families.KINDS["SDXL"]),
    ):
        for kind, pipeline in zip(("", "-img2img", "-inpaint"), kinds, strict=True):
            made[prefix + kind] = lambda p=pipeline, c=parts, k=kind: (quiet(p(**c())), inputs(k))
    return made


def quiet(pipe: Any) -> Any:
    """Without a progress bar."""
    pipe.set_progress_bar_config(disable=True)
    return pipe


def inputs(kind: str = "", seed: int = 0) -> dict[str, Any]:
    """Arguments of a call; kind: "", "-img2img" or "-inpaint"."""
    from PIL import Image

    out: dict[str, Any] = {
        "prompt": "a portrait by the window",
        "generator": torch.Generator("cpu").manual_seed(seed),
        "num_inference_steps": 2,
        "guidance_scale": 6.0,
        "output_type": "np",
    }
    if not kind:
        return out | {"height": SIDE, "width": SIDE}
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    out |= {"image": Image.fromarray(picture).resize((SIDE, SIDE)), "strength": 0.75, "num_inference_steps": 4}
    if kind == "-inpaint":
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[16:48, 16:48] = 255
        out |= {"mask_image": Image.fromarray(mask), "height": SIDE, "width": SIDE}
    return out


def sd_parts(width: int = FACE) -> dict[str, Any]:
    """Components of a pipeline in the shape of Stable Diffusion 1.5."""
    from diffusers import DDIMScheduler

    return {
        "unet": unet(width),
        "scheduler": DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        "vae": vae(),
        "text_encoder": text_encoder(width),
        "tokenizer": tokenizer(),
        "safety_checker": None,
        "feature_extractor": None,
        "image_encoder": None,
        "controlnet": None,
    }


def xl_parts() -> dict[str, Any]:
    """Components of a pipeline in the shape of SDXL."""
    from diffusers import EulerDiscreteScheduler
    from transformers import CLIPTextModelWithProjection

    second = text_encoder(2 * FACE, CLIPTextModelWithProjection)
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        timestep_spacing="leading",
    )
    return {
        "unet": unet(3 * FACE, xl=True),
        "scheduler": scheduler,
        "vae": vae(),
        "text_encoder": text_encoder(FACE),
        "text_encoder_2": second,
        "tokenizer": tokenizer(),
        "tokenizer_2": tokenizer(),
        "image_encoder": None,
        "feature_extractor": None,
        "controlnet": None,
    }


_SHAPE = dict(block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, in_channels=4)


def _sizes(width: int, xl: bool) -> dict[str, Any]:
    if not xl:
        return _SHAPE | dict(attention_head_dim=2, cross_attention_dim=width)
    return _SHAPE | dict(
        attention_head_dim=(2, 4),
        cross_attention_dim=width,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=6 * 8 + 2 * FACE,
    )


def unet(width: int = FACE, xl: bool = False, seed: int = 0) -> Any:
    """A UNet of two levels."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(seed)
    down = ("DownBlock2D", "CrossAttnDownBlock2D") if xl else ("CrossAttnDownBlock2D", "DownBlock2D")
    up = ("CrossAttnUpBlock2D", "UpBlock2D") if xl else ("UpBlock2D", "CrossAttnUpBlock2D")
    blocks = dict(down_block_types=down, up_block_types=up, out_channels=4, sample_size=SIDE // 2)
    return UNet2DConditionModel(**_sizes(width, xl), **blocks).eval()


def controlnet(width: int = FACE, xl: bool = False, seed: int = 5) -> Any:
    """A ControlNet for that UNet, whose zero convolutions aren't zero."""
    from diffusers import ControlNetModel

    torch.manual_seed(seed)
    down = ("DownBlock2D", "CrossAttnDownBlock2D") if xl else ("CrossAttnDownBlock2D", "DownBlock2D")
    net = ControlNetModel(
        **_sizes(width, xl), down_block_types=down, conditioning_embedding_out_channels=(8, 16)
    ).eval()
    for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        torch.nn.init.normal_(layer.weight, std=0.3)
    torch.nn.init.normal_(net.controlnet_cond_embedding.conv_out.weight, std=0.3)
    return net


def vae() -> Any:
    """An autoencoder that halves sides."""
    from diffusers import AutoencoderKL

    torch.manual_seed(1)
    return AutoencoderKL(
        block_out_channels=(16, 32),
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIDE,
        force_upcast=False,
    ).eval()


def text_encoder(width: int = FACE, kind: Any = None) -> Any:
    """CLIP's text model, one layer."""
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(2)
    config = CLIPTextConfig(
        vocab_size=514,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
        hidden_size=width,
        projection_dim=width,
        intermediate_size=32,
        num_attention_heads=2,
        num_hidden_layers=2,
    )
    return (kind or CLIPTextModel)(config).eval()


@cache
def _words() -> Path:
    """A folder with a vocabulary of single letters."""
    letters = [chr(c) for c in (*range(33, 127), *range(161, 173), *range(174, 256))]
    letters += [chr(256 + k) for k in range(256 - len(letters))]
    names = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    folder = Path(tempfile.mkdtemp(prefix="tiny-words-"))
    (folder / "vocab.json").write_text(json.dumps({name: k for k, name in enumerate(names)}), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    return folder


def tokenizer() -> Any:
    """CLIP's tokenizer on letters alone."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer(
        str(_words() / "vocab.json"), str(_words() / "merges.txt"), model_max_length=77, pad_token="<|endoftext|>"
    )
