"""Heads of others: what their files show is what we show, and files that are none say why."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib

import numpy as np
import pytest
from gltf_files import QUAD, Glb, plate, talking_plate

pytest.importorskip("pygltflib", reason="the extra 'export' is not installed")

from avatars.export import save_rig
from avatars.gltf_joints import role_of
from avatars.head import embedded_head
from avatars.load_rig import load_rig
from avatars.render3d import RigRenderer
from studio.arkit import INDEX
from studio.errors import MediaError, UsageError
from studio.motion import rotation_matrix


def weights(**shapes):
    out = np.zeros(52, np.float32)
    for name, value in shapes.items():
        out[INDEX[name]] = value
    return out


# ---- the same pictures -------------------------------------------------------------------------------


def test_a_head_from_its_file_looks_as_it_did(tmp_path):
    """Shapes, correctives, joints, seams of the texture, pictures: only JPEG is in between."""
    head = embedded_head()
    save_rig(head, tmp_path / "head.glb")
    back = load_rig(tmp_path / "head.glb")
    acts = weights(jawOpen=0.5, mouthPucker=0.4, eyeBlinkRight=0.7, eyeLookOutLeft=0.6, mouthSmileLeft=0.3)
    turn = np.array([0.3, 0.1, -0.05, 0, 0.004, 0], np.float32)
    assert np.abs(head.vertices(acts, turn) - back.vertices(acts, turn)).max() < 1e-6
    assert [joint.name for joint in back.joints] == [joint.name for joint in head.joints]
    one, other = (RigRenderer(rig, (256, 256)).render(acts, turn).astype(int) for rig in (head, back))
    assert np.abs(one - other).mean() < 0.3 and np.percentile(np.abs(one - other), 99.9) < 12


def test_factor_and_picture_of_a_material_are_shown(tmp_path):
    made = Glb()
    halves = np.zeros((8, 8, 3), np.uint8)
    halves[:4], halves[4:] = (255, 255, 255), (128, 128, 128)
    picture = made.picture(halves)
    red = made.put(
        "materials",
        name="paint",
        doubleSided=True,
        pbrMetallicRoughness={
            "baseColorFactor": [1, 0, 0, 1],
            "baseColorTexture": {"index": picture},
            "roughnessFactor": 0.7,
            "metallicFactor": 0,
        },
    )
    made.put("nodes", mesh=plate(made, shapes=("jawOpen",), material=red))
    rig = load_rig(made.save(tmp_path / "a.glb"))
    material = rig.materials[0]
    assert material.colour == (1, 0, 0, 1) and material.roughness == 0.7 and material.double_sided
    assert np.array_equal(material.texture, halves)
    shown = RigRenderer(rig, (64, 64), flat=True, background=(0, 0, 255)).render(weights())
    assert np.abs(shown[16, 32].astype(int) - [255, 0, 0]).max() < 3  # the picture's top is up
    assert np.abs(shown[48, 32].astype(int) - [128, 0, 0]).max() < 3


def test_a_picture_repeats_and_is_shifted(tmp_path):
    made = Glb()
    halves = np.zeros((8, 8, 3), np.uint8)
    halves[:, :4] = (255, 255, 0)
    moved = {"KHR_texture_transform": {"offset": [2.5, 0], "scale": [1, 1]}}
    info = {"index": made.picture(halves), "extensions": moved}
    paint = made.put("materials", pbrMetallicRoughness={"baseColorTexture": info})
    made.put("nodes", mesh=plate(made, shapes=("jawOpen",), material=paint))
    shown = RigRenderer(load_rig(made.save(tmp_path / "a.glb")), (64, 64), flat=True).render(weights())
    assert shown[32, 16, 0] < 10 and shown[32, 48, 0] > 245


@pytest.mark.parametrize("mode, near", [("OPAQUE", (0, 1)), ("MASK", (0, 1)), ("BLEND", (0.45, 0.55))])
def test_alpha_lets_through_what_lies_behind(tmp_path, mode, near):
    """A veil in front of a plate: its left half is clear, its right half has alpha .52."""
    made = Glb()
    veil = np.zeros((8, 8, 4), np.uint8)
    veil[:, 4:, 3] = 133
    cloth = made.put(
        "materials", alphaMode=mode, pbrMetallicRoughness={"baseColorTexture": {"index": made.picture(veil)}}
    )
    white = made.put("materials", pbrMetallicRoughness={})
    made.put("nodes", mesh=plate(made, shapes=("jawOpen",), material=white))
    made.put("nodes", mesh=plate(made, (0, 0, 0.01), material=cloth))
    rig = load_rig(made.save(tmp_path / "a.glb"))
    shown = RigRenderer(rig, (64, 64), flat=True).render(weights())[..., 0].astype(int)
    left, right = shown[32, 18], shown[32, 46]
    assert left == (0 if mode == "OPAQUE" else 255)
    linear = (right / 255) ** 2.2
    assert linear <= 0.01 if mode != "BLEND" else near[0] < linear < near[1]


# ---- joints ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, role",
    [
        ("Head", "head"),
        ("mixamorig:Head", "head"),
        ("J_Bip_C_Neck", "neck"),
        ("CC_Base_L_Eye", "eye_left"),
        ("eye.R", "eye_right"),
        ("RightEye", "eye_right"),
        ("jaw", "jaw"),
        ("HeadTop_End", None),
        ("spine", None),
    ],
)
def test_bones_are_known_by_name(name, role):
    assert role_of(name) == role


def person(vrm: dict | None = None) -> Glb:
    """A body, a head above it that is bound 10 cm lower than it stands, and two eyes that hang on the head."""
    made = Glb()
    joints = {}
    for name, parent, place in (
        ("hips", None, (0, 1, 0)),
        ("neck", "hips", (0, 0.4, 0)),
        ("head", "neck", (0, 0.1, 0)),
        ("eye_L", "head", (0.03, 0.1, 0.05)),
        ("eye_R", "head", (-0.03, 0.1, 0.05)),
    ):
        joints[name] = made.put("nodes", name=name, translation=list(place), children=[])
        if parent is not None:
            made.document["nodes"][joints[parent]]["children"].append(joints[name])
    for node in made.document["nodes"]:
        if not node["children"]:
            del node["children"]
    used = ["hips", "head"]
    inverse = np.tile(np.eye(4), (2, 1, 1))
    inverse[0, 1, 3], inverse[1, 1, 3] = -1.0, -1.4  # the head was bound at 1.4 m, it stands at 1.5 m
    binds = made.add(inverse.transpose(0, 2, 1).reshape(2, 16))
    skin = made.put("skins", joints=[joints[name] for name in used], inverseBindMatrices=binds)
    for centre, joint, size, shapes in (((0, 1, 0), 0, 2.0, ()), ((0, 1.5, 0), 1, 1.0, ("jawOpen", "Eye_Blink_L"))):
        which, share = np.zeros((4, 4)), np.zeros((4, 4))
        which[:, 0], share[:, 0] = joint, 1
        mesh = plate(made, centre, size, shapes, JOINTS_0=made.add(which, "B"), WEIGHTS_0=made.add(share))
        made.put("nodes", mesh=mesh, skin=skin)
    for name in ("eye_L", "eye_R"):
        made.document["nodes"][joints[name]]["mesh"] = plate(made, size=0.1)
    if vrm is not None:
        made.document["extensions"] = vrm
    return made


def test_a_file_stands_as_its_joints_say_and_its_head_turns_alone(tmp_path):
    rig = load_rig(person().save(tmp_path / "a.glb"))
    assert [joint.name for joint in rig.joints] == ["neck", "head", "eye_left", "eye_right", "body"]
    assert rig.joints[1].position == pytest.approx((0, 1.5, 0))
    body, head, left = rig.skin[:, 4] > 0.5, rig.skin[:, 1] > 0.5, rig.skin[:, 2] > 0.5
    assert body.sum() == head.sum() == left.sum() == 4
    assert np.allclose(rig.neutral[head], QUAD + np.array([0, 1.6, 0]), atol=1e-6)  # 10 cm above where it was bound
    assert np.allclose(rig.neutral[body], 2 * QUAD + np.array([0, 1, 0]), atol=1e-6)
    turn = np.array([0.4, 0.1, 0, 0, 0, 0], np.float32)
    posed = rig.vertices(weights(), turn)
    matrix = rotation_matrix(0.4, 0.1, 0)
    about = lambda points: (points - [0, 1.5, 0]) @ matrix.T + [0, 1.5, 0]
    assert np.allclose(posed[body], rig.neutral[body], atol=1e-6)
    assert np.allclose(posed[head], about(rig.neutral[head]), atol=1e-6)
    looks = rig.vertices(weights(eyeLookOutLeft=1.0))
    middle = rig.neutral[left].mean(0)
    assert np.allclose(looks[left].mean(0), middle, atol=1e-6) and np.ptp(looks[left][:, 2]) > 0.005
    assert np.allclose(looks[head], rig.neutral[head], atol=1e-6)


def test_old_vrm_is_turned_to_face_us(tmp_path):
    """VRM 0 looks along -Z."""
    rig = load_rig(person({"VRM": {}}).save(tmp_path / "a.vrm"))
    left = rig.skin[:, [j.name for j in rig.joints].index("eye_left")] > 0.5
    assert np.allclose(rig.neutral[left].mean(0), [-0.03, 1.6, -0.05], atol=1e-6)


def test_the_bones_of_vrm_go_by_its_table(tmp_path):
    made = person({"VRMC_vrm": {"humanoid": {"humanBones": {"head": {"node": 2}, "neck": {"node": 1}}}}})
    for number, name in ((1, "首"), (2, "頭")):
        made.document["nodes"][number]["name"] = name
    rig = load_rig(made.save(tmp_path / "a.vrm"))
    assert [joint.name for joint in rig.joints] == ["neck", "head", "eye_left", "eye_right", "body"]
    assert rig.joints[1].position == pytest.approx((0, 1.5, 0))


def test_expressions_of_vrm_move_shapes_of_any_name(tmp_path):
    made = person()
    made.document["meshes"][1]["extras"]["targetNames"] = ["Fcl_MTH_A", "Fcl_EYE_Close_L"]
    groups = [
        {"presetName": "a", "binds": [{"mesh": 1, "index": 0, "weight": 100}]},
        {"presetName": "blink_l", "binds": [{"mesh": 1, "index": 1, "weight": 50}]},
    ]
    made.document["extensions"] = {"VRM": {"blendShapeMaster": {"blendShapeGroups": groups}}}
    rig = load_rig(made.save(tmp_path / "a.vrm"))
    lift = lambda **shapes: np.abs(rig.vertices(weights(**shapes)) - rig.neutral).max()
    assert lift(jawOpen=1.0) == pytest.approx(0.02, abs=1e-5)
    assert lift(eyeBlinkLeft=1.0) == pytest.approx(0.01, abs=1e-5)


def test_eyes_that_shapes_turn_are_not_turned_twice(tmp_path):
    made = person()
    eye = made.document["nodes"][3]["mesh"]
    far = np.zeros((4, 3))
    far[:, 0] = 0.005
    made.document["meshes"][eye]["primitives"][0]["targets"] = [{"POSITION": made.add(far)}]
    made.document["meshes"][eye]["extras"] = {"targetNames": ["eyeLookOutLeft"]}
    rig = load_rig(made.save(tmp_path / "a.glb"))
    assert rig.joint("eye_left") == -1 and rig.joint("eye_right") >= 0
    assert np.allclose(rig.skin.sum(1), 1)


def test_a_head_without_bones_turns_as_a_whole(tmp_path):
    rig = load_rig(talking_plate().save(tmp_path / "a.glb"))
    assert [joint.name for joint in rig.joints] == ["head"] and (rig.skin == 1).all()
    turned = rig.vertices(weights(), np.array([0.5, 0, 0, 0, 0, 0], np.float32))
    assert np.ptp(turned[:, 2]) == pytest.approx(0.2 * np.sin(0.5), abs=1e-4)


# ---- files that are not what they say ------------------------------------------------------------------


def bomb_picture():
    """A PNG of a few bytes that says it is 60,000 x 60,000."""
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def spoilt(how):
    made = talking_plate()
    document = made.document
    primitive = document["meshes"][0]["primitives"][0]
    if how == "ten million triangles":
        document["accessors"][primitive["indices"]] = {"componentType": 5125, "count": 30_000_000, "type": "SCALAR"}
    elif how == "nan":
        primitive["attributes"]["POSITION"] = made.add([[0, np.nan, 0], *QUAD[1:]])
    elif how == "no morphs":
        del primitive["targets"], document["meshes"][0]["extras"]
    elif how == "unknown names":
        document["meshes"][0]["extras"]["targetNames"] = ["hairFlow"]
    elif how == "packed":
        document["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    elif how == "beyond the vertices":
        primitive["indices"] = made.add([0, 1, 99], "I")
    elif how == "no such table":
        primitive["attributes"]["POSITION"] = 777
    elif how == "circles":
        document["nodes"] = [{"children": [1]}, {"children": [2], "mesh": 0}, {"children": [1]}]
    elif how == "doubling nodes":
        document["nodes"] = [{"children": [k + 1, k + 1]} for k in range(60)] + [{"mesh": 0}]
    elif how == "short morph":
        primitive["targets"] = [{"POSITION": made.add(np.zeros((2, 3)))}]
    elif how in ("picture bomb", "no picture", "outside"):
        data = {"picture bomb": bomb_picture(), "no picture": b"hello", "outside": b""}[how]
        texture = made.picture(data)
        if how == "outside":
            document["images"][0] = {"uri": "../../etc/hostname"}
        paint = made.put("materials", pbrMetallicRoughness={"baseColorTexture": {"index": texture}})
        primitive["material"] = paint
    return made


@pytest.mark.parametrize(
    "how, says",
    [
        ("ten million triangles", "10,000,000 triangles"),
        ("nan", "NaN"),
        ("no morphs", "rig add"),
        ("unknown names", "hairFlow"),
        ("packed", "compression"),
        ("beyond the vertices", "beyond the vertices"),
        ("no such table", "damaged"),
        ("circles", "circles"),
        ("doubling nodes", "more than a head needs"),
        ("short morph", "morph target"),
        ("picture bomb", "pixels"),
        ("no picture", "PNG"),
        ("outside", "not beside it"),
    ],
)
def test_spoilt_files_say_what_is_wrong(how, says, tmp_path):
    with pytest.raises(MediaError, match=says) as error:
        load_rig(spoilt(how).save(tmp_path / "head.glb"))
    assert "head.glb" in str(error.value)


@pytest.mark.parametrize("ending", [".vrm", ".glb", ".usdz", ".npz"])
def test_zip_bombs_are_not_unpacked(ending, tmp_path):
    """Gigabytes of zeros in a few bytes: refused by what the archive's table says of it, or for being an archive."""
    path = tmp_path / f"bomb{ending}"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("neutral.npy", bytes(1 << 20))
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.rindex(b"PK\1\2") + 24, 3 << 30)  # the size that the table tells
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"bomb"):
        load_rig(path)


def test_cut_archives_and_arrays_of_others(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\3\4 cut")
    np.savez(tmp_path / "b.npz", something=np.zeros(3))
    for name in ("a.npz", "b.npz"):
        with pytest.raises(MediaError, match="not ICT-FaceKit"):
            load_rig(tmp_path / name)


def test_plain_gltf_with_data_in_it(tmp_path):
    import base64

    made = talking_plate()
    document = {name: entry for name, entry in made.document.items() if entry != []}
    data = base64.b64encode(bytes(made.data)).decode()
    document["buffers"] = [{"byteLength": len(made.data), "uri": f"data:application/octet-stream;base64,{data}"}]
    (tmp_path / "a.gltf").write_text(json.dumps(document))
    assert len(load_rig(tmp_path / "a.gltf").neutral) == 4


def test_nan_is_not_written(tmp_path):
    from dataclasses import replace

    head = embedded_head()
    with pytest.raises(UsageError, match="NaN"):
        save_rig(replace(head, neutral=head.neutral * np.float32(np.nan)), tmp_path / "a.glb")


def test_ict_facekit_looks_and_nods_as_a_head(shared):
    """Irises show, shells do not, and shoulders stay where they are when the head turns."""
    path = shared / "ict-facekit.npz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    rig = load_rig(path)
    draw = RigRenderer(rig, (256, 256), flat=True)
    shown = draw.render(weights()).astype(int)
    pupil = np.array(rig.joints[rig.joint("eye_left")].position) + np.array([0, 0, 0.015])
    eye = draw.camera.project(pupil[None])[0]
    assert shown[round(eye[1]), round(eye[0])].mean() < 110 < shown[40, 128].mean()
    turned = rig.vertices(weights(), np.array([0.5, 0, 0, 0, 0, 0], np.float32))
    moved = np.linalg.norm(turned - rig.neutral, axis=1)
    assert moved[rig.neutral[:, 1] < -0.17].max() < 1e-6 and moved[rig.neutral[:, 2] > 0.1].min() > 0.02
