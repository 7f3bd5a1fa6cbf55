"""Heads read back: joints and skins move as they did, whoever wrote them, and pictures come along."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pygltflib", reason="the extra 'export' is not installed")

from pygltflib import GLTF2, Node

from avatars.export import save_rig
from avatars.head import embedded_head
from avatars.load_rig import load_rig
from avatars.rig import Joint, Material, Rig
from studio.arkit import INDEX
from studio.errors import MediaError

POSE = np.array([0.4, -0.2, 0.1, 0.0, 0.01, 0.02], np.float32)


@pytest.fixture(scope="module")
def head():
    return embedded_head()


def glance():
    weights = np.zeros(52, np.float32)
    weights[[INDEX["eyeLookOutLeft"], INDEX["eyeLookUpRight"], INDEX["browInnerUp"]]] = 0.8, 0.5, 0.7
    return weights


@pytest.mark.parametrize("ending", [".glb", ".vrm"])
def test_our_own_head_moves_as_before(head, tmp_path, ending):
    back = load_rig(save_rig(head, tmp_path / f"head{ending}"))
    assert {"neck", "head", "jaw", "eye_left", "eye_right"} <= {joint.name for joint in back.joints}
    place = back.neutral[0] - head.neutral[0]
    apart = back.vertices(glance(), POSE) - place - head.vertices(glance(), POSE)
    assert np.abs(apart).max() < 2e-6  # eyes turned, neck and all
    again = load_rig(save_rig(back, tmp_path / "again.glb"))
    assert np.abs(again.vertices(glance(), POSE) - back.vertices(glance(), POSE)).max() < 2e-6


def test_pictures_and_looks_come_back(head, tmp_path):
    clear = np.zeros((8, 8, 4), np.uint8)
    clear[::2, :, 3] = 255
    bumps = np.full((4, 4, 3), [128, 128, 255], np.uint8)
    skin = head.materials[0]
    rig = Rig(**{**vars_of(head), "materials": (Material("skin", (0.5, 0.6, 0.7, 1.0), 0.3, 0.2, skin.texture, bumps),
              Material("eye", texture=clear, blend=True, double_sided=True), *head.materials[2:])})  # fmt: skip
    back = load_rig(save_rig(rig, tmp_path / "head.glb"))
    one, other = back.materials[:2]
    assert (one.name, one.blend, one.double_sided) == ("skin", False, False)
    assert (one.roughness, one.metallic) == pytest.approx((0.3, 0.2)) and one.colour == pytest.approx(
        (0.5, 0.6, 0.7, 1)
    )
    assert one.texture.shape == skin.texture.shape and np.abs(one.texture.astype(int) - skin.texture).mean() < 1.5
    assert np.abs(one.normal.astype(int) - bumps).max() <= 3
    assert other.blend and other.double_sided and np.array_equal(other.texture, clear)
    data = (tmp_path / "head.glb").read_bytes()
    (tmp_path / "bad.glb").write_bytes(data.replace(b"\x89PNG\r\n", b"\x89PNX\r\n"))
    with pytest.raises(MediaError, match="texture"):
        load_rig(tmp_path / "bad.glb")


def vars_of(rig):
    return {name: getattr(rig, name) for name in Rig.__dataclass_fields__}


def plate(joints=(Joint("head", -1, (0.0, 0.1, 0.0)),)):
    """Two quads, one above the other; the lower hangs on "neck" where there is one."""
    neutral = np.array([[0, y, 0] for y in (0, 0.1, 0.2)] + [[0.1, y, 0] for y in (0, 0.1, 0.2)], np.float32)
    quads = np.array([[0, 3, 4, 1], [1, 4, 5, 2]], np.int32)
    deltas = np.zeros((1, 6, 3), np.float32)
    deltas[0, 2] = 0.01, 0.02, 0.03
    arkit = np.zeros((52, 1), np.float32)
    arkit[INDEX["jawOpen"], 0] = 1
    skin = np.zeros((6, len(joints)), np.float32)
    names = [joint.name for joint in joints]
    for k, y in enumerate(neutral[:, 1] if joints else ()):
        skin[k, names.index("neck") if "neck" in names and y < 0.05 else names.index("head")] = 1
    return Rig("plate", neutral, quads, neutral[:, :2], quads, (Material("skin"),), np.zeros(2, np.uint8), ("jawOpen",),
               deltas, arkit, joints, skin)  # fmt: skip


def floats(document, blob, view, shape):
    """The floats of a view, to be changed in place."""
    seen = document.bufferViews[view]
    return np.frombuffer(blob, "<f4", int(np.prod(shape)), seen.byteOffset).reshape(shape)


def test_a_skin_in_other_units_and_axes(tmp_path):
    """Centimetres and +Z up in the mesh, undone by the skin's matrices, as tools write that think so."""
    rig = plate()
    path = save_rig(rig, tmp_path / "plate.glb")
    document = GLTF2().load_binary(str(path))
    blob = bytearray(document.binary_blob())
    turn = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float)  # of the mesh's axes to ours
    to_mesh = 100 * turn.T
    points = floats(
        document, blob, document.accessors[document.meshes[0].primitives[0].attributes.POSITION].bufferView, (6, 3)
    )
    points[:] = points @ to_mesh.T
    target = document.accessors[document.meshes[0].primitives[0].targets[0]["POSITION"]]
    moved = floats(document, blob, target.sparse.values.bufferView, (target.sparse.count, 3))
    moved[:] = moved @ to_mesh.T
    bind = floats(document, blob, document.accessors[document.skins[0].inverseBindMatrices].bufferView, (4, 4))
    whole = np.eye(4)
    whole[:3, :3] = np.linalg.inv(to_mesh)
    bind[:] = (bind.T @ whole).T
    document.set_binary_blob(bytes(blob))
    document.save_binary(str(path))
    back = load_rig(path)
    assert np.abs(back.neutral - rig.neutral).max() < 1e-6
    assert np.abs(back.deltas[0] - rig.deltas[0]).max() < 1e-6


def test_a_body_stays_where_the_head_turns(tmp_path):
    joints = (Joint("Hips", -1, (0, 0, 0)), Joint("neck", 0, (0, 0.05, 0)), Joint("head", 1, (0, 0.1, 0)))
    rig = plate(joints)
    rig = Rig(**{**vars_of(rig), "skin": rig.skin[:, [1, 0, 2]]})  # what hung on the neck hangs on the hips
    back = load_rig(save_rig(rig, tmp_path / "body.glb"))
    turned = back.vertices(np.zeros(52), POSE)
    assert np.abs(turned - rig.vertices(np.zeros(52), POSE)).max() < 1e-6
    low = back.neutral[:, 1] < 0.05
    assert np.abs(turned - back.neutral)[low].max() == 0 < np.abs(turned - back.neutral)[~low].max()


def test_a_mesh_without_a_skin_hangs_where_it_stands(tmp_path):
    path = save_rig(plate(()), tmp_path / "plate.glb")
    back = load_rig(path)  # no joints: all of it is the head
    assert [joint.name for joint in back.joints] == ["head"] and np.allclose(back.skin, 1)
    for names, moves in ((("Hips", "mixamorig:Head"), True), (("mixamorig:Head", "LeftEye"), True)):
        document = GLTF2().load_binary(str(path))
        document.nodes += [
            Node(name=names[0], children=[2], translation=[0, 0.1, 0]),
            Node(name=names[1], children=[0], translation=[0, 0.1, 0]),
        ]
        document.scenes[0].nodes = [1]
        document.save_binary(str(tmp_path / "held.glb"))
        held = load_rig(tmp_path / "held.glb")
        assert held.neutral[:, 1].min() == pytest.approx(0.2)  # where its node is
        assert (np.abs(held.vertices(np.zeros(52), POSE) - held.neutral).max() > 0.01) == moves
    document = GLTF2().load_binary(str(path))
    document.nodes.append(Node(name="head", translation=[0, 0.1, 0]))  # a head beside the mesh
    document.save_binary(str(tmp_path / "beside.glb"))
    beside = load_rig(tmp_path / "beside.glb")
    assert np.abs(beside.vertices(np.zeros(52), POSE) - plate().vertices(np.zeros(52), POSE)).max() < 1e-6


def test_a_vrm_of_version_0_is_turned_round(tmp_path):
    rig = plate((Joint("Kopf", -1, (0, 0.1, 0)), Joint("head", 0, (0, 0.1, 0.02))))
    path = save_rig(rig, tmp_path / "old.glb")
    document = GLTF2().load_binary(str(path))
    document.meshes[0].extras["targetNames"] = ["Fcl_A"]
    group = {"name": "A", "presetName": "a", "binds": [{"mesh": 0, "index": 0, "weight": 80}]}
    document.extensions = {
        "VRM": {
            "humanoid": {"humanBones": [{"bone": "head", "node": 2}]},
            "blendShapeMaster": {"blendShapeGroups": [group]},
        }
    }
    document.save_binary(str(tmp_path / "old.vrm"))
    back = load_rig(tmp_path / "old.vrm")
    assert np.abs(back.neutral - rig.neutral * [-1, 1, -1]).max() < 1e-6
    assert np.abs(back.deltas[0] - rig.deltas[0] * [-1, 1, -1]).max() < 1e-6
    assert back.arkit[INDEX["jawOpen"], 0] == pytest.approx(0.8)
    assert back.joints[back.joint("head")].position == pytest.approx((0, 0.1, -0.02))
    document.extensions["VRM"]["humanoid"]["humanBones"][0]["node"] = 99
    document.save_binary(str(tmp_path / "lost.vrm"))
    with pytest.raises(MediaError, match="no nodes"):
        load_rig(tmp_path / "lost.vrm")


@pytest.mark.parametrize(
    "harm",
    [
        lambda d: setattr(d.skins[0], "joints", [77]),
        lambda d: setattr(d.meshes[0].primitives[0].attributes, "POSITION", 500),
        lambda d: setattr(d.nodes[0], "skin", 9),
        lambda d: setattr(d.nodes[0], "mesh", 9),
        lambda d: setattr(d.skins[0], "inverseBindMatrices", 0),
    ],
)
def test_parts_that_are_not_there(harm, tmp_path):
    path = save_rig(plate(), tmp_path / "plate.glb")
    document = GLTF2().load_binary(str(path))
    harm(document)
    document.save_binary(str(path))
    with pytest.raises(MediaError):
        load_rig(path)
