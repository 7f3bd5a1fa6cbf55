"""What is heard, 100 times a second: log-mel bands, voicing and level of 16 kHz speech, as a stream.

Blocks of any size go in; the sound is cut into the same chunks whatever the blocks were, so the result
never depends on them. Frame i describes the 25 ms around (i + 0.5) * 10 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np

RATE = 16000
HOP = 160
HZ = RATE // HOP
BANDS = 24
CHUNK = 25  # frames worked on at a time: 0.25 s

_WINDOW = 400
_VOICE_WINDOW, _VOICE_STEP = 640, 4  # voicing is read from 40 ms at 4 kHz
_BEFORE = (_VOICE_WINDOW - HOP) // 2
_AFTER = _BEFORE


@lru_cache(maxsize=1)
def _mel_bank() -> np.ndarray:
    """(257, BANDS) triangles from 80 to 7600 Hz, evenly spaced in mel (O'Shaughnessy 1987)."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (80, 7600))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    hz = np.fft.rfftfreq(512, 1 / RATE)
    rise = (hz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - hz[:, None]) / (edges[2:] - edges[1:-1])
    bank = np.clip(np.minimum(rise, fall), 0, None)
    return bank / bank.sum(0)


def _analyse(sound: np.ndarray) -> np.ndarray:
    """(T, BANDS + 2) from T * HOP samples with their surroundings: log-mel (natural log), voicing, level (dB)."""
    frames = (len(sound) - _BEFORE - _AFTER) // HOP
    wide = np.lib.stride_tricks.sliding_window_view(sound, _VOICE_WINDOW)[: frames * HOP : HOP]
    middle = (_VOICE_WINDOW - _WINDOW) // 2
    windowed = wide[:, middle : middle + _WINDOW] * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(windowed, 512)) ** 2 / _WINDOW
    mel = np.log(power @ _mel_bank() + 1e-9)
    level = 10 * np.log10(np.mean(windowed**2, axis=1) * 8 / 3 + 1e-10)
    slow = wide.reshape(frames, -1, _VOICE_STEP).mean(2)
    slow = slow - slow.mean(1, keepdims=True)
    spectrum = np.fft.rfft(slow, 512)
    matches = np.fft.irfft(np.abs(spectrum) ** 2, 512)[:, : len(slow[0])]
    # a shift leaves less to compare: weigh it up, and keep digital silence unvoiced
    lags = slice(RATE // _VOICE_STEP // 400, RATE // _VOICE_STEP // 70)
    share = matches / (1 - np.arange(len(slow[0])) / len(slow[0]))
    voicing = np.clip(share[:, lags].max(1) / (matches[:, 0] + 1e-6), 0, 1)
    return np.concatenate([mel, voicing[:, None], level[:, None]], 1).astype(np.float32)


def features(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Mono float blocks at 16 kHz to (CHUNK, BANDS + 2) float32; the last chunk may be shorter.

    Columns: log-mel bands, voicing (0..1), level (dB of full scale). Every started 10 ms gives a frame.
    """
    size = CHUNK * HOP
    held = np.zeros(_BEFORE, np.float32)
    seen = 0
    for block in blocks:
        block = np.asarray(block, np.float32)
        seen += len(block)
        held = np.concatenate([held, block])
        while len(held) >= _BEFORE + size + _AFTER:
            yield _analyse(held[: _BEFORE + size + _AFTER])
            held = held[size:]
    left = -(-(len(held) - _BEFORE) // HOP) * HOP if seen else 0
    if left > 0:
        held = np.concatenate([held, np.zeros(_BEFORE + left + _AFTER - len(held), np.float32)])
        yield _analyse(held)
