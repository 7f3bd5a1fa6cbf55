"""What known phones do to the lips: the curves that the network learns, and that a transcript gives."""

from __future__ import annotations

import numpy as np

from controls.lipsync.phones import INDEX, NAMES, PHONES

OPENNESS = np.array([PHONES[name].openness for name in NAMES], np.float32)
ROUNDING = np.array([PHONES[name].rounding for name in NAMES], np.float32)
SPREAD = np.array([PHONES[name].spread for name in NAMES], np.float32)
_WINDOW = np.hanning(13)[1:-1] / np.hanning(13)[1:-1].sum()  # 100 ms


def lip_curves(marks: np.ndarray) -> np.ndarray:
    """(T,) phone classes every 10 ms -> (T, 3) openness, rounding, spread, smoothed over 100 ms; shut in silence.

    h takes the lips of what follows. In p, b and m the jaw moves on towards the next vowel: closing is the
    lips' affair.
    """
    seen = marks.copy()
    h = INDEX["h"]
    for i in range(len(seen) - 2, -1, -1):
        if seen[i] == h:
            seen[i] = seen[i + 1]

    def smooth(values: np.ndarray) -> np.ndarray:
        return np.convolve(np.pad(values, 5, mode="edge"), _WINDOW, "valid")

    openness = np.where(seen == INDEX["sil"], 0.0, smooth(OPENNESS[seen]))
    return np.stack([openness, smooth(ROUNDING[seen]), smooth(SPREAD[seen])], 1).astype(np.float32)
