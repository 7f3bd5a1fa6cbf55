"""Shapes carried to another head, where the true shapes are known."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pygltflib", reason="the extra 'export' is not installed")
pytest.importorskip("scipy", reason="scipy is not installed")

from avatars.export import save_rig
from avatars.head import embedded_head
from avatars.head.identity import random_identity
from avatars.load_rig import load_rig
from avatars.transfer import similarity, transfer_shapes
from pipelines.rig import add_shapes
from studio.arkit import ARKIT
from studio.errors import MediaError, NoFaceError, UsageError
from studio.motion import rotation_matrix

TURN = rotation_matrix(2.0, 0.3, -0.2)


@pytest.fixture(scope="module")
def other():
    return embedded_head(random_identity(1))


@pytest.fixture(scope="module")
def marks(other):
    corners = other.neutral[other.triangles[other.facemesh[0]]]
    return (corners * other.facemesh[1][..., None]).sum(1)


def bare(rig):
    none = np.zeros((0, len(rig.neutral), 3), np.float32)
    return replace(rig, shape_names=(), deltas=none, arkit=np.zeros((52, 0), np.float32), correctives=())


def test_a_similarity_is_found():
    points = np.random.default_rng(0).normal(size=(20, 3))
    found = similarity(points, 3 * points @ TURN.T + [1, 2, 3])
    assert abs(found.scale - 3) < 1e-9 and np.allclose(found.rotation, TURN) and np.allclose(found.shift, [1, 2, 3])


def test_another_person_gets_nearly_their_own_shapes(other, marks):
    """In centimetres, turned and moved: units and frame of the mesh don't matter."""
    place = lambda p: 100 * p @ TURN.T + 5
    got = transfer_shapes(embedded_head(), place(other.neutral), other.triangles, place(marks), np.arange(468))
    off = np.linalg.norm(got @ TURN / 100 - other.deltas, axis=2)
    size = np.linalg.norm(other.deltas, axis=2)
    relative = np.sqrt((off**2).sum(1) / (size**2).sum(1))
    assert np.median(relative) < 0.15 and relative.max() < 0.3
    assert not got[:, other.parts["eye_left"]].any()  # lids close over an eyeball that stays


def test_a_file_gets_its_shapes(other, marks, tmp_path):
    save_rig(bare(other), tmp_path / "bare.glb")
    done = add_shapes(tmp_path / "bare.glb", tmp_path / "rigged.glb")  # the face is found in a picture
    assert done.shapes == 52 and done.landmarks > 300
    back = load_rig(tmp_path / "rigged.glb")
    assert back.shape_names == ARKIT and back.missing() == ()
    jaw = np.abs(back.deltas[ARKIT.index("jawOpen")]).max()
    assert 0.02 < jaw < 0.06  # metres
    with pytest.raises(MediaError, match="already"):
        add_shapes(tmp_path / "rigged.glb", tmp_path / "twice.glb", landmarks={k: marks[k] for k in range(0, 468, 9)})
    assert not (tmp_path / "twice.glb").exists()


def test_landmarks_may_be_given_and_are_checked(other, marks, tmp_path):
    save_rig(bare(other), tmp_path / "bare.glb")
    (tmp_path / "points.json").write_text(json.dumps({str(k): marks[k].tolist() for k in range(0, 468, 6)}))
    assert add_shapes(tmp_path / "bare.glb", tmp_path / "out.glb", landmarks=tmp_path / "points.json").shapes == 52
    with pytest.raises(UsageError, match="at least"):
        add_shapes(tmp_path / "bare.glb", tmp_path / "no.glb", landmarks={1: [0, 0, 0]})
    with pytest.raises(UsageError, match="467"):
        add_shapes(tmp_path / "bare.glb", tmp_path / "no.glb", landmarks={900: [0, 0, 0]})
    with pytest.raises(UsageError, match=r"\.glb"):
        add_shapes(tmp_path / "bare.glb", tmp_path / "no.obj")
    cube = replace(bare(other), neutral=np.random.default_rng(0).random((len(other.neutral), 3)).astype(np.float32))
    save_rig(cube, tmp_path / "cloud.glb")
    with pytest.raises(NoFaceError):
        add_shapes(tmp_path / "cloud.glb", tmp_path / "no.glb")
    assert not (tmp_path / "no.glb").exists()
