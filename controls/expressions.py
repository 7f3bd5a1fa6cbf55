"""Words, action units and emotions as ARKit weights.

    resolve_shapes({"smile": 0.5, "browInnerUp": 0.3})    sliders by everyday or ARKit name
    from_aus({"AU12": 0.8, "L4": "B"})                    FACS; one-sided as L12 or AU12L, letters A to E
    from_emotion({"joy": 0.4}, speaking=True)             basic and compound emotions, moods
    expression(shapes=..., aus=..., emotion=...)          all of them on one face

All return (52,) float32 over `studio.arkit.ARKIT` and are linear in each setting. Where several settings
move the same shape the stronger one holds (never their sum: two reasons to smile are not a smile of twice
the width). The tables are in `controls.expression_tables`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

import numpy as np

from controls.expression_tables import (
    ACTION_UNITS,
    ALIASES,
    EMOTION_SYNONYMS,
    EMOTIONS,
    FACS_LETTERS,
    OPPOSED,
    SYNONYMS,
    UNSHOWN_UNITS,
)
from studio.arkit import ARKIT, INDEX
from studio.errors import UsageError

SHAPE_RANGE = (-1.0, 1.5)
"""Sliders: below 0 takes an expression that a photo has away, above 1 exaggerates."""

UNIT_RANGE = (0.0, 1.0)
"""Action units and emotions: from nothing to the full expression."""

SPOKEN_CORNERS = 0.45
"""Share of an emotion's lip corner movement that stays while the person speaks."""

_LIPS_OF_SPEECH = re.compile(r"jaw|tongue|cheekPuff|mouth(Close|Funnel|Pucker|Roll|Shrug|Press|LowerDown|UpperUp)")
_CORNERS = re.compile(r"mouth(Smile|Frown|Dimple|Stretch|Left|Right)")

_SPOKEN = np.array(
    [0.0 if _LIPS_OF_SPEECH.match(n) else SPOKEN_CORNERS if _CORNERS.match(n) else 1.0 for n in ARKIT], np.float32
)


def _expand(table: Mapping[str, float], side: str = "") -> np.ndarray:
    """(52,) weights of a table row. `side` "Left" or "Right" keeps that side's shapes alone."""
    weights = np.zeros(len(ARKIT), np.float32)
    for name, value in table.items():
        stem = name.rstrip("*+")
        names = [name] if stem == name else [f"{stem}Left", f"{stem}Right"]
        for each in names:
            if side and each.endswith(("Left", "Right")) and not each.endswith(side):
                continue
            weights[INDEX[each]] = value
    return weights


def stronger(layers: Iterable[np.ndarray]) -> np.ndarray:
    """(52,) of the layers' values that are furthest from 0, shape by shape."""
    result = np.zeros(len(ARKIT), np.float32)
    for layer in layers:
        result = np.where(np.abs(layer) > np.abs(result), layer, result)
    return result


def while_speaking(weights: np.ndarray) -> np.ndarray:
    """An expression (..., 52) with all taken out that would garble speech.

    What opens, closes, rounds or presses the lips goes, the corners keep `SPOKEN_CORNERS` of their
    movement, the upper face stays. The speech driver's weights are added to the result.
    """
    return np.asarray(weights, np.float32) * _SPOKEN


@lru_cache(maxsize=1)
def _opposition() -> np.ndarray:
    """(52, 52): how much of the column's shape the row's takes out at weight 1; each side by itself."""
    table = np.zeros((len(ARKIT), len(ARKIT)), np.float32)
    for shape, opponents in OPPOSED.items():
        for side in ("Left", "Right"):
            rows = np.flatnonzero(_expand({shape: 1.0}, side if shape.endswith("*") else ""))
            table[rows] = np.maximum(table[rows], _expand(opponents, side if shape.endswith("*") else ""))
    return table


def rested(own: np.ndarray, added: np.ndarray) -> np.ndarray:
    """What remains (52,) of a face's own expression when `added` (52,) works against it; linear in `added`.

    A frown put on a smiling face takes the smile away as it grows, on its own side of the face.
    """
    share = (np.clip(added, 0, 1)[:, None] * _opposition()).max(0)
    return np.where(own > 0, own * (1 - share), own).astype(np.float32)


def _plain(name: str) -> str:
    """'Brow Up', 'brow-up', 'browUp' -> 'brow_up'."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s_-]+", "_", snake).lower()


_ARKIT_PLAIN = {_plain(name): name for name in ARKIT}


def _unknown(kind: str, name: str, known: Iterable[str], listing: str) -> UsageError:
    wanted = _plain(name)
    spelled = {_plain(each): each for each in known}
    near = [spelled[each] for each in difflib.get_close_matches(wanted, spelled, n=3, cutoff=0.5)]
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return UsageError(f"unknown {kind} {name!r}.{hint} {listing}")


def _value(name: str, value: object, limits: tuple[float, float]) -> float:
    low, high = limits
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UsageError(f"{name}={value!r} is not a number; give one from {low:g} to {high:g}") from None
    if math.isnan(number) or not low <= number <= high:
        raise UsageError(f"{name}={number:g} is out of range; give a number from {low:g} to {high:g}")
    return number


def _canonical(settings: Mapping[str, object], find: Callable[[str], str]) -> dict[str, tuple[str, object]]:
    """{canonical name: (name as given, value)}; two spellings of one name are refused."""
    found: dict[str, tuple[str, object]] = {}
    for name, value in settings.items():
        key = find(str(name))
        if key in found:
            raise UsageError(f"{found[key][0]} and {name} set the same thing; give one of them")
        found[key] = (str(name), value)
    return found


def _shape_key(name: str) -> str:
    plain = _plain(name)
    plain = SYNONYMS.get(plain, plain)
    if plain in _ARKIT_PLAIN:
        return _ARKIT_PLAIN[plain]
    if plain in ALIASES:
        only = next(iter(ALIASES[plain]))
        return only if ALIASES[plain] == {only: 1.0} and only in INDEX else plain
    if plain in EMOTIONS or plain in EMOTION_SYNONYMS:
        return f"emotion:{EMOTION_SYNONYMS.get(plain, plain)}"
    listing = f"Names: {', '.join(sorted(ALIASES))}, any emotion, or any of the 52 ARKit shapes such as mouthSmileLeft."
    raise _unknown("expression", name, [*ALIASES, *SYNONYMS, *ARKIT, *EMOTIONS, *EMOTION_SYNONYMS], listing)


def resolve_shapes(shapes: Mapping[str, float]) -> np.ndarray:
    """Sliders to (52,) weights.

    shapes  everyday names (`shape_names()`), ARKit names in any of their spellings, or names of emotions,
            each -1 to 1.5. Left and right are the subject's own.

    Where an ARKit shape is named itself its value holds, whatever words move it as well; among words the
    stronger holds. UsageError: unknown name (suggests the nearest), value out of range or not a number,
    one setting given twice under two spellings.
    """
    layers, named = [], {}
    for key, (name, value) in _canonical(shapes, _shape_key).items():
        amount = _value(name, value, SHAPE_RANGE)
        if key in INDEX:
            named[key] = amount
        elif key.startswith("emotion:"):
            layers.append(_emotion(key.removeprefix("emotion:")) * amount)
        else:
            layers.append(_expand(ALIASES[key]) * amount)
    weights = stronger(layers)
    for key, amount in named.items():
        weights[INDEX[key]] = amount
    return weights


_AU = re.compile(r"\s*(?:AU)?\s*([LR])?\s*(?:AU)?\s*0*(\d{1,2})\s*([LR])?\s*", re.IGNORECASE)


def _au_key(name: str) -> str:
    """'AU12', '12', 'L12', 'au12l' -> '12', 'L12'."""
    match = _AU.fullmatch(name)
    if not match or (match[1] and match[3]):
        listing = "Action units are written AU12, 12, and one-sided L12 or AU12R."
        raise _unknown("action unit", name, [f"AU{unit}" for unit in ACTION_UNITS], listing)
    unit, side = match[2], (match[1] or match[3] or "").upper()
    if unit in UNSHOWN_UNITS:
        raise UsageError(f"AU{unit} can't be set here: {UNSHOWN_UNITS[unit]}")
    if unit not in ACTION_UNITS:
        known = ", ".join(f"AU{each}" for each in ACTION_UNITS)
        raise UsageError(f"unknown action unit {name!r}. Known: {known}")
    if not side and any(shape.endswith("+") for shape in ACTION_UNITS[unit][1]):
        raise UsageError(f"AU{unit} ({ACTION_UNITS[unit][0]}) has a side: write L{unit} or R{unit}")
    return side + unit


def _unit(key: str) -> np.ndarray:
    side = {"L": "Left", "R": "Right"}.get(key[0], "")
    return _expand(ACTION_UNITS[key.lstrip("LR")][1], side)


def from_aus(aus: Mapping[str, float | str]) -> np.ndarray:
    """FACS action units to (52,) weights; the stronger holds where two move the same shape.

    aus  {"AU12": 0.8, "6": "C", "L4": 0.5}: 0 to 1, or a FACS letter A to E. L and R are the subject's own.

    UsageError: no such AU, an AU that no shape shows, out of range, or one AU under two spellings.
    """
    layers = []
    for key, (name, value) in _canonical(aus, _au_key).items():
        if isinstance(value, str) and value.strip().upper() in FACS_LETTERS:
            value = FACS_LETTERS[value.strip().upper()]
        layers.append(_unit(key) * _value(name, value, UNIT_RANGE))
    return stronger(layers)


def _emotion(name: str) -> np.ndarray:
    return stronger(_unit(key) * strength for key, strength in EMOTIONS[name].items())


def _emotion_key(name: str) -> str:
    plain = _plain(name)
    plain = EMOTION_SYNONYMS.get(plain, plain)
    if plain not in EMOTIONS:
        listing = f"Emotions: {', '.join(emotion_names())}."
        raise _unknown("emotion", name, [*EMOTIONS, *EMOTION_SYNONYMS], listing)
    return plain


def from_emotion(emotion: Mapping[str, float], speaking: bool = False) -> np.ndarray:
    """Emotions, compound emotions and moods to (52,) weights.

    emotion   {"joy": 0.4, "surprise": 0.2}, each 0 to 1.
    speaking  leave the lips to the speech (`while_speaking`).

    UsageError: unknown name (suggests the nearest), out of range, one emotion under two names.
    """
    weights = stronger(
        _emotion(key) * _value(name, value, UNIT_RANGE)
        for key, (name, value) in _canonical(emotion, _emotion_key).items()
    )
    return while_speaking(weights) if speaking else weights


def expression(
    *,
    shapes: Mapping[str, float] | None = None,
    aus: Mapping[str, float | str] | None = None,
    emotion: Mapping[str, float] | None = None,
    speaking: bool = False,
) -> np.ndarray:
    """Sliders, action units and emotions on one face: (52,) weights.

    `speaking` spares the lips from the emotion alone: who sets a slider or an action unit means it.
    """
    return stronger([from_emotion(emotion or {}, speaking), from_aus(aus or {}), resolve_shapes(shapes or {})])


def shape_names() -> list[str]:
    """Everyday names for sliders, in the table's order: mouth, nose and cheeks, eyes, brows."""
    return list(ALIASES)


def au_names() -> dict[str, str]:
    """{"AU1": "inner brow raiser", ...}."""
    return {f"AU{unit}": words for unit, (words, _) in ACTION_UNITS.items()}


def emotion_names() -> list[str]:
    """The basic emotions, compound ones, then moods."""
    return list(EMOTIONS)
