"""The model that comes with the package: a miniature that knows renders of our own heads, 64 pixels wide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from demos.miniature import FOLDER, GUIDANCE
from studio.errors import WeightsError


def open_maker(lora: Mapping[str, float] | None = None) -> Any:
    """A `GenerationPipeline` of the miniature with its ControlNet and adapters. Raises WeightsError where it isn't in
    this installation."""
    if not FOLDER.is_dir():
        raise WeightsError(
            "the miniature is not in this installation: give --model FOLDER, a checkpoint of Stable Diffusion 1.5 or "
            "SDXL as diffusers saves it"
        )
    from controls.expression_words import expression_words
    from demos.miniature import opening, people, photo, pictures
    from pipelines.generate import GenerationPipeline

    make = GenerationPipeline.from_pretrained(
        FOLDER,
        controlnet=FOLDER / opening.CONTROLNET,
        condition="normals",
        lora=lora,
        camera=pictures.CAMERA,
        numbers=people.expression_numbers,
        describe=lambda weights, emotion: expression_words(people.known(weights)),  # "eyes wide" it takes for "closed"
        guidance=GUIDANCE,
    )
    make.pipe.load_identity(FOLDER / opening.IDENTITY, kind="faceid")
    make.pipe.load_identity(FOLDER / opening.EXPRESSION, kind="expression")
    make.pipe.embedder = photo.photo_embedding
    return make
