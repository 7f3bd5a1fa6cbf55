"""Microphone and camera in a real browser, and models that are converted where they lie."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from app_visitor import LONG

from studio.media import Clip

pytestmark = pytest.mark.slow

ASSETS = Path(__file__).resolve().parents[2] / "demos" / "assets"


def test_capture_hears_the_microphone(visit, tmp_path):
    from studio.motion import FaceMotion

    visitor = visit()
    tab = visitor.tab("Capture")
    tab.get_by_role("tab", name="Speech").click()
    tab.get_by_role("button", name="Record audio").click()
    tab.get_by_role("button", name="Record", exact=True).click()
    visitor.page.wait_for_timeout(2500)
    tab.get_by_role("button", name="Stop", exact=True).first.click()
    tab.get_by_role("button", name="Play", exact=True).wait_for()
    visitor.page.locator("#capture-go").click()
    got = visitor.results(tab, tmp_path, 2)
    motion = FaceMotion.load(next(path for path in got.values() if path.suffix == ".csv"))
    assert len(motion) > 60 and motion.weights.max(0).max() > 0.2  # a second or more of somebody who speaks


def test_animate_copies_what_the_camera_sees(visit, tmp_path):
    visitor = visit()
    tab = visitor.tab("Animate")
    visitor.give_photo(tab, ASSETS / "astronaut.jpg")
    tab.get_by_role("tab", name="Performance").click()
    tab.get_by_role("button", name="Capture from camera").last.click()
    tab.get_by_role("button", name="Click to Access Webcam").click()
    record = tab.get_by_role("button", name="start recording")
    record.click()
    visitor.page.wait_for_timeout(1500)
    record.click()  # Gradio's button stops as well
    tab.locator("video[src*='/file=']").first.wait_for()
    visitor.page.locator("#animate-go").click()
    (path,) = visitor.results(tab, tmp_path).values()
    mouths = [frame.image[120:180, 190:260].astype(int) for frame in Clip.open(path).frames()]
    assert len(mouths) > 8 and max(np.abs(mouth - mouths[0]).mean() for mouth in mouths) > 2


def test_a_portrait_follows_the_camera_live(visit):
    visitor = visit()
    tab = visitor.tab("Animate")
    visitor.give_photo(tab, ASSETS / "astronaut.jpg")
    tab.get_by_role("tab", name="Live").click()
    camera = tab.locator("#mirror-camera")
    camera.get_by_role("button", name="Click to Access Webcam").click()
    camera.get_by_role("button", name="start recording").or_(camera.get_by_text("Record")).first.click()
    shown = tab.locator("#mirror-portrait img")
    shown.wait_for(timeout=LONG)
    sizes = set()
    for _ in range(12):  # a picture that has moved compresses to another size
        before = shown.get_attribute("src")
        visitor.page.wait_for_function("b => document.querySelector('#mirror-portrait img').src != b", arg=before)
        sizes.add(
            visitor.page.evaluate(
                "fetch(document.querySelector('#mirror-portrait img').src).then(r => r.blob()).then(b => b.size)"
            )
        )
    assert len(sizes) > 2


def test_a_model_is_converted_where_it_lies(visit, served):
    from safetensors import safe_open

    folder = served.temporary / "models" / "mica"
    folder.mkdir(parents=True)
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    (folder / "mica.tar").write_bytes(pickle.dumps({"arcface": {"conv1.weight": weights}, "epoch": 3}))
    try:
        visitor = visit()
        tab = visitor.tab("Models")
        tab.locator("#models-table").get_by_text("mica", exact=True).first.click()
        visitor.wait_for_value(tab.get_by_role("listbox", name="Model").or_(tab.get_by_label("Model")).first, "mica")
        visitor.page.locator("#convert-go").click()
        box = tab.get_by_label("Result").element_handle()
        visitor.page.wait_for_function("box => box.value.includes('mica.safetensors')", arg=box)
        with safe_open(folder / "mica.safetensors", "np") as made:
            assert list(made.keys()) == ["arcface.conv1.weight"]
            assert np.array_equal(made.get_tensor("arcface.conv1.weight"), weights)
    finally:
        shutil.rmtree(folder)
