"""The network's ears: log-mel frames of 16 kHz sound, normalised causally, in NumPy alone.

Training and running use this very code. Every step is a recursion that carries its state, so a stream
fed in chunks of any size gives the same numbers as a whole file.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

RATE = 16000
HOP = 160
"""Samples from frame to frame: 10 ms."""
WINDOW = 400
"""Samples that a frame sees: 25 ms. Frame k sees samples k * HOP to k * HOP + WINDOW."""
BANDS = 40
FEATURES = BANDS + 2
"""Normalised bands, then loudness against the loudest lately, then loudness itself."""

_FFT = 512
_LOWEST = np.log(1e-7)
_PEAK_FALL = 0.0012  # nepers a frame: the loudest lately is forgotten over some ten seconds
_GATE = 4.0  # nepers of power below the loudest lately: above is taken for speech (17 dB)
_MEMORY = 0.9985  # of the running mean, a frame: about seven seconds of speech
_PRIOR_FRAMES = 60.0


def _mel(hertz: np.ndarray | float) -> np.ndarray | float:
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def _filters() -> np.ndarray:
    edges = 700 * (10 ** (np.linspace(_mel(60), _mel(7600), BANDS + 2) / 2595) - 1)
    frequency = np.fft.rfftfreq(_FFT, 1 / RATE)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rise, fall = (frequency - low) / (middle - low), (high - frequency) / (high - middle)
    return np.clip(np.minimum(rise, fall), 0, None).astype(np.float32)


FILTERS = _filters()  # (257, BANDS)
_HANN = np.hanning(WINDOW).astype(np.float32)
# mean log power of each band in speech against the loudest lately: where the running mean starts
_PRIOR = (-3.2 - 2.6 * np.linspace(0, 1, BANDS)).astype(np.float32)


def log_mel(samples: np.ndarray) -> np.ndarray:
    """(n,) float32 samples -> ((n - WINDOW) // HOP + 1, BANDS) natural-log power per band."""
    if len(samples) < WINDOW:
        return np.zeros((0, BANDS), np.float32)
    frames = sliding_window_view(samples, WINDOW)[::HOP] * _HANN
    spectrum = np.fft.rfft(frames, _FFT)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    return np.log(power @ FILTERS + 1e-7)


def _leak(x: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Leaky sum down the rows: y[t] = _MEMORY * y[t - 1] + x[t] with y[-1] = start."""
    out = np.empty(x.shape)
    for first in range(0, len(x), 2000):  # powers of the memory stay tame over 2000 rows
        part = x[first : first + 2000]
        powers = _MEMORY ** np.arange(1, len(part) + 1)[:, None]
        out[first : first + len(part)] = powers * (start + np.cumsum(part / powers, 0))
        start = out[first + len(part) - 1]
    return out


class Ear:
    """Turns a stream of 16 kHz samples into (n, FEATURES) float32 frames, 100 a second."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)
        self._peak = -9.0
        self._sum = np.zeros(BANDS, np.float64)
        self._count = 0.0

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """The frames that these samples complete; what is left over waits for the next call."""
        samples = np.concatenate([self._rest, np.asarray(samples, np.float32)])
        mel = log_mel(samples)
        self._rest = samples[len(mel) * HOP :]
        if not len(mel):
            return np.zeros((0, FEATURES), np.float32)
        return self._normalise(mel)

    def _normalise(self, mel: np.ndarray) -> np.ndarray:
        loud = mel.max(1).astype(np.float64)
        step = _PEAK_FALL * np.arange(1, len(mel) + 1)
        peak = np.maximum(np.maximum.accumulate(loud + step), self._peak) - step
        peak = np.maximum(peak, -6.0)
        self._peak = float(peak[-1])
        gate = ((loud > peak - _GATE) & (loud > -5.0)).astype(np.float64)
        total = _leak(gate[:, None] * (mel - peak[:, None]), self._sum)
        count = _leak(gate[:, None], np.array([self._count]))[:, 0]
        self._sum, self._count = total[-1], float(count[-1])
        mean = (total + _PRIOR_FRAMES * _PRIOR) / (count + _PRIOR_FRAMES)[:, None]
        relative = mel - peak[:, None]
        bands = np.maximum(relative, -9.0) - mean
        extra = np.stack([np.maximum(loud - peak, -9.0) + 2.0, np.maximum(loud, _LOWEST) * 0.25 + 1.0], 1)
        return np.concatenate([bands * 0.5, extra * 0.5], 1).astype(np.float32)
