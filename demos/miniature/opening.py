"""The miniature opened: diffusers' pipeline, and the adapters beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controls.identity.adapter import Adapter
from controls.identity.expression import ExpressionAdapter, expression_projection
from controls.identity.faceid import FaceId, projection_of
from controls.identity.stack import install_stack
from demos.miniature import FOLDER
from studio.errors import require
from studio.weights import state_dict

CONTROLNET = "controlnet"
IDENTITY = "ip_adapter/ip-adapter-faceid.safetensors"
EXPRESSION = "ip_adapter/exp_adapter.safetensors"
CTRLORA, CONDITION = "ctrlora/base.safetensors", "ctrlora/{}.safetensors"
"""Where things lie in its folder."""


@dataclass(frozen=True)
class Opened:
    """pipe  diffusers' `StableDiffusionControlNetPipeline`; identity, expression  adapters, both in its UNet: a call
    without `cross_attention_kwargs` leaves them silent, with it they get `controls.identity.stack.stacked` guides."""

    pipe: Any
    identity: FaceId
    expression: ExpressionAdapter


def open_miniature(folder: Path = FOLDER) -> Opened:
    """The miniature with its ControlNet and both adapters, float32. Raises MissingExtraError without diffusers,
    WeightsError for files that don't fit.
    """
    diffusers = require("diffusers", extra="models")
    import torch

    net = diffusers.ControlNetModel.from_pretrained(folder / CONTROLNET, torch_dtype=torch.float32)
    pipe = diffusers.StableDiffusionControlNetPipeline.from_pretrained(
        folder, controlnet=net, torch_dtype=torch.float32
    )
    pipe.set_progress_bar_config(disable=True)
    face, mimic = folder / IDENTITY, folder / EXPRESSION
    identity = FaceId(
        projection_of(state_dict(face, "image_proj"), what=str(face)),
        Adapter.of(state_dict(face, "ip_adapter"), pipe.unet, what=str(face)),
    )
    expression = ExpressionAdapter(
        expression_projection(state_dict(mimic, "image_proj"), what=str(mimic)),
        Adapter.of(state_dict(mimic, "ip_adapter"), pipe.unet, what=str(mimic)),
    )
    install_stack(pipe.unet, [identity.adapter, expression.adapter])
    return Opened(pipe, identity, expression)
