"""Words, action units and emotions: known weights, distinct expressions, and errors that help."""

import numpy as np
import pytest

from controls import expression_tables as tables
from controls.expressions import (
    SPOKEN_CORNERS,
    au_names,
    emotion_names,
    expression,
    from_aus,
    from_emotion,
    resolve_shapes,
    shape_names,
)
from studio.arkit import ARKIT, INDEX, mirror
from studio.errors import UsageError


def of(weights, name):
    return float(weights[INDEX[name]])


def mirrored(weights):
    return weights[[INDEX[mirror(name)] for name in ARKIT]]


def alike(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_every_table_row_names_real_shapes_and_units():
    for name in shape_names():
        weights = resolve_shapes({name: 1})
        assert weights.shape == (52,) and 0.5 <= weights.max() <= 1 and weights.min() >= 0, name
    for unit in tables.ACTION_UNITS:
        sided = any(shape.endswith("+") for shape in tables.ACTION_UNITS[unit][1])
        for key in (f"L{unit}", f"R{unit}") if sided else (unit,):
            assert from_aus({key: 1}).max() > 0, key
    for name in emotion_names():
        weights = from_emotion({name: 1})
        assert weights.min() >= 0 and weights.max() <= 1, name
        assert (weights.max() > 0.1) == (name != "neutral"), name
    assert set(tables.SYNONYMS.values()) <= set(tables.ALIASES)
    assert set(tables.EMOTION_SYNONYMS.values()) <= set(tables.EMOTIONS)
    assert not set(tables.ALIASES) & set(tables.SYNONYMS)
    assert not set(tables.UNSHOWN_UNITS) & set(tables.ACTION_UNITS)
    assert au_names()["AU12"] == "lip corner puller"


def test_every_shape_can_be_reached_by_its_own_name():
    for name in ARKIT:
        snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
        for spelling in (name, snake, name.lower() if name == "tongueout" else name):
            weights = resolve_shapes({spelling: 0.5})
            assert of(weights, name) == 0.5 and np.count_nonzero(weights) == 1


@pytest.mark.parametrize(
    ("word", "shape"),
    [
        ("smile", "mouthSmileLeft"),
        ("frown", "mouthFrownRight"),
        ("blink", "eyeBlinkLeft"),
        ("wink_left", "eyeBlinkLeft"),
        ("pucker", "mouthPucker"),
        ("open mouth", "jawOpen"),
        ("Jaw-Open", "jawOpen"),
        ("brow_up", "browOuterUpLeft"),
        ("surprise", "browInnerUp"),
        ("puff", "cheekPuff"),
        ("squint", "eyeSquintRight"),
        ("sneer", "noseSneerLeft"),
    ],
)
def test_words_move_what_they_say(word, shape):
    assert of(resolve_shapes({word: 1}), shape) >= 0.7


def test_left_and_right_are_mirror_images_and_leave_the_other_side_alone():
    for left in [name for name in shape_names() if name.endswith("_left")]:
        right = left.replace("_left", "_right")
        assert np.array_equal(mirrored(resolve_shapes({left: 1})), resolve_shapes({right: 1})), left
    assert of(resolve_shapes({"wink_left": 1}), "eyeBlinkRight") == 0
    assert of(from_aus({"L12": 1}), "mouthSmileRight") == 0
    assert np.array_equal(from_aus({"L12": 1}), from_aus({"AU12L": 1}))
    assert np.array_equal(np.maximum(from_aus({"L6": 1}), from_aus({"R6": 1})), from_aus({"6": 1}))


def test_settings_are_linear():
    for word in ("smile", "frown", "surprise", "anger", "disgust", "fear", "blink", "pucker", "jaw_open"):
        full = resolve_shapes({word: 1})
        for amount in np.arange(0, 1.01, 0.1):
            np.testing.assert_allclose(resolve_shapes({word: amount}), full * amount, atol=1e-6)


def test_the_stronger_of_two_reasons_holds():
    both = from_aus({"9": 1, "10": 0.5})
    assert of(both, "mouthUpperUpLeft") == pytest.approx(0.5)  # 10 gives .5, 9 gives .25
    assert of(both, "noseSneerLeft") == pytest.approx(1.0)
    mixed = expression(emotion={"joy": 1}, aus={"AU12": 0.5}, shapes={"mouthSmileLeft": 0.99})
    assert of(mixed, "mouthSmileLeft") == pytest.approx(0.99)
    assert of(mixed, "mouthSmileRight") == pytest.approx(0.95)


def test_a_named_shape_overrules_a_word():
    weights = resolve_shapes({"smile": 1, "mouthSmileLeft": 0.2})
    assert of(weights, "mouthSmileLeft") == pytest.approx(0.2) and of(weights, "mouthSmileRight") == 1


def test_letters_are_facs_intensities():
    assert of(from_aus({"AU12": "C"}), "mouthSmileLeft") == pytest.approx(0.55)
    assert of(from_aus({"AU12": "e"}), "mouthSmileLeft") == 1


def test_near_expressions_are_distinct():
    anger, disgust, fear, surprise = (from_emotion({n: 1}) for n in ("anger", "disgust", "fear", "surprise"))
    assert alike(anger, disgust) < 0.5
    assert alike(fear, surprise) < 0.65
    assert of(disgust, "noseSneerLeft") > 4 * of(anger, "noseSneerLeft")
    assert of(anger, "browDownLeft") > 4 * of(disgust, "browDownLeft")
    assert of(surprise, "browOuterUpLeft") > 2 * of(fear, "browOuterUpLeft")
    assert of(fear, "mouthStretchLeft") > 0.5 > of(surprise, "mouthStretchLeft")
    rows = np.array([from_emotion({n: 1}) for n in emotion_names()[1:]])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert (rows @ rows.T - np.eye(len(rows))).max() < 0.99


def test_speaking_spares_the_lips():
    lips = ["jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthRollLower", "mouthPressLeft"]
    lips += ["mouthShrugLower", "mouthLowerDownLeft", "mouthUpperUpRight", "tongueOut", "cheekPuff", "jawLeft"]
    for name in emotion_names():
        full, spoken = from_emotion({name: 1}), from_emotion({name: 1}, speaking=True)
        assert not any(of(spoken, lip) for lip in lips), name
        for corner in ("mouthSmileLeft", "mouthFrownRight", "mouthStretchLeft", "mouthDimpleRight"):
            assert of(spoken, corner) == pytest.approx(SPOKEN_CORNERS * of(full, corner))
        for upper in ("browInnerUp", "browDownLeft", "eyeWideLeft", "cheekSquintRight", "noseSneerLeft"):
            assert of(spoken, upper) == of(full, upper)


@pytest.mark.parametrize(
    ("call", "settings", "says"),
    [
        (resolve_shapes, {"smle": 1}, "smile"),
        (resolve_shapes, {"mouthSmilLeft": 1}, "mouthSmileLeft"),
        (resolve_shapes, {"smile": 1.6}, "out of range"),
        (resolve_shapes, {"smile": -1.01}, "out of range"),
        (resolve_shapes, {"smile": float("nan")}, "out of range"),
        (resolve_shapes, {"smile": float("inf")}, "out of range"),
        (resolve_shapes, {"smile": "lots"}, "not a number"),
        (resolve_shapes, {"jaw_open": 1, "open_mouth": 0.2}, "same thing"),
        (resolve_shapes, {"blink": 1, "Blink": 0.2}, "same thing"),
        (from_aus, {"AU99": 1}, "AU12"),
        (from_aus, {"smile": 1}, "AU12"),
        (from_aus, {"AU46": 1}, "L46"),
        (from_aus, {"AU51": 1}, "yaw"),
        (from_aus, {"AU38": 1}, "none of the 52"),
        (from_aus, {"AU12": 1.2}, "out of range"),
        (from_aus, {"AU12": "F"}, "not a number"),
        (from_aus, {"AU12": 1, "12": 0.5}, "same thing"),
        (from_aus, {"L12R": 1}, "AU12"),
        (from_emotion, {"hapy": 1}, "happy"),
        (from_emotion, {"suprise": 1}, "surprise"),
        (from_emotion, {"joy": 1.01}, "out of range"),
        (from_emotion, {"joy": -0.1}, "out of range"),
        (from_emotion, {"joy": 0.5, "happiness": 0.2}, "same thing"),
    ],
)
def test_mistakes_are_named(call, settings, says):
    with pytest.raises(UsageError, match=says):
        call(settings)
