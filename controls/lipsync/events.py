"""Phones and visemes with their times, and the files that 2D animators read (Rhubarb's JSON and TSV)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from controls.lipsync.decode import FreePath, without_short_pauses
from controls.lipsync.lips import FIRST_TIME, RATE_HZ, LipReader
from controls.lipsync.mel import RATE
from controls.lipsync.network import LipNetwork
from controls.lipsync.phones import NAMES, PHONES
from studio.errors import UsageError

SHORT_PAUSE = 14
"""Frames of 10 ms below which a pause inside speech is taken for a soft consonant."""


@dataclass(frozen=True)
class Event:
    """start, end in seconds; phone is one of `phones.NAMES`; viseme one of `phones.VISEMES`."""

    start: float
    end: float
    phone: str
    viseme: str


def from_path(path: np.ndarray, duration: float) -> list[Event]:
    """(n,) phone classes every 10 ms -> events from 0 to `duration`. h has the viseme of what follows."""
    if not len(path):
        return [Event(0.0, duration, "sil", "sil")]
    edges = np.flatnonzero(np.diff(path)) + 1
    times = np.clip([0.0, *((edges - 0.5) / RATE_HZ + FIRST_TIME), duration], 0.0, duration)
    phones = [NAMES[path[i]] for i in [0, *edges]]
    shapes = [*phones[1:], phones[-1]]
    visemes = [PHONES[shapes[i] if phone == "h" else phone].viseme for i, phone in enumerate(phones)]
    return [
        Event(float(a), float(b), phone, viseme if viseme != "sil" or phone == "sil" else "E")
        for a, b, phone, viseme in zip(times, times[1:], phones, visemes, strict=False)
        if b > a
    ]


def listen(blocks: Iterable[np.ndarray], network: LipNetwork | None = None) -> list[Event]:
    """16 kHz mono blocks of sound -> phones and visemes in order, from 0 to the end of the sound."""
    reader, decoder = LipReader(network), FreePath()
    parts: list[np.ndarray] = []
    logs: list[np.ndarray] = []
    samples = 0
    for block in blocks:
        samples += len(block)
        logs.append(reader.feed(block).phones)
        parts.append(decoder.feed(logs[-1]))
        logs[-1] = logs[-1].astype(np.float16)
    logs.append(reader.feed(np.zeros(0, np.float32), last=True).phones.astype(np.float16))
    parts += [decoder.feed(logs[-1]), decoder.finish()]
    duration = samples / RATE
    count = max(1, int(np.ceil(duration * RATE_HZ)))
    path, told = np.concatenate(parts)[:count], np.concatenate(logs)[:count]
    return from_path(without_short_pauses(path, told, SHORT_PAUSE), duration)


def viseme_frames(found: Sequence[Event], fps: float) -> list[str]:
    """One viseme per frame: the one at the frame's middle."""
    ends = [event.end for event in found]
    count = int(ends[-1] * fps)
    at = np.searchsorted(ends, (np.arange(count) + 0.5) / fps, side="right")
    return [found[min(int(i), len(found) - 1)].viseme for i in at]


_RHUBARB = {
    "sil": "X", "PP": "A", "FF": "G", "TH": "B", "DD": "B", "kk": "B", "CH": "B", "SS": "B", "nn": "B", "RR": "E",
    "aa": "D", "E": "C", "ih": "B", "oh": "E", "ou": "F",
}  # fmt: skip


def rhubarb_cues(found: Sequence[Event]) -> list[tuple[float, float, str]]:
    """(start, end, shape) in Rhubarb's letters A to H and X, equal neighbours joined."""
    cues: list[tuple[float, float, str]] = []
    for event in found:
        shape = "H" if event.phone == "l" else _RHUBARB[event.viseme]
        if cues and cues[-1][2] == shape:
            cues[-1] = (cues[-1][0], event.end, shape)
        else:
            cues.append((event.start, event.end, shape))
    return cues


def rhubarb_json(found: Sequence[Event], sound: str) -> str:
    """Rhubarb Lip Sync's JSON, with our phones and visemes beside its mouth cues."""
    cues = [{"start": round(a, 3), "end": round(b, 3), "value": shape} for a, b, shape in rhubarb_cues(found)]
    phones = [{"start": round(e.start, 3), "end": round(e.end, 3), "phone": e.phone, "viseme": e.viseme} for e in found]
    whole = {
        "metadata": {"soundFile": sound, "duration": round(found[-1].end, 3)},
        "mouthCues": cues,
        "phones": phones,
    }
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def rhubarb_tsv(found: Sequence[Event]) -> str:
    """Rhubarb Lip Sync's TSV: start and shape a line; the last line is the end."""
    cues = rhubarb_cues(found)
    lines = [f"{start:.2f}\t{shape}" for start, _, shape in cues]
    return "\n".join([*lines, f"{cues[-1][1]:.2f}\tX"]) + "\n"


def save_events(path: str | Path, found: Sequence[Event], sound: str, kind: str) -> Path:
    """Writes `kind` "json" or "tsv"; returns the path."""
    if kind not in ("json", "tsv"):
        raise UsageError(f"events are written as json or tsv, not {kind!r}")
    from studio.picture import written_beside

    text = rhubarb_json(found, sound) if kind == "json" else rhubarb_tsv(found)
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8")
    return Path(path)
