"""The 3D route: a rig before a camera speaks through the same pipeline as a portrait."""

from __future__ import annotations

import wave
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from pipeline_fakes import Driver

from avatars.head import embedded_head
from avatars.render3d import RigRenderer
from avatars.rig_avatar import RigAvatar, View, portrait_camera
from demos.cli import main
from pipelines import TalkingPortraitPipeline
from pipelines.backdrop import read_background
from pipelines.drive import in_place
from studio.arkit import INDEX
from studio.clip import Clip
from studio.errors import MediaError, UsageError
from studio.media import Audio
from studio.motion import FaceMotion

SIZE = (96, 96)


@pytest.fixture(scope="module")
def avatar():
    return RigAvatar(embedded_head(), SIZE)


def tone(seconds, rate=16000):
    t = np.arange(int(seconds * rate)) / rate
    return Audio.from_array((0.5 * np.sin(2 * np.pi * 220 * t) * (np.sin(2 * np.pi * t) > 0)).astype(np.float32), rate)


def pipeline(**parts):
    return TalkingPortraitPipeline(driver=Driver(), **parts)


def test_speech_moves_the_head_frame_by_frame(avatar):
    take = pipeline()(avatar, audio=tone(1.0), fps=Fraction(30000, 1001), seed=5)
    motion, frames = take.motion, [frame.image for frame in take.frames]
    assert take.fps == Fraction(30000, 1001) and take.size == SIZE and len(frames) == len(motion) == 30
    assert motion.curve("jawOpen").max() > 0.3 and np.abs(motion.head[:, :3]).max() > 0.002  # it speaks, and it lives
    for k in (0, 9, 29):
        assert np.array_equal(frames[k], avatar.render_frame(motion.weights[k], motion.head[k]))
    assert not np.array_equal(frames[0], frames[9])


def test_expressions_are_added_and_life_can_be_left_out(avatar):
    take = pipeline()(avatar, audio=tone(0.5), shapes={"browInnerUp": 0.4}, blink=0, gaze_motion=0, head_motion=0)
    assert np.allclose(take.motion.curve("browInnerUp"), 0.4) and not take.motion.head.any()


def test_a_recorded_head_turns_in_its_place(avatar):
    """Turns are absolute, the way through the room is left out: a camera's half metre would carry the head away."""
    head = np.tile(np.array([0.3, 0, 0, 0.1, 0, -0.5], np.float32), (10, 1))
    motion = FaceMotion(np.zeros((10, 52), np.float32), Fraction(25), head)
    shown = pipeline()(avatar, motion=motion).motion
    assert np.allclose(shown.head[:, 0], 0.3) and not shown.head[:, 3:].any()
    assert not pipeline()(avatar, motion=motion, driver_head="relative").motion.head.any()
    assert not next(in_place([motion])).head[:, 3:].any()


def test_what_belongs_to_portraits_is_refused(avatar):
    for option in ({"size": 256}, {"face": 1}, {"face": "all"}, {"neutralize": 0.5}, {"background": "white"}):
        with pytest.raises(UsageError, match="portrait"):
            pipeline()(avatar, audio=tone(0.2), **option)


def test_memory_does_not_grow_with_the_length(avatar):
    import tracemalloc

    frames = pipeline()(avatar, audio=tone(9.0)).frames
    next(frames)
    peaks = []
    tracemalloc.start()
    for k, _ in enumerate(frames):
        if k in (60, 210):
            peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


# ---- the picture -------------------------------------------------------------------------------------


def test_backgrounds(avatar, tmp_path):
    rest, rig = np.zeros(52, np.float32), avatar.rig
    clear = RigAvatar(rig, SIZE, background=None)
    assert clear.transparent and not avatar.transparent
    shown = clear.render_frame(rest)
    assert shown.shape == (96, 96, 4) and shown[0, 0, 3] == 0 and shown[48, 48, 3] == 255
    stripes = np.zeros((50, 200, 3), np.uint8)
    stripes[:, 95:105] = (10, 200, 30)  # the middle of a wide picture stays
    before = RigAvatar(rig, SIZE, background=stripes).render_frame(rest)
    assert np.abs(before[2, 48].astype(int) - [10, 200, 30]).max() < 12 and before[2, 2].max() < 5
    assert np.array_equal(before[48, 48], shown[48, 48, :3])
    green = RigAvatar(rig, SIZE, background=(0, 255, 0)).render_frame(rest)
    assert tuple(green[0, 0]) == (0, 255, 0)
    assert green.shape == (96, 96, 3) and RigAvatar(rig, SIZE).render_frame(rest, with_alpha=True)[0, 0, 3] == 255


def test_words_for_backgrounds(tmp_path):
    assert read_background("transparent") is None
    assert read_background("#204060") == (0x20, 0x40, 0x60) and read_background("white") == (255, 255, 255)
    Image.new("RGB", (20, 10), (1, 2, 3)).save(tmp_path / "wall.png")
    assert read_background(str(tmp_path / "wall.png")).shape == (10, 20, 3)
    with pytest.raises(UsageError, match="greenish"):
        read_background("greenish")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(MediaError):
        read_background(str(tmp_path / "text.png"))


@pytest.mark.parametrize("size", [(96, 96), (54, 96), (96, 54)])
def test_the_whole_head_is_in_the_picture(size):
    shown = RigAvatar(embedded_head(), size, background=None).render_frame(np.zeros(52, np.float32))[..., 3]
    inside = shown > 0
    assert not inside[0].any() and not inside[-1].any() and not inside[:, 0].any() and not inside[:, -1].any()
    assert inside.any(0).sum() > 0.5 * size[0] or inside.any(1).sum() > 0.75 * size[1]


def test_the_view_goes_round_and_near():
    rig = embedded_head()
    usual, side = portrait_camera(rig, SIZE), portrait_camera(rig, SIZE, View(yaw=90))
    nose = rig.neutral[rig.neutral[:, 2].argmax()]
    assert abs(usual.project(nose[None])[0, 0] - 48) < 2 < 48 - side.project(nose[None])[0, 0]
    near = portrait_camera(rig, SIZE, View(zoom=2))
    assert near.focal == pytest.approx(2 * usual.focal)
    for view in (View(zoom=0.01), View(zoom=99)):
        with pytest.raises(UsageError, match="zoom"):
            RigAvatar(rig, SIZE, view=view)


def test_of_a_body_the_head_is_shown():
    from dataclasses import replace

    rig = embedded_head()
    feet = np.array([[-0.2, -1.7, 0], [0.2, -1.7, 0], [0, -0.2, 0]], np.float32)
    count = len(rig.neutral)
    more = lambda table, rows: np.concatenate([table, rows])
    body = replace(
        rig,
        neutral=more(rig.neutral, feet),
        deltas=np.pad(rig.deltas, ((0, 0), (0, 3), (0, 0))),
        skin=more(rig.skin, np.eye(1, rig.skin.shape[1], 0, np.float32).repeat(3, 0)),
        correctives=(),
        polygons=more(rig.polygons, np.array([[count, count + 1, count + 2, -1]], np.int32)),
        uv_polygons=more(rig.uv_polygons, np.array([[0, 0, 0, -1]], np.int32)),
        material_of=more(rig.material_of, np.zeros(1, np.uint8)),
    )
    camera = portrait_camera(body, SIZE)
    row = lambda point: camera.project(np.asarray(point, float)[None])[0, 1]
    assert 0 < row((0, 0.118, 0)) < row((0, 0, 0)) < 48 < row((0, -0.12, 0)) < 96


# ---- the command -------------------------------------------------------------------------------------


@pytest.fixture
def hum(tmp_path):
    path = tmp_path / "hum.wav"
    t = np.arange(8000) / 16000
    sound = 0.3 * np.sin(2 * np.pi * 140 * t)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes((sound * 32767).astype("<i2").tobytes())
    return str(path)


@pytest.mark.parametrize("ending", [".mp4", ".webm", ".mov", ""])
def test_the_command_line_makes_a_video(hum, tmp_path, capsys, ending):
    out = str(tmp_path / f"talk{ending}")
    words = ["animate", "--rig", "embedded", "--audio", hum, "--size", "64", "-o", out]
    assert main([*words, *(["--background", "transparent"] if ending != ".mp4" else [])]) == 0
    assert "64x64, 12 frames, 25 fps" in capsys.readouterr().out
    if not ending:
        files = sorted((tmp_path / "talk").iterdir())
        assert len(files) == 12 and np.asarray(Image.open(files[0])).shape == (64, 64, 4)
        return
    clip = Clip.open(out)
    assert clip.size == (64, 64) and clip.has_audio and sum(1 for _ in clip.frames()) == 12


@pytest.mark.parametrize(
    "words, code, says",
    [
        (["face.jpg", "--rig", "embedded", "--audio", "{hum}", "-o", "a.mp4"], 2, "give one"),
        (["--rig", "embedded", "-o", "a.mp4"], 2, "what moves the face"),
        (["--rig", "gone.glb", "--audio", "{hum}", "-o", "a.mp4"], 3, "no such file"),
        (["--rig", "face.jpg", "--audio", "{hum}", "-o", "a.mp4"], 3, "face.jpg"),
        (["--rig", "embedded", "--audio", "{hum}", "--background", "transparent", "-o", "a.mp4"], 2, ".webm"),
        (["--rig", "embedded", "--audio", "{hum}", "--background", "bluish", "-o", "a.mp4"], 2, "bluish"),
        (["--rig", "embedded", "--audio", "{hum}", "--face", "2", "-o", "a.mp4"], 2, "--face"),
        (["--rig", "embedded", "--audio", "{hum}", "--neutralize", "1", "-o", "a.mp4"], 2, "--neutralize"),
        (["--sample", "--zoom", "2", "-o", "a.mp4"], 2, "--zoom goes with --rig"),
        (["--sample", "--background", "transparent", "-o", "a.mp4"], 2, ".webm"),
    ],
)
def test_the_command_line_says_what_is_wrong(words, code, says, hum, tmp_path, monkeypatch, capsys):
    Image.new("RGB", (32, 32)).save(tmp_path / "face.jpg")
    monkeypatch.chdir(tmp_path)
    assert main(["animate", *(word.format(hum=hum) for word in words)]) == code
    assert says in capsys.readouterr().err
    assert not (tmp_path / "a.mp4").exists()


def test_what_a_head_lacks_is_told(hum, tmp_path, capsys):
    pytest.importorskip("pygltflib", reason="the extra 'export' is not installed")
    from gltf_files import talking_plate

    head = talking_plate(("jawOpen", "eyeBlinkLeft")).save(tmp_path / "plate.glb")
    assert main(["animate", "--rig", str(head), "--audio", hum, "--size", "64", "-o", str(tmp_path / "a.mp4")]) == 0
    told = capsys.readouterr().out
    assert "has no shape for" in told and "mouthClose" in told and "jawOpen" not in told and "12 frames" in told


def test_a_head_from_its_file_speaks_as_the_rig_itself(tmp_path, avatar):
    pytest.importorskip("pygltflib", reason="the extra 'export' is not installed")
    from avatars.export import save_rig

    save_rig(avatar.rig, tmp_path / "head.glb")
    take = pipeline()(RigAvatar.open(tmp_path / "head.glb", SIZE), audio=tone(0.6))
    draw = RigRenderer(avatar.rig, SIZE)
    draw.camera = portrait_camera(avatar.rig, SIZE)
    motion = take.motion
    for k, frame in enumerate(take.frames):
        direct = draw.draw(avatar.rig.vertices(motion.weights[k], motion.head[k])).astype(int)
        assert np.abs(frame.image - direct).mean() < 0.4


@pytest.mark.slow
def test_a_performance_is_repeated(tmp_path):
    """A rendered head opens its jaw and turns; tracked in its video and put on a head again, both come back."""
    frames = 40
    t = np.arange(frames) / 25
    weights, head = np.zeros((frames, 52), np.float32), np.zeros((frames, 6), np.float32)
    weights[:, INDEX["jawOpen"]] = 0.25 - 0.25 * np.cos(2 * np.pi * 1.25 * t)
    head[:, 0] = 0.2 * np.sin(2 * np.pi * 0.6 * t)
    shown = RigAvatar(embedded_head(), (384, 384))
    pipeline()(shown, motion=FaceMotion(weights, Fraction(25), head)).save(tmp_path / "driver.mp4")
    again = pipeline()(shown, driver=tmp_path / "driver.mp4").motion
    same = lambda a, b: np.corrcoef(a, b)[0, 1]
    assert len(again) == frames and same(again.curve("jawOpen"), weights[:, INDEX["jawOpen"]]) > 0.8
    assert same(again.head[:, 0], head[:, 0]) > 0.9 and np.abs(again.head[:, 0] - head[:, 0]).max() < 0.12
    assert not again.head[:, 3:].any()
