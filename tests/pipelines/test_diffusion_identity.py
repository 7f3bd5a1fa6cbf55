# ruff: noqa: E402  (torch and diffusers may be missing)
"""Adapters of identity and expression from a photo to the picture, each against the steps done by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="diffusion runs on torch (extra: models)")
diffusers = pytest.importorskip("diffusers", reason="the pipelines are diffusers' (extra: models)")
transformers = pytest.importorskip("transformers", reason="text encoders are transformers'")

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny
from adapters_like import SEEN, face_id, projection_weights, token_weights
from pipeline_fakes import Tracker
from pipeline_fakes import face as fake_face

from controls.identity.adapter import Adapter
from controls.identity.arc2face import Arc2FaceEncoder
from controls.identity.clip_text import ClipText
from controls.identity.expression import ExpressionAdapter
from controls.identity.faceid import projection_of
from pipelines import ExpressionEditPipeline, GenerationPipeline
from pipelines.diffusion.edit import DiffusionEngine, DiffusionSettings
from pipelines.diffusion.identity import looks_of
from studio.errors import UsageError

ASTRONAUT = Path(__file__).parents[2] / "demos" / "assets" / "astronaut.jpg"
RNG = np.random.default_rng(0)
ME, OTHER = RNG.standard_normal((2, 512)).astype(np.float32)


def pipe_of(net: bool = False, **more):
    pipe = tiny.quiet(tiny.tiny_pipelines()["portrait"]()[0])
    if net:
        pipe.register_modules(controlnet=tiny.controlnet())
    pipe.register_modules(**more)
    return pipe


def run(pipe, seed: int = 0, **more) -> np.ndarray:
    return pipe(**{**tiny.inputs(seed=seed), **more}).images


def draws(*seeds: int):
    return [torch.Generator().manual_seed(k) for k in seeds]


def test_pictures_of_a_prompt_are_those_made_alone() -> None:
    pipe = pipe_of(net=True)
    pipe.load_identity(face_id(pipe.unet))
    pictures = [RNG.integers(0, 255, (tiny.SIDE, tiny.SIDE, 3), dtype=np.uint8) for _ in range(2)]
    prompts = ["a face", "somebody"]
    batch = dict(prompt=prompts, identity_embeds=np.stack([ME, OTHER]), control_image=np.stack(pictures) / 255)
    many = run(pipe, **batch, num_images_per_prompt=2, generator=draws(3, 4, 5, 6))
    assert len(many) == 4
    for k, (made, seed) in enumerate(zip(many, (3, 4, 5, 6))):
        own = dict(prompt=prompts[k // 2], identity_embeds=(ME, OTHER)[k // 2], control_image=pictures[k // 2])
        assert np.abs(run(pipe, seed, **own)[0] - made).max() < 1e-4
    assert np.abs(many[0] - many[2]).max() > 1e-3


def clip(seed: int = 3):
    """CLIP's vision model, one layer."""
    torch.manual_seed(seed)
    config = transformers.CLIPVisionConfig(
        hidden_size=SEEN,
        intermediate_size=64,
        projection_dim=32,
        num_attention_heads=2,
        num_hidden_layers=2,
        image_size=224,
        patch_size=56,
    )
    return transformers.CLIPVisionModelWithProjection(config).eval()


@pytest.mark.parametrize("shortcut", [False, True])
def test_faceid_plus_also_looks_at_the_photo(shortcut: bool) -> None:
    pipe = pipe_of(image_encoder=clip())
    pipe.embedder = lambda picture: ME
    before = run(pipe)
    adapter = face_id(pipe.unet, plus=True, shortcut=shortcut)
    pipe.load_identity(adapter)
    with pytest.raises(UsageError, match="not numbers alone"):
        run(pipe, identity=ME)
    made = run(pipe, identity=ASTRONAUT)
    looks = looks_of(pipe, ASTRONAUT)
    assert looks[0].shape == (1, 17, SEEN)
    guide = adapter.guide((ME / np.linalg.norm(ME))[None], clip_hidden=looks)
    by_hand = run(pipe, cross_attention_kwargs=guide.kwargs())
    assert np.abs(made - by_hand).max() < 1e-5
    assert np.abs(made - before).max() > 1e-3
    pipe.register_modules(image_encoder=clip(seed=4))  # another eye sees another face in the same photo
    assert np.abs(run(pipe, identity=ASTRONAUT) - made).max() > 1e-4
    pipe.register_modules(image_encoder=None)
    with pytest.raises(UsageError, match="image_encoder="):
        run(pipe, identity=ASTRONAUT)


def test_arc2face_makes_the_prompt_of_a_face() -> None:
    torch.manual_seed(0)
    text = ClipText(words=49408, places=77, dim=768, hidden=32, depth=1).eval().requires_grad_(False)
    encoder = Arc2FaceEncoder(text)
    pipe = tiny.quiet(type(pipe_of())(**tiny.sd_parts(768)))
    pipe.load_identity(encoder)
    with pytest.raises(UsageError, match="leave the prompt out"):
        run(pipe, identity=ME)
    asked = tiny.inputs() | {"prompt": None}
    made = pipe(**asked, identity_embeds=np.stack([ME, OTHER])).images
    parts = {k: v for k, v in pipe.components.items() if k != "controlnet"}
    theirs = tiny.quiet(diffusers.StableDiffusionPipeline(**parts, requires_safety_checker=False))
    given = dict(prompt_embeds=encoder.prompts(np.stack([ME, OTHER])), negative_prompt_embeds=encoder.nothing(2))
    by_hand = theirs(**tiny.inputs() | {"prompt": None}, **given).images
    assert np.abs(made - by_hand).max() < 1e-4
    two = pipe(**tiny.inputs() | {"prompt": None}, identity_embeds=ME, num_images_per_prompt=2).images
    assert len(two) == 2
    portrait = GenerationPipeline(pipe)("not heard", identity=ME, steps=2)
    other = GenerationPipeline(pipe)("not heard either", identity=ME, steps=2)
    assert np.array_equal(portrait.images[0], other.images[0])


def test_arc2face_edits_a_photo_by_its_face_instead_of_words(tmp_path) -> None:
    torch.manual_seed(0)
    parts = {k: v for k, v in tiny.sd_parts(768).items() if k != "controlnet"}
    theirs = diffusers.StableDiffusionPipeline(**parts, requires_safety_checker=False)
    theirs.save_pretrained(tmp_path / "sd")
    encoder = Arc2FaceEncoder(ClipText(49408, 77, 768, hidden=32, depth=1).eval().requires_grad_(False))
    picture = np.random.default_rng(0).integers(90, 160, (150, 220, 3), dtype=np.uint8)
    face = fake_face((110, 70), 40, (220, 150))

    def edited(person: np.ndarray, prompt: str) -> np.ndarray:
        settings = DiffusionSettings(strength=0.9, steps=2, prompt=prompt)
        engine = DiffusionEngine.from_pretrained(tmp_path / "sd", settings=settings)
        engine.pipe.load_identity(encoder)
        engine.pipe.embedder = lambda crop: person
        return ExpressionEditPipeline(Tracker(face), engine)(picture, shapes={"jawOpen": 0.6}).image

    me = edited(ME, "a face")
    assert np.array_equal(edited(ME, "something else"), me)
    assert not np.array_equal(edited(OTHER, "a face"), me)
    assert np.array_equal(me[:, :25], picture[:, :25])
    assert not np.array_equal(me, picture)


def test_a_mask_keeps_the_face_within() -> None:
    """Where the first layer looks up the face it adds to the tokens inside alone; later layers carry it about."""
    pipe = pipe_of()
    pipe.load_identity(face_id(pipe.unet))
    seen = []
    layer = pipe.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn2
    layer.register_forward_hook(lambda module, args, output: seen.append(output.detach().clone()))
    left = np.zeros((8, 8), np.float32)
    left[:, :4] = 1
    once = dict(num_inference_steps=1, output_type="latent")
    for more in ({}, {"identity_mask": left}, {"identity_mask": np.uint8(255 * left)}):
        run(pipe, **once, identity=ME, **more)
    run(pipe, **once)
    everywhere, masked, as_bytes, nobody = (x.unflatten(1, (tiny.SIDE // 2,) * 2) for x in seen)
    half = tiny.SIDE // 4
    assert torch.equal(masked[:, :, half:], nobody[:, :, half:])
    assert torch.equal(masked[:, :, :half], everywhere[:, :, :half])
    assert (masked - nobody)[:, :, :half].abs().min() > 0
    assert torch.equal(as_bytes, masked)
    with pytest.raises(UsageError, match="identity_mask"):
        run(pipe, identity=ME, identity_mask=np.full((4, 4), 7.0))


def test_diffusers_own_adapter_and_its_masks_pass_through() -> None:
    ours = pipe_of(image_encoder=clip())
    width = ours.unet.config.cross_attention_dim
    weights = {k: torch.from_numpy(v) for k, v in token_weights(ours.unet).items()}
    numbered = {f"{2 * k + 1}.{name.split('.', 1)[1]}": v for k, name, v in _in_diffusers_order(weights)}
    projection = {
        "proj.weight": torch.randn(4 * width, 32, generator=draws(1)[0]),
        "proj.bias": torch.zeros(4 * width),
        "norm.weight": torch.ones(width),
        "norm.bias": torch.zeros(width),
    }
    state = {"image_proj": projection, "ip_adapter": numbered}
    parts = {k: v for k, v in ours.components.items() if k != "controlnet"}
    theirs = tiny.quiet(diffusers.StableDiffusionPipeline(**parts, requires_safety_checker=False))
    theirs.load_ip_adapter(state, subfolder="", weight_name="", image_encoder_folder=None)
    embeds = torch.randn(2, 1, 32, generator=draws(2)[0])
    mask = torch.zeros(1, 1, tiny.SIDE, tiny.SIDE)
    mask[..., : tiny.SIDE // 2] = 1
    outputs = []
    for pipe in (theirs, ours):  # they share the UNet, where the adapter is
        for masks in ({}, {"cross_attention_kwargs": {"ip_adapter_masks": [mask]}}):
            outputs.append(run(pipe, ip_adapter_image_embeds=[embeds], **masks))
    whole, masked, our_whole, our_masked = outputs
    assert np.abs(whole - masked).max() > 1e-4
    assert np.abs(our_whole - whole).max() < 1e-4
    assert np.abs(our_masked - masked).max() < 1e-4


def _in_diffusers_order(weights):
    """(cross layer's number, key, value): diffusers counts self attention too."""
    layers = sorted({int(key.split(".")[0]) for key in weights})
    return [(layers.index(int(key.split(".")[0])), key, value) for key, value in weights.items()]


@pytest.fixture()
def mimicking():
    """A pipeline with a random Expression Adapter."""
    pipe = pipe_of()
    projection = projection_of(projection_weights(tiny.FACE, 55), shortcut=False, what="random weights")
    pipe.load_identity(ExpressionAdapter(projection, Adapter.of(token_weights(pipe.unet), pipe.unet, what="random")))
    return pipe


class Smirk:
    """An encoder that says what it is told, and keeps what it saw."""

    def __call__(self, crops):
        from avatars.smirk.encoder import codes

        self.seen = crops
        return codes(torch.zeros(1, 6), torch.zeros(1, 300), torch.linspace(-0.5, 1.5, 55)[None])


def test_the_expression_adapter_gets_smirks_numbers(mimicking, tmp_path) -> None:
    smirk = Smirk()
    make = GenerationPipeline(mimicking, smirk=smirk)
    calm = make("a face", steps=2).images[0]
    shown = make("a face", expression=ASTRONAUT, steps=2, words=False)
    assert smirk.seen.shape == (1, 3, 224, 224)
    told = torch.linspace(-0.5, 1.5, 55).numpy()
    told[50:52], told[53:] = np.clip(told[50:52], 0, 1), 0.2
    given = make("a face", expression=told, steps=2, words=False)
    assert np.array_equal(shown.images[0], given.images[0])
    assert not np.array_equal(shown.images[0], calm)
    np.save(tmp_path / "told.npy", told)
    assert np.array_equal(make("a face", expression=tmp_path / "told.npy", steps=2).images[0], given.images[0])
    assert np.array_equal(make("a face", yaw=10, steps=2, words=False).images[0], calm)  # nothing said of the face


def test_what_the_expression_adapter_lacks_is_said(mimicking, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FACE_STUDIO_MODELS", str(tmp_path))
    make = GenerationPipeline(mimicking)
    with pytest.raises(UsageError, match="don't follow from ARKit"):
        make("a face", shapes={"jawOpen": 0.5}, steps=1)
    with pytest.raises(UsageError, match=r"55 of SMIRK.*52 ARKit"):
        make("a face", expression=np.zeros(7), steps=1)
    with pytest.raises(UsageError, match="no Expression Adapter"):
        GenerationPipeline(pipe_of())("a face", expression=np.zeros(55), steps=1)


def test_an_edit_keeps_the_person(tmp_path) -> None:
    tiny.tiny_pipelines()["portrait"]()[0].save_pretrained(tmp_path / "sd")
    tiny.controlnet().save_pretrained(tmp_path / "net")
    settings = DiffusionSettings(strength=0.9, steps=2)
    engine = DiffusionEngine.from_pretrained(tmp_path / "sd", controlnet=tmp_path / "net", settings=settings)
    picture = np.random.default_rng(0).integers(90, 160, (150, 220, 3), dtype=np.uint8)
    face = fake_face((110, 70), 40, (220, 150))
    edit = lambda: ExpressionEditPipeline(Tracker(face), engine)(picture, shapes={"jawOpen": 0.6}).image
    nobody, seen = edit(), []
    engine.pipe.load_identity(face_id(engine.pipe.unet))

    def recognise(crop):
        seen.append(crop)
        return ME

    engine.pipe.embedder = recognise
    me = edit()
    assert len(seen) == 1
    assert (
        face.box[2] - face.box[0] < seen[0].shape[1] < 220
    )  # the edited face and its surroundings, not the whole picture
    assert np.abs(me.astype(int) - nobody).max() > 0
    assert np.array_equal(me[:, :25], picture[:, :25])
    engine.pipe.embedder = lambda crop: OTHER
    assert not np.array_equal(edit(), me)
