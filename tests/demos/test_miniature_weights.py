"""The miniature's weights: they open as diffusers opens a model, and do what they are asked for."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the miniature runs on torch (extra: models)")
pytest.importorskip("diffusers")

from controls.identity.stack import stacked
from demos.miniature import FOLDER
from demos.miniature.behaviour import SHAPE_AXES, control_followed, expression_carried, heads, identity_followed
from demos.miniature.judge import correlations, landmark_error, open_judge, seen
from demos.miniature.opening import open_miniature
from demos.miniature.people import EXPRESSION, IDENTITY, identity_embedding

MEGABYTES = 12
ASTRONAUT = Path(__file__).parents[2] / "demos" / "assets" / "astronaut.jpg"

pytestmark = pytest.mark.skipif(
    not (FOLDER / "model_index.json").is_file(), reason="no miniature here: python -m demos.train_miniature makes it"
)


@pytest.fixture(scope="module")
def opened():
    return open_miniature()


def test_it_is_small():
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < MEGABYTES * 1e6


def test_diffusers_opens_it_and_makes_pictures():
    import torch
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(FOLDER, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    call = dict(num_inference_steps=6, output_type="np")
    made = pipe(["portrait", "a portrait of a person"], generator=torch.manual_seed(1), **call).images
    assert made.shape == (2, 64, 64, 3)
    assert np.isfinite(made).all() and made.std() > 0.05


def test_the_judge_sees_what_was_drawn():
    sights, persons, _ = heads(24, 5)
    told = seen(open_judge(), np.stack([s.picture for s in sights]))
    assert landmark_error(told.points, np.stack([s.points for s in sights])).mean() < 2
    assert correlations(told.person, persons)[[IDENTITY.index(n) for n in ("head_width", "skin")]].min() > 0.7


def test_silent_adapters_change_nothing(opened):
    import torch

    x = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    text = torch.zeros(1, 4, opened.pipe.unet.config.cross_attention_dim)
    face = opened.identity.guide(identity_embedding(np.zeros((1, len(IDENTITY)))), guidance=False)
    quiet = opened.identity.guide(identity_embedding(np.zeros((1, len(IDENTITY)))), guidance=False, scale=0.0)
    see = lambda *guides: opened.pipe.unet(x, 500, text, cross_attention_kwargs=stacked(*guides).kwargs()).sample
    with torch.no_grad():
        plain, silent, loud = opened.pipe.unet(x, 500, text).sample, see(quiet, quiet), see(face, quiet)
    torch.testing.assert_close(silent, plain)
    assert (loud - plain).abs().max() > 1e-3


def test_trainings_go_on_from_its_weights(opened, tmp_path):
    import torch

    from demos.miniature.album import drawn
    from demos.miniature.autoencoder import encode, train_autoencoder
    from demos.miniature.control import train_controlnet
    from demos.miniature.ctrlora import train_ctrlora
    from demos.miniature.diffusion import Lessons, train
    from demos.miniature.opening import CONTROLNET

    album, pipe, instant = drawn(2, 2, 5), opened.pipe, dict(minutes=1e-9, report=lambda _: None)
    vae = train_autoencoder(album, tmp_path / "vae.pt", start=FOLDER / "vae", **instant)
    lessons = Lessons.of(album, encode(vae, album.pictures), pipe.tokenizer)
    net = train(lessons, pipe.tokenizer, tmp_path / "net.pt", start=FOLDER, **instant)
    control = train_controlnet(net, lessons, album, tmp_path / "control.pt", start=FOLDER / CONTROLNET, **instant)
    shared = train_ctrlora(net, vae, lessons, album, tmp_path / "ctrlora.pt", start=FOLDER, **instant)
    pairs = [(vae, pipe.vae), (net.text, pipe.text_encoder), (control, pipe.controlnet)]
    pairs += [(net.face, opened.identity.projection), (net.mimic, opened.expression.projection)]
    for got, wanted in pairs:
        for key, value in wanted.state_dict().items():
            torch.testing.assert_close(got.state_dict()[key], value, msg=key)
    x, text = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 4, 64)
    face, person = opened.identity, identity_embedding(np.full((1, len(IDENTITY)), 0.5, np.float32))
    kwargs = stacked(face.guide(person, guidance=False), face.guide(person, guidance=False, scale=0.0)).kwargs()
    with torch.no_grad():
        wanted = pipe.unet(x, 500, text, cross_attention_kwargs=kwargs).sample
        torch.testing.assert_close(net.unet(x, 500, text, cross_attention_kwargs=kwargs).sample, wanted)
        assert all(one.abs().max() > 0 for one in shared("normals", x, 500, text))


@pytest.mark.slow
def test_control_identity_and_expression_are_followed(opened):
    judge = open_judge()
    assert control_followed(opened, judge, 12).fall > 0.6
    assert identity_followed(opened, judge, 20, 2, shown=True)[SHAPE_AXES].mean() > 0.65
    assert expression_carried(opened, judge, 32, shown=True).mean() > 0.65


def test_what_it_has_no_words_for_is_not_said():
    from demos.cli.miniature import open_maker

    make = open_maker()
    call = dict(steps=1, shapes={"eyeWideLeft": 1.0, "eyeWideRight": 1.0, "jawOpen": 1.0})
    assert make("a portrait", emotion={"joy": 0.5}, **call).prompt == "a portrait, mouth wide open, smiling"


def test_the_command_line_makes_portraits_offline(tmp_path, capsys):
    from demos.cli import main
    from studio.media import read_image

    places = {name: tmp_path / f"{name}.png" for name in ("calm", "open", "again")}
    words = ["generate", "a portrait of a person", "--identity", str(ASTRONAUT), "--steps", "12", "--seed", "3"]
    words += ["--pose", str(ASTRONAUT)]
    for name, more in {"calm": [], "open": ["--set", "jawOpen=1"], "again": ["--set", "jawOpen=1"]}.items():
        assert main([*words, *more, "-o", str(places[name])]) == 0
    assert "miniature" in capsys.readouterr().out
    quiet = [sys.executable, "-m", "demos.cli", "generate", "a portrait", "--steps", "1", "-o", str(tmp_path / "q.png")]
    done = subprocess.run(quiet, cwd=FOLDER.parents[2], capture_output=True, text=True, check=True)
    assert done.stderr == ""  # nothing of the libraries' loading
    calm, wide, again = (read_image(place).rgb for place in places.values())
    assert calm.shape == (64, 64, 3)
    np.testing.assert_array_equal(wide, again)
    levels = seen(open_judge(), np.stack([calm, wide])).expression[:, list(EXPRESSION).index("mouth_open")]
    assert levels[1] - levels[0] > 0.4
