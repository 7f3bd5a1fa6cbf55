"""Every tab in a real browser: give a file, press, see the result, download it, and read it with the library.

Screenshots at the widths of a desk and of a phone go to `face-studio-shots` in the system's temporary folder.
"""

from __future__ import annotations

import shutil
import tempfile
import wave
from pathlib import Path

import numpy as np
import pytest

from studio.media import Audio, Clip, read_image

pytestmark = pytest.mark.slow

ASSETS = Path(__file__).resolve().parents[2] / "demos" / "assets"
PORTRAIT = ASSETS / "astronaut.jpg"
SHOTS = Path(tempfile.gettempdir()) / "face-studio-shots"
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LONG = 200_000
"""Milliseconds that a result may take on a busy machine."""


@pytest.fixture(scope="module")
def chromium():
    """A headless browser."""
    api = pytest.importorskip("playwright.sync_api", reason="browser tests need: pip install playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("browser tests need Chromium: apt-get install chromium")
    flags = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


class Visitor:
    """A page in a context of its own, and what its console complained about."""

    def __init__(self, chromium, url, viewport=DESK, **options):
        self.context = chromium.new_context(viewport=viewport, **options)
        self.page, self.complaints = self.context.new_page(), []
        self.page.set_default_timeout(60_000)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda r: self._asked(r.url, url))
        self.page.goto(url)
        self.page.locator("#animate-go").wait_for()

    def _heard(self, message):
        if message.type == "error" and "WebGPU" not in message.text:  # there is none here: the 3D view takes WebGL
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")

    def _asked(self, address, url):
        if not address.startswith((url, "data:", "blob:")):
            self.complaints.append(f"something was asked of {address}")

    def tab(self, name):
        self.page.get_by_role("tab", name=name, exact=True).click()
        return self.page.locator(f"#tab-{name.lower()}")

    def give(self, tab, path, number=0):
        tab.locator("input[type=file]").nth(number).set_input_files(str(path))

    def results(self, tab, folder, count=1):
        """The files that a tab offers, downloaded: {name: path}."""
        links = tab.locator(".files a[download]")
        links.nth(count - 1).wait_for(timeout=LONG)
        got = {}
        for k in range(links.count()):
            with self.page.expect_download() as waiting:
                links.nth(k).click()
            path = folder / waiting.value.suggested_filename
            waiting.value.save_as(path)
            got[path.name] = path
        return got

    def shoot(self, name):
        SHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}-{self.page.viewport_size['width']}.png")


@pytest.fixture
def visit(chromium, served):
    """Opens pages; at the end their consoles must have been quiet."""
    visitors = []

    def come(viewport=DESK, **options):
        visitors.append(Visitor(chromium, served.url, viewport, **options))
        return visitors[-1]

    yield come
    complaints = [each for visitor in visitors for each in visitor.complaints]
    for visitor in visitors:
        visitor.context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """The first words of the sample speech, 1.2 s."""
    path = tmp_path_factory.mktemp("speech") / "hello.wav"
    with wave.open(str(ASSETS / "speech.wav")) as whole, wave.open(str(path), "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(int(1.2 * whole.getframerate())))
    return path


def pictures(clip):
    return [frame.image for frame in clip.frames()]


def test_animate(visit, speech, tmp_path):
    visitor = visit()
    tab = visitor.tab("Animate")
    visitor.give(tab, PORTRAIT)
    tab.get_by_role("button", name="Remove Image").or_(tab.get_by_label("Clear")).first.wait_for()
    visitor.give(tab, speech, 1)
    tab.locator(".component-wrapper, [data-testid='waveform-Speech']").first.wait_for()
    visitor.page.locator("#animate-go").click()
    (path,) = visitor.results(tab, tmp_path).values()
    tab.locator("video").first.wait_for()
    visitor.page.wait_for_timeout(1500)
    visitor.shoot("animate")
    clip = Clip.open(path)
    frames = pictures(clip)
    assert (path.name, clip.size, clip.fps, len(frames)) == ("astronaut-animated.mp4", (512, 512), 25, 30)
    assert Audio.open(path).duration == pytest.approx(1.2, abs=0.1)
    photo = read_image(PORTRAIT).rgb.astype(int)
    assert np.abs(frames[0].astype(int) - photo)[:60, 300:].mean() < 6  # the room behind her stays
    assert max(np.abs(frame[120:180, 190:260].astype(int) - frames[0][120:180, 190:260]).mean() for frame in frames) > 2
    assert "30 frames" in tab.locator(".summary").first.inner_text()


def test_edit_follows_the_slider_and_saves_what_the_pipeline_makes(visit, tmp_path):
    from pipelines import ExpressionEditPipeline

    visitor = visit()
    tab = visitor.tab("Edit")
    visitor.give(tab, PORTRAIT)
    after = visitor.page.locator("#edit-preview img").last
    after.wait_for(timeout=LONG)
    shown = after.get_attribute("src")
    slider = tab.get_by_role("slider", name="Smile", exact=True)
    slider.focus()
    for _ in range(16):
        visitor.page.keyboard.press("ArrowRight")
    visitor.page.wait_for_function(
        "before => [...document.querySelectorAll('#edit-preview img')].pop().src != before", arg=shown
    )
    visitor.page.wait_for_timeout(1500)
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
    for _ in range(20):
        visitor.page.keyboard.press("ArrowRight")
    visitor.page.wait_for_timeout(1500)
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
    visitor.page.locator("#capture-go").click()
    got = visitor.results(tab, tmp_path, 2)
    visitor.page.wait_for_timeout(1000)
    visitor.shoot("capture")
    assert set(got) == {"hello.csv", "hello.glb"}
    motion, expected = FaceMotion.load(got["hello.csv"]), CapturePipeline()(speech).motion
    assert len(motion) == len(expected) == 72
    assert np.allclose(motion.weights, expected.weights, atol=1e-4)
    import pygltflib

    assert len(pygltflib.GLTF2().load(str(got["hello.glb"])).animations) == 1


def test_head(visit, tmp_path):
    import pygltflib

    visitor = visit()
    tab = visitor.tab("Head")
    visitor.give(tab, PORTRAIT)
    tab.get_by_role("button", name="Remove Image").or_(tab.get_by_label("Clear")).first.wait_for()
    visitor.page.locator("#head-go").click()
    (path,) = visitor.results(tab, tmp_path).values()
    tab.locator("#head-model canvas").wait_for()
    visitor.page.wait_for_timeout(4000)
    visitor.shoot("head")
    head = pygltflib.GLTF2().load(str(path))
    names = {name for mesh in head.meshes for name in (mesh.extras or {}).get("targetNames", [])}
    assert path.name == "astronaut-head.glb" and {"jawOpen", "mouthSmileLeft", "eyeBlinkRight"} <= names
    assert head.images


def test_models(visit):
    visitor = visit()
    tab = visitor.tab("Models")
    tab.get_by_text("LivePortrait", exact=True).first.wait_for()
    visitor.page.locator("#verify-go").click()
    result = tab.get_by_label("Result")
    visitor.page.wait_for_function("box => box.value.includes('generic_model.pkl')", arg=result.element_handle())
    visitor.shoot("models")


def test_about(visit):
    from studio import __version__

    visitor = visit()
    tab = visitor.tab("About")
    visitor.page.locator("#doctor-go").click()
    tab.get_by_text("mediapipe's face mesh").first.wait_for()
    assert __version__ in tab.locator(".cm-content").first.inner_text()
    visitor.shoot("about")


def test_the_examples_need_no_network(visit, tmp_path):
    visitor = visit()
    tab = visitor.tab("Head")
    tab.get_by_role("button", name="The sample portrait").click()
    tab.locator("img[src*='astronaut']").first.wait_for()


def test_an_error_is_a_toast_that_says_what_to_do(visit):
    visitor = visit()
    visitor.page.locator("#animate-go").click()
    toast = visitor.page.get_by_test_id("toast-body")
    toast.first.wait_for()
    assert "Which portrait? Give a picture with a face" in toast.first.inner_text()
    assert "Traceback" not in visitor.page.content()
    visitor.shoot("toast")


def test_stop_ends_the_work_and_leaves_no_file(visit, served):
    made = lambda: {path for path in served.places()[0].rglob("*animated*")}
    before, visitor = made(), visit()
    tab = visitor.tab("Animate")
    visitor.give(tab, PORTRAIT)
    tab.get_by_role("button", name="Remove Image").or_(tab.get_by_label("Clear")).first.wait_for()
    visitor.give(tab, ASSETS / "speech.wav", 1)
    tab.locator(".component-wrapper, [data-testid='waveform-Speech']").first.wait_for()
    visitor.page.locator("#animate-go").click()
    tab.get_by_text("left").first.wait_for(timeout=LONG)  # the bar tells the time that is left
    visitor.shoot("progress")
    tab.get_by_role("button", name="Stop").click()
    visitor.page.get_by_text("Stopped; no file was left behind").wait_for()
    visitor.page.wait_for_timeout(3000)
    assert made() == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_in_light_and_dark(visit, scheme):
    visitor = visit(PHONE, color_scheme=scheme, has_touch=True)
    ground = visitor.page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = np.mean([int(part) for part in ground.strip("rgba() ").split(",")[:3]])
    assert (brightness < 80) == (scheme == "dark")
    for name in ("Animate", "Edit", "Capture", "Head"):
        visitor.tab(name)
        visitor.page.wait_for_timeout(800)
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
        visitor.shoot(f"{name.lower()}-{scheme}")


def test_everything_that_one_can_press_has_a_name(visit):
    visitor = visit()
    for name in ("Animate", "Edit", "Capture", "Head", "Models", "About"):
        visitor.tab(name)
        visitor.page.wait_for_timeout(800)
        nameless = visitor.page.evaluate(
            """() => [...document.querySelectorAll('button, input, textarea, select')].filter(e =>
                e.offsetParent !== null && e.type !== 'file' && !e.ariaLabel && !e.title && !e.innerText?.trim() &&
                !(e.labels && [...e.labels].some(l => l.innerText.trim())) && !e.getAttribute('aria-labelledby') &&
                !e.placeholder).map(e => e.outerHTML.slice(0, 160))"""
        )
        assert nameless == [], name


def test_the_keyboard_reaches_the_tabs(visit):
    visitor = visit()
    visitor.page.get_by_role("tab", name="Animate", exact=True).focus()
    for _ in range(12):
        visitor.page.keyboard.press("Tab")
        if visitor.page.evaluate("document.activeElement.innerText") == "Edit":
            break
    visitor.page.keyboard.press("Enter")
    visitor.page.locator("#edit-go").wait_for()
