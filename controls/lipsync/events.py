"""Visemes as labels with times, and the files that 2D animators read (Rhubarb's JSON and TSV)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controls.lipsync.lips import FIRST_TIME, RATE_HZ, LipReader
from controls.lipsync.network import LipNetwork
from controls.lipsync.phones import NAMES, PHONES, VISEMES

SWITCH_COST = 3.5
"""What a change of phone costs in log probability: short-lived guesses lose."""
SHORT_PAUSE = 0.14
"""Seconds below which a pause inside speech is taken for a soft consonant."""


@dataclass(frozen=True)
class Event:
    """start, end in seconds; phone is one of `phones.NAMES`; viseme one of `phones.VISEMES`."""

    start: float
    end: float
    phone: str
    viseme: str


def best_path(logs: np.ndarray, cost: float = SWITCH_COST) -> np.ndarray:
    """(n, classes) log-probabilities -> (n,) classes: Viterbi with one price for every change."""
    n, classes = logs.shape
    back = np.zeros((n, classes), np.int16)
    score = logs[0].astype(np.float64)
    for i in range(1, n):
        best = int(score.argmax())
        stay = score >= score[best] - cost
        back[i] = np.where(stay, np.arange(classes), best)
        score = np.where(stay, score, score[best] - cost) + logs[i]
    path = np.empty(n, int)
    path[-1] = score.argmax()
    for i in range(n - 1, 0, -1):
        path[i - 1] = back[i, path[i]]
    return path


def _without_short_pauses(path: np.ndarray, logs: np.ndarray) -> np.ndarray:
    path = path.copy()
    edges = np.flatnonzero(np.diff(path)) + 1
    starts, ends = np.concatenate([[0], edges]), np.concatenate([edges, [len(path)]])
    for a, b in zip(starts[1:-1], ends[1:-1], strict=True):
        if path[a] == 0 and b - a < SHORT_PAUSE * RATE_HZ:
            likeliest = logs[a:b, 1:].mean(0).argmax() + 1
            path[a:b] = likeliest
    return path


def events(samples: np.ndarray, network: LipNetwork | None = None) -> list[Event]:
    """16 kHz mono samples -> phones and visemes in order, from 0 to the end of the sound."""
    lips = LipReader(network).feed(samples, last=True)
    count = max(1, int(np.ceil(len(samples) / 16000 * RATE_HZ)))
    logs = lips.phones[:count]
    path = _without_short_pauses(best_path(logs), logs)
    edges = np.flatnonzero(np.diff(path)) + 1
    times = [0.0, *((edges - 0.5) / RATE_HZ + FIRST_TIME), len(samples) / 16000]
    firsts = [0, *edges]
    return [
        Event(float(a), float(b), NAMES[path[i]], PHONES[NAMES[path[i]]].viseme)
        for a, b, i in zip(times, times[1:], firsts, strict=False)
    ]


def viseme_frames(samples: np.ndarray, fps: float, network: LipNetwork | None = None) -> list[str]:
    """One viseme label per frame; h takes the lips of what follows."""
    found = events(samples, network)
    labels: list[str] = []
    ends = [e.end for e in found]
    for frame in range(int(len(samples) / 16000 * fps)):
        i = min(int(np.searchsorted(ends, (frame + 0.5) / fps, side="right")), len(found) - 1)
        if found[i].phone == "h" and i + 1 < len(found):
            i += 1
        labels.append(found[i].viseme)
    return labels


_RHUBARB = {
    "sil": "X",
    "PP": "A",
    "FF": "G",
    "TH": "C",
    "DD": "B",
    "kk": "B",
    "CH": "B",
    "SS": "B",
    "nn": "H",
    "RR": "E",
    "aa": "D",
    "E": "C",
    "ih": "B",
    "oh": "E",
    "ou": "F",
}


def rhubarb_cues(found: Sequence[Event]) -> list[tuple[float, float, str]]:
    """(start, end, shape) in Rhubarb's letters A-H and X, equal neighbours joined."""
    cues: list[tuple[float, float, str]] = []
    for event in found:
        shape = _RHUBARB[event.viseme]
        if cues and cues[-1][2] == shape:
            cues[-1] = (cues[-1][0], event.end, shape)
        else:
            cues.append((event.start, event.end, shape))
    return cues


assert set(_RHUBARB) == set(VISEMES)
