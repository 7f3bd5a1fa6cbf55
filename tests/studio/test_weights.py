"""Checkpoints: what is data is read, what is a program never runs, and what is missing is asked for plainly."""

from __future__ import annotations

import argparse
import collections
import pathlib
import pickle
import sys
import types
import zipfile
from pathlib import Path

import malicious
import numpy as np
import pytest
from scipy import sparse

from studio.errors import UsageError, WeightsError
from studio.weights import (
    MODELS,
    find,
    load_folded,
    load_into,
    locate,
    model,
    open_weights,
    save_weights,
    state_dict,
    tell_terms,
)
from studio.weights.published import LicenceWarning

ATTACKS = tuple(malicious.payloads(Path("witness")))


def test_there_are_enough_attacks() -> None:
    assert len(ATTACKS) >= 40


@pytest.mark.parametrize("name", ATTACKS)
def test_malicious_files_never_run(name: str, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    before = set(sys.modules)
    for path in malicious.carriers(tmp_path, name, malicious.payloads(witness)[name]):
        with pytest.raises(WeightsError, match=r"\S"):
            open_weights(path)
    assert not witness.exists()
    assert "antigravity" not in set(sys.modules) - before


@pytest.mark.parametrize("protocol", range(6))
def test_pickled_arrays_come_back(protocol: int, tmp_path: Path) -> None:
    value = {
        "a": np.arange(12.0).reshape(3, 4),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "big": np.arange(4, dtype=">f4"),
        "scalar": np.float64(2.5),
        "flags": np.array([True, False]),
        "words": np.array(["a", "bc"]),
        "objects": np.array([np.arange(2), "x", None], dtype=object),
        "empty": np.zeros((0, 3)),
        "plain": [1, -2.5, "text", None, (True, 2**70)],
        "sparse": sparse.csc_matrix(np.diag([1.0, 2.0, 3.0])[:, :2]),
        "ordered": collections.OrderedDict(b=1, a=2),
    }
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    got = open_weights(path)
    for key in ("a", "fortran", "big", "flags", "words", "empty"):
        np.testing.assert_array_equal(got[key], value[key])
        assert got[key].dtype == value[key].dtype
    np.testing.assert_array_equal(got["sparse"], value["sparse"].toarray())
    np.testing.assert_array_equal(got["objects"][0], [0, 1])
    assert list(got["objects"][1:]) == ["x", None]
    assert got["plain"] == value["plain"] and got["ordered"] == {"b": 1, "a": 2} and got["scalar"] == 2.5


@pytest.mark.parametrize("protocol", range(6))
def test_settings_beside_the_weights_are_plain_values(protocol: int, tmp_path: Path) -> None:
    options = argparse.Namespace(layers=8, inner=argparse.Namespace(rate=0.5), place=pathlib.PurePosixPath("/a/b c/d"))
    path = tmp_path / "x.pt"
    path.write_bytes(pickle.dumps({"args": options, "model": {"w": np.ones(2)}}, protocol=protocol))
    got = open_weights(path)
    assert got["args"] == {"layers": 8, "inner": {"rate": 0.5}, "place": "/a/b c/d"}
    np.testing.assert_array_equal(got["model"]["w"], [1, 1])


def test_settings_hold_no_programs(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(argparse.Namespace(run=print)))
    with pytest.raises(WeightsError, match="print"):
        open_weights(path)


@pytest.mark.parametrize("protocol", (0, 1, 2))
def test_chumpy_arrays_of_python_2(protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The class exists only while the file is written, under the names that old files hold."""
    module = types.ModuleType("chumpy.ch")

    class Ch:
        pass

    Ch.__module__, Ch.__qualname__, module.Ch = "chumpy.ch", "Ch", Ch  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    wrapped = Ch()
    wrapped.__dict__ |= {"x": np.arange(6.0).reshape(2, 3), "_dirty_vars": (), "label": None}  # type: ignore[attr-defined]
    text = pickle.dumps({"shapedirs": wrapped, "regressor": sparse.csc_matrix(np.eye(2))}, protocol=protocol)
    text = text.replace(b"scipy.sparse._csc", b"scipy.sparse.csc").replace(b"numpy._core", b"numpy.core")
    monkeypatch.undo()
    path = tmp_path / "old.pkl"
    path.write_bytes(text)
    got = open_weights(path)
    np.testing.assert_array_equal(got["shapedirs"], np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(got["regressor"], np.eye(2))


def test_python_2_strings_of_bytes(tmp_path: Path) -> None:
    """An array as Python 2 pickled it: its bytes are a `str`, escaped in protocol 0 and raw in protocol 2."""
    raw = np.array([1.5, -2.25]).tobytes()
    head = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n"
    head += b"(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
    escaped = "".join(f"\\x{byte:02x}" for byte in raw).encode()
    for data in (b"S'" + escaped + b"'\n", b"U" + bytes([len(raw)]) + raw):
        path = tmp_path / "two.pkl"
        path.write_bytes(head + data + b"tb.")
        np.testing.assert_array_equal(open_weights(path), [1.5, -2.25])


@pytest.mark.parametrize("legacy", (False, True))
def test_torch_files_need_no_torch(legacy: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch writes the file (extra: models)")
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    value = {
        "view": base[1:, ::2],
        "transposed": base.T,
        "half": base.half(),
        "brain": base.bfloat16(),
        "long": torch.tensor([2**40]),
        "parameter": torch.nn.Parameter(base[0].clone()),
        "state": net.state_dict(),
        "step": 3,
    }
    path = tmp_path / "x.ckpt"
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    got = open_weights(path)
    for key in ("view", "transposed", "half", "long", "parameter"):
        np.testing.assert_array_equal(got[key], value[key].detach().numpy())
    np.testing.assert_array_equal(got["brain"], value["brain"].float().numpy())
    np.testing.assert_array_equal(got["state"]["0.weight"], net[0].weight.detach().numpy())
    assert got["step"] == 3


def test_object_arrays_with_tensors_inside(tmp_path: Path) -> None:
    """As DECA's landmark_embedding.npy: a dict in a 0-d object array, two of its values tensors."""
    torch = pytest.importorskip("torch", reason="torch writes the file (extra: models)")
    value = {"a": np.arange(3), "b": torch.arange(6.0).reshape(2, 3)}
    np.save(tmp_path / "x.npy", np.array(value, dtype=object), allow_pickle=True)
    got = open_weights(tmp_path / "x.npy")
    np.testing.assert_array_equal(got["b"], value["b"].numpy())
    np.testing.assert_array_equal(got["a"], [0, 1, 2])


def test_numpy_and_safetensors(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([1, 2], np.int64), "none": np.zeros((0, 4), np.float32)}
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    save_weights(tmp_path / "x.safetensors", arrays, {"licence": "test"})
    for name in ("x.npz", "x.safetensors"):
        got = open_weights(tmp_path / name)
        for key, value in arrays.items():
            np.testing.assert_array_equal(got[key], value)
            assert got[key].dtype == value.dtype


def test_damaged_files_say_so(tmp_path: Path) -> None:
    good = tmp_path / "good.pkl"
    good.write_bytes(pickle.dumps({"a": np.arange(1000.0)}))
    save_weights(tmp_path / "good.safetensors", {"a": np.arange(1000.0)})
    data, tensors = good.read_bytes(), (tmp_path / "good.safetensors").read_bytes()
    for i, cut in enumerate(
        (data[:50], data[:-30], data[1:], tensors[:-8], b"", b"<html>", b"version https://git-lfs")
    ):
        path = tmp_path / f"bad{i}.pt"
        path.write_bytes(cut)
        with pytest.raises(WeightsError, match=f"bad{i}"):
            open_weights(path)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(50_000_000))
    with pytest.raises(WeightsError, match="unpacks"):
        open_weights(tmp_path / "bomb.npz")
    with pytest.raises(WeightsError, match="no such file"):
        open_weights(tmp_path / "absent.pt")


def test_a_tensor_stays_inside_its_storage(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch writes the file (extra: models)")
    torch.save({"a": torch.zeros(2, 3)}, tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "x.pt") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "y.pt", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content.replace(b"K\x02K\x03\x86", b"K\x7fK\x03\x86"))
    with pytest.raises(WeightsError, match="beyond its storage"):
        open_weights(tmp_path / "y.pt")


def test_parts_and_prefixes(tmp_path: Path) -> None:
    flat = {"module.net.a": np.ones(2), "module.net.b": np.zeros(2), "module.other": np.zeros(1)}
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"E": {"k": np.ones(1)}, "state_dict": flat, "epoch": 3}))
    assert set(state_dict(path)) == {"net.a", "net.b", "other"}
    assert set(state_dict(path, prefix="net.")) == {"a", "b"}
    assert set(state_dict(path, "E")) == {"k"}
    with pytest.raises(WeightsError, match="no part 'F', it holds E"):
        state_dict(path, "F")
    with pytest.raises(WeightsError, match="no key begins"):
        state_dict(path, prefix="absent.")


def test_loading_is_strict() -> None:
    torch = pytest.importorskip("torch", reason="networks are torch's (extra: models)")
    net = torch.nn.Linear(3, 2)
    good = {"weight": np.ones((2, 3), np.float32), "bias": np.zeros(2, np.float32)}
    assert load_into(net, good, what="net").weight.sum() == 6
    for bad, word in (
        ({"weight": good["weight"]}, "missing: bias"),
        ({**good, "more": np.zeros(1)}, "unknown: more"),
        ({**good, "bias": np.zeros(3)}, "of another shape: bias"),
    ):
        with pytest.raises(WeightsError, match=word):
            load_into(net, bad, what="net")
    load_into(net, {**good, "more.x": np.zeros(1)}, what="net", ignore=("more.",))


def test_missing_files_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_STUDIO_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    deca = model("deca")
    with pytest.raises(WeightsError) as told:
        locate(deca)
    for word in ("deca_model.tar", "github.com/yfeng95/DECA", "non-commercial", str(tmp_path / "models" / "deca")):
        assert word in str(told.value)
    place = tmp_path / "models" / "deca" / "deca_model.tar"
    place.parent.mkdir(parents=True)
    place.touch()
    assert locate(deca) == place
    assert locate(deca, given=place.parent) == place and find(deca, given=tmp_path) is None
    (place.parent / "deca_model.safetensors").touch()
    assert locate(deca) == place.parent / "deca_model.safetensors"
    live = model("liveportrait")
    cached = tmp_path / "hub" / "models--KwaiVGI--LivePortrait" / "snapshots" / "abc" / live.files[0].path
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert locate(live) == cached
    with pytest.raises(UsageError, match="no model 'deka'"):
        model("deka")


def test_a_folder_laid_out_as_its_authors_do(tmp_path: Path) -> None:
    files = [
        "liveportrait/base_models/warping_module.pth",
        "liveportrait/retargeting_models/stitching_retargeting_module.pth",
        "liveportrait_animals/base_models/warping_module.pth",
        "JoyVASA/motion_generator/motion_generator_hubert_chinese.pt",
        "JoyVASA/motion_template/motion_template.pkl",
    ]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    people, animals = model("liveportrait"), model("liveportrait-animals")
    for given in (tmp_path, tmp_path / "liveportrait"):
        assert find(people, "warping_module.pth", given) == tmp_path / files[0]
        assert find(people, "stitching_retargeting_module.pth", given) == tmp_path / files[1]
    assert find(animals, "warping_module.pth", tmp_path) == tmp_path / files[2]
    for given in (tmp_path, tmp_path / "JoyVASA"):
        for place in files[3:]:
            assert find(model("joyvasa"), Path(place).name, given) == tmp_path / place
    newer = tmp_path / "liveportrait_animals/base_models_v1.1/warping_module.pth"
    newer.parent.mkdir()
    newer.touch()
    assert find(animals, "warping_module.pth", tmp_path / "liveportrait_animals") == newer


def test_folding_while_loading() -> None:
    torch = pytest.importorskip("torch", reason="networks run on torch (extra: models)")
    from avatars.liveportrait.blocks import SpectralConv2d

    weight, u, v = np.ones((2, 1, 1, 1), np.float32), np.array([1, 0], np.float32), np.array([4], np.float32)
    parts = {"weight_orig": weight, "weight_u": u, "weight_v": v, "bias": np.zeros(2, np.float32)}
    with torch.device("meta"):
        network = SpectralConv2d(1, 2, 1)
    load_folded(network, parts, what="net")
    assert not network.training and network.weight.flatten().tolist() == [0.25, 0.25]
    with pytest.raises(WeightsError, match=r"net: not this network's weights.*bias"):
        load_folded(network, {"weight": weight}, what="net")


def test_terms_are_told_once() -> None:
    from studio.weights import published

    published._told.clear()
    with pytest.warns(LicenceWarning, match="non-commercial"):
        tell_terms(MODELS["deca"])
    tell_terms(MODELS["deca"])
    tell_terms(MODELS["liveportrait"])


def test_the_attacks_are_real(tmp_path: Path) -> None:
    """Python's own unpickler runs them; so the tests above test something."""
    witness = tmp_path / "witness"
    pickle.loads(malicious.payloads(witness)["os.system"])
    assert witness.exists()
