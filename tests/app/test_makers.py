"""Diffusion models that the app offers: found by name in the models' folder, refused with what to do."""

from __future__ import annotations

import json

import pytest

from demos.app import makers
from demos.app.tabs.generate import _size
from studio.errors import MissingExtraError, UsageError, WeightsError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A models' folder with a pipeline, a ControlNet, a part of the pipeline and something else."""
    monkeypatch.setenv("FACE_STUDIO_MODELS", str(tmp_path))
    for place, index, kind in (
        ("sd15", "model_index.json", "StableDiffusionPipeline"),
        ("hub/sdxl", "model_index.json", "StableDiffusionXLPipeline"),
        ("flux", "model_index.json", "FluxPipeline"),
        ("normals", "config.json", "ControlNetModel"),
        ("sd15/controlnet", "config.json", "ControlNetModel"),
        ("vae", "config.json", "AutoencoderKL"),
    ):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / index).write_text(json.dumps({"_class_name": kind}))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model_index.json").write_text("{")
    return tmp_path


def test_what_lies_in_the_models_folder_is_offered(folder):
    assert makers.checkpoints() == {"sd15": folder / "sd15", "hub/sdxl": folder / "hub" / "sdxl"}
    assert makers.control_networks() == {"normals": folder / "normals"}


def test_what_is_not_there_is_refused_with_what_to_do(folder):
    pytest.importorskip("torch", reason="without it that is what is said (extra: models)")
    pytest.importorskip("diffusers")
    with pytest.raises(WeightsError, match="put a checkpoint of Stable Diffusion"):
        makers.maker("../../etc")
    with pytest.raises(UsageError, match="there are normals"):
        makers.maker("sd15", control="depth")
    with pytest.raises(UsageError, match="faceid, instantid"):
        makers.maker("sd15", adapter="faces")


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"face-studio\[models\]"):
        makers.maker(makers.MINIATURE)


def test_sizes_are_read_and_bounded():
    assert _size("") is None and _size("64") == (64, 64) and _size(" 512x768") == (512, 768)
    for wrong in ("big", "512x", "4096x64"):
        with pytest.raises(UsageError):
            _size(wrong)
