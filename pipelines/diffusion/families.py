"""The pipelines: Stable Diffusion 1.5 and SDXL, from text, from a picture, and within a mask of one.

Each is diffusers' own with `controlnet` as one more component, which may be missing; see `pipelines.diffusion.portrait`
for what their calls take besides.
"""

from __future__ import annotations

import diffusers
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from diffusers.schedulers import KarrasDiffusionSchedulers
from transformers import (
    CLIPImageProcessor,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
)

from pipelines.diffusion.portrait import Portraits


class _StableDiffusion(Portraits):
    """Components of Stable Diffusion 1.5's pipelines."""

    family = "Stable Diffusion 1.5"
    _optional_components = ["safety_checker", "feature_extractor", "image_encoder", "controlnet"]  # noqa: RUF012

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel,
        scheduler: KarrasDiffusionSchedulers,
        safety_checker: StableDiffusionSafetyChecker | None = None,
        feature_extractor: CLIPImageProcessor | None = None,
        image_encoder: CLIPVisionModelWithProjection | None = None,
        controlnet: ControlNetModel | MultiControlNetModel | None = None,
        requires_safety_checker: bool = False,
    ) -> None:
        super().__init__(
            vae,
            text_encoder,
            tokenizer,
            unet,
            scheduler,
            safety_checker,
            feature_extractor,
            image_encoder,
            requires_safety_checker,
        )
        self._take(controlnet)


class _StableDiffusionXL(Portraits):
    """Components of SDXL's pipelines."""

    family = "SDXL"
    _optional_components = [  # noqa: RUF012
        "tokenizer",
        "tokenizer_2",
        "text_encoder",
        "text_encoder_2",
        "image_encoder",
        "feature_extractor",
        "controlnet",
    ]


class PortraitPipeline(_StableDiffusion, StableDiffusionPipeline):
    """Portraits from a prompt, by Stable Diffusion 1.5 (Rombach et al. 2022)."""


class PortraitImg2ImgPipeline(_StableDiffusion, StableDiffusionImg2ImgPipeline):
    """Portraits from a prompt and a picture to begin with (Meng et al. 2022), by Stable Diffusion 1.5."""


class PortraitInpaintPipeline(_StableDiffusion, StableDiffusionInpaintPipeline):
    """A prompt within a mask of a picture, by Stable Diffusion 1.5 or its inpainting variant."""


class PortraitXLPipeline(_StableDiffusionXL, StableDiffusionXLPipeline):
    """Portraits from a prompt, by SDXL (Podell et al. 2023)."""

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        text_encoder_2: CLIPTextModelWithProjection,
        tokenizer: CLIPTokenizer,
        tokenizer_2: CLIPTokenizer,
        unet: UNet2DConditionModel,
        scheduler: KarrasDiffusionSchedulers,
        image_encoder: CLIPVisionModelWithProjection | None = None,
        feature_extractor: CLIPImageProcessor | None = None,
        controlnet: ControlNetModel | MultiControlNetModel | None = None,
        force_zeros_for_empty_prompt: bool = True,
        add_watermarker: bool | None = None,
    ) -> None:
        super().__init__(
            vae,
            text_encoder,
            text_encoder_2,
            tokenizer,
            tokenizer_2,
            unet,
            scheduler,
            image_encoder,
            feature_extractor,
            force_zeros_for_empty_prompt,
            add_watermarker,
        )
        self._take(controlnet)


class _FromPictureXL(_StableDiffusionXL):
    """SDXL's pipelines that begin with a picture also know an aesthetic score."""

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        text_encoder_2: CLIPTextModelWithProjection,
        tokenizer: CLIPTokenizer,
        tokenizer_2: CLIPTokenizer,
        unet: UNet2DConditionModel,
        scheduler: KarrasDiffusionSchedulers,
        image_encoder: CLIPVisionModelWithProjection | None = None,
        feature_extractor: CLIPImageProcessor | None = None,
        controlnet: ControlNetModel | MultiControlNetModel | None = None,
        requires_aesthetics_score: bool = False,
        force_zeros_for_empty_prompt: bool = True,
        add_watermarker: bool | None = None,
    ) -> None:
        super().__init__(
            vae,
            text_encoder,
            text_encoder_2,
            tokenizer,
            tokenizer_2,
            unet,
            scheduler,
            image_encoder,
            feature_extractor,
            requires_aesthetics_score,
            force_zeros_for_empty_prompt,
            add_watermarker,
        )
        self._take(controlnet)


class PortraitXLImg2ImgPipeline(_FromPictureXL, StableDiffusionXLImg2ImgPipeline):
    """Portraits from a prompt and a picture to begin with, by SDXL."""


class PortraitXLInpaintPipeline(_FromPictureXL, StableDiffusionXLInpaintPipeline):
    """A prompt within a mask of a picture, by SDXL or its inpainting variant."""


KINDS = {
    "Stable Diffusion 1.5": (PortraitPipeline, PortraitImg2ImgPipeline, PortraitInpaintPipeline),
    "SDXL": (PortraitXLPipeline, PortraitXLImg2ImgPipeline, PortraitXLInpaintPipeline),
}
"""By family: from text, from a picture, within a mask."""

for _pipeline in (made for some in KINDS.values() for made in some):
    setattr(diffusers, _pipeline.__name__, _pipeline)  # where `DiffusionPipeline.from_pretrained` looks for a folder's
