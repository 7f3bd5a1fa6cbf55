"""The app's small parts: settings as commands and programs, sliders, typed speech, words of errors."""

from __future__ import annotations

import shlex
import threading

import gradio as gr
import numpy as np
import pytest

from demos.app.desk import Desk, toast, told
from demos.app.identity import COOKIE, Identity
from demos.app.knobs import edit_sliders, head_sliders, read_positions
from demos.app.memory import accepted
from demos.app.parts import one_of, read_face
from demos.app.recipes import Edit
from demos.app.settings import Limits, Settings
from demos.app.sliders import Sliders
from demos.app.workplace import Workplace
from demos.cli import LISTS, parser, spread
from demos.cli.options import expression
from studio.errors import MediaError, UsageError

EDIT = Edit(
    {"smile": 0.8, "jawOpen": -0.25},
    {"AU12": 0.5},
    {"joy": 0.4},
    (-12.0, 5.0),
    yaw=10,
    pitch=-3.5,
    neutralize=0.2,
    face=1,
)
EDITS = [EDIT, Edit(), Edit(gaze="camera", roll=-7, face="all"), Edit({"smile": 1.0}, engine="liveportrait")]


@pytest.mark.parametrize("edit", EDITS)
def test_the_command_means_what_the_sliders_say(edit):
    program, *words = shlex.split(edit.command("my photo.jpg", "out.png"))
    args = parser().parse_args(spread(words, LISTS))
    assert (program, args.verb, args.source, args.output) == ("face-studio", "edit", "my photo.jpg", "out.png")
    given = {name: value or {} for name, value in expression(args).items()}
    assert given == {"shapes": edit.shapes, "aus": edit.aus, "emotion": edit.emotion}
    gaze = args.gaze if args.gaze in (None, "camera") else tuple(float(part) for part in args.gaze.split(","))
    assert (gaze, args.yaw, args.pitch, args.roll) == (edit.gaze, edit.yaw, edit.pitch, edit.roll)
    assert (args.neutralize, args.face, args.engine) == (edit.neutralize, edit.face, edit.engine)


@pytest.mark.parametrize("edit", EDITS)
def test_the_program_means_what_the_sliders_say(edit, monkeypatch):
    calls = []

    class Pipeline:
        def __init__(self, engine="photo"):
            self.engine = engine

        def __call__(self, source, **settings):
            calls.append((source, Edit(**settings, engine=self.engine)))
            return self

        def save(self, path):
            calls.append(path)

    monkeypatch.setattr("pipelines.ExpressionEditPipeline", Pipeline, raising=False)
    exec(edit.python("it's me.jpg", "out.png"), {})
    assert calls == [("it's me.jpg", edit), "out.png"]


def test_every_slider_is_a_setting_that_the_pipeline_takes():
    from pipelines.change import read_change

    sliders = [slider for group in edit_sliders() for slider in group.sliders]
    assert len({slider.key for slider in sliders}) == len(sliders) > 100
    assert read_positions({}) == Edit() and read_change().nothing
    for slider in sliders:
        settings = read_positions({slider.key: slider.high}).arguments()
        assert len(settings) == 1, slider
        assert not read_change(**settings).nothing, slider


def test_the_sliders_cover_all_blendshapes_but_the_gaze_that_has_its_own():
    from studio.arkit import ARKIT

    keys = {slider.key for group in edit_sliders() for slider in group.sliders}
    assert {f"shapes.{name}" for name in ARKIT if not name.startswith("eyeLook")} <= keys


def test_the_sliders_of_a_head_are_all_axes_of_identity_under_names_for_people():
    from avatars.head.identity import AXES

    sliders = [slider for group in head_sliders() for slider in group.sliders]
    assert sorted(slider.key for slider in sliders) == sorted(axis.name for axis in AXES)
    assert all(slider.label[0].isupper() and "_" not in slider.label for slider in sliders)


def test_sliders_take_positions_that_they_have():
    sliders = Sliders(head_sliders(), label="Shape")
    assert sliders.preprocess({"nose_length": 1.23456, "chin_width": 0}) == {"nose_length": 1.2346}
    for wrong in ({"nose": 1}, {"nose_length": 9}, {"nose_length": "x"}, {"nose_length": None}, {"nose_length": 1e400}):
        with pytest.raises(UsageError):
            sliders.preprocess(wrong)
        assert sliders.read({**wrong, "chin_width": -1}, lenient=True) == {"chin_width": -1}
    assert sliders.read("nonsense", lenient=True) == {}


def test_what_a_browser_kept_is_taken_where_it_still_fits():
    kept = gr.update()
    slider, list_, numbers = gr.Slider(0, 1, 0), gr.Dropdown(["a", "b"]), gr.Number(0)
    several = gr.CheckboxGroup([("A", "a"), ("B", "b")])
    for part, fits, unfit in (
        (slider, 0.5, 2),
        (list_, "b", "c"),
        (numbers, 7, "7"),
        (several, ["a"], ["a", "c"]),
        (gr.Checkbox(), True, 1),
        (gr.Textbox(), "words", None),
    ):
        assert accepted(part, fits) == fits
        assert accepted(part, unfit) == kept and accepted(part, None) == kept
    assert accepted(gr.Dropdown(["1"], allow_custom_value=True), "720") == "720"


@pytest.mark.parametrize("text, face", [("1", 0), ("3", 2), ("all", "all"), (None, 0), (2, 1)])
def test_faces_are_counted_from_one(text, face):
    assert read_face(text) == face


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5"])
def test_no_such_face(text):
    with pytest.raises(UsageError):
        read_face(text)
    with pytest.raises(UsageError):
        read_face("all", several=False)


def test_one_source_is_wanted():
    assert one_of(None, "b", "a or b") == one_of("b", None, "a or b") == "b"
    for pair in ((None, None), ("a", "b"), ("", "")):
        with pytest.raises(UsageError):
            one_of(*pair, "a or b")


def test_toasts_tell_no_places_and_hold_no_html():
    words = toast(MediaError("/tmp/face-studio-app-x/sessions/ab/cd/my photo.jpg: no <b>face</b> found; use 1/2"))
    assert "/tmp" not in words and "sessions" not in words
    assert "photo.jpg: no &lt;b&gt;face" in words and words.endswith("use 1/2")


def test_errors_become_toasts_and_never_traces(caplog):
    def fails(error):
        raise error

    with pytest.raises(gr.Error) as seen:
        told(fails)(UsageError("give a picture"))
    assert seen.value.message == "Give a picture" and not seen.value.print_exception
    with pytest.raises(gr.Error) as seen:
        told(fails)(RuntimeError("secret /etc/place"))
    assert "secret" not in seen.value.message and "secret" in caplog.text


def test_curves_are_those_that_move_most_with_both_sides_as_one():
    from demos.app.tabs.capture import CURVES, curves
    from studio.arkit import ARKIT
    from studio.motion import FaceMotion

    weights = np.zeros((1000, 52), np.float32)
    wave = np.abs(np.sin(np.arange(1000) / 20))
    for name, size in (("jawOpen", 0.9), ("mouthSmileLeft", 0.6), ("mouthSmileRight", 0.6), ("eyeBlinkLeft", 0.5)):
        weights[:, ARKIT.index(name)] = size * wave
    table = curves(FaceMotion(weights, 50))
    assert list(dict.fromkeys(table["shape"]))[:3] == ["jawOpen", "mouthSmile", "eyeBlinkLeft"]
    assert table["shape"].nunique() == CURVES and len(table) <= CURVES * 400 and table["seconds"].max() > 19.8
    assert table[table["shape"] == "mouthSmile"]["weight"].max() == pytest.approx(0.6, abs=1e-3)


@pytest.fixture
def desk(tmp_path):
    with Workplace(base=tmp_path) as workplace:
        yield Desk(Settings(), workplace, Identity())


def request(desk, page="page", token=None):
    return gr.Request(session_hash=page, cookies={COOKIE: token or desk.identity.issue()})


def test_the_page_keeps_to_the_limits_and_offers_nothing_that_needs_another_place(desk):
    from demos.app.page import build

    page = build(desk)
    assert page._queue.max_size == desk.limits.waiting
    assert page._queue.default_concurrency_limit == desk.limits.at_once
    assert not [part for part in page.blocks.values() if "share" in (getattr(part, "buttons", None) or ())]


def test_stop_reaches_the_jobs_of_its_page_alone(desk):
    mine, other = request(desk, "mine"), request(desk, "other")
    with desk.job(mine, None) as first, desk.job(other, None) as second:
        assert desk.stop(mine) == 1
        assert first.cancel.is_set() and not second.cancel.is_set()
    assert desk.stop(mine) == 0


def test_a_request_without_our_cookie_is_nobody(desk):
    with pytest.raises(UsageError, match="reload"):
        desk.session(gr.Request(session_hash="page", cookies={}))


def test_what_is_prepared_is_made_once_and_bounded(desk):
    made = []

    def make(name):
        return lambda: made.append(name) or name

    mine = request(desk, "mine")
    threads = [threading.Thread(target=desk.prepared, args=(mine, ("edit", "a"), make("a"))) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert made == ["a"]
    for number in range(20):
        desk.prepared(request(desk, f"page{number}"), ("edit", "b"), make(number))
    assert len(desk._prepared) == 12
    desk.leave(request(desk, "page19"))
    assert len(desk._prepared) == 11
    with pytest.raises(ZeroDivisionError):
        desk.prepared(mine, ("edit", "c"), lambda: 1 / 0)
    assert desk.prepared(mine, ("edit", "c"), make("c")) == "c"


def test_typed_words_are_spoken(tmp_path):
    from demos.app.speak import speak, voices
    from studio.media import Audio

    if not voices():
        pytest.skip("espeak-ng is not installed")
    short = Audio.open(speak("Hello.", tmp_path / "short.wav"))
    long = Audio.open(speak("Hello, this is a much longer sentence than the other one.", tmp_path / "long.wav"))
    assert long.duration > 2 * short.duration > 0.4
    block = np.concatenate(list(long.blocks(16000)))
    assert np.abs(block).max() > 0.05
    for wrong, voice in (("...", "en-us"), ("Hello", "xx"), ("Hello", "--path=/etc")):
        with pytest.raises(UsageError):
            speak(wrong, tmp_path / "none.wav", voice)


def test_without_a_synthesiser_it_says_what_to_do(monkeypatch, tmp_path):
    from demos.app import speak
    from studio.errors import MissingExtraError

    monkeypatch.setattr(speak, "voices", dict)
    with pytest.raises(MissingExtraError, match="apt-get install"):
        speak.speak("Hello", tmp_path / "a.wav")


def test_without_gradio_the_app_says_what_to_install(monkeypatch):
    import importlib.util

    from demos.app import serve
    from studio.errors import MissingExtraError

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    with pytest.raises(MissingExtraError, match=r"face-studio\[demo\]"):
        serve(Settings())


def test_a_taken_port_is_told_at_once():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="another --port"):
            Settings(port=taken.getsockname()[1]).check_port()


def test_limits_have_sense():
    limits = Limits()
    assert limits.quota > limits.megabytes and limits.at_once >= 1 and limits.waiting >= 50


@pytest.mark.parametrize(
    "words, says",
    [
        (["--share"], "--auth"),
        (["--host", "0.0.0.0"], "--auth"),
        (["--auth", "me:short"], "8 letters"),
        (["--port", "70000"], "65535"),
        (["--max-seconds", "0"], "more than 0"),
    ],
)
def test_the_command_refuses_what_is_unsafe_or_senseless(words, says, capsys, monkeypatch):
    from demos.cli import main

    monkeypatch.delenv("FACE_STUDIO_AUTH", raising=False)
    assert main(["app", *words]) == 2
    said = capsys.readouterr().err.strip()
    assert says in said and len(said.splitlines()) == 1
