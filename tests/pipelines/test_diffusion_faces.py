# ruff: noqa: E402  (torch and diffusers may be missing)
"""Identity, control, concepts, regions and LoRAs act in their own call alone; what doesn't fit is refused early."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="diffusion runs on torch (extra: models)")
diffusers = pytest.importorskip("diffusers", reason="the pipelines are diffusers' (extra: models)")
pytest.importorskip("transformers", reason="text encoders are transformers'")

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny

from controls.identity.attention import layers_of
from controls.identity.resampler import Resampler
from pipelines.diffusion import Concept, Region, family_of, open_pipeline
from pipelines.diffusion.identity import identity_rows, kind_of, read_embeddings
from studio.errors import NoFaceError, UsageError, WeightsError
from studio.weights import save_weights

pytestmark = pytest.mark.filterwarnings("ignore::studio.weights.LicenceWarning")

RNG = np.random.default_rng(0)
ME = RNG.standard_normal(512).astype(np.float32)
OTHER = RNG.standard_normal(512).astype(np.float32)


def pipe_of(name: str = "portrait", net: bool = False):
    pipe, _ = tiny.tiny_pipelines()[name]()
    if net:
        pipe.register_modules(controlnet=tiny.controlnet(pipe.unet.config.cross_attention_dim, "xl" in name))
    return pipe


def run(pipe, seed: int = 0, **more) -> np.ndarray:
    return pipe(**{**tiny.inputs(seed=seed), **more}).images


def layers(unet, scale: float = 1.0) -> dict[str, np.ndarray]:
    """An adapter's token weights for a UNet."""
    made, width = {}, unet.config.cross_attention_dim
    for n, name in enumerate(layers_of(unet)):
        attn = unet.get_submodule(name.removesuffix(".processor"))
        if attn.is_cross_attention:
            for part in "kv":
                made[f"ip_adapter.{n}.to_{part}_ip.weight"] = scale * RNG.standard_normal((attn.inner_dim, width))
    return made


def adapter_file(folder: Path, unet, seen: int = 512, name: str = "ip-adapter-faceid.safetensors") -> Path:
    """A FaceID adapter, or an Expression Adapter where it sees 55 numbers."""
    width = unet.config.cross_attention_dim
    shapes = {"proj.0.weight": (24, seen), "proj.0.bias": (24,), "proj.2.weight": (4 * width, 24)}
    shapes |= {"proj.2.bias": (4 * width,), "norm.weight": (width,), "norm.bias": (width,)}
    arrays = {f"image_proj.{k}": RNG.standard_normal(s) for k, s in shapes.items()} | layers(unet)
    return save_weights(folder / name, {k: v.astype(np.float32) for k, v in arrays.items()})


def test_a_face_is_seen_in_its_call_alone(tmp_path) -> None:
    pipe = pipe_of()
    before = run(pipe)
    processors = dict(pipe.unet.attn_processors)
    pipe.load_identity(adapter_file(tmp_path, pipe.unet))
    assert np.abs(run(pipe) - before).max() < 1e-4
    me, other = run(pipe, identity=ME), run(pipe, identity_embeds=OTHER)
    assert np.abs(me - before).max() > 1e-3
    assert np.abs(me - other).max() > 1e-3
    assert np.abs(run(pipe, identity=ME, identity_scale=0.0) - before).max() < 1e-4
    twice = run(pipe, identity=[3 * ME, ME])
    assert np.abs(twice - me).max() < 1e-4
    both = pipe(**tiny.inputs() | {"prompt": ["a portrait by the window"] * 2}, identity_embeds=np.stack([ME, OTHER]))
    assert both.images.shape[0] == 2
    nowhere = run(pipe, identity=ME, identity_mask=np.zeros((8, 8)))
    assert np.abs(nowhere - before).max() < 1e-4
    pipe.save_pretrained(tmp_path / "saved")
    assert np.abs(run(tiny.quiet(type(pipe).from_pretrained(tmp_path / "saved"))) - before).max() < 1e-4
    assert np.abs(run(pipe, identity=ME) - me).max() < 1e-5
    pipe.unload_identity()
    assert pipe.unet.attn_processors == processors
    with pytest.raises(UsageError, match="load_identity"):
        run(pipe, identity=ME)


def test_a_face_and_an_expression_together(tmp_path) -> None:
    pipe = pipe_of()
    before = run(pipe)
    pipe.load_identity(adapter_file(tmp_path, pipe.unet))
    alone = run(pipe, identity=ME)
    pipe.load_identity(adapter_file(tmp_path, pipe.unet, 55, "exp_adapter.safetensors"))
    smile = np.linspace(0, 1, 55, dtype=np.float32)
    assert np.abs(run(pipe) - before).max() < 1e-4
    assert np.abs(run(pipe, identity=ME) - alone).max() < 1e-4
    shown = run(pipe, expression=smile)
    assert np.abs(shown - before).max() > 1e-3
    assert np.abs(run(pipe, identity=ME, expression=smile) - shown).max() > 1e-3
    assert np.abs(run(pipe, identity=ME, expression=smile, expression_scale=0.0) - alone).max() < 1e-4


def test_instantid_steers_its_identity_net(tmp_path) -> None:
    pipe = pipe_of("portrait-xl", net=True)
    width = pipe.unet.config.cross_attention_dim
    projection = Resampler(16, embedding=512, dim=64, out=width, depth=1, inner=64, hidden=64).state_dict()
    arrays = {f"image_proj.{k}": v.numpy() for k, v in projection.items()}
    arrays["image_proj.latents"] = RNG.standard_normal((1, 16, 64))
    arrays |= layers(pipe.unet)
    file = save_weights(tmp_path / "ip-adapter.safetensors", {k: v.astype(np.float32) for k, v in arrays.items()})
    assert kind_of(file) == "instantid"
    points = np.zeros((tiny.SIDE, tiny.SIDE, 3), np.uint8)
    points[20:30, 20:40] = 255
    before = run(pipe, control_image=points)
    pipe.load_identity(file)
    net_alone = run(pipe, control_image=points, identity=10 * ME, identity_scale=0.0)
    assert np.abs(net_alone - before).max() > 1e-4  # the net sees tokens, not text
    assert np.abs(run(pipe, control_image=points, identity=10 * OTHER, identity_scale=0.0) - net_alone).max() > 1e-4


def test_control_networks_as_in_diffusers() -> None:
    pipe = pipe_of(net=True)
    picture = RNG.integers(0, 255, (tiny.SIDE, tiny.SIDE, 3), dtype=np.uint8)
    parts = {k: v for k, v in pipe.components.items()}
    theirs = tiny.quiet(diffusers.StableDiffusionControlNetPipeline(**parts, requires_safety_checker=False))
    from PIL import Image

    window = dict(control_guidance_end=0.5, controlnet_conditioning_scale=0.7)
    wanted = theirs(**tiny.inputs(), image=Image.fromarray(picture), **window).images
    assert np.abs(run(pipe, control_image=picture, **window) - wanted).max() < 1e-4
    assert np.abs(run(pipe) - wanted).max() > 1e-3
    assert np.abs(run(pipe, control_image=picture, controlnet_conditioning_scale=0.0) - run(pipe)).max() < 1e-6


def test_several_control_networks(tmp_path) -> None:
    first, second = tiny.controlnet(seed=5), tiny.controlnet(seed=6)
    first.save_pretrained(tmp_path / "a")
    second.save_pretrained(tmp_path / "b")
    pipe = pipe_of()
    pipe.save_pretrained(tmp_path / "model")
    both = open_pipeline(tmp_path / "model", controlnet=[tmp_path / "a", tmp_path / "b"])
    tiny.quiet(both)
    pictures = [RNG.integers(0, 255, (tiny.SIDE, tiny.SIDE, 3), dtype=np.uint8) for _ in range(2)]
    one = run(both, control_image=pictures, controlnet_conditioning_scale=[1.0, 0.0])
    pipe.register_modules(controlnet=first)
    assert np.abs(run(pipe, control_image=pictures[0]) - one).max() < 1e-4
    assert np.abs(run(both, control_image=pictures) - one).max() > 1e-4
    with pytest.raises(UsageError, match="1 control pictures for 2"):
        run(both, control_image=pictures[:1])
    with pytest.raises(UsageError, match="3 values for 2"):
        run(both, control_image=pictures, controlnet_conditioning_scale=[1, 1, 1])


def test_concepts_push_and_end() -> None:
    pipe = pipe_of()
    before = run(pipe)
    push = Concept("smiling", 5.0, threshold=0.5, warmup=0.0)
    assert np.abs(run(pipe, concepts=[push]) - before).max() > 1e-4
    assert np.abs(run(pipe, concepts=[Concept("smiling", 0.0)]) - before).max() < 1e-6
    assert np.abs(run(pipe, concepts=[Concept("smiling", 5.0, warmup=1.0)]) - before).max() < 1e-6
    with pytest.raises(UsageError, match="guidance"):
        run(pipe, concepts=[push], guidance_scale=1.0)
    xl = pipe_of("portrait-xl")
    assert np.abs(run(xl, concepts=[push]) - run(xl)).max() > 1e-4


def test_regions_have_prompts_of_their_own() -> None:
    pipe = pipe_of()
    prompt = tiny.inputs()["prompt"]
    left = np.zeros((64, 64), np.float32)
    left[:, :32] = 1
    assert np.abs(run(pipe, regions=[Region(left, prompt)]) - run(pipe)).max() < 1e-4
    whole = run(pipe, regions=[Region(np.ones((8, 8)), "somebody else")])
    assert np.abs(whole - run(pipe, prompt="somebody else")).max() < 1e-4
    with pytest.raises(UsageError, match="mask"):
        run(pipe, regions=[Region(np.zeros(4))])


needs_peft = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="LoRA comes with peft")


def lora_file(folder: Path, unet, name: str) -> Path:
    """A LoRA of the UNet's cross attention."""
    arrays = {}
    for where, module in unet.named_modules():
        if where.endswith(("attn2.to_k", "attn2.to_v")):
            arrays[f"unet.{where}.lora_A.weight"] = RNG.standard_normal((2, module.in_features))
            arrays[f"unet.{where}.lora_B.weight"] = RNG.standard_normal((module.out_features, 2))
    return save_weights(folder / name, {k: v.astype(np.float32) for k, v in arrays.items()})


@needs_peft
def test_loras_stack_and_stay_in_their_region(tmp_path) -> None:
    pipe = pipe_of()
    before = run(pipe)
    for name in ("a", "b"):
        pipe.load_lora_weights(lora_file(tmp_path, pipe.unet, f"{name}.safetensors"), adapter_name=name)
    pipe.set_adapters(["a", "b"], [0.0, 0.0])
    assert np.abs(run(pipe) - before).max() < 1e-4
    pipe.set_adapters(["a", "b"], [1.0, 0.0])
    only_a = run(pipe)
    assert np.abs(only_a - before).max() > 1e-4
    pipe.set_adapters(["a", "b"], [0.0, 1.0])
    only_b = run(pipe)
    everywhere = np.ones((8, 8), np.float32)
    assert np.abs(run(pipe, regions=[Region(everywhere, loras={"a": 1.0})]) - only_a).max() < 1e-4
    assert np.abs(run(pipe) - only_b).max() < 1e-5
    with pytest.raises(UsageError, match="no LoRA c"):
        run(pipe, regions=[Region(everywhere, loras={"c": 1.0})])
    pipe.fuse_lora(adapter_names=["b"])
    pipe.unload_lora_weights()
    assert np.abs(run(pipe) - only_b).max() < 1e-4


@needs_peft
def test_a_lora_of_another_family_is_refused(tmp_path) -> None:
    pipe, xl = pipe_of(), pipe_of("portrait-xl")
    with pytest.raises(WeightsError, match=r"width 16.*width 48"):
        xl.load_lora_weights(lora_file(tmp_path, pipe.unet, "sd.safetensors"))
    with pytest.raises(WeightsError, match="no LoRA"):
        pipe.load_lora_weights(adapter_file(tmp_path, pipe.unet))
    with pytest.raises(WeightsError, match="no such file"):
        pipe.load_lora_weights(tmp_path / "missing.safetensors")


def test_what_is_no_checkpoint_is_refused(tmp_path) -> None:
    pipe, xl = pipe_of(), pipe_of("portrait-xl")
    pipe.save_pretrained(tmp_path / "sd")
    xl.save_pretrained(tmp_path / "xl")
    assert [family_of(tmp_path / name) for name in ("sd", "xl")] == ["Stable Diffusion 1.5", "SDXL"]
    assert type(open_pipeline(tmp_path / "xl", "image")).__name__ == "PortraitXLImg2ImgPipeline"
    for made, folder, said in (
        (type(pipe), tmp_path / "xl", "SDXL, but PortraitPipeline.*PortraitXLPipeline"),
        (type(xl), tmp_path / "sd", "Stable Diffusion 1.5, but PortraitXLPipeline"),
        (type(pipe), tmp_path / "sd" / "unet", "one part of a pipeline"),
        (type(pipe), tmp_path, "model_index.json is missing"),
        (type(pipe), tmp_path / "none", "no such folder"),
    ):
        with pytest.raises(WeightsError, match=said):
            made.from_pretrained(folder)
    with pytest.raises(WeightsError, match="not a ControlNet"):
        type(pipe).from_pretrained(tmp_path / "sd", controlnet=tmp_path / "sd" / "unet")
    tiny.controlnet(48, xl=True).save_pretrained(tmp_path / "net")
    with pytest.raises(WeightsError, match=r"ControlNet for.*width 48"):
        type(pipe).from_pretrained(tmp_path / "sd", controlnet=tmp_path / "net")
    with pytest.raises(WeightsError, match="from_pretrained"):
        type(pipe).from_single_file(tmp_path / "sd")
    with pytest.raises(WeightsError, match="a LoRA, not a whole"):
        type(pipe).from_single_file(lora_file(tmp_path, pipe.unet, "sd.safetensors"))


def test_an_adapter_of_another_family_is_refused(tmp_path) -> None:
    pipe, xl = pipe_of(), pipe_of("portrait-xl")
    processors = dict(xl.unet.attn_processors)
    with pytest.raises(WeightsError, match=r"width 16.*width 48"):
        xl.load_identity(adapter_file(tmp_path, pipe.unet))
    assert xl.unet.attn_processors == processors
    with pytest.raises(WeightsError, match="no identity adapter"):
        pipe.load_identity(save_weights(tmp_path / "x.safetensors", {"conv.weight": np.zeros((2, 2), np.float32)}))
    with pytest.raises(UsageError, match="CtrLoRA is for"):
        xl.load_ctrlora("base.ckpt")


def test_what_does_not_fit_is_refused(tmp_path) -> None:
    pipe = pipe_of()
    picture = np.zeros((64, 64, 3), np.uint8)
    for more, said in (
        (dict(control_image=picture), "no ControlNet"),
        (dict(expression=np.zeros(55)), "no Expression Adapter"),
        (dict(conditions={"canny": picture}), "no CtrLoRA"),
        (dict(identity=ME, identity_embeds=ME), "two identities"),
    ):
        with pytest.raises(UsageError, match=said):
            run(pipe, **more)
    pipe = pipe_of(net=True)
    with pytest.raises(UsageError, match="proportions"):
        run(pipe, control_image=np.zeros((64, 128, 3), np.uint8))
    with pytest.raises(UsageError, match=r"from 0\.8 to 0\.2"):
        run(pipe, control_image=picture, control_guidance_start=0.8, control_guidance_end=0.2)
    inside, inputs = tiny.tiny_pipelines()["portrait-inpaint"]()
    from PIL import Image

    inside.register_modules(controlnet=tiny.controlnet())
    with pytest.raises(UsageError, match="mask_image"):
        inside(**{**inputs, "mask_image": Image.new("L", (32, 64))}, control_image=picture)


def test_embeddings_come_from_photos_and_files(tmp_path) -> None:
    np.save(tmp_path / "me.npy", ME)
    np.savez(tmp_path / "us.npz", a=ME, b=OTHER)
    assert np.allclose(read_embeddings(tmp_path / "us.npz"), [ME, OTHER])
    unit = ME / np.linalg.norm(ME)
    assert np.allclose(identity_rows(str(tmp_path / "me.npy"), None, None), unit, atol=1e-6)
    photo = np.full((8, 8, 3), 9, np.uint8)
    seen = []

    def embed(picture):
        seen.append(picture.copy())
        return ME

    assert np.allclose(identity_rows(photo, embed, None), unit, atol=1e-6)
    assert np.array_equal(seen[0], photo)

    def nobody(_):
        raise NoFaceError("no face found")

    with pytest.raises(NoFaceError, match="no face"):
        identity_rows([photo], nobody, None)
    (tmp_path / "bad.npy").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="no embeddings"):
        read_embeddings(tmp_path / "bad.npy")


def test_ctrlora_conditions(tmp_path) -> None:
    from diffusers import UNet2DConditionModel

    from controls.ctrlora.network import _OWN, ControlNetwork
    from controls.ctrlora.weights import Condition

    levels, text = (32, 64, 64, 64), tiny.FACE
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=levels, layers_per_block=2, attention_head_dim=8, cross_attention_dim=text, sample_size=32
    ).eval()
    parts = tiny.sd_parts() | {"unet": unet}
    from pipelines.diffusion import PortraitPipeline

    pipe = tiny.quiet(PortraitPipeline(**parts))
    net = diffusers.ControlNetModel.from_unet(unet)
    hint = "controlnet_cond_embedding"
    tree = {k: v.numpy() for k, v in net.state_dict().items() if not k.startswith(hint)}
    shared = {k: v for k, v in tree.items() if not _OWN.fullmatch(k.rpartition(".")[0])}
    pipe.ctrlora = ControlNetwork(shared)
    for name in ("lines", "depth"):
        pairs, own = {}, {}
        for where, layer in net.named_modules():
            arrays = {k: RNG.standard_normal(v.shape).astype(np.float32) / 20 for k, v in layer.state_dict().items()}
            if isinstance(layer, torch.nn.Linear):
                down = RNG.standard_normal((2, layer.in_features)) / 20
                pairs[where] = (down, RNG.standard_normal((layer.out_features, 2)))
            elif pipe.ctrlora._patterns.get(where) is not None:
                own[where] = arrays
        pipe.ctrlora.add(name, Condition(pairs, own))
    picture = RNG.integers(0, 255, (tiny.SIDE, tiny.SIDE, 3), dtype=np.uint8)
    before, lines = run(pipe), run(pipe, conditions={"lines": picture})
    assert np.abs(lines - before).max() > 1e-4
    assert np.abs(run(pipe, conditions=[("lines", picture, 1.0), ("depth", picture, 0.0)]) - lines).max() < 1e-5
    assert np.abs(run(pipe, conditions=[("lines", picture, 1.0), ("depth", picture, 1.0)]) - lines).max() > 1e-5
    assert np.array_equal(run(pipe), before)
    with pytest.raises(UsageError, match="no CtrLoRA condition 'canny'"):
        run(pipe, conditions={"canny": picture})
