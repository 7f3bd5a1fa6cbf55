"""The app, served once for all tests of this folder that need it."""

from __future__ import annotations

import shutil
import wave
from importlib.util import find_spec
from pathlib import Path

import pytest

ASSETS = Path(__file__).resolve().parents[2] / "demos" / "assets"


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """The running app."""
    if find_spec("gradio") is None:  # importing it here would cost as much as starting the app
        pytest.skip('the app needs gradio: pip install "face-studio[demo]"')
    from app_server import Server

    with Server(tmp_path_factory.mktemp("app")) as server:
        yield server


@pytest.fixture
def client(served):
    """A fresh session of gradio_client."""
    from gradio_client import Client

    return Client(served.url, verbose=False, httpx_kwargs={"timeout": 120})  # the machine may be busy


@pytest.fixture(scope="module")
def chromium(speech, camera):
    """A headless browser whose microphone hears the speech, and whose camera sees it spoken, over and over."""
    api = pytest.importorskip("playwright.sync_api", reason="browser tests need: pip install playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("browser tests need Chromium: apt-get install chromium")
    flags = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    flags += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    flags += [f"--use-file-for-fake-audio-capture={speech}", f"--use-file-for-fake-video-capture={camera}"]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, served):
    """Opens pages; at the end their consoles must have been quiet."""
    from app_visitor import DESK, Visitor

    visitors = []

    def come(viewport=DESK, **options):
        visitors.append(Visitor(chromium, served.url, viewport, **options))
        return visitors[-1]

    yield come
    complaints = [each for visitor in visitors for each in visitor.complaints]
    for visitor in visitors:
        visitor.context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def speech(tmp_path_factory):
    """The first words of the sample speech, 1.2 s."""
    path = tmp_path_factory.mktemp("speech") / "hello.wav"
    with wave.open(str(ASSETS / "speech.wav")) as whole, wave.open(str(path), "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(int(1.2 * whole.getframerate())))
    return path


@pytest.fixture(scope="session")
def performance(tmp_path_factory, speech):
    """The portrait as a video that speaks, 256 pixels wide, 15 pictures with their sound."""
    from pipelines import TalkingPortraitPipeline

    path = tmp_path_factory.mktemp("performance") / "talk.mp4"
    TalkingPortraitPipeline()(ASSETS / "astronaut.jpg", audio=speech, size=256, fps="12.5").save(path)
    return path


@pytest.fixture(scope="session")
def camera(performance):
    """The performance as a file that Chromium takes for a camera."""
    from app_visitor import write_camera

    from studio.media import Clip

    clip = Clip.open(performance)
    return write_camera(performance.with_suffix(".y4m"), (frame.image for frame in clip.frames()), clip.fps)
