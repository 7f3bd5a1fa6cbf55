"""The published models that the library reads, by the name that a user types."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from studio.errors import UsageError
from studio.weights.identity_models import IDENTITY
from studio.weights.published import PublishedFile, PublishedModel

_MPI = "Max Planck Institute, for non-commercial scientific research only; registration needed"

FLAME = PublishedModel(
    name="flame",
    title="FLAME head model",
    authors="Li, Bolkart, Black, Li and Romero, 2017",
    page="https://flame.is.tue.mpg.de (Downloads)",
    licence=f"{_MPI} (FLAME 2023 Open: CC BY 4.0)",
    files=(
        PublishedFile(
            "generic_model.pkl",
            aliases=("FLAME_NEUTRAL.pkl", "flame2023.pkl", "flame2023_no_jaw.pkl", "generic_model.npz"),
            note="FLAME 2016, 2019, 2020 and 2023 are all read.",
        ),
        PublishedFile(
            "landmark_embedding.npy",
            aliases=("flame_static_embedding.pkl",),
            optional=True,
            note="It comes with DECA (data/landmark_embedding.npy).",
        ),
        PublishedFile("flame_dynamic_embedding.npy", optional=True, note="It comes with RingNet and smplx."),
        PublishedFile("mediapipe_landmark_embedding.npz", optional=True, note="It comes with SMIRK (assets)."),
        PublishedFile("l_eyelid.npy", optional=True, note="It comes with SMIRK (assets)."),
        PublishedFile("r_eyelid.npy", optional=True, note="It comes with SMIRK (assets)."),
        PublishedFile("head_template.obj", optional=True, note="The template with texture coordinates, from FLAME."),
        PublishedFile("FLAME_texture.npz", aliases=("FLAME_albedo_from_BFM.npz",), optional=True),
        PublishedFile("FLAME_masks.pkl", optional=True),
    ),
)

SMPLX = PublishedModel(
    name="smplx",
    title="SMPL-X body model",
    authors="Pavlakos et al., 2019",
    page="https://smpl-x.is.tue.mpg.de (Downloads)",
    licence=_MPI,
    files=(PublishedFile("SMPLX_NEUTRAL.npz", aliases=("SMPLX_NEUTRAL.pkl", "SMPLX_FEMALE.npz", "SMPLX_MALE.npz")),),
)

DECA = PublishedModel(
    name="deca",
    title="DECA face reconstruction",
    authors="Feng, Feng, Black and Bolkart, 2021",
    page="https://github.com/yfeng95/DECA (Getting Started)",
    licence=_MPI,
    files=(PublishedFile("deca_model.tar"),),
    keys=(("E_flame", "coarse"), ("E_detail", "detail_encoder"), ("D_detail", "detail_decoder")),
)

SMIRK = PublishedModel(
    name="smirk",
    title="SMIRK face reconstruction",
    authors="Retsinas, Filntisis, Danecek, Abrevaya, Roussos, Bolkart and Maragos, 2024",
    page="https://github.com/georgeretsi/smirk (quick_install.sh)",
    licence="MIT; the FLAME files that it needs are for non-commercial research",
    files=(PublishedFile("SMIRK_em1.pt"),),
    commercial=True,
    keys=(("smirk_encoder.", "encoder"), ("smirk_generator.", "generator")),
)

MICA = PublishedModel(
    name="mica",
    title="MICA identity regressor",
    authors="Zielonka, Bolkart and Thies, 2022",
    page="https://github.com/Zielon/MICA (install.sh)",
    licence=_MPI,
    files=(PublishedFile("mica.tar"),),
    keys=(("arcface", "arcface"), ("flameModel", "regressor")),
    note="flameModel.generator holds FLAME's own arrays; they are left out.",
)

TEASER = PublishedModel(
    name="teaser",
    title="TEASER face reconstruction",
    authors="Liu, Zhu, Li, Wang and others, 2025",
    page="https://github.com/Pixel-Talk/TEASER",
    licence="not stated by its authors: no right to use or pass it on is given; ask them first",
    files=(PublishedFile("TEASER.pt", aliases=("TEASER_v1.pt",)),),
    keys=(("teaser_encoder.", "encoder"), ("teaser_generator.", "generator")),
)

_NETWORKS = ("appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator")
_STITCHING = "stitching_retargeting_module"
_LIVEPORTRAIT = dict(
    authors="Guo, Zhang, Liu, Zhong, Zhang, Wan and Zhang, 2024",
    page="https://github.com/KwaiVGI/LivePortrait",
    licence="MIT; the InsightFace detector that its own scripts use is non-commercial, and not needed here",
    commercial=True,
)


def _liveportrait_file(name: str, folder: str, **more: Any) -> PublishedFile:
    return PublishedFile(f"{name}.pth", repository="KwaiVGI/LivePortrait", path=f"{folder}/{name}.pth", **more)


_CORRECTORS = _liveportrait_file(_STITCHING, "liveportrait/retargeting_models")

LIVEPORTRAIT = PublishedModel(
    name="liveportrait",
    title="LivePortrait",
    files=(*(_liveportrait_file(name, "liveportrait/base_models") for name in _NETWORKS), _CORRECTORS),
    **_LIVEPORTRAIT,
)

_ANIMALS = "liveportrait_animals/base_models"

LIVEPORTRAIT_ANIMALS = PublishedModel(
    name="liveportrait-animals",
    title="LivePortrait for animals",
    files=(
        *(
            _liveportrait_file(name, f"{_ANIMALS}_v1.1", aliases=(f"{_ANIMALS}/{name}.pth",), note="v1.1 or the first.")
            for name in _NETWORKS
        ),
        replace(_CORRECTORS, optional=True),
    ),
    **_LIVEPORTRAIT,
)

JOYVASA = PublishedModel(
    name="joyvasa",
    title="JoyVASA speech to motion",
    authors="Cao, Wang, Shi and others, 2024",
    page="https://github.com/jdh-algo/JoyVASA",
    licence="MIT; the InsightFace detector that its own scripts use is non-commercial, and not needed here",
    files=(
        PublishedFile(
            "motion_generator_hubert_chinese.pt",
            repository="jdh-algo/JoyVASA",
            path="motion_generator/motion_generator_hubert_chinese.pt",
            aliases=("JoyVASA/motion_generator/motion_generator_hubert_chinese.pt",),
            note="It holds its speech encoder (chinese-hubert-base, MIT) as well.",
        ),
        PublishedFile(
            "motion_template.pkl",
            repository="jdh-algo/JoyVASA",
            path="motion_template/motion_template.pkl",
            aliases=("JoyVASA/motion_template/motion_template.pkl",),
        ),
    ),
    commercial=True,
)

CTRLORA = PublishedModel(
    name="ctrlora",
    title="CtrLoRA control network",
    authors="Xu, He, Shan and Chen, 2025",
    page="https://huggingface.co/xyfJASON/ctrlora (Files)",
    licence="Apache-2.0; Stable Diffusion 1.5, which it goes with, has a licence of its own (CreativeML OpenRAIL-M)",
    files=(
        PublishedFile(
            "ctrlora_sd15_basecn700k.ckpt",
            aliases=("ctrlora-basecn/ctrlora_sd15_basecn700k.ckpt",),
            note="Each condition is a file of its own (ctrlora_sd15_basecn700k_CONDITION….ckpt).",
        ),
    ),
    commercial=True,
)

_ALL = (FLAME, SMPLX, DECA, SMIRK, MICA, TEASER, LIVEPORTRAIT, LIVEPORTRAIT_ANIMALS, JOYVASA, CTRLORA, *IDENTITY)
MODELS = {m.name: m for m in _ALL}
"""By the names of the command line."""


def model(name: str) -> PublishedModel:
    """A model by name; UsageError names the others."""
    if name not in MODELS:
        raise UsageError(f"no model {name!r}; there are {', '.join(MODELS)}")
    return MODELS[name]
