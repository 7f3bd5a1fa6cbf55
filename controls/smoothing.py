"""Smoothing of motion: without delay for files, causal for live use.

Files are smoothed symmetrically (`zero_phase`): tracking noise sinks below a real clip's own, and nothing lags.
Lids are left as they are: a blink lasts three frames. `OneEuro` smooths what arrives live; on mouth weights it
costs 30 to 70 ms and up to a third of the peaks of speech, so use it there only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from studio.arkit import INDEX
from studio.motion import FaceMotion

SIGMA = 0.7
"""Standard deviation of the filter for files, frames."""

AWAY, RETURN = 0.4, 0.3
"""Seconds that a face must be lost for its return to be eased, and how long that takes."""

LIDS = np.array([INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]])
"""Shapes that are not smoothed."""


def zero_phase(stream: Iterable[FaceMotion], sigma: float = SIGMA) -> Iterator[FaceMotion]:
    """The stream smoothed by a Gaussian of `sigma` frames; each block waits for the few frames that follow it.

    The result of a stream doesn't depend on how it is cut into blocks.
    """
    reach = int(np.ceil(2.5 * sigma))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-6)) ** 2)
    taps /= taps.sum()
    past: FaceMotion | None = None  # the frames before `now` that its filter reaches back to
    now: FaceMotion | None = None
    for block in stream:
        if not len(block):
            continue
        if now is None:
            now = block
        elif len(block) < reach:
            now = _joined(now, block)
        else:
            yield _filtered(past, now, block, taps)
            past, now = _tail(past, now, reach), block
    if now is not None:
        yield _filtered(past, now, None, taps)


def eased_return(stream: Iterable[FaceMotion], away: float = AWAY, seconds: float = RETURN) -> Iterator[FaceMotion]:
    """The stream with faces that come back after more than `away` seconds (confidence 0) led from where they were held
    to where they are within `seconds`, instead of jumping there. Nothing is held back."""
    held: dict[str, np.ndarray] = {}
    lost, back = 0, 0
    for block in stream:
        names = ["weights", "head"] + (["residual"] if block.residual is not None else [])
        out = {name: np.array(getattr(block, name)) for name in names}
        span = max(1, round(seconds * float(block.fps)))
        for k in range(len(block)):
            if block.confidence[k] <= 0:
                lost, back = lost + 1, 0
                held = {name: out[name][k].copy() for name in names}
                continue
            if lost > away * float(block.fps):
                back = span
            lost = 0
            if back and held:
                t = 1 - back / (span + 1)
                for name in names:
                    out[name][k] += np.float32(1 - t * t * (3 - 2 * t)) * (held[name] - out[name][k])
                back -= 1
        yield replace(block, **out)


def _filtered(past: FaceMotion | None, now: FaceMotion, future: FaceMotion | None, taps: np.ndarray) -> FaceMotion:
    reach = len(taps) // 2

    def run(name: str) -> np.ndarray:
        middle = getattr(now, name)
        before = middle[:0] if past is None else getattr(past, name)[-reach:]
        after = middle[:0] if future is None else getattr(future, name)[:reach]
        before = np.concatenate([np.repeat((before if len(before) else middle)[:1], reach - len(before), 0), before])
        after = np.concatenate([after, np.repeat((after if len(after) else middle)[-1:], reach - len(after), 0)])
        whole = np.concatenate([before, middle, after])
        out = np.zeros_like(middle)
        for k, tap in enumerate(taps):
            out += np.float32(tap) * whole[k : k + len(middle)]
        return out

    weights = run("weights")
    weights[:, LIDS] = now.weights[:, LIDS]
    residual = None if now.residual is None else run("residual")
    return replace(now, weights=weights, head=run("head"), residual=residual)


def _tail(past: FaceMotion | None, now: FaceMotion, reach: int) -> FaceMotion:
    whole = now if past is None or len(now) >= reach else _joined(past, now)
    return whole[max(0, len(whole) - reach) : len(whole)]


def _joined(a: FaceMotion, b: FaceMotion) -> FaceMotion:
    residual = None if a.residual is None or b.residual is None else np.concatenate([a.residual, b.residual])
    parts = {name: np.concatenate([getattr(a, name), getattr(b, name)]) for name in ("weights", "head", "confidence")}
    return replace(a, residual=residual, **parts)


@dataclass
class OneEuro:
    """One-Euro filter (Casiez, Roussel, Vogel 2012) of arrays that arrive one by one.

    fps     samples per second.
    cutoff  Hz at rest: lower is calmer.
    beta    how fast the cutoff rises with speed: higher lags less.
    """

    fps: Fraction
    cutoff: float = 1.5
    beta: float = 0.5
    _value: np.ndarray | None = field(default=None, init=False, repr=False)
    _speed: np.ndarray | None = field(default=None, init=False, repr=False)

    def __call__(self, sample: np.ndarray) -> np.ndarray:
        """The smoothed value of the newest sample."""
        sample = np.asarray(sample, np.float64)
        if self._value is None or self._speed is None:
            self._value, self._speed = sample.copy(), np.zeros_like(sample)
            return sample.copy()
        rate = float(self.fps)
        speed = (sample - self._value) * rate
        self._speed += _alpha(1.0, rate) * (speed - self._speed)
        self._value += _alpha(self.cutoff + self.beta * np.abs(self._speed), rate) * (sample - self._value)
        return self._value.copy()

    def reset(self) -> None:
        """Forget everything, as after a cut."""
        self._value = self._speed = None


def _alpha(cutoff: np.ndarray | float, rate: float) -> np.ndarray | float:
    return 1 / (1 + rate / (2 * np.pi * cutoff))


__all__ = ["LIDS", "SIGMA", "OneEuro", "eased_return", "zero_phase"]
