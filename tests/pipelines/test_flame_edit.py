# ruff: noqa: E402  (torch may be missing)
"""A photo's face painted anew: what is asked for reaches the renderer, what is not stays."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="SMIRK runs on torch (extra: models)")
pytest.importorskip("scipy", reason="scipy is not installed (extra: export)")

from conformance import SEED, Vectors, recipe
from flame_like import known_head

from avatars.flame.codes import FlameCodes
from avatars.smirk.rerender import Rerenderer
from demos.cli import main
from demos.cli.options import sample
from pipelines.flame import FlameEngine
from pipelines.flame_edit import NeuralEditPipeline
from studio.arkit import ARKIT, INDEX
from studio.errors import UsageError, WeightsError

pytestmark = pytest.mark.filterwarnings("ignore::studio.weights.LicenceWarning")


class Still(torch.nn.Module):
    """An encoder that always sees the same."""

    def forward(self, image: torch.Tensor) -> FlameCodes:
        zero = torch.zeros(len(image), 3)
        camera = torch.tensor([[9.0, 0.0, 0.03]]).expand(len(image), 3)
        return FlameCodes(torch.zeros(len(image), 1), torch.zeros(len(image), 50), zero, zero, camera, zero[:, :2])


class Watched(torch.nn.Module):
    """A renderer that paints the shape that it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(x)
        return x[:, :3]


@pytest.fixture(scope="module")
def edit():
    asset = known_head()[1]
    engine = FlameEngine("smirk", asset, Still())
    front = asset.template[:, 2] > -0.05
    return NeuralEditPipeline(engine, Rerenderer(Watched(), engine.flame(), front[asset.faces].all(1)))


def test_the_expression_reaches_the_renderer(edit) -> None:
    plain = edit._edited(Still()(torch.zeros(1, 3, 8, 8)), lambda own: np.zeros(52))
    assert not plain.expression.any()
    wanted = np.zeros(52)
    wanted[INDEX["jawOpen"]], wanted[INDEX["eyeBlinkLeft"]] = 1, 1
    moved = edit._edited(Still()(torch.zeros(1, 3, 8, 8)), lambda own: wanted)
    arkit = edit.engine.arkit()
    np.testing.assert_allclose(moved.jaw[0], arkit.coefficients[INDEX["jawOpen"], 100:103], atol=1e-3)
    assert moved.eyelids[0, 0] > 0.5 > moved.eyelids[0, 1]
    back = arkit.weights_of(moved.expression.numpy(), moved.jaw.numpy(), moved.eyelids.numpy())[0]
    assert back[INDEX["jawOpen"]] > 0.8 and back[INDEX["eyeBlinkLeft"]] > 0.7
    assert [ARKIT[k] for k in np.flatnonzero(back > 0.3)] == ["eyeBlinkLeft", "jawOpen"]


def test_a_picture(edit) -> None:
    from studio.media import read_image

    before = read_image(sample("astronaut.jpg")).rgb
    assert np.array_equal(edit(sample("astronaut.jpg")).image, before)
    first = edit(sample("astronaut.jpg"), shapes={"jawOpen": 0.8})
    again = edit(sample("astronaut.jpg"), shapes={"jawOpen": 0.8})
    other = edit(sample("astronaut.jpg"), shapes={"smile": 0.8})
    assert np.array_equal(first.image, again.image)
    changed = (first.image != before).any(2)
    x0, y0, x1, y1 = first.faces[0].box
    rows, columns = np.nonzero(changed)
    assert 0.5 * (x1 - x0) * (y1 - y0) < changed.sum() < 3 * (x1 - x0) * (y1 - y0)
    assert abs(np.median(columns) - (x0 + x1) / 2) < 0.3 * (x1 - x0)
    assert abs(np.median(rows) - (y0 + y1) / 2) < 0.3 * (y1 - y0)
    assert (other.image != first.image).any()
    shapes = [x[0, 0].numpy() for x in edit.renderer.generator.seen]
    assert np.abs(shapes[0] - shapes[1]).max() == 0
    assert np.abs(shapes[0] - shapes[2]).max() > 0.05


def test_one_face_or_all(edit) -> None:
    from studio.media import read_image

    two = np.concatenate([read_image(sample("astronaut.jpg")).rgb] * 2, 1)
    for face, halves in ((0, 1), ("all", 2)):
        changed = (edit(two, shapes={"jawOpen": 0.8}, face=face).image != two).any(2)
        assert int(changed[:, :512].any()) + int(changed[:, 512:].any()) == halves


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """SMIRK_em1.pt and FLAME's folder, filled by recipe."""
    place = tmp_path_factory.mktemp("smirk")
    vectors = Vectors("smirk")
    weights = vectors.arrays("smirk_encoder") | vectors.arrays("smirk_generator")
    torch.save({key: torch.from_numpy(np.asarray(value)) for key, value in weights.items()}, place / "SMIRK_em1.pt")
    folder = recipe("flame_synthetic").write(place / "flame", SEED)
    with pytest.raises(WeightsError, match=r"FLAME_masks\.pkl"):
        NeuralEditPipeline.from_pretrained(place / "SMIRK_em1.pt", folder)
    (folder / "FLAME_masks.pkl").write_bytes(pickle.dumps({"face": np.arange(500, 3000)}))
    return place / "SMIRK_em1.pt", folder


@pytest.mark.slow
def test_the_command_line(published, shared, tmp_path, capsys) -> None:
    """A large photo: its size stays, and what lies outside the face's square; the same command gives the same."""
    from studio.media import read_image

    photo = shared / "data" / "portraits" / "neutral_long_hair.png"
    words = ["edit", str(photo), "--model", str(published[0]), "--flame", str(published[1])]
    outputs = [tmp_path / name for name in ("one.png", "again.png")]
    for output in outputs:
        assert main([*words, "--set", "smile=0.8", "-o", str(output)]) == 0, capsys.readouterr().err
    before, *after = (read_image(path).rgb for path in (photo, *outputs))
    assert after[0].shape == before.shape
    np.testing.assert_array_equal(after[0], after[1])
    rows, columns = np.nonzero((after[0] != before).any(2))
    assert len(rows) > 10_000
    high, wide = np.ptp(rows), np.ptp(columns)
    assert abs(high - wide) < 0.2 * high and high < 0.9 * min(before.shape[:2])  # a square round the face
    for more in (
        ["--yaw", "5"],
        ["--gaze", "left"],
        ["--engine", "liveportrait"],
        ["--sheet", str(tmp_path / "s.png")],
    ):
        assert main([*words, *more, "-o", str(tmp_path / "none.png")]) == 2
    assert main([*words[:2], "--flame", str(published[1]), "-o", str(tmp_path / "none.png")]) == 2
    assert not (tmp_path / "none.png").exists()


@pytest.mark.slow
def test_from_a_checkpoint(published) -> None:
    made = NeuralEditPipeline.from_pretrained(published[0], published[1] / "generic_model.pkl")
    out = made(sample("astronaut.jpg"), shapes={"jawOpen": 1.0})
    assert out.image.shape == (512, 512, 3)
    assert np.abs(out.image.astype(int) - made(sample("astronaut.jpg")).image).max() > 0


def test_only_for_smirk() -> None:
    engine = FlameEngine("deca", known_head()[1], Still())
    with pytest.raises(UsageError, match="SMIRK"):
        NeuralEditPipeline(engine, None)
