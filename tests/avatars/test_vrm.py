"""VRM 1.0: what the specification asks for stands in the file, and what was written is read back."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

pytest.importorskip("pygltflib", reason="the extra 'export' is not installed")

from avatars.export import save_rig
from avatars.export.vrm import VrmMeta
from avatars.export.vrm_expressions import PRESETS, preset_weights
from avatars.head import embedded_head
from avatars.load_rig import load_rig
from avatars.rig import Material, Rig
from studio.arkit import ARKIT, INDEX
from studio.errors import MediaError, UsageError
from studio.motion import LOOK_LIMIT, FaceMotion

REQUIRED = {"hips", "spine", "head"} | {
    side + limb
    for side in ("left", "right")
    for limb in ("UpperLeg", "LowerLeg", "Foot", "UpperArm", "LowerArm", "Hand")
}
PARENTS = {  # the specification's table, without bones that may be left out
    "spine": "hips", "neck": "spine", "head": "neck", "leftEye": "head", "rightEye": "head", "jaw": "head",
    "leftUpperLeg": "hips", "leftLowerLeg": "leftUpperLeg", "leftFoot": "leftLowerLeg",
    "rightUpperLeg": "hips", "rightLowerLeg": "rightUpperLeg", "rightFoot": "rightLowerLeg",
    "leftUpperArm": "spine", "leftLowerArm": "leftUpperArm", "leftHand": "leftLowerArm",
    "rightUpperArm": "spine", "rightLowerArm": "rightUpperArm", "rightHand": "rightLowerArm",
}  # fmt: skip
EMOTIONS = ("happy", "angry", "sad", "relaxed", "surprised")
EYES = ("blink", "blinkLeft", "blinkRight", "lookUp", "lookDown", "lookLeft", "lookRight")
OTHERS = ("aa", "ih", "ou", "ee", "oh", *EYES, "neutral")


def document_of(path):
    data = path.read_bytes()
    size = struct.unpack("<I", data[12:16])[0]
    return json.loads(data[20 : 20 + size])


def two_shapes(names=("jawOpen", "smile_L"), joints=()):
    """A plate that two shapes move; the second is half of each smile."""
    neutral = np.array([[0, 0, 0], [0.1, 0, 0], [0.1, 0.2, 0], [0, 0.2, 0]], np.float32)
    deltas = np.zeros((2, 4, 3), np.float32)
    deltas[0, 0, 1], deltas[1, 1, 0] = -0.02, 0.01
    arkit = np.zeros((52, 2), np.float32)
    arkit[INDEX["jawOpen"], 0] = 1
    arkit[[INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"]], 1] = 0.5
    quad = np.array([[0, 1, 2, 3]], np.int32)
    return Rig("plate", neutral, quad, neutral[:, :2], quad, (Material("skin"),), np.zeros(1, np.uint8), names, deltas,
               arkit, joints)  # fmt: skip


@pytest.fixture(scope="module")
def head():
    return embedded_head()


@pytest.fixture(scope="module")
def file(head, tmp_path_factory):
    return save_rig(head, tmp_path_factory.mktemp("vrm") / "somebody.vrm", meta=VrmMeta(authors=("A", "B")))


def test_names_and_shapes_come_back(head, file):
    back = load_rig(file)
    assert back.shape_names == head.shape_names and back.missing() == ()
    assert [c.name for c in back.correctives] == [c.name for c in head.correctives]
    for name, delta in zip(head.shape_names, head.deltas, strict=True):
        assert np.abs(back.deltas[back.shape_names.index(name)] - delta).max() <= 1e-5
    moved = back.neutral - head.neutral
    assert np.ptp(moved, axis=0).max() <= 1e-5  # moved as a whole, neither turned nor scaled
    assert back.joints[back.joint("head")].position[1] == pytest.approx(1.525, abs=1e-6)


def test_the_skeleton_is_human(file):
    document = document_of(file)
    bones = {name: bone["node"] for name, bone in document["extensions"]["VRMC_vrm"]["humanoid"]["humanBones"].items()}
    assert set(bones) >= REQUIRED | {"neck", "jaw", "leftEye", "rightEye"} and len(set(bones.values())) == len(bones)
    above = {child: i for i, node in enumerate(document["nodes"]) for child in node.get("children", [])}
    assert {name: above.get(number) for name, number in bones.items()} == {
        name: bones[PARENTS[name]] if name in PARENTS else None for name in bones
    }

    def place(number):
        own = np.array(document["nodes"][number].get("translation", (0, 0, 0)))
        return own + (place(above[number]) if number in above else 0)

    at = {name: place(number) for name, number in bones.items()}
    assert at["leftHand"][0] > 0.6 and at["rightHand"][0] < -0.6  # T-pose, the left on +X: it faces +Z
    assert at["leftHand"][1] == at["leftUpperArm"][1]
    assert 0 < at["leftFoot"][1] < at["leftLowerLeg"][1] < at["leftUpperLeg"][1] < at["hips"][1] < at["spine"][1]
    assert at["spine"][1] < at["leftUpperArm"][1] < at["neck"][1] < at["head"][1] < at["leftEye"][1] < 1.7
    assert at["leftEye"][0] > 0.02 and at["leftEye"][2] > at["head"][2] and abs(at["neck"][[0, 2]]).max() < 1e-6
    assert set(bones.values()) <= set(document["skins"][0]["joints"])


def test_meta_is_cautious_unless_told(head, file, tmp_path):
    meta = document_of(file)["extensions"]["VRMC_vrm"]["meta"]
    assert meta["name"] == "somebody" and meta["authors"] == ["A", "B"]
    assert meta["licenseUrl"] == "https://vrm.dev/licenses/1.0/"
    assert meta["avatarPermission"] == "onlyAuthor" and meta["commercialUsage"] == "personalNonProfit"
    assert meta["modification"] == "prohibited" and meta["creditNotation"] == "required"
    assert not any(value for name, value in meta.items() if name.startswith("allow"))
    open_to_all = VrmMeta("Ann", ("C",), avatar_permission="everyone", allow_redistribution=True, references=("photo",))
    meta = document_of(save_rig(head, tmp_path / "x.vrm", meta=open_to_all))["extensions"]["VRMC_vrm"]["meta"]
    assert (meta["name"], meta["avatarPermission"], meta["allowRedistribution"]) == ("Ann", "everyone", True)
    assert meta["references"] == ["photo"]
    with pytest.raises(UsageError, match="author"):
        VrmMeta(authors=())
    with pytest.raises(UsageError, match="onlySeparatelyLicensedPerson"):
        VrmMeta(avatar_permission="friends")


def test_expressions_bind_the_shapes_they_name(head, file):
    document = document_of(file)
    vrm = document["extensions"]["VRMC_vrm"]
    names = document["meshes"][document["nodes"][0]["mesh"]]["extras"]["targetNames"]
    assert set(vrm["expressions"]["preset"]) == {*EMOTIONS, *OTHERS}
    assert list(vrm["expressions"]["custom"]) == list(ARKIT)
    single = np.eye(52, dtype=np.float32)
    for group, weights_of in (("preset", preset_weights), ("custom", lambda name: single[INDEX[name]])):
        for name, expression in vrm["expressions"][group].items():
            got = np.zeros(len(names))
            for bind in expression.get("morphTargetBinds", []):
                assert bind["node"] == 0 and 0 < bind["weight"] <= 1
                got[bind["index"]] = bind["weight"]
            assert np.abs(got - head.shape_weights(weights_of(name))).max() < 2e-4, name
    assert "morphTargetBinds" not in vrm["expressions"]["preset"]["neutral"]
    assert vrm["expressions"]["preset"]["surprised"]["overrideMouth"] == "blend"
    assert vrm["firstPerson"]["meshAnnotations"] == [{"node": 0, "type": "auto"}]


def test_the_gaze_is_ours(head, file):
    look = document_of(file)["extensions"]["VRMC_vrm"]["lookAt"]
    assert look["type"] == "bone"
    for key, name in (
        ("HorizontalInner", "In"),
        ("HorizontalOuter", "Out"),
        ("VerticalUp", "Up"),
        ("VerticalDown", "Down"),
    ):
        span = look[f"rangeMap{key}"]
        assert span["outputScale"] == span["inputMaxValue"] == pytest.approx(np.degrees(LOOK_LIMIT[name]), abs=1e-3)
    joints = {joint.name: np.array(joint.position) for joint in head.joints}
    between = (joints["eye_left"] + joints["eye_right"]) / 2 - joints["head"]
    assert look["offsetFromHeadBone"] == pytest.approx(between, abs=1e-5)


def test_vowels_and_emotions_are_those_of_the_drivers():
    """The tables here can't be imported from there; they must say the same."""
    from controls.expressions import from_emotion, while_speaking
    from controls.lipsync.articulation import weights_of
    from controls.lipsync.phones import PHONES, VISEMES

    for vowel, phone in {"aa": "a", "ih": "i", "ou": "u", "ee": "e", "oh": "o"}.items():
        lips = PHONES[phone]
        one = np.array([[float(name == lips.viseme) for name in VISEMES]])
        curves = [np.array([value]) for value in (lips.openness, lips.rounding, lips.spread, 0.0)]
        assert np.abs(weights_of(one, *curves)[0] - preset_weights(vowel)).max() < 0.02, vowel
    names = {"happy": "joy", "angry": "anger", "sad": "sadness", "relaxed": "relaxed", "surprised": "surprise"}
    for preset, emotion in names.items():
        ours, theirs = preset_weights(preset), from_emotion({emotion: 1.0})
        assert ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs) > 0.9, preset
        assert ours[[INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]].max() == 0  # a blink adds itself
        if preset != "surprised":
            lips = while_speaking(np.ones(52)) == 0
            assert ours[lips].max() < 0.31, preset
    assert set(PRESETS) == {*EMOTIONS, *OTHERS}


def test_a_rig_of_other_shapes_and_no_joints(tmp_path):
    vrm = document_of(save_rig(two_shapes(), tmp_path / "plate.vrm"))["extensions"]["VRMC_vrm"]
    assert list(vrm["expressions"]["custom"]) == ["jawOpen", "mouthSmileLeft", "mouthSmileRight"]
    assert vrm["expressions"]["custom"]["mouthSmileLeft"]["morphTargetBinds"] == [
        {"node": 0, "index": 1, "weight": 0.5}
    ]
    assert vrm["lookAt"]["type"] == "expression" and vrm["lookAt"]["rangeMapHorizontalOuter"]["outputScale"] == 1
    assert set(vrm["humanoid"]["humanBones"]) == REQUIRED
    back = load_rig(tmp_path / "plate.vrm")
    assert back.neutral[:, 1].min() == pytest.approx(1.525 - 0.05, abs=1e-6)  # the head's joint a quarter up


def test_what_a_vrm_can_not_hold(head, tmp_path):
    with pytest.raises(UsageError, match="no motion"):
        save_rig(head, tmp_path / "head.vrm", FaceMotion.still(3, 25))
    with pytest.raises(UsageError, match="go into"):
        save_rig(head, tmp_path / "head.glb", meta=VrmMeta())
    with pytest.raises(UsageError, match="no shapes"):
        rig = two_shapes()
        save_rig(Rig(*(getattr(rig, n) for n in ("name", "neutral", "polygons", "uv", "uv_polygons", "materials",
                 "material_of")), (), rig.deltas[:0], rig.arkit[:, :0]), tmp_path / "head.vrm")  # fmt: skip
    assert not list(tmp_path.iterdir())


def renamed(path, names, preset=None, custom=None):
    """The plate as a VRM of somebody else, whose targets are called otherwise."""
    from pygltflib import GLTF2

    save_rig(two_shapes(), path)
    document = GLTF2().load_binary(str(path))
    document.meshes[0].extras["targetNames"] = list(names)
    bind = lambda parts: {"morphTargetBinds": [{"node": 0, "index": i, "weight": w} for i, w in parts]}
    document.extensions["VRMC_vrm"]["expressions"] = {
        "preset": {name: bind(parts) for name, parts in (preset or {}).items()},
        "custom": {name: bind(parts) for name, parts in (custom or {}).items()},
    }
    document.save_binary(str(path))
    return path


def test_targets_of_other_names_are_found_by_expressions(tmp_path):
    path = renamed(tmp_path / "a.vrm", ("Fcl_A", "Fcl_B"), {"aa": [(0, 1.0)]}, {"JawOpen": [(0, 0.5), (1, 0.25)]})
    rig = load_rig(path)
    assert rig.arkit[INDEX["jawOpen"]].tolist() == [0.5, 0.25] and len(rig.missing()) == 51
    path = renamed(tmp_path / "b.vrm", ("Fcl_A", "Fcl_B"), {"aa": [(0, 0.8)], "happy": [(1, 1.0)]})
    rig = load_rig(path)  # presets alone: a vowel opens the jaw, joy is half of each smile
    assert rig.arkit[INDEX["jawOpen"]].tolist() == pytest.approx([0.8, 0])
    assert rig.arkit[INDEX["mouthSmileLeft"]].tolist() == rig.arkit[INDEX["mouthSmileRight"]].tolist() == [0, 0.5]
    path = renamed(tmp_path / "c.vrm", ("jawOpen", "Fcl_B"), {"aa": [(1, 1.0)]})
    assert load_rig(path).arkit[INDEX["jawOpen"]].tolist() == [1, 0]  # names of targets come first
    with pytest.raises(MediaError, match="name no morph targets"):
        load_rig(renamed(tmp_path / "d.vrm", ("Fcl_A", "Fcl_B"), {"aa": [(7, 1.0)]}))
