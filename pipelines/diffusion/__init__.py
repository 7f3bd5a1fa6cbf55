"""Portraits by diffusion: subclasses of diffusers' Stable Diffusion pipelines that also know a face's identity,
expression and pose.

    from pipelines.diffusion import PortraitPipeline

    pipe = PortraitPipeline.from_pretrained("stable-diffusion-v1-5")   # any checkpoint folder of the family
    pipe.load_identity("ip-adapter-faceid_sd15.bin")
    picture = pipe("portrait, window light", identity="me.jpg", generator=torch.manual_seed(7)).images[0]

Without identity, control or the like they compute what diffusers' own do. Needs torch and diffusers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.diffusion.families import (
        PortraitImg2ImgPipeline,
        PortraitInpaintPipeline,
        PortraitPipeline,
        PortraitXLImg2ImgPipeline,
        PortraitXLInpaintPipeline,
        PortraitXLPipeline,
    )
    from pipelines.diffusion.opening import family_of, open_controlnet, open_pipeline
    from pipelines.diffusion.region import Region
    from pipelines.diffusion.semantic import Concept

_HOME = {
    "PortraitPipeline": "families",
    "PortraitImg2ImgPipeline": "families",
    "PortraitInpaintPipeline": "families",
    "PortraitXLPipeline": "families",
    "PortraitXLImg2ImgPipeline": "families",
    "PortraitXLInpaintPipeline": "families",
    "Concept": "semantic",
    "Region": "region",
    "family_of": "opening",
    "open_controlnet": "opening",
    "open_pipeline": "opening",
}
__all__ = [
    "Concept",
    "PortraitImg2ImgPipeline",
    "PortraitInpaintPipeline",
    "PortraitPipeline",
    "PortraitXLImg2ImgPipeline",
    "PortraitXLInpaintPipeline",
    "PortraitXLPipeline",
    "Region",
    "family_of",
    "open_controlnet",
    "open_pipeline",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
