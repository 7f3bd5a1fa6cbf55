# ruff: noqa: E402  (torch may be missing)
"""A photo becomes a FLAME head: published checkpoints from end to end, and which files are missing."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the encoders run on torch (extra: models)")
pytest.importorskip("scipy", reason="scipy is not installed (extra: export)")
pytest.importorskip("pygltflib", reason="pygltflib is not installed (extra: export)")

from conformance import SEED, Vectors, recipe
from flame_like import check_gradients

from avatars.load_rig import load_rig
from avatars.load_take import load_take
from demos.cli import main
from pipelines import ReconstructionPipeline
from pipelines.flame import identified
from studio.arkit import ARKIT
from studio.errors import UsageError, WeightsError
from studio.media import read_image
from studio.motion import FaceMotion

pytestmark = pytest.mark.filterwarnings("ignore::studio.weights.LicenceWarning")

PARTS = {
    "smirk": (("smirk_encoder", ""), ("smirk_generator", "")),
    "deca": (("E_flame", "E_flame."), ("E_detail", "E_detail."), ("D_detail", "D_detail.")),
    "mica": (("arcface", "arcface."), ("flameModel", "flameModel.")),
    "teaser": (("teaser_encoder", ""), ("teaser_generator", "")),
}
FILES = {"smirk": "SMIRK_em1.pt", "deca": "deca_model.tar", "mica": "mica.tar", "teaser": "TEASER.pt"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """FLAME's files, made of formulas, a texture space among them."""
    place = Path(recipe("flame_synthetic").write(tmp_path_factory.mktemp("flame"), SEED))
    basis = np.zeros((512, 512, 3, 50), np.float16)
    basis[::16, :, :, 0] = 20
    np.savez(place / "FLAME_texture.npz", mean=np.full((512, 512, 3), 120, np.float32), tex_dir=basis)
    return place


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Writes a checkpoint as its authors lay it out (in half precision, to be small)."""
    place = tmp_path_factory.mktemp("models")

    def write(name: str) -> Path:
        path = place / name / FILES[name]
        if path.is_file():
            return path
        path.parent.mkdir()
        vectors, tree = Vectors(name), {}
        for part, prefix in PARTS[name]:
            arrays = {key: torch.from_numpy(np.asarray(v)) for key, v in vectors.arrays(part, prefix).items()}
            arrays = {key: v.half() if v.is_floating_point() else v for key, v in arrays.items()}
            tree |= {prefix.rstrip("."): arrays} if prefix else arrays
        if name == "mica":
            tree["flameModel"]["generator.v_template"] = torch.zeros(5023, 3)
            tree["epoch"] = 7
        torch.save(tree, path)
        return path

    return write


@pytest.fixture(scope="module")
def portrait(shared) -> Path:
    return shared / "data" / "portraits" / "neutral_long_hair.png"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smirk", "deca", "teaser", "mica"])
def test_from_checkpoint_to_glb(name, checkpoint, folder, portrait, tmp_path) -> None:
    pipeline = ReconstructionPipeline.from_pretrained(checkpoint(name), folder / "generic_model.pkl")
    head = pipeline(portrait)
    assert len(head.rig.neutral) == 5023
    assert head.rig.shape_names == ARKIT
    assert np.isfinite(head.error)
    assert np.isfinite(head.made.placed).all()
    assert 0 <= head.weights.min() <= head.weights.max() <= 1.2
    assert (head.made.detail is not None) == (name == "deca")
    if name == "deca":
        np.testing.assert_array_equal(head.made.light(read_image(portrait).rgb), head.made.codes.light[0])
        assert pipeline.engine.albedo.components == 50
        assert head.rig.materials[0].normal.shape == (256, 256, 3)
        assert abs(head.made.detail).max() <= 0.01
        dense = head.made.detailed()
        assert len(dense.neutral) > 3000 and np.isfinite(dense.neutral).all()
    else:
        with pytest.raises(UsageError, match="only DECA"):
            head.made.detailed()
    if name != "mica":
        check_gradients(pipeline.engine, head.made.codes)
    again = load_rig(head.save(tmp_path / "head.glb").path)
    assert len(again.neutral) >= 5023
    assert set(ARKIT) - {"tongueOut"} <= set(again.shape_names)


def test_what_is_missing_says_where_to_get_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FACE_STUDIO_MODELS", str(tmp_path))
    for name, file, words in (
        ("smirk", "SMIRK_em1.pt", "MIT"),
        ("deca", "deca_model.tar", "non-commercial"),
        ("mica", "mica.tar", "non-commercial"),
        ("teaser", "TEASER.pt", "not stated"),
    ):
        with pytest.raises(WeightsError) as told:
            ReconstructionPipeline.from_pretrained(name)
        for part in (file, words, "github.com", str(tmp_path / name / file)):
            assert part in str(told.value)


def test_flame_is_asked_for(checkpoint, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FACE_STUDIO_MODELS", str(tmp_path))
    with pytest.raises(WeightsError, match=r"generic_model\.pkl.*flame\.is\.tue\.mpg\.de"):
        ReconstructionPipeline.from_pretrained(checkpoint("smirk"))


def test_which_model_a_checkpoint_is(checkpoint, tmp_path) -> None:
    path = checkpoint("smirk")
    other = tmp_path / "renamed.bin"
    other.write_bytes(path.read_bytes())
    assert identified(other) == ("smirk", other)
    assert identified(path.parent) == ("smirk", path.parent)
    assert identified("deca") == ("deca", None)
    np.savez(tmp_path / "other.npz", weight=np.zeros(3))
    with pytest.raises(WeightsError, match="nothing in it is known"):
        identified(tmp_path / "other.npz")
    with pytest.raises(WeightsError, match=r"SMIRK_em1\.pt"):
        identified(tmp_path)
    with pytest.raises(UsageError, match="neither a model"):
        identified("smrik")


@pytest.mark.slow
def test_the_command_line(checkpoint, folder, portrait, tmp_path, capsys) -> None:
    words = ["reconstruct", str(portrait), "--model", str(checkpoint("smirk")), "--flame", str(folder)]
    weights = np.zeros((3, 52), np.float32)
    weights[:, ARKIT.index("jawOpen")] = 0.2, 0.5, 0.3
    FaceMotion(weights, Fraction(25)).save(tmp_path / "take.csv")
    words += ["--motion", str(tmp_path / "take.csv")]
    maps = {name: tmp_path / f"{name}.png" for name in ("overlay", "normals", "depth")}
    code = main([*words, "-o", str(tmp_path / "head.glb"), *(f"--{name}={path}" for name, path in maps.items())])
    assert code == 0, capsys.readouterr().err
    np.testing.assert_allclose(load_take(tmp_path / "head.glb").weights, weights, atol=1.1e-3)
    assert (tmp_path / "head.glb").stat().st_size > 500_000
    photo = read_image(portrait).rgb
    made = {name: read_image(path).rgb for name, path in maps.items()}
    assert all(picture.shape == photo.shape for picture in made.values())
    nothing = ~made["normals"].any(2)
    np.testing.assert_array_equal(made["overlay"][nothing], photo[nothing])
    assert not made["depth"][nothing].any()
    assert main(["reconstruct", str(portrait), "-o", str(tmp_path / "b.glb"), "--overlay", "o.png"]) == 2
    assert main(["reconstruct", str(portrait), "--detail", str(tmp_path / "d.ply")]) == 2
    dense = ["reconstruct", str(portrait), "--model", str(checkpoint("deca")), "--flame", str(folder)]
    assert main([*dense, "--crop", "box", "--detail", str(tmp_path / "d.ply")]) == 0, capsys.readouterr().err
    assert (tmp_path / "d.ply").stat().st_size > 100_000
    assert main([*words[:2], "--model", "smrik", "-o", str(tmp_path / "b.glb")]) == 2
