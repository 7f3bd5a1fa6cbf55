# ruff: noqa: E402  (torch may be missing)
"""LivePortrait as an avatar: opened by the authors' names, made once, drawn under any motion."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="LivePortrait runs on torch (extra: models)")

from liveportrait_parts import portrait_of, published_folder, tiny_networks

from avatars.liveportrait.avatar import LivePortraitAvatar
from avatars.liveportrait.crop import placed
from avatars.liveportrait.edit import PortraitEdit
from avatars.liveportrait.native import NativeMotion, angles_of, columns, head_angles, native_angles
from avatars.liveportrait.networks import Networks
from avatars.liveportrait.settings import TransferSettings
from studio.arkit import INDEX
from studio.errors import UsageError, WeightsError
from studio.motion import FaceMotion


@pytest.fixture(scope="module")
def face(shared: Path):
    image, seen = portrait_of(shared)
    return LivePortraitAvatar(tiny_networks())(image, seen)


@pytest.mark.slow
def test_published_files_are_opened(shared: Path, tmp_path: Path) -> None:
    """`tests/pipelines` draws with them."""
    folder = published_folder(shared)
    avatar = LivePortraitAvatar.from_pretrained(folder, device="cpu")
    assert avatar.networks.terms.startswith("LivePortrait: MIT")
    image, seen = portrait_of(shared)
    face = avatar(image, seen)
    assert face.volume.shape == (1, 32, 16, 64, 64) and face.x.shape == (1, 21, 3)

    for path in folder.rglob("*.pth"):
        (tmp_path / path.name).symlink_to(path)
    bad = tmp_path / "motion_extractor.pth"
    bad.unlink()
    torch.save({"detector.norm.weight": torch.ones(3)}, bad)
    with pytest.raises(WeightsError, match=rf"{re.escape(str(bad))}: not this network's weights"):
        LivePortraitAvatar.from_pretrained(tmp_path)


def cut_corners(face, image: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels that lie outside the crop by two or more."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    place = face.crop.points(np.column_stack([x.ravel(), y.ravel()]))
    out = ((place < -2) | (place > face.crop.size + 1)).any(1)
    return out.reshape(image.shape[:2])


def test_missing_files_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_STUDIO_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(WeightsError) as told:
        LivePortraitAvatar.from_pretrained()
    for word in ("appearance_feature_extractor.pth", "huggingface.co/KwaiVGI/LivePortrait", "MIT", str(tmp_path)):
        assert word in str(told.value)
    with pytest.raises(WeightsError, match=r"liveportrait_animals/base_models_v1\.1"):
        LivePortraitAvatar.from_pretrained(animal=True)
    with pytest.raises(WeightsError, match="no such folder"):
        LivePortraitAvatar.from_pretrained(tmp_path / "nowhere")


def test_a_stream_is_drawn_as_its_frames(face) -> None:
    weights = np.zeros((5, 52), np.float32)
    weights[:, INDEX["jawOpen"]] = np.linspace(0, 1, 5)
    head = np.zeros((5, 6), np.float32)
    head[:, 0] = np.linspace(0, 0.2, 5)
    motion = FaceMotion(weights, Fraction(25), head)
    frames = list(face.render(motion))
    again = list(face.render(iter([motion[:2], motion[2:]])))
    for k in range(5):
        assert np.array_equal(frames[k], again[k])
        assert np.array_equal(frames[k], face.render_frame(weights[k], head[k]))
    assert not np.array_equal(frames[0], frames[4])


def test_batches_change_nothing(shared: Path) -> None:
    image, seen = portrait_of(shared)
    motion = FaceMotion.still(5, 25, {"jawOpen": 0.5})
    one, many = (list(LivePortraitAvatar(tiny_networks(batch=batch))(image, seen).render(motion)) for batch in (1, 3))
    assert len(one) == len(many) == 5
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(one, many))


def test_sides_and_directions_of_the_head() -> None:
    rng = np.random.default_rng(0)
    for head in rng.uniform(-0.6, 0.6, (20, 3)):
        angles = native_angles(head)
        np.testing.assert_allclose(head_angles(angles), head, atol=1e-9)
        np.testing.assert_allclose(angles_of(columns(angles)), angles, atol=1e-9)
    # the nose lies towards the camera, so at z < 0; yaw > 0 of ours takes it to the picture's right, pitch > 0 down
    nose = np.array([0, 0, -1.0])
    assert (columns(native_angles([0.3, 0, 0])) @ nose)[0] > 0.2
    assert (columns(native_angles([0, 0.3, 0])) @ nose)[1] > 0.2
    top = np.array([0, -1.0, 0])
    assert (columns(native_angles([0, 0, 0.3])) @ top)[0] > 0.2  # clockwise: the top goes right


def test_rotations_are_the_networks_own() -> None:
    from avatars.liveportrait.keypoints import rotation

    angles = np.random.default_rng(1).uniform(-40, 40, (6, 3)).astype(np.float32)
    rows = rotation(*torch.from_numpy(angles).T[..., None])
    for mine, theirs in zip(angles, rows):
        np.testing.assert_allclose(columns(mine).T, theirs.numpy(), atol=1e-6)


def test_no_motion_is_the_source(face) -> None:
    rest = NativeMotion(np.ones((3, 73)), np.ones(73), Fraction(25))
    plain = face.avatar.with_settings(TransferSettings(stitching=False))(face.image, face.observation)
    np.testing.assert_allclose(plain.keypoints(rest), plain.x.expand(3, -1, -1), atol=1e-5)
    np.testing.assert_allclose(plain.keypoints(FaceMotion.still(3, 25)), plain.x.expand(3, -1, -1), atol=1e-5)


def test_a_native_motion_moves_as_its_face_motion(face) -> None:
    """Head and place of LivePortrait's own numbers and of the ARKit motion made of them draw the same keypoints."""
    plain = face.avatar.with_settings(TransferSettings(stitching=False))(face.image, face.observation)
    first = np.zeros(73, np.float32)
    first[66] = 1.2
    start = NativeMotion(np.repeat(first[None], 4, 0), first, Fraction(25), metres=plain.metres)
    weights = np.zeros((4, 52), np.float32)
    weights[1:, INDEX["jawOpen"]] = 0.6
    head = np.array([[0, 0, 0, 0, 0, 0], [0.2, 0, 0, 0, 0, 0], [0, 0, 0, 0.03, 0.02, 0], [0, 0, 0, 0, 0, 0.1]])
    moving = start.changed(weights, head, face.avatar.blendshapes)
    back = moving.face_motion(face.avatar.blendshapes)
    np.testing.assert_allclose(back.head, head, atol=1e-5)
    np.testing.assert_allclose(back.weights, weights, atol=0.01)
    got = plain.keypoints(moving)
    np.testing.assert_allclose(plain.keypoints(back)[2:], got[2:], atol=2e-3)
    assert (got[1] - got[0]).abs().max() > 0.01


def test_lips_close_before_speech(face) -> None:
    """Where lips are neutralized the lip network closes them; the other shapes go by the map."""
    shut = face.keypoints(FaceMotion.still(1, 25), np.eye(52, dtype=np.float32)[INDEX["jawOpen"]])
    assert shut.shape == (1, 21, 3)
    open_face = face.avatar(face.image, face.observation)
    open_face.openings = type(face.openings)(face.openings.eyes, torch.full((1, 1), 0.3))
    moved = open_face.keypoints(FaceMotion.still(1, 25), np.eye(52, dtype=np.float32)[INDEX["jawOpen"]])
    assert (moved - face.keypoints(FaceMotion.still(1, 25))).abs().max() > 1e-4


def test_sliders(face) -> None:
    same = face.edit(PortraitEdit())
    smile = face.edit(PortraitEdit({"smile": 1.0}, yaw=10))
    assert same.shape == smile.shape == face.image.shape and not np.array_equal(same, smile)
    both = face.edit(PortraitEdit({"smile": 1.0}), FaceMotion.still(1, 25, {"jawOpen": 1.0}).weights[0], np.ones(6) / 9)
    assert not np.array_equal(both, smile)
    with pytest.raises(UsageError, match="'grin' is no slider"):
        face.edit(PortraitEdit({"grin": 1.0}))


def test_alpha_moves_along(face) -> None:
    alpha = np.full(face.image.shape[:2], 255, np.uint8)
    alpha[:, : alpha.shape[1] // 3] = 0
    clear = face.avatar(face.image, face.observation, alpha=alpha)
    out = clear.render_frame(FaceMotion.still(1, 25, {"jawOpen": 1.0}).weights[0], with_alpha=True)
    assert out.shape == (*face.image.shape[:2], 4)
    outside = cut_corners(face, face.image)
    assert np.array_equal(out[..., 3][outside], alpha[outside])
    still = clear._alpha(np.zeros((64, 64, 2), np.float32))
    assert np.abs(still.astype(int) - alpha).mean() < 2
    right = clear._alpha(np.full((64, 64, 2), (-0.1, 0), np.float32))  # each pixel comes from further left
    assert right.sum() < still.sum()


def test_half_precision_that_overflows_goes_on_in_float32() -> None:
    class Overflows(torch.nn.Module):
        def forward(self, feature):
            big = feature[:, :3] * 0 + 60000
            return torch.nn.functional.interpolate((big + big) / 1e6, size=(512, 512))

    networks = tiny_networks(dtype=torch.float16)
    networks.generator = Overflows()
    volume, x = torch.zeros(1, 32, 16, 16, 16), torch.zeros(1, 21, 3)
    with pytest.warns(UserWarning, match="overflows"):
        painted = networks.paint(volume, x, x)
    assert networks.dtype == torch.float32 and painted.crops[0, 0, 0].tolist() == [30, 30, 30]


def test_compiled_networks_draw_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced by torch.compile, without the minutes that its C++ compiler takes; a batch that isn't full is filled."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager", fullgraph=True))
    volume, x = torch.rand(1, 32, 16, 16, 16), 0.1 * torch.randn(3, 21, 3)
    plain = tiny_networks().paint(volume, x[:1], x)
    got = tiny_networks(compiled="on", batch=4).paint(volume, x[:1], x)
    assert got.crops.shape == plain.crops.shape and np.abs(got.crops.astype(int) - plain.crops).max() <= 1
    np.testing.assert_allclose(got.flow, plain.flow, atol=1e-5)


def test_the_whole_networks_compile_in_one_piece() -> None:
    """Without weights or numbers: shapes alone are traced."""
    from avatars.liveportrait.generator import SpadeGenerator
    from avatars.liveportrait.warping import WarpingNetwork

    with torch.device("meta"), torch.no_grad():
        warping, generator = WarpingNetwork().eval().half(), SpadeGenerator().eval().half()
        volume, x = torch.zeros(1, 32, 16, 64, 64, dtype=torch.half), torch.zeros(1, 21, 3)

        @torch.compile(backend="eager", fullgraph=True)
        def painting(volume, source, x):
            return generator(warping(volume, kp_source=source, kp_driving=x)["out"])

        image = painting(volume, x, x)
    assert image.shape == (1, 3, 512, 512) and image.dtype == torch.half


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
def test_cuda_graphs_draw_the_same() -> None:
    volume, x = torch.rand(1, 32, 16, 16, 16), 0.1 * torch.randn(3, 21, 3)
    networks = [tiny_networks(compiled=how, device="cuda", batch=4) for how in ("off", "graphs")]
    for _ in range(3):  # recorded, then replayed
        plain, got = (some.paint(volume, x[:1], x) for some in networks)
        assert np.abs(got.crops.astype(int) - plain.crops).max() <= 1


def test_ways_of_running_are_checked() -> None:
    with pytest.raises(UsageError, match="off, on, graphs"):
        tiny_networks(compiled="fast")
    with pytest.raises(UsageError, match="need a GPU"):
        tiny_networks(compiled="graphs")


def test_animals_need_their_own_networks(face) -> None:
    with pytest.raises(UsageError, match="animal"):
        face.avatar.with_settings(TransferSettings(animal=True))
    cat = LivePortraitAvatar(tiny_networks(animal=True))
    drawn = cat(face.image, crop=placed((200, 200), 300))
    motion = NativeMotion(np.ones((2, 73)) * 0.1, np.ones(73) * 0.1, Fraction(25))
    assert len(list(drawn.render(motion))) == 2


def test_pictures_of_another_size_are_refused() -> None:
    networks: Networks = tiny_networks()
    with pytest.raises(UsageError, match="256"):
        networks.raw(np.zeros((1, 128, 128, 3), np.uint8))
