# ruff: noqa: E402  (torch and diffusers may be missing)
"""Single files, offload, previews, prompts that are too long; what is beside the components goes with them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="diffusion runs on torch (extra: models)")
diffusers = pytest.importorskip("diffusers", reason="the pipelines are diffusers' (extra: models)")
pytest.importorskip("transformers", reason="text encoders are transformers'")

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny
from adapters_like import face_id
from single_file import save

from pipelines import GenerationPipeline
from pipelines.diffusion import Concept, PortraitImg2ImgPipeline, PortraitPipeline, Region, family_of, open_pipeline
from pipelines.diffusion.preview import Preview
from studio.errors import UsageError, WeightsError

LONG = "a portrait of somebody " + "with a very long description " * 5 + "smiling"


@pytest.fixture(scope="module")
def pipe():
    return tiny.tiny_pipelines()["portrait"]()[0]


@pytest.fixture(scope="module")
def folder(pipe, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("single")
    pipe.save_pretrained(place / "sd")
    tiny.tiny_pipelines()["portrait-xl"]()[0].save_pretrained(place / "xl")
    save(pipe, place / "sd.safetensors")
    return place


def test_a_single_file_gives_the_same_pipeline(pipe, folder) -> None:
    file = folder / "sd.safetensors"
    assert family_of(file) == "Stable Diffusion 1.5"
    wanted = pipe(**tiny.inputs()).images
    opened = tiny.quiet(open_pipeline(file, config=str(folder / "sd")))
    assert type(opened) is PortraitPipeline
    assert np.abs(opened(**tiny.inputs()).images - wanted).max() < 1e-5
    net = tiny.controlnet()
    other = open_pipeline(file, "image", config=str(folder / "sd"), controlnet=net)
    assert type(other) is PortraitImg2ImgPipeline
    assert other.controlnet is net
    made = GenerationPipeline.from_pretrained(file, config=folder / "sd")
    assert np.array_equal(made("a face", steps=1).images[0], GenerationPipeline(pipe)("a face", steps=1).images[0])


def test_a_single_file_without_settings_is_refused(folder, monkeypatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def nothing(*_, **__):
        raise LocalEntryNotFoundError("nothing is kept here")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", nothing)
    monkeypatch.setattr("diffusers.loaders.single_file._download_diffusers_model_config_from_hub", nothing)
    file = folder / "sd.safetensors"
    for call in (GenerationPipeline.from_pretrained, PortraitPipeline.from_single_file, open_pipeline):
        with pytest.raises(WeightsError, match=r"settings and tokenizer.*config=FOLDER"):
            call(file)
    with pytest.raises(WeightsError, match=r"SDXL, but config is for Stable Diffusion 1\.5"):
        open_pipeline(file, config=str(folder / "xl"))
    with pytest.raises(WeightsError, match="no such folder"):
        open_pipeline(file, config=str(folder / "none"))


def test_settings_that_the_hub_keeps_here_are_used(pipe, folder, monkeypatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(folder / "sd"))
    opened = tiny.quiet(open_pipeline(folder / "sd.safetensors", local_files_only=True))
    assert np.abs(opened(**tiny.inputs()).images - pipe(**tiny.inputs()).images).max() < 1e-5


def test_prompts_that_are_too_long_are_refused(pipe) -> None:
    with pytest.raises(UsageError, match=r"the prompt is too long by \d+ tokens.*smiling"):
        pipe(**tiny.inputs() | {"prompt": LONG})
    with pytest.raises(UsageError, match="too long"):
        pipe(**tiny.inputs() | {"prompt": ["short", LONG]})
    with pytest.raises(UsageError, match="the prompt of a concept is too long"):
        pipe(**tiny.inputs(), concepts=[Concept(LONG, 5.0)])
    with pytest.raises(UsageError, match="the prompt of a region is too long"):
        pipe(**tiny.inputs(), regions=[Region(np.ones((4, 4)), LONG)])
    xl, inputs = tiny.tiny_pipelines()["portrait-xl"]()
    with pytest.raises(UsageError, match="prompt_2 is too long"):
        xl(**inputs, prompt_2=LONG)
    with pytest.raises(UsageError, match="too long"):
        GenerationPipeline(pipe)(LONG, steps=1)
    longest = "ab " * 37 + "c"  # 75 letters, each a token
    assert pipe(**tiny.inputs() | {"prompt": longest}).images.shape == (1, tiny.SIDE, tiny.SIDE, 3)


def test_offload_takes_everything_along(monkeypatch) -> None:
    pytest.importorskip("accelerate", reason="offload is accelerate's")
    made, inputs = tiny.tiny_pipelines()["portrait"]()
    made.register_modules(controlnet=tiny.controlnet())
    made.load_identity(face_id(made.unet))
    wishes = dict(
        identity_embeds=np.linspace(-1, 1, 512),
        control_image=np.full((tiny.SIDE, tiny.SIDE, 3), 200, np.uint8),
        concepts=[Concept("smiling", 5.0, threshold=0.5, warmup=0.0)],
    )
    wanted = made(**inputs, **wishes).images
    made.enable_model_cpu_offload(device="cpu")  # the CPU in the accelerator's place: the same hooks
    assert all(hasattr(m, "_hf_hook") for m in made.components.values() if isinstance(m, torch.nn.Module))
    moved = []
    monkeypatch.setattr(made.adapter.projection, "to", lambda *where: moved.append(where))
    again = inputs | {"generator": torch.Generator().manual_seed(0)}
    assert np.abs(made(**again, **wishes).images - wanted).max() < 1e-5
    assert moved[-1] == ("cpu",)


@pytest.mark.skipif(torch.cuda.is_available(), reason="refused without an accelerator alone")
def test_offload_without_an_accelerator_is_refused_as_in_diffusers(pipe) -> None:
    pytest.importorskip("accelerate", reason="offload is accelerate's")
    for way in ("enable_model_cpu_offload", "enable_sequential_cpu_offload"):
        with pytest.raises(RuntimeError, match="requires accelerator"):
            getattr(pipe, way)()
    other, _ = tiny.tiny_pipelines()["portrait"]()
    adapter = face_id(other.unet)
    other.enable_sequential_cpu_offload(device="cpu")
    with pytest.raises(UsageError, match="before enable_sequential"):
        other.load_identity(adapter)


class Linear:
    """A VAE whose latents are known: a linear map of the picture's colours, halved in size."""

    config = SimpleNamespace(block_out_channels=(1, 1), scaling_factor=0.5, force_upcast=True)
    dtype, device = torch.float32, torch.device("cpu")
    matrix = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))

    def encode(self, pictures):
        small = torch.nn.functional.avg_pool2d(pictures, 2)
        latents = torch.einsum("lc,bchw->blhw", self.matrix, small) + 0.3
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: latents))


def test_previews_show_the_colours() -> None:
    vae = Linear()
    pictures = torch.rand(2, 3, 12, 20, generator=torch.Generator().manual_seed(1))
    latents = 0.5 * vae.encode(2 * pictures - 1).latent_dist.mode()
    shown = Preview(vae)(latents)
    assert shown.shape == (2, 6, 10, 3)
    assert shown.dtype == np.uint8
    wanted = 255 * torch.nn.functional.avg_pool2d(pictures, 2).permute(0, 2, 3, 1).numpy()
    assert np.abs(shown - wanted).max() < 0.6


def test_previews_come_after_each_step(pipe) -> None:
    seen = []
    GenerationPipeline(pipe)("a face", steps=3, preview=lambda step, picture: seen.append((step, picture)))
    assert [step for step, _ in seen] == [0, 1, 2]
    assert all(picture.shape == (tiny.SIDE // 2, tiny.SIDE // 2, 3) for _, picture in seen)
    kept = {}
    show = Preview(pipe.vae).telling(lambda step, pictures: kept.update({step: pictures}))
    latents = pipe(**tiny.inputs() | {"output_type": "latent"}, callback_on_step_end=show).images
    assert np.array_equal(kept[1], Preview(pipe.vae)(latents))
