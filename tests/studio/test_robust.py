"""Damaged inputs, full disks, interruptions, long clips: clear errors, nothing left behind, bounded memory."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.errors import FaceStudioError, MediaError, OutputError
from studio.media import Audio, Clip, VideoWriter, read_image, write_image
from studio.motion import FaceMotion, blocks
from studio.motion_io import load_motion, save_motion
from studio.sinks import Movie

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small good files of every kind."""
    folder = tmp_path_factory.mktemp("good")
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    for name in ("a.jpg", "a.png", "a.webp"):
        write_image(folder / name, picture)
    tone = np.sin(np.arange(8000) / 9).astype(np.float32)
    with VideoWriter(folder / "a.mp4", 25, audio=Audio.from_array(tone, 16000)) as writer:
        for k in range(12):
            writer.write(np.roll(picture, k, 1))
    with wave.open(str(folder / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((tone * 20000).astype(np.int16).tobytes())
    for name in ("a.csv", "a.npz", "a.json"):
        FaceMotion.still(40, 25, {"jawOpen": 0.5}).save(folder / name)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def read(path: Path) -> None:
    if path.suffix in (".jpg", ".png", ".webp"):
        read_image(path)
    elif path.suffix in (".csv", ".npz", ".json"):
        load_motion(path)
    else:
        if path.suffix == ".mp4":
            for _ in Clip.open(path).frames():
                pass
        Audio.open(path).samples()


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.mp4", "a.wav", "a.csv", "a.npz", "a.json"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
@pytest.mark.filterwarnings("ignore:a damaged piece of sound")
def test_damage_is_read_or_explained(name: str, samples: dict[str, bytes], tmp_path: Path, data: st.DataObject) -> None:
    """Cut at any place, or with any bytes changed: what comes is a result or our error, with the file's name."""
    good = samples[name]
    bad = bytearray(good[: data.draw(st.integers(0, len(good)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if bad:
            bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(bad)
    try:
        read(tmp_path / name)
    except MediaError as error:
        assert name in str(error)


@pytest.mark.parametrize(
    "name, was, now", [("a.wav", b"\x01\x00\x01\x00", b"\x77\x77\x01\x00"), ("a.mp4", b"avc1", b"zzzz")]
)
def test_a_format_that_nobody_knows_is_explained(name, was, now, samples: dict[str, bytes], tmp_path: Path) -> None:
    assert was in samples[name]
    (tmp_path / name).write_bytes(samples[name].replace(was, now))
    with pytest.raises(MediaError, match=f"{name}: .*can't be decoded"):
        read(tmp_path / name)


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".mkv", ""])
def test_a_limit_of_the_disk_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    """The system refuses bytes in the middle of the work, as a full disk does."""
    script = f"""
import resource, numpy as np
from studio.media import VideoWriter
from studio.errors import OutputError
noise = np.random.default_rng(0)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
try:
    with VideoWriter({str(tmp_path / f"out{suffix}")!r}, 25) as writer:
        for _ in range(60):
            writer.write(noise.integers(0, 255, (200, 200, 3), dtype=np.uint8))
except OutputError as error:
    print("told:", error)
"""
    pytest.importorskip("resource")
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert "told:" in run.stdout and f"out{suffix}" in run.stdout and ".part" not in run.stdout, run.stdout + run.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.png", "a.npz", "a.csv", "a.json"])
def test_files_are_whole_or_not_there(tmp_path: Path, name: str) -> None:
    script = f"""
import resource, numpy as np
from studio.media import write_image
from studio.motion import FaceMotion
from studio.errors import OutputError
noise = np.random.default_rng(0)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
try:
    path = {str(tmp_path / name)!r}
    if path.endswith("png"):
        write_image(path, noise.integers(0, 255, (400, 400, 3), dtype=np.uint8))
    else:
        FaceMotion(noise.random((900, 52)), 25).save(path)
except OutputError as error:
    print("told:", error)
"""
    pytest.importorskip("resource")
    (tmp_path / name).write_text("what was there before")
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert "told:" in run.stdout and not run.stderr, run.stdout + run.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "what was there before"


def test_an_error_in_the_encoder_reaches_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Movie, rgb: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Movie, "write", full)
    with (
        pytest.raises(OutputError, match=r"a\.mp4: can't be written \(No space left"),
        VideoWriter(tmp_path / "a.mp4", 25) as writer,
    ):
        for _ in range(100):  # more than can wait: it must not hang
            writer.write(np.zeros((16, 16, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_broken_sound_stops_the_video(tmp_path: Path) -> None:
    """NaN late in a file is found while frames are being made: no half video stays."""
    import soundfile

    samples = np.zeros(64000, np.float32)
    samples[50000] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    with (
        pytest.raises(MediaError, match="not numbers"),
        VideoWriter(tmp_path / "a.mp4", 25, audio=tmp_path / "a.wav") as writer,
    ):
        for _ in range(100):
            writer.write(np.zeros((16, 16, 3), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("name", ["b.mp4", "b.png", "b.csv"])
def test_wrong_places(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    for target in (tmp_path / "gone" / name, tmp_path / "file" / name):
        with pytest.raises(OutputError, match="folder"):
            if name.endswith("mp4"):
                VideoWriter(target, 25)
            elif name.endswith("png"):
                write_image(target, np.zeros((4, 4, 3), np.uint8))
            else:
                FaceMotion.still(2, 25).save(target)


def test_a_picture_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("1", (20000, 15000)).save(tmp_path / "bomb.png")
    with pytest.raises(MediaError, match=r"bomb\.png"):
        read_image(tmp_path / "bomb.png")


def test_long_sound_in_little_memory(tmp_path: Path) -> None:
    """Twenty minutes, 38 MB of file: a few blocks at a time."""
    with wave.open(str(tmp_path / "long.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        for _ in range(20):
            file.writeframes(bytes(2 * 16000 * 60))
    audio = Audio.open(tmp_path / "long.wav")
    list(zip(audio.blocks(), range(3)))
    tracemalloc.start()
    count = sum(len(block) for block in audio.blocks())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20 * 60 * 16000 and audio.duration == 1200
    assert peak < 2e6


def test_a_stream_of_motion_is_written_block_by_block(tmp_path: Path) -> None:
    """CSV and JSON hold one block at a time, however long the take."""
    alive = 0

    def stream():
        nonlocal alive
        for block in blocks(FaceMotion.still(500, 50), 0.5):
            alive += 1
            yield block
            assert (len(list(tmp_path.glob(".*.part*")))) == 1

    for name in ("a.csv", "a.json"):
        save_motion(tmp_path / name, stream())
        assert len(load_motion(tmp_path / name)) == 500
    assert alive == 40


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """Peak memory of reading and writing 1600 frames is that of 200."""
    script = """
import resource, sys, numpy as np
from studio.media import Audio, Clip, VideoWriter
frames = int(sys.argv[1])
sound = Audio.from_array(np.zeros(16000, np.float32), 16000)
with VideoWriter(sys.argv[2], 25, audio=sound) as writer:
    for k in range(frames):
        writer.write(np.full((256, 256, 3), k % 256, np.uint8))
assert sum(1 for _ in Clip.open(sys.argv[2]).frames()) == frames
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    pytest.importorskip("resource")
    peaks = []
    for frames in (200, 1600):
        words = [sys.executable, "-c", script, str(frames), str(tmp_path / "a.mp4")]
        peaks.append(int(subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] < 1.1 * peaks[0]


def test_frames_that_nobody_reads_are_not_decoded_on(samples: dict[str, bytes], tmp_path: Path) -> None:
    import threading

    (tmp_path / "a.mp4").write_bytes(samples["a.mp4"])
    before = threading.active_count()
    stream = Clip.open(tmp_path / "a.mp4").frames()
    assert next(stream).time == Fraction(0)
    stream.close()
    assert threading.active_count() <= before


def test_every_error_has_its_own_exit_code() -> None:
    codes = [kind.exit_code for kind in FaceStudioError.__subclasses__()]
    assert len(set(codes)) == len(codes) and FaceStudioError.exit_code not in codes
