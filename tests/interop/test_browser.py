"""three.js and three-vrm in headless Chromium: what they show of our files is what the rig says."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pygltflib", reason="the extra 'export' is not installed")

from browser import ask, pixels
from takes import wave

from avatars.export import save_rig
from avatars.export.gltf_animation import quaternions
from avatars.export.vrm import VrmMeta
from avatars.export.vrm_expressions import preset_weights
from avatars.head import embedded_head
from studio.arkit import ARKIT, INDEX
from studio.motion import LOOK_LIMIT

BACKGROUND = (0x40, 0x60, 0x80)
BONES = {"hips", "spine", "neck", "head", "jaw", "leftEye", "rightEye"} | {
    side + limb
    for side in ("left", "right")
    for limb in ("UpperLeg", "LowerLeg", "Foot", "UpperArm", "LowerArm", "Hand")
}


@pytest.fixture
def room(tmp_path_factory):
    return tmp_path_factory.mktemp("browser")


def covered(picture):
    """Share of a picture that is not the background."""
    return float((np.abs(picture.astype(int) - BACKGROUND).max(2) > 8).mean())


@pytest.mark.slow
def test_three_plays_the_motion(tmp_path, room):
    rig, motion, frames = embedded_head(), wave(60), (0, 20, 45)
    save_rig(rig, tmp_path / "take.glb", motion)
    times = ",".join(str(k / float(motion.fps)) for k in frames)
    found = ask("glb.js", tmp_path, room, file="take.glb", times=times)
    assert found["complaints"] == []
    assert found["duration"] == pytest.approx(59 / float(motion.fps), abs=1e-5) and found["parts"] == 4
    pictures = [pixels(frame["picture"]) for frame in found["frames"]]
    for k, frame, picture in zip(frames, found["frames"], pictures, strict=True):
        for name in ARKIT:
            assert frame["influences"][name] == pytest.approx([motion.weights[k, INDEX[name]]] * 4, abs=1e-5), name
        turn = quaternions(motion.head[k : k + 1, :3])[0]
        assert frame["head"] == pytest.approx(turn.tolist(), abs=1e-5)
        assert 0.1 < covered(picture) < 0.6  # a head, neither nothing nor everything
        face = picture[np.abs(picture.astype(int) - BACKGROUND).max(2) > 8].mean(0)
        assert face[0] > face[2] + 15  # of skin
    assert np.abs(pictures[0].astype(int) - pictures[2]).mean() > 2  # it has moved


@pytest.fixture(scope="module")
def vrm(tmp_path_factory):
    """What three-vrm tells of the embedded head."""
    folder = tmp_path_factory.mktemp("vrm")
    save_rig(embedded_head(), folder / "head.vrm", meta=VrmMeta("Ann", ("Bo",)))
    return ask("vrm.js", folder, tmp_path_factory.mktemp("browser"), file="head.vrm", pictures="aa,surprised,blink")


@pytest.mark.slow
def test_three_vrm_has_expressions_that_move_the_face(vrm):
    assert vrm["complaints"] == []
    emotions = {"happy", "angry", "sad", "relaxed", "surprised"}
    eyes = {"blink", "blinkLeft", "blinkRight", "lookUp", "lookDown", "lookLeft", "lookRight"}
    assert set(vrm["presets"]) == {*emotions, "aa", "ih", "ou", "ee", "oh", *eyes, "neutral"}
    assert set(vrm["custom"]) == set(ARKIT)
    assert vrm["moved"].pop("neutral") == 0
    assert min(vrm["moved"].values()) > 1e-3 and vrm["moved"]["aa"] > 0.01  # metres
    for name in ARKIT:  # "aa" at a half
        assert vrm["influences"][name] == pytest.approx(0.5 * float(preset_weights("aa")[INDEX[name]]), abs=1e-5)
    assert vrm["overridden"] == 0  # surprise takes the vowel away


@pytest.mark.slow
def test_three_vrm_turns_eyes_and_head(vrm):
    assert set(vrm["places"]) == BONES
    assert vrm["places"]["head"] == pytest.approx([0, 1.525, 0.0205], abs=1e-4)
    assert vrm["places"]["leftEye"][0] > 0.02 > 0 > vrm["places"]["rightEye"][0]
    turn = lambda yaw, pitch: quaternions(np.array([[yaw, pitch, 0.0]]))[0].tolist()
    for words, yaw, pitch in (("20,0", 20, 0), ("0,15", 0, 15)):
        for eye in ("leftEye", "rightEye"):
            assert vrm["looks"][words][eye] == pytest.approx(turn(*np.radians([yaw, pitch])), abs=1e-4)
    assert vrm["looks"]["80,0"]["leftEye"] == pytest.approx(turn(LOOK_LIMIT["Out"], 0), abs=1e-4)  # no further
    assert vrm["turned"] > 0.03  # the head's bone moves the mesh
    assert vrm["meta"]["name"] == "Ann" and vrm["meta"]["authors"] == ["Bo"]
    assert vrm["look"]["offset"] == pytest.approx([0, 0.0770, 0.0596], abs=1e-3) and vrm["firstPerson"] == 1


@pytest.mark.slow
def test_three_vrm_shows_the_face(vrm):
    pictures = {name: pixels(address) for name, address in vrm["pictures"].items()}
    assert all(0.1 < covered(picture) < 0.6 for picture in pictures.values())
    rest = pictures["rest"].astype(int)
    for name, share in (("aa", 0.002), ("surprised", 0.002), ("blink", 0.001), ("turned", 0.05)):
        changed = (np.abs(pictures[name] - rest).max(2) > 12).mean()
        assert changed > share, name
    # the camera is on +Z: it sees the face, with dark pupils in light eyes, not the back of a head
    middle = pictures["rest"][180:300, 150:362].astype(int)
    assert middle.mean(2).min() < 60 and (middle.min(2) > 150).any()
