"""GNM's file layout, filled with our own head, so that every shape that should come out is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("scipy", reason="the extra 'export' is not installed")

from avatars.export import save_rig
from avatars.gnm import GnmHead, is_gnm, nearest_expressions
from avatars.head import embedded_head, identity_basis
from avatars.load_rig import load_rig
from pipelines.rig import open_rig
from studio.arkit import ARKIT, INDEX
from studio.errors import MediaError, UsageError

PLACE = np.array([0.0, 0.3, 0.02], np.float32)  # GNM's origin is not between the eyes
COMPONENTS = {
    "skin": ("skin",),
    "left_eye": ("eye_left",),
    "right_eye": ("eye_right",),
    "upper_teeth_and_gums": ("teeth_upper",),
    "lower_teeth_and_gums": ("teeth_lower",),
    "tongue": ("tongue",),
}


@pytest.fixture(scope="module")
def head():
    return embedded_head()


@pytest.fixture(scope="module")
def arrays(head):
    """Version 3's arrays. Expressions are 60 mixtures of our shapes, as those of a statistical model would be."""
    pick = np.random.default_rng(0)
    mixed = np.linalg.qr(pick.normal(size=(60, 52)))[0].astype(np.float32)
    quads = head.polygons[:, 3] >= 0
    order = ("neck", "head", "eye_left", "eye_right")
    joints = [head.joint(name) for name in order]
    skin = head.skin[:, joints].copy()
    skin[:, 1] += head.skin[:, head.joint("jaw")]
    groups = np.zeros((len(COMPONENTS), len(head.neutral)), np.float32)
    for row, names in zip(groups, COMPONENTS.values(), strict=True):
        for name in names:
            row[head.parts[name]] = 1
    people = identity_basis()[:3]
    return {
        "version": np.array("3.0"),
        "variant": np.array("head"),
        "template_vertex_positions": head.neutral + PLACE,
        "template_joint_positions": np.array([head.joints[j].position for j in joints], np.float32) + PLACE,
        "vertex_identity_basis": people,
        "joint_identity_basis": np.tile(people[:, :1] * 0 + np.float32(1e-3), (1, 4, 1)),
        "expression_basis": np.tensordot(mixed, head.deltas, 1).astype(np.float32),
        "identity_names": np.array(["head_0", "head_1", "head_2"]),
        "expression_names": np.array([f"lower_face_region_{i}" for i in range(60)]),
        "joint_names": np.array(["neck", "head", "left_eye", "right_eye"]),
        "joint_parent_indices": np.array([0, 0, 1, 1]),
        "skinning_weights": skin.T,
        "quads": head.polygons[quads],
        "quad_uvs": head.uv[head.uv_polygons[quads]],
        "mesh_component_names": np.array(list(COMPONENTS)),
        "vertex_groups": groups,
        "vertex_group_names": np.array(list(COMPONENTS)),
    }


@pytest.fixture(scope="module")
def file(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("gnm") / "gnm_head.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def marks(head):
    corners = head.neutral[head.triangles[head.facemesh[0]]]
    return (corners * head.facemesh[1][..., None]).sum(1) + PLACE


@pytest.fixture(scope="module")
def rig(file, marks):
    return open_rig(file, landmarks={str(k): marks[k].tolist() for k in range(468)})


def test_the_shapes_are_those_that_the_model_can_show(rig, head):
    assert rig.shape_names == ARKIT and rig.missing() == () and "Apache-2.0" in rig.licence
    assert np.abs(rig.neutral - head.neutral - PLACE).max() < 1e-6
    off = np.sqrt(((rig.deltas - head.deltas) ** 2).sum((1, 2)) / (head.deltas**2).sum((1, 2)))
    assert np.median(off) < 0.1 and off.max() < 0.3


def test_joints_turn_head_and_eyes(rig, head):
    """A turn of the head and a glance move each vertex as they move our own head's."""
    weights = np.zeros(52, np.float32)
    weights[[INDEX["eyeLookOutLeft"], INDEX["eyeLookInRight"]]] = 0.5
    pose = np.array([0.3, -0.1, 0.2, 0, 0, 0.01])
    flat = [r.transforms(weights, pose) for r in (rig, head)]
    for name in ("neck", "head", "eye_left", "eye_right"):
        mine, own = flat[0][rig.joint(name)], flat[1][head.joint(name)]
        assert np.abs(mine[:3, :3] - own[:3, :3]).max() < 1e-6, name
        moved = lambda m, p: m[:3, :3] @ p + m[:3, 3]
        at = np.array([0.01, 0.02, 0.03])
        assert np.abs(moved(mine, at + PLACE) - PLACE - moved(own, at)).max() < 1e-6, name
    assert rig.joints[rig.joint("eye_left")].position[0] > 0 and rig.joints[1].parent == 0


def test_identity_moves_points_and_joints(file, arrays):
    mean, other = GnmHead.open(file), GnmHead.open(file, [0.0, 2.0])
    assert np.abs(other.points - mean.points - 2 * arrays["vertex_identity_basis"][1]).max() < 1e-6
    gap = np.array(other.joints[1].position) - mean.joints[1].position
    assert gap == pytest.approx([2e-3] * 3, abs=1e-6)
    with pytest.raises(UsageError, match="up to 3"):
        GnmHead.open(file, [0.0] * 4)


def test_materials_follow_the_components(rig, head):
    count = {m.name: int((rig.material_of == i).sum()) for i, m in enumerate(rig.materials)}
    quads = head.polygons[:, 3] >= 0
    for name in ("skin", "eye", "teeth", "tongue"):
        number = [m.name for m in head.materials].index(name)
        assert count[name] == int((head.material_of[quads] == number).sum()), name


def test_a_shape_of_the_basis_is_its_own_nearest(arrays):
    basis = arrays["expression_basis"]
    wanted = 2 * basis[:2] - basis[2:4]
    assert np.abs(nearest_expressions(wanted, basis, noise=1e-6) - wanted).max() < 1e-4
    noisy = wanted + np.random.default_rng(1).normal(0, 1e-3, wanted.shape).astype(np.float32)
    assert np.abs(nearest_expressions(noisy, basis) - wanted).mean() < 0.3 * np.abs(noisy - wanted).mean()


@pytest.mark.slow
def test_its_face_is_found_in_a_picture(file, head, tmp_path):
    rig = open_rig(file)
    off = np.sqrt(((rig.deltas - head.deltas) ** 2).sum((1, 2)) / (head.deltas**2).sum((1, 2)))
    assert np.median(off) < 0.35
    pytest.importorskip("pygltflib", reason="the extra 'export' is not installed")
    assert load_rig(save_rig(rig, tmp_path / "gnm.glb")).missing() == ()


def test_other_files(file, arrays, tmp_path):
    assert is_gnm(file) and not is_gnm(tmp_path / "nowhere.npz")
    with pytest.raises(MediaError, match="open_rig"):
        load_rig(file)
    np.savez(tmp_path / "other.npz", neutral=np.zeros(3))
    with pytest.raises(MediaError, match="not GNM"):
        GnmHead.open(tmp_path / "other.npz")
    with pytest.raises(MediaError, match="ICT"):
        open_rig(tmp_path / "other.npz")
    for name, value, says in (
        ("expression_basis", arrays["expression_basis"][:, :-1], "expected"),
        ("template_vertex_positions", np.full_like(arrays["template_vertex_positions"], np.nan), "NaN"),
        ("quads", arrays["quads"] + 10**6, "beyond"),
        ("joint_parent_indices", np.array([3, 0, 1, 1]), "before its parent"),
    ):
        np.savez(tmp_path / "bad.npz", **{**arrays, name: value})
        with pytest.raises(MediaError, match=says):
            GnmHead.open(tmp_path / "bad.npz")
    (tmp_path / "cut.npz").write_bytes(file.read_bytes()[:5000])
    with pytest.raises(MediaError, match="not GNM"):
        GnmHead.open(tmp_path / "cut.npz")
    (tmp_path / "points.json").write_text(json.dumps({"1": [0, 0, 0]}))
    with pytest.raises(UsageError, match="at least"):
        open_rig(file, landmarks=tmp_path / "points.json")
    with pytest.raises(UsageError, match="go with GNM"):
        open_rig(tmp_path / "head.glb", identity=[1.0])
