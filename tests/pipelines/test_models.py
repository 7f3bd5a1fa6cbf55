"""Published models listed, checked and converted, on checkpoints that are made here."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open

from avatars.flame.asset import load_flame
from demos.cli import main
from pipelines.models import convert_model, listed, verify
from studio.errors import UsageError, WeightsError
from studio.weights import MODELS, open_weights, recognised, save_weights, sha256, state_dict
from studio.weights.converting import flattened

pytestmark = pytest.mark.filterwarnings("ignore::studio.weights.LicenceWarning")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("FACE_STUDIO_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def tree():
    """A checkpoint as MICA's: two parts, an optimiser, FLAME's arrays."""
    return {
        "arcface": {"conv1.weight": np.arange(6.0).reshape(2, 3), "bn.num_batches_tracked": np.int64(3)},
        "flameModel": {"regressor.output.bias": np.ones(4, np.float32), "generator.v_template": np.zeros((5, 3))},
        "opt": {"state": [np.zeros(9)]},
        "epoch": 3,
        "note": "text",
    }


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "mica.tar"
    path.write_bytes(pickle.dumps(tree()))
    return path


@pytest.fixture
def head(tmp_path):
    """A tiny FLAME, as its authors' pickle holds it."""
    rng = np.random.default_rng(0)
    count = 12
    flame = {
        "v_template": rng.standard_normal((count, 3)),
        "f": rng.integers(0, count, (8, 3)).astype(np.uint32),
        "shapedirs": rng.standard_normal((count, 3, 400)),
        "posedirs": rng.standard_normal((count, 3, 36)),
        "J_regressor": np.full((5, count), 1 / count),
        "weights": np.full((count, 5), 0.2),
    }
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(pickle.dumps(flame, protocol=2))
    return path, flame


def test_what_is_here(place, head) -> None:
    assert {entry.model.name for entry in listed()} == set(MODELS)
    assert not any(entry.complete for entry in listed())
    (place / "flame").mkdir()
    (place / "flame" / "generic_model.pkl").write_bytes(head[0].read_bytes())
    flame = next(entry for entry in listed() if entry.model.name == "flame")
    assert flame.complete
    assert flame.files == {"generic_model.pkl": place / "flame" / "generic_model.pkl"}


def test_a_checkpoint_becomes_flat(checkpoint, tmp_path) -> None:
    out = tmp_path / "mica.safetensors"
    said = convert_model(checkpoint, out)
    assert "non-commercial" in said
    with safe_open(str(out), "numpy") as file:
        assert file.metadata()["model"] == "mica"
        assert "non-commercial" in file.metadata()["licence"]
    arrays = open_weights(out)
    assert set(arrays) == {"arcface.conv1.weight", "arcface.bn.num_batches_tracked", "flameModel.regressor.output.bias"}
    for path in (checkpoint, out):  # loaders read either
        part = state_dict(path, "arcface")
        np.testing.assert_array_equal(part["conv1.weight"], tree()["arcface"]["conv1.weight"])
        assert set(state_dict(path, "flameModel", prefix="regressor.")) == {"output.bias"}
    with pytest.raises(WeightsError, match="no part 'E_flame'"):
        state_dict(out, "E_flame")
    assert recognised(arrays) is MODELS["mica"]


def test_what_is_not_known_is_said(tmp_path) -> None:
    save_weights(tmp_path / "a.safetensors", {"x": np.zeros(3)})
    assert "see to its licence" in convert_model(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    (tmp_path / "none.pkl").write_bytes(pickle.dumps({"epoch": 3, "name": "text"}))
    with pytest.raises(WeightsError, match="no arrays"):
        convert_model(tmp_path / "none.pkl", tmp_path / "c.safetensors")
    with pytest.raises(UsageError, match="safetensors"):
        convert_model(tmp_path / "a.safetensors", tmp_path / "b.pt")
    assert not (tmp_path / "c.safetensors").exists()


def test_flame_becomes_one_file(head, tmp_path) -> None:
    path, flame = head
    lids = np.random.default_rng(1).standard_normal((2, 12, 3))
    np.save(tmp_path / "l_eyelid.npy", lids[0])
    np.save(tmp_path / "r_eyelid.npy", lids[1])
    out = tmp_path / "flame.safetensors"
    assert "terms" in convert_model(path, out)
    again = load_flame(out)
    np.testing.assert_array_equal(again.template, flame["v_template"])
    np.testing.assert_array_equal(again.eyelids, lids)
    assert recognised(open_weights(out)) is MODELS["flame"]
    assert convert_model(out, tmp_path / "twice.safetensors")


def test_verify(place, head, tmp_path, monkeypatch) -> None:
    path, _ = head
    with pytest.raises(WeightsError, match=r"flame\.is\.tue\.mpg\.de"):
        verify("flame")
    (done,) = verify("flame", path)
    assert (done.sha256, done.as_published, done.loads) == (sha256(path), None, True)
    known = MODELS["flame"]
    for changed, says in (({"sha256": "0" * 64}, "hash"), ({"size": 5}, "5 are published")):
        files = (replace(known.files[0], **changed), *known.files[1:])
        monkeypatch.setitem(MODELS, "flame", replace(known, files=files))
        with pytest.raises(WeightsError, match=says):
            verify("flame", path)
    monkeypatch.setitem(MODELS, "flame", replace(known, files=(replace(known.files[0], sha256=sha256(path)),)))
    assert verify("flame", path)[0].as_published is True


def test_another_model_is_noticed(place, checkpoint, head) -> None:
    with pytest.raises(WeightsError, match="this is MICA"):
        verify("flame", checkpoint)
    with pytest.raises(WeightsError, match="this is MICA"):
        verify("deca", checkpoint)
    with pytest.raises(UsageError, match="no model 'smrik'"):
        verify("smrik")


def test_strictly(place, checkpoint, tmp_path) -> None:
    pytest.importorskip("torch", reason="networks are torch's (extra: models)")
    with pytest.raises(WeightsError, match="missing"):
        verify("mica", checkpoint)


def test_flattened() -> None:
    assert set(flattened({"a": [np.zeros(2), {"b": np.ones(1)}], "c": 3, "d": np.array(["x"])})) == {"a.0", "a.1.b"}


def test_the_command_line(place, checkpoint, head, tmp_path, capsys) -> None:
    assert main(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert "smirk" in out
    assert "not for commercial use" in out
    assert main(["models", "list", "--json"]) == 0
    told = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert told["smirk"]["commercial"] is True
    assert told["teaser"]["here"] is False
    assert main(["models", "verify", "flame", str(head[0])]) == 0
    assert sha256(head[0]) in capsys.readouterr().out
    assert main(["models", "verify", "flame"]) == 7
    assert str(place / "flame") in capsys.readouterr().err
    assert main(["models", "convert", str(checkpoint), "-o", str(tmp_path / "m.safetensors")]) == 0
    assert "MICA" in capsys.readouterr().out
    assert main(["models", "convert", str(checkpoint), "-o", str(tmp_path / "m.pt")]) == 2
    assert main(["models"]) == 2
