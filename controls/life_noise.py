"""Motion that never repeats: smooth noise over continuous time, and a spring that follows a target.

Both are defined in seconds, so that a motion at 25 frames a second and one at 60 are the same motion.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_RUN = 64


@lru_cache(maxsize=256)
def _lattice(seed: int, channel: int, run: int) -> np.ndarray:
    return np.random.default_rng([seed, channel, run]).normal(size=_RUN)


def _at(seed: int, channel: int, cells: np.ndarray) -> np.ndarray:
    runs, places = np.divmod(cells, _RUN)
    return np.array([_lattice(seed, channel, int(run))[place] for run, place in zip(runs, places, strict=True)])


def noise(times: np.ndarray, per_second: float, seed: int, channel: int) -> np.ndarray:
    """(T,) value noise of variance about 1 at `times` >= 0 (seconds), seeded, for as long as wanted.

    Normal values on a lattice of `per_second`, joined by the uniform cubic B-spline: twice continuously
    differentiable, so that neither speed nor acceleration of what it moves ever jumps. Each `channel` is
    independent. Nothing is stored but the lattice near the times last asked for.
    """
    place = np.asarray(times, np.float64) * per_second
    cells = np.floor(place).astype(int)
    u = place - cells
    spline = ((1 - u) ** 3 / 6, (3 * u**3 - 6 * u**2 + 4) / 6, (-3 * u**3 + 3 * u**2 + 3 * u + 1) / 6, u**3 / 6)
    total = sum(weight * _at(seed, channel, cells + k) for k, weight in enumerate(spline))
    return np.asarray(total) / 0.69  # the spline's mean root of squares


class Spring:
    """Critically damped: follows a target without overshoot, the same at any step (solved exactly)."""

    def __init__(self, seconds: float, size: int = 1) -> None:
        """`seconds` until some 80 % of a step is reached."""
        self._rate = 3.0 / seconds
        self.place = np.zeros(size)
        self.speed = np.zeros(size)

    def step(self, target: np.ndarray | float, dt: float) -> np.ndarray:
        """The place `dt` seconds on, with the target held meanwhile."""
        away = self.place - target
        push = self.speed + self._rate * away
        fade = np.exp(-self._rate * dt)
        self.place = target + (away + push * dt) * fade
        self.speed = (self.speed - self._rate * push * dt) * fade
        return self.place


def ease(x: np.ndarray | float) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between (zero speed and acceleration at both ends)."""
    x = np.clip(x, 0, 1)
    return x**3 * (10 - 15 * x + 6 * x**2)
