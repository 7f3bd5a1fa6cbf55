"""Heads as files and back: shapes, motion, and files that are not what they say."""

import json
import struct
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("pygltflib", reason="the extra 'export' is not installed")

from avatars.export import save_rig
from avatars.export.gltf_animation import quaternions
from avatars.head import AXES, embedded_head
from avatars.head.identity import random_identity
from avatars.load_rig import load_rig, match_name
from avatars.load_take import load_take
from avatars.rig import Material, Rig
from studio.arkit import ARKIT, INDEX
from studio.errors import MediaError, UsageError
from studio.motion import EYE_SPAN, FaceMotion, rotation_matrix


@pytest.fixture(scope="module")
def head():
    return embedded_head()


@pytest.fixture(scope="module")
def take():
    pick = np.random.default_rng(0)
    head = np.concatenate([pick.normal(0, 0.2, (40, 3)), pick.normal(0, 0.01, (40, 3))], 1)
    return FaceMotion(pick.random((40, 52)).astype(np.float32), Fraction(30000, 1001), head)


def small_rig(names=("jawOpen",), bad=None):
    neutral = np.array([[0, 0, 0], [0.1, 0, 0], [0.1, 0.1, 0], [0, 0.1, 0]], np.float32)
    if bad is not None:
        neutral[2, 1] = bad
    deltas = np.zeros((len(names), 4, 3), np.float32)
    deltas[:, 0, 1] = -0.02
    quad = np.array([[0, 1, 2, 3]], np.int32)
    arkit = np.zeros((52, len(names)), np.float32)
    return Rig("plate", neutral, quad, neutral[:, :2] * 10, quad, (Material("skin"),), np.zeros(1, np.uint8),
               tuple(names), deltas, arkit)  # fmt: skip


def test_shapes_and_motion_come_back(head, take, tmp_path):
    save_rig(head, tmp_path / "head.glb", take)
    back = load_rig(tmp_path / "head.glb")
    assert back.missing() == () and len(back.neutral) == len(head.neutral)
    weights = np.zeros(52, np.float32)
    weights[[INDEX["jawOpen"], INDEX["mouthPucker"], INDEX["eyeBlinkLeft"]]] = 0.3, 0.5, 1.0
    assert np.abs(back.shaped(weights) - head.shaped(weights)).max() < 1e-6  # correctives as well
    motion = load_take(tmp_path / "head.glb")
    assert motion.fps == take.fps
    assert np.abs(motion.weights - take.weights).max() < 1e-5
    assert np.abs(motion.head[:, :3] - take.head[:, :3]).max() < 1e-5


def test_the_file_is_gltf_in_metres(head, tmp_path):
    save_rig(head, tmp_path / "head.glb")
    data = (tmp_path / "head.glb").read_bytes()
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size = struct.unpack("<I", data[12:16])[0]
    document = json.loads(data[20 : 20 + size])
    mesh = document["meshes"][0]
    assert mesh["extras"]["targetNames"][:52] == list(ARKIT)
    place = document["accessors"][mesh["primitives"][0]["attributes"]["POSITION"]]
    tall = place["max"][1] - place["min"][1]
    assert 0.25 < tall < 0.40 and place["max"][2] < 0.06  # a head with its neck, the face towards +Z
    names = [node["name"] for node in document["nodes"]]
    assert {"head", "neck", "jaw", "eye_left", "eye_right"} <= set(names)


def test_quaternions_turn_as_matrices_do():
    angles = np.array([[0.3, -0.2, 0.5], [-0.8, 0.4, -0.1]])
    for (x, y, z, w), (yaw, pitch, roll) in zip(quaternions(angles), angles, strict=True):
        matrix = rotation_matrix(yaw, pitch, roll)
        vector = np.array([0.2, -0.4, 0.9])
        q = np.array([x, y, z])
        turned = vector + 2 * np.cross(q, np.cross(q, vector) + w * vector)
        assert np.abs(turned - matrix @ vector).max() < 1e-12


@pytest.mark.parametrize(
    "name, shape",
    [
        ("jawOpen", "jawOpen"),
        ("Jaw_Open", "jawOpen"),
        ("blendShape1.eyeBlink_L", "eyeBlinkLeft"),
        ("head_mouthSmileRight", "mouthSmileRight"),
        ("BS:browOuterUp_R", "browOuterUpRight"),
        ("eyelook-down-left", "eyeLookDownLeft"),
        ("hairFlow", None),
        ("", None),
    ],
)
def test_names_are_matched_tolerantly(name, shape):
    assert match_name(name) == shape


def test_what_is_missing_is_told(tmp_path):
    save_rig(small_rig(("JawOpen", "mouth_smile_L")), tmp_path / "plate.glb")
    rig = load_rig(tmp_path / "plate.glb")
    assert len(rig.missing()) == 50 and "jawOpen" not in rig.missing()
    moved = rig.vertices(np.eye(52, dtype=np.float32)[INDEX["jawOpen"]])
    assert np.allclose(moved[0], [0, -0.02, 0], atol=1e-6)


def test_files_that_are_none(tmp_path):
    save_rig(small_rig(("wobble", "wiggle")), tmp_path / "unknown.glb")
    with pytest.raises(MediaError, match="wobble"):
        load_rig(tmp_path / "unknown.glb")
    save_rig(small_rig(()), tmp_path / "none.glb")
    with pytest.raises(MediaError, match="no morph targets"):
        load_rig(tmp_path / "none.glb")
    with pytest.raises(UsageError, match="NaN"):
        save_rig(small_rig(bad=np.nan), tmp_path / "nan.glb")
    assert not (tmp_path / "nan.glb").exists()
    save_rig(small_rig(bad=0.0777), tmp_path / "nan.glb")
    place = (tmp_path / "nan.glb").read_bytes()
    (tmp_path / "nan.glb").write_bytes(place.replace(struct.pack("<f", 0.0777), struct.pack("<f", np.nan)))
    with pytest.raises(MediaError, match="NaN"):
        load_rig(tmp_path / "nan.glb")
    save_rig(small_rig(), tmp_path / "whole.glb")
    data = (tmp_path / "whole.glb").read_bytes()
    for cut in (6, 30, len(data) - 40):
        (tmp_path / "cut.glb").write_bytes(data[:cut])
        with pytest.raises(MediaError):
            load_rig(tmp_path / "cut.glb")
    (tmp_path / "text.glb").write_text("hello")
    with pytest.raises(MediaError):
        load_rig(tmp_path / "text.glb")
    with pytest.raises(MediaError, match="no such file"):
        load_rig(tmp_path / "lost.glb")


def test_a_table_longer_than_its_file_is_refused(tmp_path):
    save_rig(small_rig(), tmp_path / "plate.glb")
    data = (tmp_path / "plate.glb").read_bytes()
    size = struct.unpack("<I", data[12:16])[0]
    document = json.loads(data[20 : 20 + size])
    for accessor in document["accessors"]:
        accessor["count"] = 5_000_000
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    body = data[20 + size :]
    whole = struct.pack("<4sII", b"glTF", 2, 20 + len(text) + len(body)) + struct.pack("<I4s", len(text), b"JSON")
    (tmp_path / "bomb.glb").write_bytes(whole + text + body)
    with pytest.raises(MediaError, match="vertices"):
        load_rig(tmp_path / "bomb.glb")


def test_obj_holds_the_neutral_head(head, tmp_path):
    save_rig(head, tmp_path / "head.obj")
    lines = (tmp_path / "head.obj").read_text().splitlines()
    assert sum(line.startswith("v ") for line in lines) == len(head.neutral)
    assert sum(line.startswith("f ") for line in lines) == len(head.polygons)
    with pytest.raises(UsageError, match="OBJ"):
        save_rig(head, tmp_path / "head.obj", FaceMotion(np.zeros((2, 52)), Fraction(25)))


# ---- the embedded head -------------------------------------------------------------------------------


def test_the_head_is_a_closed_skin(head):
    """Every edge of the skin has one polygon on each side, but for the border of the neck and the ends of bags."""
    skin = head.polygons[head.material_of == 0]
    edges = {}
    for quad in skin:
        for a, b in zip(quad, np.roll(quad, -1), strict=True):
            edges[(int(a), int(b))] = edges.get((int(a), int(b)), 0) + 1
    assert max(edges.values()) == 1  # wound alike throughout
    border = [edge for edge in edges if edge[::-1] not in edges]
    assert len(border) < 0.05 * len(edges)
    assert 4000 <= len(head.neutral) <= 12000 and (skin[:, 3] >= 0).all()


def test_the_head_has_human_proportions(head):
    triangles = head.triangles[head.facemesh[0]]
    points = (head.neutral[triangles] * head.facemesh[1][..., None]).sum(1)
    span = np.linalg.norm(points[33] - points[263])
    assert abs(span / EYE_SPAN - 1) < 0.05
    skin = head.neutral[head.parts["skin"]]
    crown = skin[:, 1].max() - points[152, 1]
    assert 0.19 < crown < 0.25  # chin to crown, metres
    depth = points[4, 2] - skin[:, 2].min()
    assert 0.18 < depth < 0.25
    above = skin[skin[:, 1] > -0.09]
    assert 0.14 < np.ptp(above[:, 0]) < 0.20


def test_shapes_move_what_they_name(head):
    move = {name: np.abs(head.deltas[INDEX[name]]).max(1) for name in ARKIT}
    assert all(m.max() > (5e-4 if name.startswith("eyeLook") else 1e-3) for name, m in move.items())
    upper, lower = head.parts["teeth_upper"], head.parts["teeth_lower"]
    assert move["jawOpen"][upper].max() == 0 and move["jawOpen"][lower].min() > 0.01
    assert move["tongueOut"][head.parts["tongue"]].max() > 0.02
    left, right = (head.neutral[:, 0] > 0.01), (head.neutral[:, 0] < -0.01)
    assert move["eyeBlinkLeft"][right].max() < 1e-4 < move["eyeBlinkLeft"][left].max()


def test_combinations_do_not_collapse(head):
    """A closed mouth stays closed behind an open jaw, lids don't pass through each other."""
    from avatars.facemesh import LIPS_INNER

    weights = np.zeros(52, np.float32)
    weights[[INDEX["jawOpen"], INDEX["mouthClose"]]] = 1
    corner = head.triangles[head.facemesh[0], 0]
    gap = lambda v: v[corner[LIPS_INNER[15]], 1] - v[corner[LIPS_INNER[5]], 1]
    assert abs(gap(head.shaped(weights))) < 0.004 < gap(head.shaped(np.eye(52, dtype=np.float32)[INDEX["jawOpen"]]))


def test_people_differ(head):
    assert len(AXES) >= 60 and len({axis.name for axis in AXES}) == len(AXES)
    one, other = (embedded_head(random_identity(seed)) for seed in (1, 2))
    apart = np.linalg.norm(one.neutral - other.neutral, axis=1)
    assert 0.002 < apart.mean() < 0.02
    moved = (one.neutral - head.neutral)[head.parts["eye_left"]]
    assert np.ptp(moved, axis=0).max() < 1e-6  # eyeballs stay round
    longer = embedded_head({"nose_length": 2.0})
    corner = head.triangles[head.facemesh[0], 0]
    assert longer.neutral[corner[2], 1] < head.neutral[corner[2], 1] - 0.003
    with pytest.raises(UsageError, match="nose_size"):
        embedded_head({"nose_size": 1.0})
