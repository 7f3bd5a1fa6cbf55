"""Motion templates: the authors' pickles read without running them, ours exact, both the same motion."""

from __future__ import annotations

import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avatars.liveportrait.native import NativeMotion, columns, joined, native_blocks
from avatars.liveportrait.template import is_template, read_template, save_template
from studio.errors import OutputError, WeightsError


def motion(count: int = 5, **more) -> NativeMotion:
    numbers = np.random.default_rng(0).normal(0, 0.1, (count, 73)).astype(np.float32)
    numbers[:, 66] += 1
    numbers[:, 67:70] *= 200  # degrees
    return NativeMotion(numbers, numbers[0], Fraction(30000, 1001), measured=True, **more)


def published(of: NativeMotion, turn: str = "R", eyes: str = "c_eyes_lst", lips: str = "c_lip_lst") -> dict:
    """As the authors' code collects it: arrays of one picture each."""
    frames = [
        {
            "scale": row[66].reshape(1, 1),
            turn: columns(row[67:70]).T.astype(np.float32)[None],
            "exp": row[:63].reshape(1, 21, 3),
            "t": row[63:66].reshape(1, 3),
            "kp": np.zeros((1, 21, 3), np.float32),
            "x_s": np.zeros((1, 21, 3), np.float32),
        }
        for row in of.numbers
    ]
    openings = {eyes: [row[None, 70:72] for row in of.numbers], lips: [row[None, 72:73] for row in of.numbers]}
    return {"n_frames": len(frames), "output_fps": 24, "motion": frames} | openings


@pytest.mark.parametrize("names", [(), ("R_d", "c_d_eyes_lst", "c_d_lip_lst")], ids=["now", "older"])
def test_the_authors_own(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = tmp_path / "d0.pkl"
    path.write_bytes(pickle.dumps(published(motion(), *names)))
    got = read_template(path)
    assert is_template(path) and got.fps == 24 and got.measured and not got.made
    np.testing.assert_allclose(got.numbers, motion().numbers, atol=2e-5)
    assert np.array_equal(got.first, got.numbers[0])


def test_animals_templates_have_no_openings(tmp_path: Path) -> None:
    tree = published(motion())
    del tree["c_eyes_lst"], tree["c_lip_lst"], tree["output_fps"]
    (tmp_path / "wink.pkl").write_bytes(pickle.dumps(tree))
    got = read_template(tmp_path / "wink.pkl")
    assert not got.measured and got.openings is None and got.fps == 25


def test_ours_is_exact(tmp_path: Path) -> None:
    whole = motion(metres=0.2)
    path = save_template(tmp_path / "take.safetensors", iter([whole[:2], whole[2:]]))
    got = read_template(path)
    for name in ("numbers", "first", "confidence"):
        assert np.array_equal(getattr(got, name), getattr(whole, name))
    assert (got.fps, got.metres, got.measured, got.made) == (whole.fps, 0.2, True, False)


def test_pickles_of_ours_have_the_authors_form(tmp_path: Path) -> None:
    path = save_template(tmp_path / "take.pkl", motion())
    tree, names = pickle.loads(path.read_bytes()), {"scale", "R", "exp", "t"}
    assert tree["n_frames"] == 5 == len(tree["motion"]) and set(tree["motion"][0]) == names
    assert tree["motion"][3]["R"].shape == (1, 3, 3) and tree["c_eyes_lst"][0].shape == (1, 2)
    np.testing.assert_allclose(read_template(path).numbers, motion().numbers, atol=2e-5)
    # another reference than the first frame goes before the others: the authors' reader takes frame 0
    other = NativeMotion(motion().numbers[1:], motion().numbers[0], Fraction(25))
    np.testing.assert_allclose(
        read_template(save_template(tmp_path / "b.pkl", other)).numbers[:, :70], motion().numbers[:, :70], atol=2e-5
    )


@pytest.mark.parametrize(
    "tree",
    [
        [1, 2],
        {"motion": []},
        {"weights": np.zeros(3)},
        {"motion": [{"R": np.eye(3), "exp": np.zeros(63), "t": np.zeros(3)}]},
        {"motion": [{"R": 2 * np.eye(3), "exp": np.zeros(63), "t": np.zeros(3), "scale": 1.0}]},
        {"motion": [{"R": np.eye(3), "exp": np.full(63, np.nan), "t": np.zeros(3), "scale": 1.0}]},
        {"motion": [{"R": np.eye(3), "exp": np.zeros(60), "t": np.zeros(3), "scale": 1.0}]},
    ],
    ids=["list", "empty", "weights", "no scale", "no rotation", "nan", "another size"],
)
def test_what_is_no_template(tmp_path: Path, tree: object) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(tree))
    with pytest.raises(WeightsError, match=r"x\.pkl: no "):
        read_template(path)


def test_programs_are_refused(tmp_path: Path) -> None:
    import malicious

    witness = tmp_path / "witness"
    path = tmp_path / "evil.pkl"
    path.write_bytes(next(iter(malicious.payloads(witness).values())))
    with pytest.raises(WeightsError):
        read_template(path)
    assert not witness.exists()
    with pytest.raises(OutputError, match="safetensors"):
        save_template(tmp_path / "take.npy", motion())


def test_other_rates() -> None:
    ramp = np.zeros((25, 73), np.float32)
    ramp[:, 68] = np.arange(25)
    whole = NativeMotion(ramp, ramp[0], Fraction(25))
    got = whole.with_fps(50)
    assert len(got) == 50 and got.fps == 50
    np.testing.assert_allclose(got.numbers[1:-1, 68], np.arange(1, 49) / 2 - 0.25, atol=1e-5)
    assert [len(block) for block in native_blocks(got, 0.5)] == [25, 25]
    assert np.array_equal(joined(native_blocks(got)).numbers, got.numbers)
    assert len(whole.with_fps(Fraction(24000, 1001))) == 24
