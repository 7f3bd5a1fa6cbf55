"""FLAME's coefficients as ARKit shapes, on a head whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed (extra: export)")

from flame_like import JAW_OPEN, SPAN, bare, known_head, mix

from avatars.flame.arkit import _UNSEEN, bounded, fit_arkit, fitted
from avatars.flame.asset import save_flame
from avatars.flame.correspondence import eyeballs, facemesh_landmarks, origin, person_of
from avatars.flame.numpy_layer import flame_vertices
from avatars.flame.rig import flame_rig
from avatars.load_rig import load_rig
from studio.arkit import ARKIT, INDEX
from studio.errors import UsageError
from studio.motion import FaceMotion, rotation_matrix


@pytest.fixture(scope="module")
def head():
    return known_head()


@pytest.fixture(scope="module")
def wanted(head):
    """ARKit's shapes on FLAME's mesh, as FLAME can say them: the jaw is a turn, the lids are the lids."""
    asset = head[1]
    out = np.zeros((52, len(asset.template), 3))
    out[SPAN] = np.einsum("vcm,ms->svc", asset.shapedirs[:, :, 300:348], mix())
    pose = np.zeros((1, 15))
    pose[0, 6] = JAW_OPEN
    out[INDEX["jawOpen"]] = flame_vertices(asset, np.zeros((1, 0)), np.zeros((1, 1)), pose)[0][0] - asset.template
    out[[INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]] = asset.eyelids
    return out


@pytest.fixture(scope="module")
def known(head, wanted):
    return fitted(head[1], wanted, 48)


def test_what_flame_can_say_is_found(head, wanted, known) -> None:
    error = known.error[[k for k, name in enumerate(ARKIT) if name != "tongueOut"]]
    assert error.max() < 0.05
    assert np.isnan(known.error[INDEX["tongueOut"]])
    jaw = known.coefficients[INDEX["jawOpen"], 48:51]
    np.testing.assert_allclose(jaw, [JAW_OPEN, 0, 0], atol=0.02)
    skin = ~eyeballs(head[1])
    off = np.linalg.norm(known.deltas[:, skin] - wanted[:, skin], axis=2)
    assert off.max() < 1.5e-3  # metres


def test_weights_come_back(known) -> None:
    rng = np.random.default_rng(0)
    weights = np.zeros((20, 52))
    free = [
        INDEX[n] for n in ("jawOpen", "mouthSmileLeft", "browInnerUp", "eyeBlinkLeft", "cheekPuff", "noseSneerRight")
    ]
    weights[:, free] = rng.uniform(0, 0.9, (20, len(free)))
    coefficients = weights @ known.coefficients
    got = known.weights_of(coefficients[:, :48], coefficients[:, 48:51], coefficients[:, 51:])
    off = np.abs(got - weights)
    assert off.mean() < 0.01  # shapes that look alike may stand in for each other
    assert off[:, free].mean() < 0.05
    assert np.corrcoef(got[:, free].ravel(), weights[:, free].ravel())[0, 1] > 0.97
    assert not got[:, _UNSEEN].any()


def test_a_motion_there_and_back(known) -> None:
    from avatars.flame.codes import FlameCodes

    torch = pytest.importorskip("torch", reason="codes are torch's (extra: models)")
    motion = FaceMotion.still(3, 25, {"mouthSmileLeft": 0.7, "eyeBlinkRight": 0.5, "jawOpen": 0.4})
    motion = replace(motion, head=np.tile(np.float32([0.3, -0.2, 0.1, 0, 0, 0]), (3, 1)))
    given = known.to_flame(motion)
    assert {name: value.shape for name, value in given.items()} == {
        "expression": (3, 48), "jaw": (3, 3), "eyelids": (3, 2), "neck": (3, 3), "eyes": (3, 6)}  # fmt: skip
    tensors = {name: torch.from_numpy(value) for name, value in given.items()}
    codes = FlameCodes(torch.zeros(3, 1), tensors["expression"], tensors["neck"], tensors["jaw"], torch.zeros(3, 3))
    back = known.to_motion(replace(codes, eyelids=tensors["eyelids"]), 25, head=np.ones((3, 6)))
    np.testing.assert_allclose(back.head, [[0.3, -0.2, 0.1, 1, 1, 1]] * 3, atol=1e-5)
    for name, value in (("mouthSmileLeft", 0.7), ("eyeBlinkRight", 0.5), ("jawOpen", 0.4)):
        assert abs(back.curve(name) - value).max() < 0.12
    assert len(known.to_motion(codes[:0], 25)) == 0


def test_eyes_turn_as_the_gaze_says(head, known) -> None:
    gaze = np.zeros((1, 2, 2), np.float32)
    gaze[0, :, 0] = 0.3
    motion = FaceMotion.still(1, 25).with_gaze(gaze)
    eyes = known.to_flame(motion)["eyes"][0]
    yaw = motion.gaze[0, 0, 0]
    np.testing.assert_allclose(eyes[:3], [0, yaw, 0], atol=1e-5)


def test_shapes_carried_from_a_head_to_itself(head) -> None:
    """`fit_arkit` has only landmarks to go by; the shapes that it finds are nearly the head's own."""
    rig, asset = head
    found = fit_arkit(asset, expressions=48, source=rig)
    assert np.nanmedian(found.error) < 0.15
    smile = found.deltas[INDEX["mouthSmileLeft"]]
    true = rig.deltas[INDEX["mouthSmileLeft"]][: len(smile)]
    skin = rig.parts["skin"]
    assert np.linalg.norm(smile[skin] - true[skin]) < 0.2 * np.linalg.norm(true[skin])


def test_as_a_rig(head, known) -> None:
    _, asset = head
    rig = flame_rig(asset, arkit=known)
    assert rig.missing() == ()
    assert "non-commercial" in rig.licence
    middle = origin(asset)
    np.testing.assert_allclose(rig.neutral, asset.template - middle, atol=1e-6)
    weights = np.zeros(52, np.float32)
    weights[INDEX["jawOpen"]] = 1
    pose = np.zeros((1, 15))
    pose[0, 6] = JAW_OPEN
    flame = flame_vertices(asset, np.zeros((1, 0)), np.zeros((1, 1)), pose)[0][0] - middle
    assert np.abs(rig.vertices(weights) - flame).max() < 1.5e-3
    turned = rig.vertices(np.zeros(52, np.float32), np.array([0.4, 0.1, 0, 0, 0, 0]))
    joint = np.array(rig.joints[rig.joint("head")].position)
    own = asset.weights[:, 1] > 0.999
    np.testing.assert_allclose(
        turned[own], (rig.neutral[own] - joint) @ rotation_matrix(0.4, 0.1, 0).T + joint, atol=1e-5
    )


@pytest.mark.filterwarnings("ignore::studio.weights.LicenceWarning")
def test_its_file_is_a_rig(head, tmp_path) -> None:
    """Whoever opens heads opens FLAME, whatever its file is called."""
    path = save_flame(tmp_path / "mine.safetensors", head[1])
    rig = load_rig(path)
    np.testing.assert_array_equal(rig.deltas, flame_rig(head[1]).deltas)


def test_landmarks_that_disagree_are_left_out(head) -> None:
    from avatars.flame.asset import Embedding

    rig, asset = head
    rng = np.random.default_rng(0)
    wrong = Embedding(rng.integers(0, len(asset.faces), 105), np.full((105, 3), 1 / 3))
    numbers = rng.choice(468, 105, replace=False)
    points, which = facemesh_landmarks(replace(asset, mediapipe=wrong, mediapipe_points=numbers))
    assert len(points) == 68
    right = Embedding(*(values[:105] for values in (_place(rig, asset), np.float64(rig.facemesh[1]))))
    points, which = facemesh_landmarks(replace(asset, mediapipe=right, mediapipe_points=np.arange(105)))
    assert set(range(105)) <= set(which.tolist())
    assert len(points) == len(set(which.tolist()))


def _place(rig, asset) -> np.ndarray:
    """Triangles of the asset where FaceMesh's points lie: both begin with the skin's in the same order."""
    corner = rig.triangles[rig.facemesh[0]]
    index = {tuple(face): k for k, face in enumerate(asset.faces.tolist())}
    return np.array([index[tuple(face)] for face in corner.tolist()])


def test_bounded_least_squares() -> None:
    rng = np.random.default_rng(1)
    a = rng.standard_normal((30, 6)) * [1, 1, 1, 1e-3, 1, 1]
    true = np.array([[0.0, 0.5, 1.0, 0.7, 0.2, 0.0]])
    np.testing.assert_allclose(bounded(a.T @ a, true @ a.T @ a), true, atol=1e-4)
    pull = np.array([[-3.0, 0.5, 9.0]])
    np.testing.assert_allclose(bounded(np.eye(3), pull), [[0, 0.5, 1]], atol=1e-9)


def test_what_does_not_fit(head, known) -> None:
    _, asset = head
    with pytest.raises(UsageError, match="landmark_embedding"):
        origin(bare(asset))
    with pytest.raises(UsageError, match="101 expressions"):
        fitted(asset, np.zeros((52, len(asset.template), 3)), 101)
    with pytest.raises(UsageError, match="coefficients"):
        person_of(asset, np.full(3, np.nan))
    with pytest.raises(UsageError, match="expected"):
        known.weights_of(np.zeros((2, 60)), np.zeros((2, 3)))
