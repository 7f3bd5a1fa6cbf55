"""The model that comes with the package: a miniature that knows renders of our own heads, 64 pixels wide."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from studio.errors import WeightsError


def open_maker(lora: Mapping[str, float] | None = None) -> Any:
    """A `GenerationPipeline` of the miniature with its ControlNet and adapters. Raises WeightsError where it isn't in
    this installation."""
    if find_spec("demos.miniature") is None or not import_module("demos.miniature").FOLDER.is_dir():
        raise WeightsError(
            "the miniature is not in this installation: give --model FOLDER, a checkpoint of Stable Diffusion 1.5 or "
            "SDXL as diffusers saves it"
        )
    opening, people, pictures = (import_module(f"demos.miniature.{name}") for name in ("opening", "people", "pictures"))
    folder = import_module("demos.miniature").FOLDER
    from pipelines.generate import GenerationPipeline

    make = GenerationPipeline.from_pretrained(
        folder,
        controlnet=folder / opening.CONTROLNET,
        condition="normals",
        lora=lora,
        camera=pictures.CAMERA,
        numbers=people.expression_numbers,
    )
    make.pipe.load_identity(folder / opening.IDENTITY, kind="faceid")
    make.pipe.load_identity(folder / opening.EXPRESSION, kind="expression")
    if hasattr(people, "embedder"):
        make.pipe.embedder = people.embedder
    return make
