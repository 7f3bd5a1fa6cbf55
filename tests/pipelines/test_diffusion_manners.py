# ruff: noqa: E402  (torch and diffusers may be missing)
"""The portrait pipelines have diffusers' manners, all of them, on random miniatures."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="diffusion runs on torch (extra: models)")
diffusers = pytest.importorskip("diffusers", reason="the pipelines are diffusers' (extra: models)")
pytest.importorskip("transformers", reason="text encoders are transformers'")

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny

from pipelines.diffusion.opening import typed
from pipelines.diffusion.portrait import EXTRAS
from studio.attention.processor import StudioAttnProcessor

NAMES = list(tiny.tiny_pipelines())


@pytest.fixture(params=NAMES)
def made(request):
    """(pipeline, arguments of a call), anew."""
    return tiny.tiny_pipelines()[request.param]()


def again(inputs: dict, **more) -> dict:
    """The same arguments with a fresh generator."""
    return {**inputs, "generator": torch.Generator().manual_seed(0), **more}


def plain_of(pipe):
    """diffusers' own pipeline of the same components."""
    theirs = next(k for k in type(pipe).__mro__ if k.__module__.startswith("diffusers."))
    parts = {k: v for k, v in pipe.components.items() if k != "controlnet"}
    more = {"requires_safety_checker": False} if "safety_checker" in parts else {}
    return tiny.quiet(theirs(**parts, **more))


def test_without_wishes_it_is_diffusers_own(made) -> None:
    pipe, inputs = made
    ours = pipe(**again(inputs)).images
    assert np.abs(plain_of(pipe)(**again(inputs)).images - ours).max() < 1e-4


def test_it_is_saved_and_opened(made, tmp_path) -> None:
    pipe, inputs = made
    before = pipe(**again(inputs)).images
    pipe.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["_class_name"] == type(pipe).__name__
    other = tiny.quiet(type(pipe).from_pretrained(tmp_path))
    assert set(other.components) == set(pipe.components)
    assert other.controlnet is None
    assert np.abs(other(**again(inputs)).images - before).max() < 1e-5
    half = type(pipe).from_pretrained(tmp_path, **typed(torch.bfloat16))
    assert half.unet.dtype == half.vae.dtype == half.text_encoder.dtype == torch.bfloat16


def test_a_call_says_what_it_takes(made) -> None:
    pipe, inputs = made
    theirs = next(k for k in type(pipe).__mro__ if k.__module__.startswith("diffusers."))
    ours = inspect.signature(type(pipe).__call__).parameters
    assert set(ours) == {*inspect.signature(theirs.__call__).parameters, *EXTRAS}
    assert all(ours[name].default == value for name, value in EXTRAS.items())
    first, rest = inputs["prompt"], {k: v for k, v in again(inputs).items() if k != "prompt"}
    assert np.array_equal(pipe(first, **rest).images, pipe(**again(inputs)).images)
    with pytest.raises(TypeError, match="identify"):
        pipe(**inputs, identify="me.jpg")


def test_outputs(made) -> None:
    pipe, inputs = made
    array = pipe(**again(inputs)).images
    assert array.shape == (1, tiny.SIDE, tiny.SIDE, 3)
    assert array.std() > 0.01
    assert np.array_equal(pipe(**again(inputs), return_dict=False)[0], array)
    tensor = pipe(**again(inputs, output_type="pt")).images
    assert np.abs(tensor.permute(0, 2, 3, 1).numpy() - array).max() < 1e-6
    picture = pipe(**again(inputs, output_type="pil")).images[0]
    assert np.abs(np.asarray(picture) / 255 - array[0]).max() < 0.01
    latent = pipe(**again(inputs, output_type="latent")).images
    assert latent.shape == (1, 4, tiny.SIDE // 2, tiny.SIDE // 2)


def test_a_batch_is_its_members(made) -> None:
    pipe, inputs = made
    prompts = [inputs["prompt"], "somebody else"]
    many = {name: [inputs[name]] * 2 for name in ("image", "mask_image") if name in inputs}
    many |= {"prompt": prompts, "generator": [torch.Generator().manual_seed(k) for k in (3, 4)]}
    both = pipe(**{**inputs, **many}).images
    for k, prompt in enumerate(prompts):
        alone = pipe(**{**inputs, "prompt": prompt, "generator": torch.Generator().manual_seed(3 + k)}).images
        assert np.abs(alone[0] - both[k]).max() < 1e-4
    assert len(pipe(**again(inputs), num_images_per_prompt=2).images) == 2


def test_steps_are_told(made) -> None:
    pipe, inputs = made
    seen = []

    def look(pipeline, step, timestep, kept):
        assert pipeline is pipe
        assert set(kept) == set(pipe._callback_tensor_inputs)
        seen.append(step)
        return {"latents": torch.zeros_like(kept["latents"])} if step == pipe.num_timesteps - 1 else kept

    more = dict(callback_on_step_end=look, callback_on_step_end_tensor_inputs=pipe._callback_tensor_inputs)
    assert pipe(**again(inputs, output_type="latent"), **more).images.abs().sum() == 0
    assert seen == list(range(pipe.num_timesteps))


def test_types_and_places(made) -> None:
    pipe, _ = made
    pipe.to(dtype=torch.float16)
    assert {m.dtype for m in pipe.components.values() if isinstance(m, torch.nn.Module)} == {torch.float16}
    pipe.to("cpu")
    assert pipe.device.type == "cpu"


def test_slices_and_tiles(made) -> None:
    pipe, inputs = made
    before = pipe(**again(inputs)).images
    pipe.enable_attention_slicing(1)
    pipe.vae.enable_slicing()
    assert np.abs(pipe(**again(inputs)).images - before).max() < 1e-3
    pipe.disable_attention_slicing()
    pipe.vae.enable_tiling()
    assert np.isfinite(pipe(**again(inputs)).images).all()


def test_attention_is_the_librarys_during_a_call(made) -> None:
    pipe, inputs = made
    before, seen = {n: dict(getattr(pipe, n).attn_processors) for n in ("unet", "vae")}, []

    def look(pipeline, step, timestep, kept):
        seen.extend(type(p) for network in (pipe.unet, pipe.vae) for p in network.attn_processors.values())
        return kept

    pipe(**again(inputs), callback_on_step_end=look)
    assert set(seen) == {StudioAttnProcessor}
    assert all(getattr(pipe, name).attn_processors == processors for name, processors in before.items())
    pipe.unet.set_attn_processor(diffusers.models.attention_processor.SlicedAttnProcessor(1))
    seen.clear()
    pipe(**again(inputs), callback_on_step_end=look)
    assert set(seen) == {StudioAttnProcessor, diffusers.models.attention_processor.SlicedAttnProcessor}


def test_schedulers_are_swapped(made) -> None:
    pipe, inputs = made
    before = pipe(**again(inputs)).images
    pipe.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    other = pipe(**again(inputs)).images
    assert np.isfinite(other).all()
    assert np.abs(other - before).max() > 1e-4


def test_pipelines_are_made_of_each_other() -> None:
    pipes = tiny.tiny_pipelines()
    text, inputs = pipes["portrait"]()
    theirs = plain_of(text)
    from pipelines.diffusion import PortraitInpaintPipeline, PortraitPipeline

    ours = tiny.quiet(PortraitPipeline.from_pipe(theirs))
    assert ours.unet is text.unet
    assert np.array_equal(ours(**again(inputs)).images, text(**again(inputs)).images)
    inside = tiny.quiet(PortraitInpaintPipeline.from_pipe(ours))
    assert inside(**pipes["portrait-inpaint"]()[1]).images.shape == (1, tiny.SIDE, tiny.SIDE, 3)


def test_nothing_is_left_behind(made) -> None:
    pipe, inputs = made
    pipe.register_modules(controlnet=_net(pipe))
    state = lambda: {k: (v.clone() if isinstance(v, torch.Tensor) else v) for k, v in pipe.unet.state_dict().items()}
    weights, processors = state(), pipe.unet.attn_processors
    before = pipe(**again(inputs)).images
    picture = np.full((tiny.SIDE, tiny.SIDE, 3), 200, np.uint8)
    steered = pipe(**again(inputs), control_image=picture).images
    assert np.abs(steered - before).max() > 1e-3
    assert not pipe.unet._forward_hooks
    assert not pipe.unet._forward_pre_hooks
    assert all(torch.equal(v, weights[k]) for k, v in state().items())
    assert pipe.unet.attn_processors == processors
    assert np.array_equal(pipe(**again(inputs)).images, before)

    def fail(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipe(**again(inputs), control_image=picture, callback_on_step_end=fail)
    assert not pipe.unet._forward_hooks
    assert np.array_equal(pipe(**again(inputs)).images, before)


def _net(pipe):
    xl = pipe.family == "SDXL"
    return tiny.controlnet(pipe.unet.config.cross_attention_dim, xl)
