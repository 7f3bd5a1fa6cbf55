"""The real command, as users run it: exit codes, messages, files."""

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from demos.cli import main
from demos.cli.options import spread

ROOT = Path(__file__).resolve().parents[2]
ASTRONAUT = ROOT / "demos" / "assets" / "astronaut.jpg"


def command(*words, timeout=300):
    """(exit code, stdout, stderr) of `face-studio words` as users run it, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "demos.cli", *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=timeout
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def run(capfd):
    """The same in this process, where all is imported already."""

    def here(*words):
        capfd.readouterr()
        code = main([str(word) for word in words])
        return code, *capfd.readouterr()

    return here


@pytest.fixture
def fails(run):
    """The command ends with `code` and one clear line."""

    def told(code, *words, says, way=run):
        got, _, err = way(*words)
        lines = err.strip().splitlines()
        assert got == code, err
        assert len(lines) == 1 and lines[0].startswith("face-studio: ") and "Traceback" not in err, err
        assert says.lower() in err.lower(), err

    return told


@pytest.fixture
def voice(tmp_path):
    """A second and a half of something like speech."""
    rate = 16000
    t = np.arange(int(1.5 * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 12))
    path = tmp_path / "voice.wav"
    soundfile.write(path, (0.2 * buzz * np.clip(np.sin(2 * np.pi * 3 * t), 0, 1)).astype(np.float32), rate)
    return path


def test_alone_it_prints_help():
    code, out, _ = command()
    assert code == 0 and "animate" in out and "doctor" in out


def test_version():
    from studio import __version__

    assert command("--version")[:2] == (0, f"face-studio {__version__}\n")


@pytest.mark.parametrize("verb", ["animate", "edit", "capture", "rig", "stream", "models", "doctor"])
def test_each_verb_has_help(run, verb):
    code, out, _ = run(verb, "--help")
    assert code == 0 and f"face-studio {verb}" in out


def test_help_is_quick():
    """Processor time of the fastest of three, so that a busy machine does not fail it."""
    script = (
        "import sys, time; from demos.cli import main; main(['--help']); print(time.process_time(), file=sys.stderr)"
    )
    times = [
        float(subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True).stderr)
        for _ in range(3)
    ]
    assert min(times) < 0.5


def test_help_imports_nothing_heavy():
    script = "import sys; from demos.cli import main; main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True).stderr
    for heavy in ("cv2", "mediapipe", "av", "numba", "scipy", "PIL", "rich", "torch"):
        assert f"'{heavy}'" not in loaded


def test_doctor(run):
    code, out, _ = command("doctor")
    assert code == 0 and "python" in out.lower()
    assert isinstance(json.loads(run("doctor", "--json")[1]), dict)


@pytest.mark.parametrize(
    "words, expected",
    [
        ("--set a=1 b=2 x.jpg", "--set=a=1 --set=b=2 x.jpg"),
        ("x.jpg --set a=1 -o y.png", "x.jpg --set=a=1 -o y.png"),
        ("--gaze -10,5 x.jpg", "--gaze=-10,5 x.jpg"),
        ("--au AU1=1 --set a=1 x=.jpg", "--au=AU1=1 --set=a=1 --set=x=.jpg"),
    ],
)
def test_lists_end_where_they_should(words, expected):
    assert spread(words.split(), ("--set", "--au", "--emotion")) == expected.split()


@pytest.mark.parametrize(
    "words, says",
    [
        ("juggle", "invalid choice"),
        ("animate -o out.mp4", "which portrait"),
        ("animate {face} -o {tmp}/out.mp4", "what moves the face"),
        ("animate {face} --audio {voice} -o {tmp}/out.txt", ".mp4"),
        ("animate {face} --sample -o {tmp}/out.mp4", "two portraits"),
        ("animate {face} --driver a.mp4 --motion b.csv -o {tmp}/out.mp4", "two sources"),
        ("animate {face} --audio {voice} --fps 0 -o {tmp}/out.mp4", "1 to 240"),
        ("animate {face} --audio {voice} --blink 3 -o {tmp}/out.mp4", "0 to 1"),
        ("animate {face} --audio {voice} --size 3 -o {tmp}/out.mp4", "pixels"),
        ("animate {face} --audio {voice} --emotion joi=1 -o {tmp}/out.mp4", "joy"),
        ("edit {face}", "-o"),
        ("edit {face} --set smlie=0.5 -o {tmp}/out.png", "smile"),
        ("edit {face} --set smile=9 -o {tmp}/out.png", "range"),
        ("edit {face} --set smile=0.1 smile=0.2 -o {tmp}/out.png", "twice"),
        ("edit {face} --set smile -o {tmp}/out.png", "NAME=VALUE"),
        ("edit {face} --set smile=much -o {tmp}/out.png", "not a number"),
        ("edit {face} --yaw 80 -o {tmp}/out.png", "outside"),
        ("edit {face} --gaze lfet -o {tmp}/out.png", "left"),
        ("edit {face} --au AU99=1 -o {tmp}/out.png", "AU99"),
        ("edit {face} --face 2 --yaw 5 -o {tmp}/out.png", "one face was found"),
        ("edit {face} -o {tmp}/out.mp4", ".png"),
        ("capture {voice} -o {tmp}/out.bvh", ".csv"),
        ("capture {voice} --face all -o {tmp}/out.csv", "one face"),
    ],
)
def test_wrong_words_exit_2(fails, words, says, tmp_path, voice):
    before = sorted(tmp_path.iterdir())
    fails(2, *words.format(face=ASTRONAUT, voice=voice, tmp=tmp_path).split(), says=says)
    assert sorted(tmp_path.iterdir()) == before


def test_missing_or_read_only_folder_exits_5(fails, tmp_path, voice):
    fails(
        5, "animate", ASTRONAUT, "--audio", voice, "-o", tmp_path / "no" / "out.mp4", says="no such folder", way=command
    )
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    if os.access(closed, os.W_OK):
        pytest.skip("this user may write anywhere")
    fails(5, "edit", ASTRONAUT, "--yaw", 5, "-o", closed / "out.png", says="can't write")


def test_unreadable_inputs_exit_3(fails, tmp_path, voice):
    (tmp_path / "text.mp4").write_text("this is no video\n" * 100)
    (tmp_path / "cut.jpg").write_bytes(ASTRONAUT.read_bytes()[:20000])
    (tmp_path / "empty.wav").write_bytes(b"")
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), 16000)
    soundfile.write(tmp_path / "nan.wav", np.full(16000, np.nan, np.float32), 16000, subtype="FLOAT")
    out = tmp_path / "out.mp4"
    fails(3, "animate", ASTRONAUT, "--driver", tmp_path / "text.mp4", "-o", out, says="text.mp4", way=command)
    fails(3, "animate", tmp_path / "cut.jpg", "--audio", voice, "-o", out, says="cut.jpg")
    fails(3, "animate", tmp_path / "gone.jpg", "--audio", voice, "-o", out, says="gone.jpg")
    for sound in ("empty.wav", "none.wav", "nan.wav"):
        fails(3, "animate", ASTRONAUT, "--audio", tmp_path / sound, "-o", out, says=sound)
    fails(3, "edit", tmp_path / "cut.jpg", "--yaw", 5, "-o", tmp_path / "out.png", says="cut.jpg")
    fails(3, "capture", tmp_path / "text.mp4", "-o", tmp_path / "out.csv", says="text.mp4")
    assert not list(tmp_path.glob("*out*"))


def test_no_face_exits_4(fails, run, tmp_path, voice):
    ramp = np.linspace(0, 255, 300, dtype=np.uint8)
    Image.fromarray(np.broadcast_to(ramp[None, :, None], (200, 300, 3)).copy()).save(tmp_path / "wall.png")
    tiny = Image.new("RGB", (512, 512), (200, 200, 200))
    tiny.paste(Image.open(ASTRONAUT).crop((150, 10, 310, 190)).resize((18, 20)), (250, 250))
    tiny.save(tmp_path / "tiny.png")
    for name, way in (("wall.png", command), ("tiny.png", run)):
        fails(4, "animate", tmp_path / name, "--audio", voice, "-o", tmp_path / "out.mp4", says=name, way=way)
        fails(4, "edit", tmp_path / name, "--yaw", 5, "-o", tmp_path / "out.png", says=name)
    assert not list(tmp_path.glob("*out*"))


def test_edit_at_zero_keeps_every_pixel(tmp_path):
    code, out, err = command("edit", ASTRONAUT, "--set", "smile=0", "-o", tmp_path / "out.png")
    assert code == 0, err
    assert np.array_equal(
        np.asarray(Image.open(tmp_path / "out.png")), np.asarray(Image.open(ASTRONAUT).convert("RGB"))
    )
    assert "out.png: 512x512" in out


@pytest.mark.slow
def test_edit_changes_the_face_and_nothing_far_from_it(run, tmp_path):
    code, _, err = run(
        "edit", ASTRONAUT, "--set", "jawOpen=0.6", "--gaze", "left", "--quiet", "-o", tmp_path / "out.png"
    )
    assert code == 0, err
    before, after = (np.asarray(Image.open(p).convert("RGB")).astype(int) for p in (ASTRONAUT, tmp_path / "out.png"))
    changed = np.abs(before - after).max(2) > 2
    assert changed[60:200, 160:300].any() and not changed[330:].any() and not changed[:, 400:].any()


@pytest.mark.slow
def test_sheet(run, tmp_path):
    code, _, err = run("edit", ASTRONAUT, "--sheet", tmp_path / "sheet.png", "--emotion", "joy=1", "anger=1")
    assert code == 0, err
    width, height = Image.open(tmp_path / "sheet.png").size
    assert width > 5 * 150 and height > 2 * 150


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".mp4", ".webm", ".gif", "/"])
def test_animate_sample_in_every_format(run, tmp_path, voice, ending):
    target = tmp_path / f"out{ending.rstrip('/')}"
    way = command if ending == ".mp4" else run
    words = ("animate", "--sample", "--audio", voice, "--size", 256, "--fps", 24)
    code, out, err = way(*words, "-o", f"{target}{'/' if ending == '/' else ''}")
    assert code == 0, err
    assert "36 frames" in out
    if ending == "/":
        assert len(list(target.iterdir())) == 36
        return
    from studio.media import Clip

    clip = Clip.open(target)
    assert sum(1 for _ in clip.frames()) == 36
    assert clip.has_audio == (ending != ".gif")


@pytest.mark.slow
def test_silence_gives_a_closed_resting_mouth(run, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(32000, np.float32), 16000)
    code, _, err = run(
        "animate",
        "--sample",
        "--audio",
        tmp_path / "silence.wav",
        "--blink",
        0,
        "--head-motion",
        0,
        "-o",
        tmp_path / "out.mp4",
    )
    assert code == 0, err
    from controls.tracker import FaceTracker
    from studio.media import Clip

    tracker = FaceTracker()
    gaps = []
    for frame in list(Clip.open(tmp_path / "out.mp4").frames())[::10]:
        points = tracker.observe(frame.image)[0].landmarks
        gaps.append(np.linalg.norm(points[13] - points[14]) / np.linalg.norm(points[33] - points[263]))
    assert max(gaps) < 0.05


@pytest.mark.slow
def test_capture_speech_and_drive_with_it(run, tmp_path, voice):
    code, out, err = run("capture", voice, "-o", tmp_path / "take.csv")
    assert code == 0, err
    assert "90 frames, 60 fps" in out
    code, out, err = run(
        "animate", "--sample", "--motion", tmp_path / "take.csv", "--fps", 25, "--size", 128, "-o", tmp_path / "out.mp4"
    )
    assert code == 0, err


@pytest.mark.slow
def test_progress_as_json(run, tmp_path, voice):
    code, _, err = run(
        "animate", "--sample", "--audio", voice, "--size", 128, "--progress", "json", "-o", tmp_path / "out.mp4"
    )
    assert code == 0, err
    events = [json.loads(line) for line in err.strip().splitlines()]
    assert events and events[-1]["done"] == 38 and {"stage", "done", "total"} <= set(events[0])


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_no_file(tmp_path, sign):
    rate = 16000
    soundfile.write(
        tmp_path / "long.wav", (0.1 * np.random.default_rng(0).normal(size=120 * rate)).astype(np.float32), rate
    )
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "demos.cli",
            "animate",
            "--sample",
            "--audio",
            str(tmp_path / "long.wav"),
            "--progress",
            "json",
            "-o",
            str(tmp_path / "out.mp4"),
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    process.stderr.readline()  # the first frames are made
    time.sleep(0.5)
    process.send_signal(sign)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "stopped" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["long.wav"]


@pytest.mark.slow
def test_a_video_is_edited_frame_by_frame_and_keeps_its_sound(run, tmp_path, voice):
    clip = tmp_path / "clip.mp4"
    assert run("animate", "--sample", "--audio", voice, "--size", 256, "--fps", 30, "-o", clip)[0] == 0
    code, _out, err = run("edit", clip, "--set", "browInnerUp=0.8", "-o", tmp_path / "out.mp4")
    assert code == 0, err
    from studio.media import Clip

    before, after = Clip.open(clip), Clip.open(tmp_path / "out.mp4")
    assert after.fps == before.fps == Fraction(30) and after.has_audio
    assert sum(1 for _ in after.frames()) == sum(1 for _ in before.frames()) == 45


@pytest.mark.slow
def test_a_performance_drives_and_a_bad_number_of_face_is_told(run, fails, tmp_path, voice):
    clip = tmp_path / "clip.mp4"
    assert run("animate", "--sample", "--audio", voice, "--size", 256, "-o", clip)[0] == 0
    code, _, err = run("animate", "--sample", "--driver", clip, "--size", 128, "-o", tmp_path / "out.mp4")
    assert code == 0, err
    code, out, err = run("capture", clip, "-o", tmp_path / "take.npz")
    assert code == 0 and "38 frames, 25 fps" in out, err
    fails(2, "animate", "--sample", "--driver", clip, "--face", 2, "-o", tmp_path / "no.mp4", says="one face was found")
