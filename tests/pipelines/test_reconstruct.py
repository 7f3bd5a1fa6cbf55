"""A photo becomes a head, on disk too; captures become heads in motion."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from avatars.load_rig import load_rig
from avatars.load_take import load_take
from avatars.rig import Rig
from demos.cli import main
from demos.cli.options import sample
from pipelines import CapturePipeline, ReconstructionPipeline
from pipelines.reconstruct import on_its_neck
from studio.arkit import INDEX
from studio.clip import Clip
from studio.errors import NoFaceError, UsageError
from studio.motion import FaceMotion


@pytest.fixture(scope="module")
def head():
    return ReconstructionPipeline()(sample("astronaut.jpg"))


def take(frames=5):
    weights = np.zeros((frames, 52), np.float32)
    weights[:, INDEX["jawOpen"]] = np.linspace(0, 0.5, frames)
    motion = np.zeros((frames, 6), np.float32)
    motion[:, 0], motion[:, 5] = 0.2, -0.6
    return FaceMotion(weights, Fraction(25), motion)


def test_a_photo_becomes_a_head(head, tmp_path):
    assert isinstance(head.rig, Rig) and head.error < 0.025
    assert head.weights[INDEX["mouthSmileLeft"]] > 0.2  # she smiles
    saved = head.save(tmp_path / "head.glb", take())
    assert saved.frames == 5 and "vertices" in str(saved)
    again = load_rig(tmp_path / "head.glb")
    assert not again.missing()
    back = load_take(tmp_path / "head.glb")
    assert np.abs(back.weights - take().weights).max() < 1e-5
    assert np.abs(back.head[:, 3:]).max() < 1e-5  # it stays on its neck


def test_a_head_can_be_made_another_persons(head, tmp_path):
    long = head.shaped({"nose_length": 2.0, "jaw_width": -1.0})
    moved = np.linalg.norm(long.rig.neutral - head.rig.neutral, axis=1)
    top = head.rig.neutral[:, 1] > 0.1
    assert 0.003 < moved.max() < 0.02 and moved[top].max() < 0.001  # the nose comes down, the skull stays
    assert np.array_equal(long.rig.polygons, head.rig.polygons) and long.rig.materials == head.rig.materials
    shut = long.rig.vertices(np.eye(52, dtype=np.float32)[INDEX["eyeBlinkLeft"]])
    assert np.isfinite(shut).all()
    assert head.shaped({}).rig is head.rig
    saved = load_rig(long.save(tmp_path / "long.glb").path)
    assert np.allclose(np.sort(saved.neutral, 0), np.sort(long.rig.neutral, 0), atol=1e-4)
    with pytest.raises(UsageError, match="no axis of identity 'nose'"):
        head.shaped({"nose": 1.0})


def test_the_command_takes_a_shape(head, tmp_path, capsys):
    assert main(["reconstruct", "--sample", "-o", str(tmp_path / "a.ply"), "--shape", "nose_length=2", "--quiet"]) == 0
    head.shaped({"nose_length": 2.0}).save(tmp_path / "b.ply")
    assert (tmp_path / "a.ply").read_bytes() == (tmp_path / "b.ply").read_bytes()
    assert main(["reconstruct", "--sample", "-o", str(tmp_path / "c.ply"), "--shape", "nose=2"]) == 2
    assert "Axes: brow_distance" in capsys.readouterr().err


def test_turntable(head, tmp_path):
    saved = head.turntable(tmp_path / "round.mp4", seconds=0.4, size=(128, 128))
    frames = [frame.image for frame in Clip.open(saved.path).frames()]
    assert len(frames) == 10
    assert np.abs(frames[0].astype(int) - frames[5]).mean() > 3  # face and back of the head differ
    with pytest.raises(UsageError, match="seconds"):
        head.turntable(tmp_path / "b.mp4", seconds=0)


def test_a_picture_without_a_face(tmp_path):
    with pytest.raises(NoFaceError):
        ReconstructionPipeline()(np.full((200, 200, 3), 127, np.uint8))


def test_engines_swap():
    seen = {}

    class Made:
        rig, weights, error = None, np.zeros(52, np.float32), None

    def engine(image, face):
        seen.update(shape=image.shape, landmarks=face.landmarks.shape)
        return Made

    made = ReconstructionPipeline(engine)(sample("astronaut.jpg"))
    assert made.error is None and seen["landmarks"] == (478, 3) and seen["shape"][2] == 3


def test_capture_moves_a_head(tmp_path):
    saved = CapturePipeline()(_speech(tmp_path), fps=25).save(tmp_path / "take.glb")
    back = load_take(tmp_path / "take.glb")
    assert len(back) == saved.frames and back.fps == 25
    few = CapturePipeline()(_speech(tmp_path), fps=25).save(tmp_path / "few.glb", tolerance=1e-3)
    assert few.path.stat().st_size < saved.path.stat().st_size
    assert np.abs(load_take(few.path).weights - back.weights).max() <= 1.01e-3
    meshes = CapturePipeline()(_speech(tmp_path), fps=25).save(tmp_path / "take" / "%03d.obj")
    assert len(list((tmp_path / "take").iterdir())) == meshes.frames == saved.frames
    with pytest.raises(UsageError, match="rig"):
        CapturePipeline()(_speech(tmp_path)).save(tmp_path / "take.csv", rig=load_rig(tmp_path / "take.glb"))


def _speech(folder):
    """A second of a hum that comes and goes."""
    import wave

    path = folder / "hum.wav"
    t = np.arange(16000) / 16000
    sound = 0.3 * np.sin(2 * np.pi * 140 * t) * (0.5 - 0.5 * np.cos(2 * np.pi * 3 * t))
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes((sound * 32767).astype("<i2").tobytes())
    return path


def test_on_its_neck_keeps_the_turn():
    motion = on_its_neck(take())
    assert np.allclose(motion.head[:, 0], 0.2) and not motion.head[:, 3:].any()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["reconstruct", "-o", "h.glb"], 2, "which portrait"),
        (["reconstruct", "--sample"], 2, "where to"),
        (["reconstruct", "--sample", "-o", "h.fbx"], 2, "not among the endings"),
        (["reconstruct", "--sample", "-o", "h.obj", "--audio", "a.wav"], 2, "OBJ holds no motion"),
        (["reconstruct", "--sample", "-o", "h.glb", "--audio", "a.wav", "--motion", "b.csv"], 2, "two motions"),
        (["reconstruct", "nowhere.jpg", "-o", "h.glb"], 3, "nowhere.jpg"),
        (["reconstruct", "--sample", "-o", "h.vrm", "--audio", "a.wav"], 2, "VRM holds no motion"),
        (["reconstruct", "--sample", "-o", "h.glb", "--author", "Ann"], 2, "--author goes with"),
        (["reconstruct", "--sample", "-o", "take/%05d.ply"], 2, "needs --motion"),
        (["reconstruct", "--sample", "-o", "h.usdz", "--reduce", "0.001"], 2, "--reduce goes with"),
        (["capture", "talk.wav", "--rig", "x.glb", "-o", "t.csv"], 2, "--rig goes with"),
        (["capture", "talk.wav", "--reduce", "0.001", "-o", "t.csv"], 2, "--reduce goes with"),
        (["capture", "talk.wav", "-o", "t_%d_%d.ply"], 2, "one number"),
    ],
)
def test_the_command_line_says_what_is_wrong(words, code, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == code
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_command_line_makes_a_head(tmp_path, capsys):
    take(3).save(tmp_path / "take.csv")
    words = ["reconstruct", "--sample", "-o", str(tmp_path / "head.glb"), "--motion", str(tmp_path / "take.csv")]
    assert main(words) == 0
    assert "3 frames" in capsys.readouterr().out and (tmp_path / "head.glb").stat().st_size > 500_000


def test_the_command_line_makes_a_vrm(tmp_path, capsys):
    words = ["reconstruct", "--sample", "-o", str(tmp_path / "head.vrm"), "--author", "Ann", "--author", "Bo"]
    assert main(words) == 0
    assert "vertices" in capsys.readouterr().out and not load_rig(tmp_path / "head.vrm").missing()
    assert b'"authors":["Ann","Bo"]' in (tmp_path / "head.vrm").read_bytes().replace(b": ", b":").replace(b", ", b",")
