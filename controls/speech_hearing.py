"""Hearing one speaker: features made comparable between voices, microphones and levels, as they stream.

Every running figure looks back only. Each starts from a prior, so the first word is heard as well as
the hundredth.
"""

from __future__ import annotations

import numpy as np

from controls.speech_features import BANDS, HZ

HEARD = BANDS + 6
"""Numbers a frame: bands, loudness against the peak, voicing, then slow ones: flux, voicing, swing, absolute level."""

_NEPER = 20 / np.log(10) / 2  # dB of one natural-log unit of power
_PEAK_START = -26.0  # dB of full scale: a usual recording
_PEAK_LEAST = -50.0  # quieter sound is not amplified into speech
_PEAK_FALL = 2.0 / HZ  # dB a frame
_SPEECH_DEPTH = 20.0  # dB below the peak that still count as speech for the mean spectrum
_MEMORY = 1 - 1 / (6.0 * HZ)
_PRIOR_FRAMES = 80.0
_SLOW = 1 - 1 / (0.25 * HZ)
_BOTTOM = -14.0  # natural-log units under the peak: below lies noise, whatever its spectrum

# mean of speech in each band against the peak level, natural-log units; measured on flite's voices
_PRIOR = np.interp(
    np.arange(BANDS),
    [0, 1, 3, 5, 7, 11, 14, 17, 19, 23],
    [-0.7, -0.7, -1.9, -5.0, -6.9, -7.9, -6.1, -7.3, -11.1, -11.3],
)


class Hearing:
    """Feature chunks of `controls.speech_features` to (T, HEARD) float32, keeping its state between calls."""

    def __init__(self) -> None:
        self._peak = _PEAK_START
        self._total = _PRIOR_FRAMES * _PRIOR
        self._count = _PRIOR_FRAMES
        self._last = np.full(BANDS, _BOTTOM)
        self._slow = np.zeros(3)

    def __call__(self, chunk: np.ndarray) -> np.ndarray:
        out = np.empty((len(chunk), HEARD), np.float32)
        for row, heard in zip(chunk.astype(np.float64), out, strict=True):
            mel, voicing, level = row[:BANDS], row[BANDS], row[BANDS + 1]
            self._peak = max(self._peak - _PEAK_FALL, level, _PEAK_LEAST)
            below = level - self._peak
            relative = np.maximum(mel - self._peak / _NEPER, _BOTTOM)
            if below > -_SPEECH_DEPTH:
                self._total = self._total * _MEMORY + relative
                self._count = self._count * _MEMORY + 1
            flux = np.abs(relative - self._last).mean()
            self._last = relative
            loud = max(below, -40.0) / 20
            self._slow = self._slow * _SLOW + (1 - _SLOW) * np.array([flux, voicing, loud])
            heard[:BANDS] = relative - self._total / self._count
            heard[BANDS:] = loud, voicing, *self._slow[:2], abs(loud - self._slow[2]), max(level, -70.0) / 20 + 1.5
        return out
