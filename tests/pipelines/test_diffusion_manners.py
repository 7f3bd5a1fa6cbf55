# ruff: noqa: E402  (torch and diffusers may be missing)
"""The portrait pipelines have diffusers' manners, all of them, on random miniatures."""

from __future__ import annotations

import importlib.util
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
from adapters_like import face_id

from pipelines.diffusion.opening import typed
from pipelines.diffusion.portrait import EXTRAS
from studio.attention.processor import StudioAttnProcessor

NAMES = list(tiny.tiny_pipelines())


@pytest.fixture(params=NAMES)
def made(request):
    """(pipeline, arguments of a call), anew."""
    return tiny.tiny_pipelines()[request.param]()


@pytest.fixture(params=["portrait-img2img", "portrait-xl"])
def one(request):
    """As `made`, of each family one: for what all share."""
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


def control(pipe) -> dict:
    """Arguments of a call with a ControlNet, which is put in."""
    pipe.register_modules(controlnet=_net(pipe))
    return {"control_image": np.full((tiny.SIDE, tiny.SIDE, 3), 200, np.uint8)}


def test_what_is_left_out_stays_out(one, tmp_path) -> None:
    pipe, inputs = one
    text = ("tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2")
    for name in set(pipe._optional_components) - set(text):
        setattr(pipe, name, None)
    before = pipe(**again(inputs)).images
    pipe.save_pretrained(tmp_path, safe_serialization=False)
    other = tiny.quiet(type(pipe).from_pretrained(tmp_path))
    assert all(getattr(other, name) is None for name in set(pipe._optional_components) - set(text))
    assert np.abs(other(**again(inputs)).images - before).max() < 1e-5


def test_halves_are_saved_as_a_variant_and_compute(one, tmp_path) -> None:
    pipe, inputs = one
    more = control(pipe)
    pipe.to(torch.bfloat16)
    half = pipe(**again(inputs), **more).images
    assert np.isfinite(half).all()
    pipe.save_pretrained(tmp_path, variant="fp16")
    assert (tmp_path / "unet" / "diffusion_pytorch_model.fp16.safetensors").is_file()
    other = tiny.quiet(type(pipe).from_pretrained(tmp_path, variant="fp16", **typed(torch.bfloat16)))
    assert other.controlnet.dtype == torch.bfloat16
    assert np.array_equal(other(**again(inputs), **more).images, half)


def test_several_networks_are_saved_and_opened(tmp_path) -> None:
    pipe, inputs = tiny.tiny_pipelines()["portrait"]()
    nets = diffusers.MultiControlNetModel([tiny.controlnet(seed=5), tiny.controlnet(seed=6)])
    pipe.register_modules(controlnet=nets)
    more = {"control_image": [np.full((tiny.SIDE, tiny.SIDE, 3), 200, np.uint8)] * 2}
    before = pipe(**again(inputs), **more).images
    pipe.save_pretrained(tmp_path)
    other = tiny.quiet(type(pipe).from_pretrained(tmp_path))
    assert np.abs(other(**again(inputs), **more).images - before).max() < 1e-5


def test_any_pipelines_loader_finds_the_class(made, tmp_path) -> None:
    pipe, inputs = made
    pipe.save_pretrained(tmp_path)
    opened = tiny.quiet(diffusers.DiffusionPipeline.from_pretrained(tmp_path))
    assert type(opened) is type(pipe)
    theirs = next(k for k in type(pipe).__mro__ if k.__module__.startswith("diffusers."))
    plain = tiny.quiet(theirs.from_pretrained(tmp_path))
    assert np.abs(plain(**again(inputs)).images - opened(**again(inputs)).images).max() < 1e-4


def test_kinds_are_made_of_each_other(made) -> None:
    from pipelines.diffusion.families import KINDS

    pipe, inputs = made
    before = pipe(**again(inputs)).images
    pipe.load_identity(face_id(pipe.unet))
    for kind in KINDS[pipe.family]:
        other = kind.from_pipe(pipe)
        assert all(getattr(other, name) is part for name, part in pipe.components.items())
        assert other.adapter is pipe.adapter
        back = tiny.quiet(type(pipe).from_pipe(other))
    assert np.abs(back(**again(inputs)).images - before).max() < 1e-4


def test_a_call_is_interrupted(one) -> None:
    pipe, inputs = one
    kept = []

    def look(pipeline, step, timestep, tensors):
        kept.append(tensors["latents"].clone())
        pipeline._interrupt = step == 0 and stop
        return tensors

    for more in ({}, control(pipe)):
        stop = False
        pipe(**again(inputs, output_type="latent"), callback_on_step_end=look, **more)
        first, stop = kept[0], True
        kept.clear()
        halted = pipe(**again(inputs, output_type="latent"), callback_on_step_end=look, **more).images
        assert torch.equal(halted, first)
        kept.clear()


def test_without_guidance_there_is_one_pass(made) -> None:
    pipe, inputs = made
    batches = []
    hook = pipe.unet.register_forward_pre_hook(
        lambda module, args, kwargs: batches.append(len(args[0])), with_kwargs=True
    )
    ours = pipe(**again(inputs, guidance_scale=1.0)).images
    steered = pipe(**again(inputs, guidance_scale=1.0), **control(pipe)).images
    hook.remove()
    assert set(batches) == {1}
    assert not pipe.do_classifier_free_guidance
    assert np.abs(steered - ours).max() > 1e-4
    assert np.abs(plain_of(pipe)(**again(inputs, guidance_scale=1.0)).images - ours).max() < 1e-4


def test_further_arguments_do_what_they_do_in_diffusers(made) -> None:
    pipe, inputs = made
    asked = [{"guidance_rescale": 0.7}, {"eta": 1.0}]
    if importlib.util.find_spec("peft"):  # without it diffusers looks for LoRA where text encoders have nothing
        asked.append({"cross_attention_kwargs": {"scale": 0.5}})
    for more in asked:
        if set(more) <= set(inspect.signature(type(pipe).__call__).parameters):
            wanted = plain_of(pipe)(**again(inputs), **more).images
            assert np.abs(pipe(**again(inputs), **more).images - wanted).max() < 1e-4, more


def test_prompts_are_encoded_apart(one) -> None:
    pipe, inputs = one
    wanted = pipe(**again(inputs)).images
    text = {k: v for k, v in pipe.components.items() if k.startswith(("text_encoder", "tokenizer"))}
    reader = type(pipe)(**{k: text.get(k) for k in pipe.components})
    told = dict(device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True)
    rows = reader.encode_prompt(inputs["prompt"], **told)
    names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    painter = tiny.quiet(type(pipe)(**{k: None if k in text else v for k, v in pipe.components.items()}))
    given = {k: v for k, v in again(inputs).items() if k != "prompt"}
    assert np.abs(painter(**given, **dict(zip(names, rows))).images - wanted).max() < 1e-5


def test_switches_go_on_and_off(one) -> None:
    pipe, inputs = one
    before = pipe(**again(inputs)).images
    processors = {k: type(v) for k, v in pipe.unet.attn_processors.items()}
    pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)
    free = pipe(**again(inputs)).images
    assert np.abs(plain_of(pipe)(**again(inputs)).images - free).max() < 1e-4
    pipe.disable_freeu()
    pipe.fuse_qkv_projections()
    assert np.abs(pipe(**again(inputs)).images - before).max() < 1e-3
    pipe.unfuse_qkv_projections()
    assert {k: type(v) for k, v in pipe.unet.attn_processors.items()} == processors
    pipe.enable_attention_slicing("max")
    assert np.abs(pipe(**again(inputs)).images - before).max() < 1e-3
    pipe.disable_attention_slicing()
    if importlib.util.find_spec("xformers") is None:
        with pytest.raises(ModuleNotFoundError, match="xformers"):
            pipe.enable_xformers_memory_efficient_attention()
    assert np.array_equal(pipe(**again(inputs)).images, before)


def test_a_large_batch_is_decoded_in_slices_and_tiles(one) -> None:
    pipe, inputs = one
    whole = pipe(**again(inputs), num_images_per_prompt=2).images
    pipe.vae.enable_slicing()
    assert np.abs(pipe(**again(inputs), num_images_per_prompt=2).images - whole).max() < 1e-4
    pipe.vae.disable_slicing()
    pipe.vae.enable_tiling()
    assert np.isfinite(pipe(**again(inputs)).images).all()
    pipe.vae.disable_tiling()
    assert np.array_equal(pipe(**again(inputs), num_images_per_prompt=2).images, whole)


def test_the_progress_bar_is_set(one, capsys) -> None:
    pipe, inputs = one
    for hidden in (True, False):
        pipe.set_progress_bar_config(disable=hidden)
        capsys.readouterr()
        pipe(**again(inputs))
        assert ("it/s" in (said := capsys.readouterr().err) or "%" in said) is not hidden


def _net(pipe):
    xl = pipe.family == "SDXL"
    return tiny.controlnet(pipe.unet.config.cross_attention_dim, xl)
