"""Every tab in a real browser: give a file, press, see the result, download it, and read it with the library.

Screenshots at the widths of a desk and of a phone go to the folder that FACE_STUDIO_SHOTS names.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from app_visitor import LONG

from studio.media import Audio, Clip, read_image

pytestmark = pytest.mark.slow

ASSETS = Path(__file__).resolve().parents[2] / "demos" / "assets"
PORTRAIT = ASSETS / "astronaut.jpg"


def pictures(clip):
    return [frame.image for frame in clip.frames()]


def test_animate(visit, speech, tmp_path):
    visitor = visit()
    tab = visitor.tab("Animate")
    visitor.give_photo(tab, PORTRAIT)
    visitor.give(tab, speech, 1)
    tab.locator(".component-wrapper, [data-testid='waveform-Speech']").first.wait_for()
    visitor.page.locator("#animate-go").click()
    (path,) = visitor.results(tab, tmp_path).values()
    tab.locator("video").first.wait_for()
    visitor.shoot("animate")
    clip = Clip.open(path)
    frames = pictures(clip)
    assert (path.name, clip.size, clip.fps, len(frames)) == ("astronaut-animated.mp4", (512, 512), 25, 30)
    assert Audio.open(path).duration == pytest.approx(1.2, abs=0.1)
    photo = read_image(PORTRAIT).rgb.astype(int)
    assert np.abs(frames[0].astype(int) - photo)[:60, 300:].mean() < 6  # the room behind her stays
    assert max(np.abs(frame[120:180, 190:260].astype(int) - frames[0][120:180, 190:260]).mean() for frame in frames) > 2
    assert "30 frames" in tab.locator(".summary").first.inner_text()


def test_animate_copies_a_performance(visit, performance, tmp_path):
    visitor = visit()
    tab = visitor.tab("Animate")
    visitor.give_photo(tab, PORTRAIT)
    tab.get_by_role("tab", name="Performance").click()
    visitor.give(tab, performance, 2)  # after the portrait and the recording
    tab.locator("video").first.wait_for()
    tab.get_by_role("button", name="Picture", exact=False).last.click()
    tab.get_by_label("Also the motion, as Live Link Face CSV").check()
    visitor.page.locator("#animate-go").click()
    got = visitor.results(tab, tmp_path, 2)
    from studio.motion import FaceMotion

    clip, motion = Clip.open(got["astronaut-animated.mp4"]), FaceMotion.load(got["astronaut-animated.csv"])
    driver = Clip.open(performance)
    assert (clip.size, clip.fps) == ((512, 512), driver.fps)
    assert len(pictures(clip)) == len(motion) == len(pictures(driver))
    assert Audio.open(clip.path).duration == pytest.approx(Audio.open(performance).duration, abs=0.1)
    assert motion.weights.max(0).max() > 0.2


def test_animate_speaks_typed_words(visit, tmp_path):
    from demos.app.speak import voices

    if not voices():
        pytest.skip("espeak-ng is not installed")
    visitor = visit()
    tab = visitor.tab("Animate")
    visitor.give_photo(tab, PORTRAIT)
    tab.get_by_role("tab", name="Text").click()
    said = tab.get_by_label("Words to say")
    said.wait_for()
    visitor.kept_at_rest("animate")  # the tab has just been made: what is typed before it has settled is lost
    said.fill("Hello.")
    visitor.page.locator("#animate-go").click()
    (path,) = visitor.results(tab, tmp_path).values()
    assert 0.3 < Audio.open(path).duration < 3 and Clip.open(path).size == (512, 512)


def test_edit_changes_a_video(visit, performance, tmp_path):
    from pipelines import ExpressionEditPipeline

    visitor = visit()
    tab = visitor.tab("Edit")
    tab.get_by_role("tab", name="Video").click()
    visitor.give(tab, performance, 1)
    visitor.page.locator("#edit-preview img").last.wait_for(timeout=LONG)
    slider = tab.get_by_role("slider", name="Brow up", exact=True)
    slider.focus()
    visitor.page.keyboard.press("End")
    visitor.page.locator("#edit-go").click()
    (path,) = visitor.results(tab, tmp_path).values()
    expected = ExpressionEditPipeline()(performance, shapes={"brow_up": 1.0}).save(tmp_path / "expected.mp4")
    made, wanted, plain = (pictures(Clip.open(each)) for each in (path, expected.path, performance))
    assert path.name == "talk-edited.mp4" and len(made) == len(wanted) == len(plain)
    assert np.abs(made[3].astype(int) - wanted[3]).mean() < 0.5 < np.abs(made[3].astype(int) - plain[3]).mean()


def test_capture_watches_a_video(visit, performance, tmp_path):
    from pipelines import CapturePipeline
    from studio.motion import FaceMotion

    visitor = visit()
    tab = visitor.tab("Capture")
    visitor.give(tab, performance)
    tab.locator("video").first.wait_for()
    visitor.page.locator("#capture-go").click()
    got = visitor.results(tab, tmp_path, 2)
    motion, expected = FaceMotion.load(got["talk.csv"]), CapturePipeline()(performance).motion
    assert len(motion) == len(expected) and motion.fps == expected.fps
    assert np.allclose(motion.weights, expected.weights, atol=1e-3)
    assert "a face in all of them" in tab.locator(".prose.summary").inner_text()


def test_edit_follows_the_slider_and_saves_what_the_pipeline_makes(visit, tmp_path):
    from pipelines import ExpressionEditPipeline

    visitor = visit()
    tab = visitor.tab("Edit")
    visitor.give(tab, PORTRAIT)
    before, after = visitor.page.locator("#edit-preview img").first, visitor.page.locator("#edit-preview img").last
    after.wait_for(timeout=LONG)
    unchanged, shown = before.get_attribute("src"), after.get_attribute("src")
    slider = tab.get_by_role("slider", name="Smile", exact=True)
    slider.focus()
    for _ in range(16):
        visitor.page.keyboard.press("ArrowRight")
    visitor.page.wait_for_function(
        "before => [...document.querySelectorAll('#edit-preview img')].pop().src != before", arg=shown
    )
    assert before.get_attribute("src") == unchanged
    tab.get_by_role("button", name="The same from elsewhere").click()
    command = tab.locator(".cm-content").first
    command.get_by_text("smile=0.8").wait_for()
    assert command.inner_text() == "face-studio edit astronaut.jpg --set smile=0.8 -o edited.png"
    visitor.page.locator("#edit-go").scroll_into_view_if_needed()
    visitor.shoot("edit")
    visitor.page.locator("#edit-go").click()
    (path,) = visitor.results(tab, tmp_path).values()
    expected = ExpressionEditPipeline()(PORTRAIT, shapes={"smile": 0.8}).image
    assert path.name == "astronaut-edited.png" and np.array_equal(read_image(path).rgb, expected)


def test_edit_lets_one_choose_among_faces(visit, tmp_path):
    from PIL import Image

    photo = Image.open(PORTRAIT)
    pair = Image.new("RGB", (900, 512), "grey")
    pair.paste(photo.crop((60, 0, 400, 512)), (500, 0))
    pair.paste(photo.crop((60, 0, 400, 512)).resize((306, 461)), (60, 51))
    pair.save(tmp_path / "pair.png")
    visitor = visit()
    tab = visitor.tab("Edit")
    visitor.give(tab, tmp_path / "pair.png")
    faces = tab.get_by_role("button", name="face")
    tab.locator(".thumbnail-item").nth(1).wait_for(timeout=LONG)
    assert tab.locator(".thumbnail-item").count() == 2, faces.count()
    before = visitor.page.locator("#edit-preview img").last.get_attribute("src")
    tab.locator(".thumbnail-item").nth(1).click()
    visitor.page.wait_for_function(
        "before => [...document.querySelectorAll('#edit-preview img')].pop().src != before", arg=before
    )
    slider = tab.get_by_role("slider", name="Jaw open", exact=True).first
    slider.focus()
    visitor.page.keyboard.press("End")
    visitor.page.locator("#edit-go").click()
    (path,) = visitor.results(tab, tmp_path).values()
    changed = np.abs(read_image(path).rgb.astype(int) - np.asarray(pair).astype(int)).sum(2) > 30
    assert changed[:, :450].sum() > 100 and changed[:, 500:].sum() == 0  # the smaller one, at the left


def test_capture(visit, speech, tmp_path):
    from pipelines import CapturePipeline
    from studio.motion import FaceMotion

    visitor = visit()
    tab = visitor.tab("Capture")
    tab.get_by_role("tab", name="Speech").click()
    visitor.give(tab, speech, 1)
    tab.locator(".component-wrapper, [data-testid='waveform-Speech']").first.wait_for()
    tab.get_by_label("USDC", exact=True).check()
    visitor.page.locator("#capture-go").click()
    got = visitor.results(tab, tmp_path, 3)
    tab.locator(".vega-embed svg").wait_for()
    visitor.shoot("capture")
    assert set(got) == {"hello.csv", "hello.glb", "hello.usdc"}
    motion, expected = FaceMotion.load(got["hello.csv"]), CapturePipeline()(speech).motion
    assert len(motion) == len(expected) == 72
    assert np.allclose(motion.weights, expected.weights, atol=1e-4)
    import pygltflib
    from pxr import Usd, UsdSkel

    assert len(pygltflib.GLTF2().load(str(got["hello.glb"])).animations) == 1
    stage = Usd.Stage.Open(str(got["hello.usdc"]))
    assert sum(prim.IsA(UsdSkel.Animation) for prim in stage.Traverse()) == 1


def test_head(visit, tmp_path):
    import pygltflib

    visitor = visit()
    tab = visitor.tab("Head")
    visitor.give_photo(tab, PORTRAIT)
    first = visitor.page.locator("#head-view img")
    first.wait_for(timeout=LONG)
    before = first.get_attribute("src")
    slider = tab.get_by_role("slider", name="Face width", exact=True)
    slider.focus()
    visitor.page.keyboard.press("End")
    visitor.page.wait_for_function("b => document.querySelector('#head-view img').src != b", arg=before, timeout=LONG)
    visitor.page.locator("#head-go").click()
    (path,) = visitor.results(tab, tmp_path).values()
    visitor.wait_for_picture(tab.locator("#head-model canvas"))
    visitor.shoot("head")
    head = pygltflib.GLTF2().load(str(path))
    names = {name for mesh in head.meshes for name in (mesh.extras or {}).get("targetNames", [])}
    assert path.name == "astronaut-head.glb" and {"jawOpen", "mouthSmileLeft", "eyeBlinkRight"} <= names
    assert head.images
    from avatars.load_rig import load_rig
    from pipelines import ReconstructionPipeline

    width = lambda rig: np.ptp(rig.neutral[:, 0])
    wanted = ReconstructionPipeline()(PORTRAIT).shaped({"face_width": 3.0}).rig
    assert width(load_rig(path)) == pytest.approx(width(wanted), abs=1e-4)


def test_a_head_that_speaks_in_every_format(visit, speech, tmp_path):
    import pygltflib
    from pxr import Usd, UsdSkel

    visitor = visit()
    tab = visitor.tab("Head")
    visitor.give_photo(tab, PORTRAIT)
    tab.get_by_role("button", name="Let it speak").click()
    visitor.give(tab, speech, 1)
    tab.locator(".component-wrapper, [data-testid='waveform-Speech']").first.wait_for()
    for name in ("USDZ", "USDC", "OBJ (at rest, no texture)", "Also a video of it, once round"):
        tab.get_by_label(name, exact=True).check()
    visitor.page.locator("#head-go").click()
    got = visitor.results(tab, tmp_path, 5)
    ends = {f"astronaut-head.{ending}" for ending in ("glb", "usdz", "usdc", "obj")}
    assert set(got) == {*ends, "astronaut-turntable.mp4"}
    (animation,) = pygltflib.GLTF2().load(str(got["astronaut-head.glb"])).animations
    assert animation.channels
    for ending in ("usdz", "usdc"):
        stage = Usd.Stage.Open(str(got[f"astronaut-head.{ending}"]))
        (motion,) = (UsdSkel.Animation(p) for p in stage.Traverse() if p.IsA(UsdSkel.Animation))
        jaw = list(motion.GetBlendShapesAttr().Get()).index("jawOpen")
        opened = [motion.GetBlendShapeWeightsAttr().Get(t)[jaw] for t in range(int(stage.GetEndTimeCode()) + 1)]
        assert len(opened) > 30 and max(opened) > min(opened) + 0.1
    lines = got["astronaut-head.obj"].read_text().splitlines()
    rows = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], float)
    assert len(rows) > 1000 and 0.1 < np.ptp(rows[:, 1]) < 0.5  # metres
    round_ = pictures(Clip.open(got["astronaut-turntable.mp4"]))
    assert len(round_) > 24 and np.abs(round_[0].astype(int) - round_[len(round_) // 2]).mean() > 5


def test_generate(visit, tmp_path):
    pytest.importorskip("torch", reason="generation needs: pip install 'face-studio[models]'")
    pytest.importorskip("diffusers", reason="generation needs: pip install 'face-studio[models]'")
    visitor = visit()
    tab = visitor.tab("Generate")
    tab.get_by_label("Prompt").fill("a portrait, smiling")
    steps = tab.get_by_label("number input for Steps")
    steps.fill("6")
    steps.blur()
    many = tab.get_by_label("number input for How many")
    many.fill("2")
    many.blur()
    visitor.page.locator("#generate-go").click()
    if not (ASSETS / "miniature").is_dir():
        toast = visitor.page.get_by_test_id("toast-body").filter(has_text="miniature is not in this installation")
        toast.first.wait_for(timeout=LONG)
        return
    got = visitor.results(tab, tmp_path, 2)
    visitor.shoot("generate")
    first, second = (read_image(got[f"portrait_{k}.png"]).rgb for k in (1, 2))
    assert first.shape == second.shape == (64, 64, 3) and np.abs(first.astype(int) - second).mean() > 1
    assert tab.locator("#generate-gallery img").count() >= 2


def test_models(visit):
    visitor = visit()
    tab = visitor.tab("Models")
    tab.get_by_text("LivePortrait", exact=True).first.wait_for()
    visitor.page.locator("#verify-go").click()
    result = tab.get_by_label("Result")
    visitor.page.wait_for_function("box => box.value.includes('generic_model.pkl')", arg=result.element_handle())
    visitor.page.locator("#get-go").click()
    toast = visitor.page.get_by_test_id("toast-body").filter(has_text="flame.is.tue.mpg.de")
    toast.first.wait_for()  # its authors give it themselves
    tab.get_by_label("Model", exact=True).click()
    visitor.page.get_by_role("option", name="instantid").click()
    visitor.page.locator("#get-go").click()
    visitor.page.get_by_test_id("toast-body").filter(has_text="can't be reached").first.wait_for()
    visitor.shoot("models")


def test_about(visit):
    from studio import __version__

    visitor = visit()
    tab = visitor.tab("About")
    visitor.page.locator("#doctor-go").click()
    tab.get_by_text("mediapipe's face mesh").first.wait_for()
    assert __version__ in tab.locator(".cm-content").first.inner_text()
    visitor.shoot("about")
