# ruff: noqa: E402  (torch may be missing)
"""SMPL-X: its head moves as FLAME's, its vertices are those of its own package, and it leaves as a rig."""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import smplx_like

torch = pytest.importorskip("torch", reason="smplx runs on torch (extra: smplx)")
pytest.importorskip("scipy", reason="scipy is not installed (extra: export)")

from avatars.body.asset import EYES, HEAD, JAW, JOINTS, head_of, load_smplx
from avatars.body.layer import SmplxBody, smplx_layer
from avatars.body.rig import body_rig, fit_body
from avatars.flame.numpy_layer import flame_vertices
from avatars.gltf_file import GltfFile
from avatars.load_rig import load_rig
from avatars.load_take import load_take
from demos.cli import main
from studio.arkit import ARKIT, INDEX
from studio.errors import MissingExtraError, UsageError, WeightsError
from studio.motion import FaceMotion, rotation_matrix
from studio.weights import published

pytestmark = pytest.mark.filterwarnings("ignore::studio.weights.LicenceWarning")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return smplx_like.write(tmp_path_factory.mktemp("smplx"))


@pytest.fixture(scope="module")
def body(file):
    return load_smplx(file)


@pytest.fixture(scope="module")
def fit(body):
    return fit_body(body)


@pytest.fixture(scope="module")
def own(file):
    """smplx's own class, with all coefficients and flat hands, for axis-angle."""
    smplx = pytest.importorskip("smplx", reason="smplx is not installed (extra: smplx)")

    def posed(**given) -> np.ndarray:
        batch = len(next(iter(given.values())))
        options = {"num_betas": 300, "num_expression_coeffs": 100, "use_pca": False, "flat_hand_mean": True}
        layer = smplx.SMPLX(str(file), batch_size=batch, **options)
        tensors = {name: torch.from_numpy(np.asarray(value, np.float32)) for name, value in given.items()}
        return layer(**tensors).vertices.detach().numpy()

    return posed


def drawn(count: int, **sizes: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    return {name: 0.3 * rng.standard_normal((count, size)) for name, size in sizes.items()}


def test_its_head_is_a_flame(body, own) -> None:
    given = drawn(2, betas=5, expression=48, head=3, jaw=3, leye=3, reye=3)
    pose = np.concatenate([np.zeros((2, 3)), *(given[k] for k in ("head", "jaw", "leye", "reye"))], 1)
    ours = flame_vertices(head_of(body), given["betas"], given["expression"], pose)[0]
    turned = np.zeros((2, 63))
    turned[:, 3 * (HEAD - 1) : 3 * HEAD] = given["head"]
    theirs = own(
        betas=np.pad(given["betas"], ((0, 0), (0, 295))),
        expression=np.pad(given["expression"], ((0, 0), (0, 52))),
        body_pose=turned,
        jaw_pose=given["jaw"],
        leye_pose=given["leye"],
        reye_pose=given["reye"],
    )
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_shapes_are_what_smplx_says(body, fit, own) -> None:
    """A rig's shape at weight 1 is the body with the coefficients that were fitted for it."""
    rig = body_rig(body, fit=fit)
    shift = rig.neutral - body.template
    np.testing.assert_allclose(shift, shift[:1].repeat(len(shift), 0), atol=1e-6)
    skin = body.weights[:, list(EYES)].sum(1) < 0.5
    for name in ("jawOpen", "mouthSmileLeft", "browInnerUp"):
        k = INDEX[name]
        weights = np.zeros(52, np.float32)
        weights[k] = 1
        theirs = own(expression=fit[1].coefficients[k : k + 1, :100], jaw_pose=fit[1].coefficients[k : k + 1, 100:103])
        np.testing.assert_allclose(rig.shaped(weights)[skin] - shift[0], theirs[0][skin], atol=2e-6)
        assert fit[1].error[k] < 0.15  # the directions hold these shapes, and the jaw turns
    assert np.nanmax(fit[1].error) < 0.2


def test_it_blinks_with_lids_of_its_own(body, fit) -> None:
    rig = body_rig(body, fit=fit)
    weights = np.zeros(52, np.float32)
    weights[INDEX["eyeBlinkLeft"]] = 1
    moved = np.linalg.norm(rig.shaped(weights) - rig.neutral, axis=1)
    assert moved.max() > 0.005
    assert (rig.neutral[moved > 0.001, 0] > 0).all()


def test_the_skeleton(body, fit) -> None:
    rig = body_rig(body, fit=fit)
    assert [joint.name for joint in rig.joints] == list(JOINTS) and len(JOINTS) == 55
    assert [rig.joints[k].parent for k in (HEAD, JAW, *EYES)] == [JOINTS.index("neck"), HEAD, HEAD, HEAD]
    assert rig.joints[EYES[0]].position[0] > 0 > rig.joints[EYES[1]].position[0]
    turned = rig.vertices(np.zeros(52), np.array([0.5, 0, 0, 0, 0, 0]))
    head = body.weights[:, [HEAD, JAW, *EYES]].sum(1)
    np.testing.assert_allclose(turned[head == 0], rig.neutral[head == 0], atol=1e-6)
    own = np.array(rig.joints[HEAD].position)
    wanted = (rig.neutral[head == 1] - own) @ rotation_matrix(0.5, 0, 0).T + own
    np.testing.assert_allclose(turned[head == 1], wanted, atol=1e-5)
    assert "non-commercial" in rig.licence


def motion_of(count: int) -> FaceMotion:
    rng = np.random.default_rng(7)
    weights = np.zeros((count, 52), np.float32)
    for name in ("jawOpen", "mouthSmileLeft", "eyeLookInLeft", "browInnerUp"):
        weights[:, INDEX[name]] = rng.uniform(0, 0.8, count)
    return FaceMotion(weights, Fraction(25), head=0.3 * rng.standard_normal((count, 6)).astype(np.float32))


@pytest.fixture(scope="module")
def carried(file) -> SmplxBody:
    pytest.importorskip("smplx", reason="smplx is not installed (extra: smplx)")
    return SmplxBody.from_pretrained(file)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_body_carries_the_face(carried, own, count) -> None:
    """Frame by frame what smplx's own class gives for the fitted expression, on a body that moves."""
    motion = motion_of(count)
    pose = drawn(max(count, 1), body_pose=63, hands=90, rotation=3, translation=3)
    pose["body_pose"][:, 3 * (HEAD - 1) : 3 * HEAD] = 0  # so that the head's turn is the motion's alone
    out = list(carried.vertices(motion, shape=[1.0, -0.5], **pose))
    assert len(out) == count
    if not count:
        return
    face = carried.arkit.to_flame(motion)
    pose["body_pose"][:, 3 * (HEAD - 1) : 3 * HEAD] = face["neck"]
    theirs = own(
        betas=np.tile(np.r_[1.0, -0.5, np.zeros(298)], (count, 1)),
        expression=face["expression"],
        jaw_pose=face["jaw"],
        leye_pose=face["eyes"][:, :3],
        reye_pose=face["eyes"][:, 3:],
        body_pose=pose["body_pose"],
        left_hand_pose=pose["hands"][:, :45],
        right_hand_pose=pose["hands"][:, 45:],
        global_orient=pose["rotation"],
        transl=pose["translation"],
    )
    np.testing.assert_allclose(np.stack(out), theirs, atol=5e-6)
    with pytest.raises(UsageError, match="the motion has more"):
        list(carried.vertices(motion_of(3), rotation=np.zeros((2, 3))))
    with pytest.raises(UsageError, match="body_pose"):
        list(carried.vertices(motion, body_pose=np.zeros(60)))
    with pytest.raises(UsageError, match="300 coefficients"):
        list(carried.vertices(motion, shape=np.zeros(301)))


def test_files_with_ten_expressions(tmp_path) -> None:
    """The first published file has 10 shapes and 10 expressions."""
    pytest.importorskip("smplx", reason="smplx is not installed (extra: smplx)")
    path = smplx_like.write(tmp_path, expressions=10)
    body = load_smplx(path)
    assert (body.identity.shape[2], body.expression.shape[2]) == (10, 10)
    given = torch.zeros(1, 10)
    given[0, 3] = 2.0
    theirs = smplx_layer(path)(expression=given).vertices[0].numpy()
    np.testing.assert_allclose(flame_vertices(head_of(body), np.zeros((1, 0)), given.numpy())[0][0], theirs, atol=2e-6)


@pytest.mark.slow
def test_it_leaves_as_a_glb_and_speaks(file, tmp_path, capsys) -> None:
    pytest.importorskip("pygltflib", reason="pygltflib is not installed (extra: export)")
    from avatars.export import save_rig
    from studio.media import Clip

    rig = load_rig(file)
    motion = motion_of(4)
    motion = replace(motion, head=motion.head * [1, 1, 1, 0, 0, 0])
    save_rig(rig, tmp_path / "body.glb", motion)
    back = load_take(tmp_path / "body.glb")
    np.testing.assert_allclose(back.weights, motion.weights, atol=1.1e-3)
    again = load_rig(tmp_path / "body.glb")
    assert set(ARKIT) - {"tongueOut"} <= set(again.shape_names)
    document = GltfFile(tmp_path / "body.glb").document
    names = [document.nodes[k].name for k in document.skins[0].joints]
    assert names == list(JOINTS)
    motion.save(tmp_path / "take.npz")
    words = ["animate", "--rig", str(file), "--motion", str(tmp_path / "take.npz"), "--size", "128x128"]
    assert main([*words, "-o", str(tmp_path / "out.mp4")]) == 0, capsys.readouterr().err
    frames = [frame.image.astype(int) for frame in Clip.open(tmp_path / "out.mp4").frames()]
    assert len(frames) == 4 and frames[0].shape == (128, 128, 3)
    assert np.abs(frames[0] - frames[1]).max() > 40


def test_what_is_missing(file, body, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FACE_STUDIO_MODELS", str(tmp_path))
    with pytest.raises(WeightsError, match=r"SMPLX_NEUTRAL\.npz.*smpl-x\.is\.tue\.mpg\.de.*non-commercial"):
        load_smplx()
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "smplx", None)
        with pytest.raises(MissingExtraError, match=r"face-studio\[smplx\]"):
            SmplxBody.from_pretrained(file)
    other = dict(smplx_like.arrays(10))
    other.pop("joint2num")
    np.savez(tmp_path / "half.npz", **{k: v for k, v in other.items() if k != "weights"})
    with pytest.raises(WeightsError, match="weights missing"):
        load_smplx(tmp_path / "half.npz")
    np.savez(tmp_path / "other.npz", **other | {"weights": other["weights"][:, :24]})
    with pytest.raises(WeightsError, match="not an SMPL-X body"):
        load_rig(tmp_path / "other.npz")
    with pytest.raises(WeightsError, match="tree"):
        replace(body, parents=body.parents[::-1].copy())


def test_it_is_known_and_converted(file, body, tmp_path) -> None:
    from pipelines.models import convert_model, verify

    assert verify("smplx", file)[0].loads
    assert "SMPL-X" in convert_model(file, tmp_path / "body.safetensors")
    np.testing.assert_array_equal(load_smplx(tmp_path / "body.safetensors").expression, body.expression)


def test_its_terms_are_told(file, monkeypatch) -> None:
    monkeypatch.setattr(published, "_told", set())
    with pytest.warns(published.LicenceWarning, match="SMPL-X.*non-commercial"):
        load_smplx(file)
