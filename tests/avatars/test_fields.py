"""The displacement fields: symmetry, closures, folds, linear actions, and agreement with measured anatomy."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from avatars.facemesh import MEAN, MIRROR
from avatars.fields import LIDS, LIP_LOWER, LIP_UPPER, displace, fields, fields_for, lid_opening
from avatars.fields_anatomy import load_muscles, mirrored
from avatars.fields_skin import facing, frontal_areas
from studio.arkit import ARKIT, INDEX, mirror


def weights(**values: float) -> np.ndarray:
    """Weights (52,); a name without its side means both sides."""
    out = np.zeros(52, np.float32)
    for name, value in values.items():
        for full in [name] if name in INDEX else [name + "Left", name + "Right"]:
            out[INDEX[full]] = value
    return out


def person(seed: int) -> np.ndarray:
    """A made-up neutral face: other width, length, depth, lid openings on each side, and slightly open lips."""
    rng = np.random.default_rng(seed)
    face = MEAN.astype(np.float64) * rng.uniform(0.9, 1.1, 3)
    for side in LIDS:
        upper, lower = LIDS[side]
        gap = face[upper] - face[lower]
        face[upper] -= rng.uniform(-0.2, 0.6) * gap
    face[LIP_LOWER, 1] -= rng.uniform(0, 0.03) * np.sin(np.linspace(0, np.pi, len(LIP_LOWER)) + 1e-3)
    return face


def test_left_and_right_are_exact_mirrors():
    table = fields()
    for name in ARKIT:
        np.testing.assert_array_equal(table[INDEX[mirror(name)]], mirrored(table[INDEX[name]]), err_msg=name)


def test_fields_are_finite_float32_and_read_only():
    table = fields()
    assert table.shape == (52, 468, 3) and table.dtype == np.float32 and np.isfinite(table).all()
    with pytest.raises(ValueError):
        table[0, 0, 0] = 1


def test_every_shape_but_the_tongue_is_made_of_a_few_named_muscles():
    table = load_muscles()
    assert {mirror(n) for n in table} | set(table) == set(ARKIT) - {"tongueOut"}
    for shape, muscles in table.items():
        assert 3 <= len(muscles) <= 7, shape
        assert all(m.name for m in muscles)
        pulls = [abs(v) for m in muscles for v in m.pull if m.action in ("pull", "roll")]
        assert max(pulls, default=0) < 0.5, shape  # eye spans: none wrestles with another


@pytest.mark.parametrize("seed", range(3))
def test_zero_weights_give_the_neutral_back_exactly(seed: int):
    face = person(seed).astype(np.float32)
    np.testing.assert_array_equal(displace(face, np.zeros(52), fields_for(face)), face)


@pytest.mark.parametrize("seed", range(8))
def test_blink_closes_whatever_the_opening(seed: int):
    face = person(seed)
    table = fields_for(face)
    for side, (upper, lower) in LIDS.items():
        closed = displace(face, weights(**{f"eyeBlink{side}": 1}), table)
        np.testing.assert_allclose(closed[upper], closed[lower], atol=1e-5)
        travel = (face[upper, 1] - closed[upper, 1]) / (face[upper, 1] - face[lower, 1])
        np.testing.assert_allclose(travel, 0.93, atol=1e-3)
        half = displace(face, weights(**{f"eyeBlink{side}": 0.5}), table)
        assert lid_opening(half, side) == pytest.approx(0.5 * lid_opening(face, side), abs=1e-4)
        other = "Left" if side == "Right" else "Right"
        assert lid_opening(closed, other) == pytest.approx(lid_opening(face, other), abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("more", ["eyeSquint", "eyeLookDown", "eyeLookUp", "eyeWide", "cheekSquint"])
def test_lids_never_cross(seed: int, more: str):
    face = person(seed)
    table = fields_for(face)
    for blink in (0.5, 0.8, 1.0):
        moved = displace(face, weights(**{"eyeBlink": blink, more: 1}), table)
        for upper, lower in LIDS.values():
            assert (moved[upper, 1] - moved[lower, 1]).min() > -1e-5


@pytest.mark.parametrize("seed", range(8))
def test_mouth_close_undoes_jaw_open(seed: int):
    face = person(seed)
    table = fields_for(face)
    closed = displace(face, weights(jawOpen=1, mouthClose=1), table)
    np.testing.assert_allclose(closed[LIP_UPPER], closed[LIP_LOWER], atol=1e-5)
    opened = displace(face, weights(jawOpen=1), table)
    assert closed[152, 1] == pytest.approx(opened[152, 1], abs=0.05)  # the chin stays down


def test_jaw_open_has_a_human_amplitude():
    opened = displace(MEAN, weights(jawOpen=1))
    assert 0.28 < np.linalg.norm(opened[13] - opened[14]) < 0.42
    assert np.abs(opened - MEAN)[[127, 356, 234, 454, 10, 4, 168, 33, 263]].max() < 0.006


SIDEWAYS = {"jawLeft", "jawRight", "mouthLeft", "mouthRight"}
SHAPES = sorted(
    {name if name in SIDEWAYS else name.removesuffix("Left").removesuffix("Right") for name in ARKIT} - {"tongueOut"}
)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("amount", [0.5, 1.0])
def test_no_shape_folds_the_skin_or_crosses_the_lips(shape: str, amount: float):
    moved = displace(MEAN, weights(**{shape: amount}))
    assert not (facing(MEAN) & (frontal_areas(moved) < 0)).any()
    middle = slice(1, -1)  # at the very corner the lips are one piece
    assert (moved[LIP_UPPER, 1] - moved[LIP_LOWER, 1])[middle].min() > -2e-3


PAIRS = [
    {"mouthSmile": 1, "jawOpen": 0.5},
    {"mouthSmile": 1, "cheekSquint": 1},
    {"mouthSmile": 1, "mouthStretch": 1},
    {"mouthSmile": 1, "mouthUpperUp": 1},
    {"jawOpen": 0.6, "mouthPucker": 1},
    {"jawOpen": 0.6, "mouthFunnel": 1},
    {"jawOpen": 1, "mouthClose": 1},
    {"jawOpen": 0.6, "mouthLowerDown": 1},
    {"jawOpen": 0.6, "mouthUpperUp": 1},
    {"jawOpen": 0.6, "mouthStretch": 1},
    {"jawOpen": 0.6, "mouthFrown": 1},
    {"mouthUpperUp": 1, "mouthLowerDown": 1},
    {"mouthFrown": 1, "mouthShrugLower": 0.7},
    {"noseSneer": 1, "browDown": 1},
    {"noseSneer": 1, "mouthUpperUp": 1},
    {"mouthPucker": 1, "mouthFunnel": 1},
    {"browInnerUp": 1, "browOuterUp": 1},
    {"browInnerUp": 1, "browDown": 1},
    {"eyeBlink": 1, "eyeSquint": 1},
    {"eyeBlink": 1, "browDown": 1},
    {"eyeWide": 1, "browOuterUp": 1},
    {"mouthRollLower": 1, "mouthRollUpper": 1},
]


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_frequent_pairs_fold_nothing_that_shows(pair: dict[str, float]):
    moved = displace(MEAN, weights(**pair))
    areas = frontal_areas(moved)
    assert -areas[facing(MEAN)].min() < 1e-4  # a fold of a tenth of a square millimetre in an eye span of 90 mm
    assert (moved[LIP_UPPER, 1] - moved[LIP_LOWER, 1]).min() > -2e-3


ACTIONS = {
    "smile": ({"mouthSmile": 1}, lambda p: -p[[61, 291], 1].mean() + p[[13, 14], 1].mean(), -1),
    "smile width": ({"mouthSmile": 1}, lambda p: np.linalg.norm(p[61] - p[291]), 1),
    "frown": ({"mouthFrown": 1}, lambda p: p[[13, 14], 1].mean() - p[[61, 291], 1].mean(), 1),
    "surprise, mouth": (
        {"jawOpen": 0.4, "browInnerUp": 1, "browOuterUp": 1, "eyeWide": 1},
        lambda p: np.linalg.norm(p[13] - p[14]),
        1,
    ),
    "surprise, brows": (
        {"jawOpen": 0.4, "browInnerUp": 1, "browOuterUp": 1, "eyeWide": 1},
        lambda p: p[[107, 336, 105, 334], 1].mean(),
        1,
    ),
    "anger": ({"browDown": 1, "eyeSquint": 0.5, "mouthPress": 0.5}, lambda p: p[[107, 336], 1].mean(), -1),
    "disgust": ({"noseSneer": 1, "mouthUpperUp": 0.6}, lambda p: p[0, 1] - p[2, 1], 1),
    "fear": ({"browInnerUp": 0.8, "eyeWide": 0.8, "mouthStretch": 0.6}, lambda p: p[[107, 336], 1].mean(), 1),
    "blink": ({"eyeBlink": 1}, lambda p: lid_opening(p, "Left") + lid_opening(p, "Right"), -1),
    "pucker": ({"mouthPucker": 1}, lambda p: np.linalg.norm(p[61] - p[291]), -1),
    "jaw": ({"jawOpen": 1}, lambda p: np.linalg.norm(p[13] - p[14]), 1),
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_actions_are_linear_in_their_setting(action: str, seed: int | None):
    recipe, measure, sign = ACTIONS[action]
    face = MEAN if seed is None else person(seed)
    table, settings = fields_for(face), np.linspace(0, 1, 11)
    measured = np.array([measure(displace(face, k * weights(**recipe), table)) for k in settings])
    assert (sign * np.diff(measured) > 0).all()
    assert np.corrcoef(settings, measured)[0, 1] ** 2 >= 0.95


def test_lips_keep_their_thickness_in_pucker_and_funnel():
    def thickness(p: np.ndarray) -> np.ndarray:
        along = [np.linalg.norm(np.diff(p[c], axis=0), axis=1).sum() for c in ([0, 11, 12, 13], [17, 16, 15, 14])]
        return np.array(along)

    for shape in ("mouthPucker", "mouthFunnel"):
        ratio = thickness(displace(MEAN, weights(**{shape: 1}))) / thickness(MEAN)
        assert (ratio > 0.8).all() and (ratio < 1.8).all(), shape


def test_sides_move_alone():
    for name in ("mouthSmileLeft", "browDownLeft", "browOuterUpLeft", "eyeBlinkLeft", "eyeSquintLeft"):
        field = np.linalg.norm(fields()[INDEX[name]], axis=1)
        far = MEAN[:, 0] < -0.2
        assert field[far].max() < 0.06 * field.max(), name
    assert (MIRROR[MIRROR] == np.arange(468)).all()


def test_fields_for_the_mean_face_are_the_mean_fields():
    np.testing.assert_allclose(fields_for(MEAN), fields(), atol=3e-3)  # evening out folds may differ by rounding


def test_fields_for_refuses_other_shapes():
    with pytest.raises(ValueError, match="468"):
        fields_for(np.zeros((478, 3)))


def test_displace_is_fast():
    table, setting = fields_for(MEAN), np.random.default_rng(0).uniform(0, 1, 52).astype(np.float32)
    displace(MEAN, setting, table)
    best = 1.0
    for _ in range(5):
        start = time.thread_time()
        for _ in range(40):
            displace(MEAN, setting, table)
        best = min(best, (time.thread_time() - start) / 40)
    assert best < 1e-3  # 0.1 ms on an idle core


def test_agrees_with_measured_anatomy(shared: Path):
    from tests.benchmarks.anatomy import MAIN, agreement, yardstick

    measured = yardstick(shared / "ict-facemesh.npz")
    assert len(MAIN) == 30
    rows = np.array([agreement(fields()[INDEX[name]], measured[INDEX[name]]) for name in MAIN])
    worst = MAIN[int(rows[:, 0].argmin())]
    assert rows[:, 0].min() > 0.85 and rows[:, 0].mean() > 0.93, worst
    assert rows[:, 1].min() > 0.8 and rows[:, 1].max() < 1.2
    at_rest = {name: row[2] for name, row in zip(MAIN, rows)}
    assert max(v for n, v in at_rest.items() if n != "mouthShrugLower") < 0.6  # there the lower lip lifts the upper one
