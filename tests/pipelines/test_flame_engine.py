# ruff: noqa: E402  (torch may be missing)
"""The engine of FLAME heads with networks whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the encoders run on torch (extra: models)")
pytest.importorskip("scipy", reason="scipy is not installed (extra: export)")

from flame_like import check_gradients, known_head

from avatars.flame.codes import FlameCodes
from avatars.flame.crop import DECA, SMIRK, crop_of, crop_of_box
from avatars.flame.layer import Flame
from avatars.flame.lighting import from_direction
from demos.cli import main
from demos.cli.options import sample
from pipelines import ReconstructionPipeline
from pipelines.flame import FlameEngine
from studio.arkit import ARKIT
from studio.errors import UsageError
from studio.motion import FaceMotion

pytestmark = pytest.mark.filterwarnings("ignore::studio.weights.LicenceWarning")


class Oracle(torch.nn.Module):
    """An encoder that knows: the mean head, straight on, where the landmarks say."""

    def __init__(self, codes: FlameCodes) -> None:
        super().__init__()
        self.codes = codes
        self.seen: list[torch.Tensor] = []

    def forward(self, image: torch.Tensor) -> FlameCodes:
        self.seen.append(image)
        return self.codes._each(lambda value: value.expand(len(image), *value.shape[1:]).clone())


@pytest.fixture(scope="module")
def asset():
    return known_head()[1]


def oracle(asset, landmarks: np.ndarray) -> FlameCodes:
    """The weak perspective of the mean head in a SMIRK crop round landmarks, by least squares."""
    from avatars.facemesh import POINTS_68

    crop = crop_of(landmarks, SMIRK)
    wanted = crop.points(landmarks[POINTS_68[17:]]) / 112 - 1
    flame = Flame(asset)
    marks = flame.full_landmarks(flame(torch.zeros(1, 1)))[0, 17:, :2].numpy() * [1, -1]
    # x' = s x + s tx, y' = s y - s ty, in s, s tx, s ty
    rows = np.zeros((2 * len(marks), 3))
    rows[::2, 0], rows[1::2, 0], rows[::2, 1], rows[1::2, 2] = marks[:, 0], marks[:, 1], 1, -1
    s, sx, sy = np.linalg.lstsq(rows, wanted.reshape(-1), rcond=None)[0]
    zero = torch.zeros(1, 3)
    return FlameCodes(torch.zeros(1, 300), torch.zeros(1, 50), zero, zero, torch.tensor([[s, sx / s, sy / s]]).float())


@pytest.fixture(scope="module")
def observed():
    from controls.tracker import FaceTracker
    from studio.media import read_image

    picture = read_image(sample("astronaut.jpg")).rgb
    return picture, FaceTracker().observe(picture)[0]


@pytest.fixture(scope="module")
def known(asset, observed):
    """What the engine makes when the network is right."""
    picture, face = observed
    engine = FlameEngine("smirk", asset, Oracle(oracle(asset, face.landmarks)))
    return engine, engine(picture, face)


def test_a_right_answer_lies_on_the_face(known, observed) -> None:
    picture, face = observed
    made = known[1]
    assert made.error < 0.2  # the mean head straight on is not her; a wrong axis or scale would be off by more
    inner = made.landmarks[17:]
    low, high = face.box[:2], face.box[2:]
    assert ((inner > np.array(low) - 5) & (inner < np.array(high) + 5)).all()
    assert (
        np.abs(made.camera.project(made.vertices.astype(np.float64)) - made.placed[:, :2]).max() < 0.35 * face.eye_span
    )
    drawn = made.overlay(picture)
    changed = np.argwhere((drawn != picture).any(2))[:, ::-1]
    assert np.abs(np.median(changed, 0) - made.placed[:, :2].mean(0)).max() < face.eye_span
    assert made.depth().max() > 0.9
    lit = made.relit(picture, from_direction((1, 0, 0.4)))
    left, right = (
        made.placed[:, 0] < np.median(made.placed[:, 0]) - 10,
        made.placed[:, 0] > np.median(made.placed[:, 0]),
    )
    column, row = made.placed[:, :2].astype(int).T
    gain = lit[row, column].mean(1) / np.maximum(picture[row, column].mean(1), 1)
    assert np.median(gain[right]) > 1.1 * np.median(gain[left])  # the light comes from the picture's right
    np.testing.assert_array_equal(lit[made.depth() == 0], picture[made.depth() == 0])
    np.testing.assert_array_equal(made.picture("depth", picture)[..., 1], np.rint(255 * made.depth()))
    np.testing.assert_array_equal(made.picture("normals", picture), made.normals())
    with pytest.raises(UsageError, match="overlay, normals and depth"):
        made.picture("albedo", picture)
    nose = made.landmarks[30].round().astype(int)
    assert made.normals()[nose[1], nose[0], 2] > 180  # the nose's tip faces the viewer


class Mean(torch.nn.Module):
    """A regressor of identity that always sees the mean head."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        assert image.shape[1:] == (3, 112, 112)
        assert -1 <= image.min() < -0.5 < 0.5 < image.max() <= 1
        return torch.zeros(len(image), 300)


def test_mica_lies_on_the_face_too(asset, observed) -> None:
    """Identity alone: pose and expression come from the tracker."""
    picture, face = observed
    made = FlameEngine("mica", asset, Mean())(picture, face)
    assert made.error < 0.12
    assert made.weights[ARKIT.index("mouthSmileLeft")] > 0.2  # she smiles
    seen = made.camera.project(made.vertices.astype(np.float64))
    assert np.abs(seen - made.placed[:, :2]).max() < 0.35 * face.eye_span
    middle = made.vertices[np.argmin(np.abs(made.vertices[:, 2]))][None].astype(np.float64)  # at the origin's depth
    near = np.argmin(np.abs(made.vertices[:, 2]))
    np.testing.assert_allclose(made.camera.project(middle)[0], made.placed[near, :2], atol=0.1)
    assert made.codes is None and made.shape.shape == (300,)


def test_the_texture_is_the_photo(known, observed, tmp_path) -> None:
    """Without texture coordinates the head takes the skin's colour; with them, the photo itself."""
    from avatars.flame.texture import with_photo

    picture, face = observed
    made = known[1]
    assert made.rig.materials[0].colour[0] > made.rig.materials[0].colour[2]  # skin is redder than blue
    flat = replace(made.rig, uv=(made.rig.neutral[:, :2] + 0.5).astype(np.float32), uv_polygons=made.rig.polygons)
    texture = with_photo(flat, picture, made.placed, 256).materials[0].texture
    assert texture.shape == (256, 256, 3)
    for mark in (1, 4, 50, 280):
        vertex = np.argmin(
            np.linalg.norm(made.placed[:, :2] - face.landmarks[mark, :2], axis=1) + made.placed[:, 2] * 0.01
        )
        x, y = made.placed[vertex, :2]
        u, v = flat.uv[vertex]
        there = picture[round(y - 0.5), round(x - 0.5)].astype(int)
        assert np.abs(texture[int((1 - v) * 256), int(u * 256)].astype(int) - there).max() < 45


def test_gradients_reach_the_parameters(known) -> None:
    check_gradients(known[0], known[1].codes)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_batches(known, observed, count) -> None:
    engine, picture = known[0], observed[0]
    crop = engine.crop(observed[1])
    codes = engine.encode([picture] * count, [crop] * count)
    assert codes.shape.shape == (count, 300)
    assert engine.network.seen[-1].shape == (count, 3, 224, 224)


def test_a_video_becomes_motion(known, observed) -> None:
    engine, picture = known[0], observed[0]
    face = observed[1]
    gone = replace(face, confidence=0.0)
    frame = SimpleNamespace(image=picture)
    seen = [(frame, face)] * 33 + [(frame, gone), (frame, None), (frame, face)]
    blocks = list(engine.motion(iter(seen), Fraction(30000, 1001), smooth=1.0))
    assert [len(block) for block in blocks] == [32, 4]
    assert [block.start for block in blocks] == [0, 32]
    assert blocks[1].fps == Fraction(30000, 1001)
    assert blocks[1].confidence.tolist()[1:3] == [0, 0]
    np.testing.assert_allclose(blocks[1].head[2], blocks[1].head[0])
    np.testing.assert_allclose(blocks[0].head[:, 3:], np.tile(face.head[3:], (32, 1)), rtol=1e-5)
    none = list(engine.motion([(frame, None)] * 2, 25))
    assert none[0].confidence.tolist() == [0, 0]


class Colours(torch.nn.Module):
    """An encoder whose answer is the crop's mean colour, times a weight of one."""

    def __init__(self) -> None:
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(()))

    def forward(self, image: torch.Tensor) -> FlameCodes:
        assert image.dtype == self.one.dtype
        mean = image.mean((2, 3)) * self.one
        return FlameCodes(mean, mean, mean, mean, mean)


def test_crops_are_smoothed_as_one_video(asset, observed, monkeypatch) -> None:
    """Blocks don't show: each frame gets the crop that it has in the whole video smoothed at once."""
    from avatars.flame.crop import smoothed

    picture, face = observed
    rng = np.random.default_rng(0)
    faces = [replace(face, landmarks=face.landmarks + rng.normal(0, 3, 3).astype(np.float32)) for _ in range(80)]
    engine, cut = FlameEngine("smirk", asset, Colours()), []

    def encode(pictures, crops):
        cut.extend(crop.to_crop for crop in crops)
        none = torch.zeros(len(pictures), 3)
        return FlameCodes(none, none, none, none, none)

    monkeypatch.setattr(engine, "encode", encode)
    frame = SimpleNamespace(image=picture)
    blocks = list(engine.motion(((frame, one) for one in faces), 25, smooth=2.0))
    assert [len(block) for block in blocks] == [32, 32, 16]
    whole = [crop.to_crop for crop in smoothed([engine.crop(one) for one in faces], 2.0)]
    np.testing.assert_allclose(cut, whole, atol=0.02)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_a_graphics_card(asset, observed) -> None:
    from avatars.smirk.encoder import SmirkEncoder

    torch.manual_seed(0)
    network = SmirkEncoder()
    picture, face = observed
    there = FlameEngine("smirk", asset, network, device="cuda")
    crop = there.crop(face)
    far = there.encode([picture], [crop])
    near = FlameEngine("smirk", asset, network).encode([picture], [crop])
    np.testing.assert_allclose(far.shape, near.shape, atol=1e-2)


def test_capture_through_the_engine(known, observed, tmp_path) -> None:
    from pipelines import CapturePipeline
    from studio.writer import VideoWriter

    engine, (picture, face) = known[0], observed
    video = tmp_path / "take.mp4"
    with VideoWriter(video, Fraction(25), size=(512, 512)) as writer:
        for _ in range(5):
            writer.write(picture)
    take = CapturePipeline(engine=engine)(video)
    take.save(tmp_path / "take.csv")
    back = FaceMotion.load(tmp_path / "take.csv")
    assert len(back) == 5
    assert np.abs(take.motion.head[:, :3]).max() < 1e-6  # the oracle says straight on
    assert np.abs(take.motion.head[:, 3:] - face.head[3:]).max() < 0.02  # the tracker says where
    with pytest.raises(UsageError, match="MICA"):
        FlameEngine("mica", engine.asset, torch.nn.Identity()).watch(video)
    assert main(["capture", str(video), "--flame", "f.pkl", "-o", str(tmp_path / "b.csv")]) == 2
    assert main(["capture", str(video), "--smooth", "2", "-o", str(tmp_path / "b.csv")]) == 2
    assert main(["capture", "a.wav", "--model", "smirk", "-o", str(tmp_path / "b.csv")]) == 2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_half_precision(dtype, asset, observed) -> None:
    engine = FlameEngine("smirk", asset, Colours(), dtype=dtype)
    crop = engine.crop(observed[1])
    codes = engine.encode([np.full((512, 512, 3), 102, np.uint8)], [crop])
    np.testing.assert_allclose(codes.shape, [[0.4] * 3], atol=3e-3)


def test_smirk_in_half_precision() -> None:
    from avatars.smirk.encoder import Branch

    torch.manual_seed(0)
    network, image = Branch("small", "layers", 6).eval(), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        whole = network(image)
        half = network.to(torch.bfloat16)(image.to(torch.bfloat16))
    assert half.dtype == torch.bfloat16
    assert (half.float() - whole).abs().max() < 0.05 * whole.abs().max() + 1e-2


def test_each_model_has_its_crop(asset, observed) -> None:
    face = observed[1]
    for name, rule in (("deca", DECA), ("smirk", SMIRK), ("teaser", SMIRK)):
        engine = FlameEngine(name, asset, torch.nn.Identity())
        np.testing.assert_array_equal(engine.crop(face).to_crop, crop_of(face.landmarks, rule).to_crop)
    boxes = FlameEngine("deca", asset, torch.nn.Identity(), boxes=True)
    np.testing.assert_array_equal(boxes.crop(face).to_crop, crop_of_box(face.box).to_crop)


def test_what_does_not_go_together(asset) -> None:
    with pytest.raises(UsageError, match="needs no FLAME"):
        ReconstructionPipeline.from_pretrained("embedded", "flame.pkl")
    with pytest.raises(UsageError, match="float32"):
        FlameEngine("smirk", asset, torch.nn.Identity(), dtype="int8")
    with pytest.raises(UsageError, match="MICA"):
        FlameEngine("mica", asset, torch.nn.Identity()).encode([], [])
    assert ReconstructionPipeline.from_pretrained().engine.__name__ == "embedded"
