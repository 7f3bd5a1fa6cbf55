"""ARKit's 52 weights and LivePortrait's 63 expression numbers, each as the other.

LivePortrait's numbers have no published meaning but one: its own sliders and those that its users found (smile, wink,
brow, the open mouth "aaa", the spread "eee", the pursed "woo", pupils) are directions in them. `DEFAULT` writes each
ARKit shape as such a direction, at the value where the sliders' published range ends. It is a start, not a fit: shapes
without a direction (`WITHOUT`) do nothing, a direction that moves both sides serves left and right by halves, and
`avatars.liveportrait.refit` measures a better map on the weights at hand.

Sides: the slider "wink" closes the subject's left eye and draws points 17 and 3 to its side, so points 11, 13 and 3
are taken for the subject's left, 15, 16 and 7 for the right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from avatars.liveportrait.sliders import Y, slider_change
from studio.arkit import ARKIT, INDEX
from studio.errors import UsageError, WeightsError

BLINK, PUPIL, AAA, EEE, WOO, BROW = 25.0, 20.0, 120.0, 15.0, 15.0, 25.0
"""Slider values that stand for a full ARKit shape: the ends of the published ranges (of the pupils', a little less)."""

_LEFT, _RIGHT = (11, 13, 3), (15, 16, 7)
"""Upper lid and pupil, lower lid, cheek."""

RIDGE = 1e-5
"""Weight of smallness against exactness when weights are solved, of the largest direction's."""

PARALLEL = 0.999
"""Cosine from which two shapes move the face alike."""

SWEEPS = 200


def _points(**steps: float) -> np.ndarray:
    """(63,) of p11y=0.001, ..."""
    out = np.zeros((21, 3), np.float32)
    for name, step in steps.items():
        out[int(name[1:-1]), "xyz".index(name[-1])] = step
    return out.reshape(-1)


def _slider(**values: float) -> np.ndarray:
    return slider_change(values).reshape(-1)


def _side(points: tuple[int, int, int], which: str) -> dict[str, np.ndarray]:
    """The shapes of one eye and cheek."""
    lid, lower, cheek = points
    out = np.zeros((6, 21, 3), np.float32)
    blink, squint, wide, up, down, puff = out
    blink[lid, Y], blink[lower, Y] = 0.001 * BLINK, -0.0003 * BLINK
    squint[lower, Y] = -0.0003 * BLINK
    wide[lid, Y], wide[lower, Y] = -0.0004 * BLINK, 0.00012 * BLINK
    up[lid, Y], up[lower, Y] = -0.0005 * PUPIL, -0.00015 * PUPIL
    down[lid, Y], down[lower, Y] = 0.0005 * PUPIL, 0.00015 * PUPIL
    puff[cheek, Y] = -0.0035
    names = ("eyeBlink", "eyeSquint", "eyeWide", "eyeLookUp", "eyeLookDown", "cheekSquint")
    return {f"{name}{which}": shape.reshape(-1) for name, shape in zip(names, out)}


def _default() -> np.ndarray:
    shapes = {**_side(_LEFT, "Left"), **_side(_RIGHT, "Right")}
    # as `slider_change` has it, an eye that turns outwards moves less than the one that turns inwards
    for which, lid, out in (("Left", 11, 1), ("Right", 15, -1)):
        shapes[f"eyeLookOut{which}"] = _points(**{f"p{lid}x": out * 0.0007 * PUPIL})
        shapes[f"eyeLookIn{which}"] = _points(**{f"p{lid}x": -out * 0.001 * PUPIL})
        lower, cheek = (_LEFT if which == "Left" else _RIGHT)[1:]
        middle = _slider(smile=0.5) * _mask(20, 14, 17)
        own = _slider(smile=1.0) * _mask(lower, cheek)
        shapes[f"mouthSmile{which}"] = middle + own
        shapes[f"mouthFrown{which}"] = -0.3 * (middle + own)
        shapes[f"mouthDimple{which}"] = 0.3 * middle
        shapes[f"mouthStretch{which}"] = _slider(lip2=EEE / 2)
        shapes[f"mouthUpperUp{which}"] = _slider(lip2=EEE / 3) * _mask(14, 20)
        shapes[f"mouthLowerDown{which}"] = _slider(lip3=AAA / 8)
        shapes[f"mouthPress{which}"] = _slider(lip3=-AAA / 8)
        shapes[f"browDown{which}"] = _slider(eyebrow=-BROW / 2)
        shapes[f"browOuterUp{which}"] = _slider(eyebrow=BROW / 3)
    return np.array([shapes.get(name, _BOTH.get(name, np.zeros(63))) for name in ARKIT], np.float32)


def _mask(*points: int) -> np.ndarray:
    out = np.zeros((21, 3), np.float32)
    out[list(points)] = 1
    return out.reshape(-1)


_BOTH: Mapping[str, np.ndarray] = {
    "jawOpen": _slider(lip3=AAA),
    "mouthClose": _slider(lip3=-AAA),
    "mouthFunnel": _slider(lip1=WOO * 0.7, lip3=AAA / 5),
    "mouthPucker": _slider(lip1=WOO),
    "mouthLeft": _slider(lip0=0.09),
    "mouthRight": _slider(lip0=-0.09),
    "jawLeft": _slider(lip0=0.06),
    "jawRight": _slider(lip0=-0.06),
    "mouthRollLower": _slider(lip3=-AAA / 6),
    "browInnerUp": _slider(eyebrow=BROW),
}


@dataclass(frozen=True)
class BlendshapeMap:
    """table (52, 63) float32: what a full ARKit shape adds to the expression (21, 3), row by row of points."""

    table: np.ndarray

    def __post_init__(self) -> None:
        table = np.ascontiguousarray(self.table, np.float32)
        if table.shape != (len(ARKIT), 63) or not np.isfinite(table).all():
            raise UsageError(f"a map is ({len(ARKIT)}, 63) finite numbers, got {table.shape}")
        object.__setattr__(self, "table", table)

    def expression(self, weights: np.ndarray) -> np.ndarray:
        """Weights (T, 52) or changes of them -> (T, 21, 3) float32 to add to the expression."""
        return (np.asarray(weights, np.float32) @ self.table).reshape(-1, 21, 3)

    def weights(self, change: np.ndarray) -> np.ndarray:
        """A change of expression (T, 21, 3) -> (T, 52) float32 weights 0..1, which make it as nearly as they can.

        Non-negative least squares by coordinate descent. Of shapes that move the face alike the strongest speaks for
        all, left and right share equally; shapes without a direction stay 0.
        """
        table, gram, share = self._normal
        aim = np.asarray(change, np.float64).reshape(-1, 63) @ table.T
        weights = np.zeros_like(aim)
        for _ in range(SWEEPS):
            before = weights.copy()
            for i in range(len(table)):
                step = (aim[:, i] - weights @ gram[:, i]) / gram[i, i]
                weights[:, i] = np.clip(weights[:, i] + step, 0, 1)
            if np.abs(weights - before).max(initial=0) < 1e-5:
                break
        return (weights @ share).astype(np.float32)

    @cached_property
    def _normal(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Directions (N, 63), strongest first, none like another; their products with each other (N, N), ridge
        included; and the shapes (N, 52) that each of them stands for."""
        table = self.table.astype(np.float64)
        size = np.linalg.norm(table, axis=1)
        order = [int(i) for i in np.argsort(-size, kind="stable") if size[i] > 1e-6 * max(size.max(), 1e-30)]
        groups: list[list[int]] = []
        for i in order:
            alike = [g for g in groups if table[i] @ table[g[0]] > PARALLEL * size[i] * size[g[0]]]
            if not alike:
                groups.append([i])
            elif size[i] > 0.99 * size[alike[0][0]]:
                alike[0].append(i)
        share = np.zeros((len(groups), len(table)))
        for row, group in zip(share, groups):
            row[group] = 1
        table = share @ table
        gram = table @ table.T
        return table, gram + RIDGE * np.diag(gram).max(initial=0) * np.eye(len(gram)), share

    def save(self, path: str | Path) -> Path:
        """Writes .safetensors."""
        from studio.weights import save_weights

        return save_weights(path, {"table": self.table}, {"what": "ARKit weights to LivePortrait expression"})

    @classmethod
    def load(cls, path: str | Path) -> BlendshapeMap:
        """Reads what `save` wrote. Raises `WeightsError`."""
        from studio.weights import open_weights

        table = open_weights(path).get("table")
        if not isinstance(table, np.ndarray) or table.shape != (len(ARKIT), 63):
            raise WeightsError(f"{path}: no map of ARKit shapes to LivePortrait; make one with `face-studio refit`")
        return cls(table)


DEFAULT = BlendshapeMap(_default())
"""From the published sliders."""

WITHOUT = tuple(name for name in ARKIT if not DEFAULT.table[INDEX[name]].any())
"""Shapes that no published direction shows."""
