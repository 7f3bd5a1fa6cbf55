"""Portrait editing: the sliders that LivePortrait's users know, as changes of its 63 expression numbers.

`RANGES` has them by the names that users type, with the ends of their published ranges.

Values of the published interface: smile -0.3..1.3, wink 0..39, brow -30..30, lip a-i-u-e-o (`lip0` -0.09..0.09,
`lip1` -20..15, `lip2` 0..15, `lip3` -90..120), gaze_x and gaze_y -30..63, move_x and move_y -0.19..0.19.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from studio.errors import UsageError

X, Y, Z = 0, 1, 2
Step = tuple[int, int, float]

_PLAIN: dict[str, tuple[Step, ...]] = {
    "smile": (
        (20, Y, -0.01),
        (14, Y, -0.02),
        (17, Y, 0.0065),
        (17, Z, 0.003),
        (13, Y, -0.00275),
        (16, Y, -0.00275),
        (3, Y, -0.0035),
        (7, Y, -0.0035),
    ),
    "wink": ((11, Y, 0.001), (13, Y, -0.0003), (17, X, 0.0003), (17, Y, 0.0003), (3, Y, -0.0003)),
    "lip0": ((19, X, 1.0),),
    "lip1": ((14, Y, 0.001), (3, Y, -0.0005), (7, Y, -0.0005), (17, Z, -0.0005)),
    "lip2": ((20, Z, -0.001), (20, Y, -0.001), (14, Y, -0.001)),
    "lip3": ((19, Y, 0.001), (19, Z, 0.0001), (17, Y, -0.0001)),
    "move_x": ((5, X, 1.0),),
    "move_y": ((5, Y, 1.0),),
}
_SIGNED: dict[str, tuple[tuple[Step, ...], tuple[Step, ...]]] = {
    "eyebrow": (((1, Y, 0.001), (2, Y, -0.001)), ((1, X, -0.001), (2, X, 0.001), (1, Y, 0.0003), (2, Y, -0.0003))),
    "gaze_x": (((11, X, 0.0007), (15, X, 0.001)), ((11, X, 0.001), (15, X, 0.0007))),
}
"""Steps a unit where the value is above zero, and where it isn't."""

_GAZE_Y: tuple[Step, ...] = ((11, Y, -0.001), (15, Y, -0.001))
_LIDS: tuple[Step, ...] = ((11, Y, -0.001), (15, Y, -0.001), (13, Y, 0.0003), (16, Y, 0.0003))
"""Lids that go along with the eyes, a unit of -gaze_y / 2."""

SLIDERS = (*_PLAIN, *_SIGNED, "gaze_y", "blink")
"""Names that `slider_change` knows."""

_WORDS: dict[str, tuple[tuple[str, float], ...]] = {
    "brow": (("eyebrow", 1.0),),
    "pupil_x": (("gaze_x", 1.0),),
    "pupil_y": (("gaze_y", 1.0),),
    "aaa": (("lip3", 1.0),),
    "eee": (("lip2", 1.0),),
    "woo": (("lip1", 1.0),),
    "a": (("lip3", 80.0),),
    "i": (("lip2", 12.0),),
    "u": (("lip1", 12.0),),
    "e": (("lip2", 9.0), ("lip3", 30.0)),
    "o": (("lip1", 8.0), ("lip3", 45.0)),
}
"""Words for sliders; vowels are sliders together, of which 1 is clear speech."""

RANGES: dict[str, tuple[float, float]] = {
    "smile": (-0.3, 1.3),
    "brow": (-30, 30),
    "wink": (0, 39),
    "blink": (-30, 15),
    "pupil_x": (-30, 63),
    "pupil_y": (-30, 63),
    "aaa": (-90, 120),
    "eee": (0, 15),
    "woo": (-20, 15),
    **dict.fromkeys("aiueo", (0, 1)),
    "lip0": (-0.09, 0.09),
    "move_x": (-0.19, 0.19),
    "move_y": (-0.19, 0.19),
}
"""blink below 0 closes the eyes; wink closes one; lip0 moves the mouth sideways, move_x and move_y the face."""


def read_sliders(values: Mapping[str, float]) -> dict[str, float]:
    """Sliders of `slider_change` for words of `RANGES`. Raises `UsageError` for unknown words or values outside."""
    out: dict[str, float] = {}
    for name, value in values.items():
        if name not in RANGES:
            raise UsageError(f"{name!r} is no slider of LivePortrait; there are {', '.join(RANGES)}")
        low, high = RANGES[name]
        if not low <= value <= high:
            raise UsageError(f"{name}={value:g} is out of range; the slider goes from {low:g} to {high:g}")
        for slider, share in _WORDS.get(name, ((name, 1.0),)):
            out[slider] = out.get(slider, 0.0) + share * value
    return out


def slider_change(sliders: Mapping[str, float]) -> np.ndarray:
    """(21, 3) float32 to add to the expression. Raises `UsageError` for an unknown name."""
    out = np.zeros((21, 3))
    for name, value in sliders.items():
        for point, axis, step in _steps(name, value):
            out[point, axis] += step
    return out.astype(np.float32)


def _steps(name: str, value: float) -> list[Step]:
    if name in _PLAIN:
        return _times(_PLAIN[name], value)
    if name in _SIGNED:
        up, down = _SIGNED[name]
        return _times(up if value > 0 else down, value)
    if name == "gaze_y":
        return _times(_GAZE_Y, value) + _times(_LIDS, -value / 2)
    if name == "blink":
        return _times(_LIDS, value)
    raise UsageError(f"{name!r} is no slider; there are {', '.join(SLIDERS)}")


def _times(steps: tuple[Step, ...], value: float) -> list[Step]:
    return [(point, axis, step * value) for point, axis, step in steps]
