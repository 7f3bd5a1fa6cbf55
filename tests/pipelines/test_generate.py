# ruff: noqa: E402  (torch and diffusers may be missing)
"""A prompt, a reference and a pose reach the model; the edited head reaches its ControlNet; the command does it all."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="diffusion runs on torch (extra: models)")
diffusers = pytest.importorskip("diffusers", reason="the pipelines are diffusers' (extra: models)")
pytest.importorskip("transformers", reason="text encoders are transformers'")

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny
from pipeline_fakes import Tracker
from pipeline_fakes import face as fake_face

from avatars.conditions import KINDS, Conditions, draw_landmarks, landmarks_of
from avatars.facemesh import POINTS_68
from avatars.head import embedded_head
from avatars.shade3d import Camera
from controls.expression_words import expression_words
from demos.cli import main
from pipelines import ExpressionEditPipeline, GenerationPipeline
from pipelines.diffusion.edit import DiffusionEngine, DiffusionSettings
from studio.arkit import INDEX
from studio.errors import Cancelled, UsageError

ASTRONAUT = Path(__file__).parents[2] / "demos" / "assets" / "astronaut.jpg"


def weights(**shapes: float) -> np.ndarray:
    out = np.zeros(52, np.float32)
    for name, value in shapes.items():
        out[INDEX[name]] = value
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A checkpoint with a ControlNet beside it."""
    place = tmp_path_factory.mktemp("models")
    tiny.tiny_pipelines()["portrait"]()[0].save_pretrained(place / "sd")
    tiny.controlnet().save_pretrained(place / "net")
    return place


@pytest.fixture(scope="module")
def make(folder):
    return GenerationPipeline.from_pretrained(folder / "sd", controlnet=folder / "net")


def test_conditions_show_the_posed_head() -> None:
    rig, camera = embedded_head(), Camera.portrait((96, 96), 0.30, 1.1, (0.0, -0.03, -0.06))
    draw = Conditions(rig, (96, 96))
    calm, wide = rig.vertices(weights()), rig.vertices(weights(jawOpen=1.0))
    for kind in KINDS:
        picture = draw(kind, calm, camera)
        assert picture.shape == (96, 96, 3)
        assert picture.dtype == np.uint8
        assert np.abs(picture.astype(int) - draw(kind, wide, camera)).max() > 60
    assert draw("normals", calm, camera)[48, 48, 2] > 200  # the face looks at the camera
    points = landmarks_of(rig, calm, camera)
    chin, brow = points[POINTS_68[8]], points[POINTS_68[19]]
    assert chin[1] > brow[1] + 20
    with pytest.raises(UsageError, match="choose one"):
        draw("canny", calm, camera)
    with pytest.raises(UsageError, match="468"):
        draw_landmarks(points[:10], (96, 96))


def test_expressions_have_words() -> None:
    assert expression_words(weights()) == ""
    assert expression_words(weights(jawOpen=0.9, mouthSmileLeft=0.5, mouthSmileRight=0.5)) == (
        "mouth wide open, smiling"
    )
    assert expression_words(weights(), {"joy": 0.6}) == "happy"


def test_what_is_asked_for_reaches_the_model(make) -> None:
    calm = make("a portrait", steps=2)
    assert calm.prompt == "a portrait"
    assert calm.condition is None
    assert calm.images[0].shape == (tiny.SIDE, tiny.SIDE, 3)
    wide = make("a portrait", shapes={"jawOpen": 0.8}, yaw=20, steps=2)
    assert wide.prompt == "a portrait, mouth wide open, turned right"
    assert np.isclose(wide.weights[INDEX["jawOpen"]], 0.8)
    assert np.isclose(wide.head[0], np.radians(20))
    assert wide.condition is not None and wide.condition.any()
    assert np.abs(wide.images[0].astype(int) - calm.images[0]).max() > 0
    again = make("a portrait", shapes={"jawOpen": 0.8}, yaw=20, steps=2, seed=0, count=2)
    assert np.array_equal(again.images[0], wide.images[0])
    assert not np.array_equal(again.images[1], wide.images[0])
    assert again.seeds == (0, 1)
    silent = make("a portrait", shapes={"jawOpen": 0.8}, words=False, steps=2)
    assert silent.prompt == "a portrait"


def test_a_reference_is_measured(make) -> None:
    smiling = make("a portrait", expression=ASTRONAUT, pose=ASTRONAUT, steps=1)
    assert smiling.weights[[INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"]]].mean() > 0.2
    assert "smiling" in smiling.prompt
    assert 0 < np.abs(smiling.head).max() < 0.5


def test_generation_refuses_and_stops(make) -> None:
    with pytest.raises(UsageError, match="such as 64x64"):
        make("a portrait", size=(63, 64))
    with pytest.raises(UsageError, match="count"):
        make("a portrait", count=0)
    with pytest.raises(UsageError, match="load_identity"):
        make("a portrait", identity=np.ones(512, np.float32), steps=1)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        make("a portrait", cancel=stop, steps=2)


def test_a_photo_is_edited_within_its_face(folder) -> None:
    settings = DiffusionSettings(strength=0.9, steps=2)
    engine = DiffusionEngine.from_pretrained(folder / "sd", controlnet=folder / "net", settings=settings)
    picture = np.random.default_rng(0).integers(90, 160, (150, 220, 3), dtype=np.uint8)
    seen = fake_face((110, 70), 40, (220, 150))
    edit = ExpressionEditPipeline(Tracker(seen), engine)
    assert np.array_equal(edit(picture).image, picture)
    made = edit(picture, shapes={"jawOpen": 0.6}, yaw=10).image
    assert made.shape == picture.shape
    changed = (made != picture).any(2)
    x0, y0, x1, y1 = (round(v) for v in seen.box)
    assert changed[y0:y1, x0:x1].mean() > 0.9
    assert not changed[:, :25].any() and not changed[:, -25:].any()
    assert np.array_equal(edit(picture, shapes={"jawOpen": 0.6}, yaw=10).image, made)
    assert not np.array_equal(edit(picture, shapes={"jawOpen": 0.6}, yaw=-10).image, made)


def test_an_edit_needs_a_pipeline_with_a_mask(make) -> None:
    with pytest.raises(UsageError, match="inpainting"):
        DiffusionEngine(make.pipe)
    with pytest.raises(UsageError, match="checkpoint"):
        _ = ExpressionEditPipeline(engine="diffusion").avatar
    with pytest.raises(UsageError, match="strength"):
        DiffusionSettings(strength=0)


def test_the_commands(folder, tmp_path, capsys) -> None:
    out, seen = tmp_path / "new.png", tmp_path / "seen.png"
    words = ["generate", "a portrait", "--model", str(folder / "sd"), "--steps", "1", "--set", "smile=0.8"]
    more = ["--controlnet", str(folder / "net"), "--save-condition", str(seen), "--count", "2", "-o", str(out)]
    assert main(words + more) == 0, capsys.readouterr().err
    assert (tmp_path / "new_1.png").is_file() and (tmp_path / "new_2.png").is_file() and seen.is_file()
    edited = tmp_path / "edited.png"
    words = ["edit", str(ASTRONAUT), "--engine", "diffusion", "--model", str(folder / "sd"), "--steps", "2"]
    assert main([*words, "--set", "smile=0.8", "-o", str(edited)]) == 0, capsys.readouterr().err
    assert edited.is_file()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["x"], 2, "where to"),
        (["x", "-o", "o.png", "--model", "nowhere"], 7, "no such folder"),
        (["x", "-o", "o.png", "--identity", "nobody.jpg"], 2, "no such file"),
        (["x", "-o", "o.png", "--steps", "0"], 2, "--steps 0"),
        (["x", "-o", "o.png", "--adapter", "a.bin"], 2, "goes with --model"),
    ],
)
def test_the_command_refuses(words, code, said, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["generate", *words]) == code
    assert said in capsys.readouterr().err
