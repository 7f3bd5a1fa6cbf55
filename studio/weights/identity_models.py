"""The published adapters that carry a face's identity into diffusion."""

from __future__ import annotations

from studio.weights.published import PublishedFile, PublishedModel

_FACEID = "h94/IP-Adapter-FaceID"
_INSTANTID = "InstantX/InstantID"
_ARC2FACE = "FoivosPar/Arc2Face"


def _faceid(name: str, optional: bool = True) -> PublishedFile:
    return PublishedFile(name, repository=_FACEID, path=name, optional=optional)


FACEID = PublishedModel(
    name="ip-adapter-faceid",
    title="IP-Adapter FaceID",
    authors="Ye, Zhang, Liu, Han and Yang, 2023",
    page=f"https://huggingface.co/{_FACEID}",
    licence="the weights are for non-commercial research only, as InsightFace's models are; the code is Apache-2.0",
    files=(
        _faceid("ip-adapter-faceid_sd15.bin", optional=False),
        _faceid("ip-adapter-faceid-plus_sd15.bin"),
        _faceid("ip-adapter-faceid-plusv2_sd15.bin"),
        _faceid("ip-adapter-faceid-portrait_sd15.bin"),
        _faceid("ip-adapter-faceid_sdxl.bin"),
        _faceid("ip-adapter-faceid-plusv2_sdxl.bin"),
    ),
    note="It takes buffalo_l's embedding at length 1.",
)

INSTANTID = PublishedModel(
    name="instantid",
    title="InstantID",
    authors="Wang, Bai, Wang, Qin, Chen, Li, Tang and Hu, 2024",
    page="https://github.com/instantX-research/InstantID",
    licence="Apache-2.0; it needs InsightFace's antelopev2, which is for non-commercial research only",
    files=(
        PublishedFile("ip-adapter.bin", repository=_INSTANTID, path="ip-adapter.bin"),
        PublishedFile(
            "ControlNetModel/diffusion_pytorch_model.safetensors",
            repository=_INSTANTID,
            path="ControlNetModel/diffusion_pytorch_model.safetensors",
            note="The IdentityNet, with its config.json beside it.",
        ),
    ),
    note="It takes antelopev2's embedding as it comes, not at length 1.",
)

ARC2FACE = PublishedModel(
    name="arc2face",
    title="Arc2Face",
    authors="Papantoniou, Lattas, Moschoglou, Deng, Kainz and Zafeiriou, 2024",
    page="https://github.com/foivospar/Arc2Face",
    licence="MIT; its face recogniser, SMIRK and FLAME have terms of their own, non-commercial among them",
    files=(
        PublishedFile(
            "encoder/model.safetensors",
            repository=_ARC2FACE,
            path="encoder/model.safetensors",
            aliases=("encoder/pytorch_model.bin",),
            note="The text encoder that Arc2Face was trained with.",
        ),
        PublishedFile(
            "arc2face/diffusion_pytorch_model.safetensors",
            repository=_ARC2FACE,
            path="arc2face/diffusion_pytorch_model.safetensors",
            note="The UNet, with its config.json beside it.",
        ),
        PublishedFile(
            "exp_adapter/exp_adapter.bin", repository=_ARC2FACE, path="exp_adapter/exp_adapter.bin", optional=True
        ),
        PublishedFile(
            "ref_adapter/pytorch_lora_weights.safetensors",
            repository=_ARC2FACE,
            path="ref_adapter/pytorch_lora_weights.safetensors",
            optional=True,
        ),
    ),
)

IDENTITY = (FACEID, INSTANTID, ARC2FACE)
