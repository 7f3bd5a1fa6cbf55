"""A blendshape map measured on the weights at hand: animate, track the result, solve.

A portrait is drawn under changes of expression (`trials`), a tracker says which ARKit weights each picture shows, and
`solve` finds the changes that make the tracker say one shape at a time, starting from a map that is believed where the
tracker is blind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatars.liveportrait.blendshapes import DEFAULT, BlendshapeMap
from studio.arkit import ARKIT
from studio.errors import UsageError

FEWEST = 70
"""Pictures that the 63 numbers need to be told apart."""

SURE = 0.3
"""Share of a weight's variance that must be told for its shape to be measured."""

TRUST = 0.3
"""Weight of the map that was started from, against the mean response of a number."""

TESTED_AT = 0.7
"""Weight at which each shape is drawn alone at the end."""

SEEN = 0.2
"""Share of the weight that was asked for, below which a shape counts as not seen."""

PULLS = (1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Strengths of the ridge that are tried, against the mean square of the numbers tried."""

_FLOOR = 0.004
"""Least change tried of a number: what none of the published sliders moves may still do something."""


@dataclass(frozen=True)
class Refit:
    """map       what was found.
    response  (63, 52) what one unit of each number adds to the tracked weights.
    told      (52,) 0..1: share of each weight's variance that the response tells of pictures it was not made from;
              below `SURE` a shape keeps what was started from.
    """

    map: BlendshapeMap
    response: np.ndarray
    told: np.ndarray

    @property
    def seen(self) -> np.ndarray:
        """Indices of the shapes that were measured."""
        return np.flatnonzero(self.told >= SURE)


def trials(count: int, seed: int = 0, start: BlendshapeMap = DEFAULT) -> np.ndarray:
    """(count, 21, 3) float32 changes of expression: mixtures of `start`'s shapes, and of single numbers."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0, 1.5, (count, len(ARKIT))) * (rng.random((count, len(ARKIT))) < 0.15)
    single = rng.normal(0, 0.6, (count, 63)) * scales(start)
    return (weights @ start.table + single).reshape(-1, 21, 3).astype(np.float32)


def scales(start: BlendshapeMap = DEFAULT) -> np.ndarray:
    """(63,) how far each number goes."""
    return np.maximum(np.abs(start.table).max(0) / 2, _FLOOR)


def solve(changes: np.ndarray, tracked: np.ndarray, start: BlendshapeMap = DEFAULT, *, trust: float = TRUST) -> Refit:
    """The map from changes (N, 21, 3) of expression and the changes (N, 52) of weights that a tracker saw.

    Ridge least squares twice: the response of weights to numbers; then for each shape the numbers that bring the
    response nearest to it alone, near `start` where the response says nothing. Raises `UsageError` for too few.
    """
    changes = np.asarray(changes, np.float64).reshape(-1, 63)
    tracked = np.asarray(tracked, np.float64)
    if len(changes) < FEWEST or tracked.shape != (len(changes), len(ARKIT)):
        raise UsageError(f"a map needs {FEWEST} tracked pictures or more, and their weights; got {tracked.shape}")
    size = scales(start)
    units = changes / size
    pull, told = _best_pull(units, tracked)
    response = _ridge(units, tracked, pull)
    wanted, own = np.eye(len(ARKIT)), start.table.astype(np.float64) / size
    gram = response @ response.T
    belief = trust * np.trace(gram) / len(gram) * np.eye(len(gram))
    found = own + np.linalg.solve(gram + belief, response @ (wanted - own @ response).T).T
    table = np.where((told >= SURE)[:, None], found * size, start.table)
    return Refit(BlendshapeMap(table), response / size[:, None], told)


def rescaled(found: BlendshapeMap, said: np.ndarray, at: float = TESTED_AT) -> BlendshapeMap:
    """The map with each shape as strong as it is told to be.

    said  (52,) what the tracker says of each shape alone, drawn at weight `at`; NaN where it wasn't drawn. A response
    is no straight line (lids don't close further than shut), so what `solve` finds points right but is too strong or
    too weak. Shapes that the tracker hardly sees stay as they are.
    """
    said = np.asarray(said, np.float64)
    sure = np.isfinite(said) & (said > SEEN * at)
    gain = np.where(sure, np.clip(at / np.where(sure, said, 1), 0.4, 2.5), 1.0)
    return BlendshapeMap(found.table * gain[:, None])


def _ridge(units: np.ndarray, tracked: np.ndarray, pull: float) -> np.ndarray:
    """(63, 52) least squares of tracked on units, each unit pulled to no effect."""
    gram = units.T @ units
    return np.linalg.solve(gram + pull * np.trace(gram) / len(gram) * np.eye(len(gram)), units.T @ tracked)


def _best_pull(units: np.ndarray, tracked: np.ndarray) -> tuple[float, np.ndarray]:
    """The pull that tells most of pictures that it was not made from (five folds), and what share of each weight."""
    fold = np.arange(len(units)) % 5
    whole = (tracked**2).sum(0)
    best, least = (PULLS[-1], np.zeros(tracked.shape[1])), float(whole.sum())
    for pull in PULLS:
        left = np.zeros(tracked.shape[1])
        for k in range(5):
            guess = units[fold == k] @ _ridge(units[fold != k], tracked[fold != k], pull)
            left += ((tracked[fold == k] - guess) ** 2).sum(0)
        if left.sum() < least:
            told = np.where(whole > 1e-6, 1 - left / np.maximum(whole, 1e-12), 0)
            best, least = (pull, np.clip(told, 0, 1)), float(left.sum())
    return best
