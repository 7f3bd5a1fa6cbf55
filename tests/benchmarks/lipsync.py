"""Lip-sync figures on speech that was not trained on.

    python tests/benchmarks/lipsync.py CORPUS [--weights FILE] [--clips 120]

CORPUS is a folder made by `demos.speech_training.corpus.build` with another seed than the training set's.
Prints the table of `lipsync_score.py` (its definitions are in its docstring; FACE_STUDIO_SHARED or ../shared
must hold judges/) for clean, degraded and non-speech clips by synthesiser, then the speed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from controls.lipsync.driver import LipSyncDriver
from controls.lipsync.events import listen, viseme_frames
from controls.lipsync.mel import HOP, RATE, WINDOW
from controls.lipsync.network import LipNetwork, load_weights
from controls.lipsync.phones import NAMES, PHONES
from demos.speech_training import augment
from demos.speech_training.corpus import load
from studio.arkit import ARKIT
from studio.media import Audio

SHARED = Path(os.environ.get("FACE_STUDIO_SHARED", Path(__file__).resolve().parents[3] / "shared"))
ACCEPTED = {
    "ə": ["aa", "E", "ih"],
    "æ": ["aa", "E"],
    "ʌ": ["aa", "E"],
    "ɛ": ["E", "aa"],
    "e": ["E", "ih"],
    "ɪ": ["ih", "E"],
    "ɜ": ["RR", "E"],
    "ɔ": ["oh", "aa"],
    "ɑ": ["aa", "oh"],
    "ʊ": ["ou", "oh"],
    "o": ["oh", "ou"],
    "y": ["ih", "ou"],
    "ø": ["oh", "E", "ou"],
    "j": ["ih"],
    "h": ["E", "aa", "ih", "oh", "ou", "kk"],
    "l": ["nn", "DD"],
    "n": ["nn", "DD"],
    "t": ["DD", "nn"],
    "d": ["DD", "nn"],
    "r": ["RR", "DD"],
}


def segments_of(marks: np.ndarray) -> list[tuple[float, float, str]]:
    edges = np.flatnonzero(np.diff(marks)) + 1
    starts, ends = np.concatenate([[0], edges]), np.concatenate([edges, [len(marks)]])
    time_of = lambda frame: (frame * HOP + WINDOW / 2 - HOP / 2) / RATE
    return [(0.0 if a == 0 else time_of(a), time_of(b), NAMES[marks[a]]) for a, b in zip(starts, ends, strict=True)]


def truth(segments: list, seconds: float, family: str, condition: str) -> dict:
    """A track as `lipsync_score.py` reads it, at 60 Hz."""
    rows = []
    for i, (a, b, phone) in enumerate(segments):
        lips = segments[min(i + 1, len(segments) - 1)][2] if phone == "h" else phone
        shape = PHONES[lips]
        viseme = shape.viseme if phone != "sil" else "sil"
        rows.append([a, b, viseme, sorted({viseme, *ACCEPTED.get(phone, [])}), shape.openness, shape.rounding])
    rows[-1][1] = seconds
    times = (np.arange(int(seconds * 60)) + 0.5) / 60
    which = np.minimum(np.searchsorted([r[1] for r in rows], times, side="right"), len(rows) - 1)
    window = np.hanning(8) / np.hanning(8).sum()
    openness = np.convolve(np.pad(np.array([rows[i][4] for i in which]), 8, mode="edge"), window, "same")[8:-8]
    visemes = [rows[i][2] for i in which]
    openness[[v in ("sil", "PP") for v in visemes]] = 0
    return {
        "family": family,
        "condition": condition,
        "segments": rows,
        "visemes": visemes,
        "openness": openness.tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--by", default="state,family+")
    args = parser.parse_args()
    sys.path.insert(0, str(SHARED / "judges"))
    import lipsync_score

    pick = np.random.default_rng(1)
    clips = load(args.corpus)
    clips = [clips[i] for i in pick.permutation(len(clips))[: args.clips]]
    weights = load_weights(args.weights)
    heard = spent = 0.0
    with tempfile.TemporaryDirectory() as folder:
        real, made = Path(folder) / "truth", Path(folder) / "made"
        real.mkdir(), made.mkdir()

        def run(name: str, samples: np.ndarray, track: dict) -> None:
            nonlocal heard, spent
            (real / f"{name}.json").write_text(json.dumps(track))
            begin = time.thread_time()
            motion = LipSyncDriver(weights=weights)(Audio.from_array(samples, RATE), 60)
            spent, heard = spent + time.thread_time() - begin, heard + len(samples) / RATE
            labels = viseme_frames(listen([samples], LipNetwork(weights)), 60)
            (made / f"{name}.json").write_text(
                json.dumps({"fps": 60, "names": list(ARKIT), "frames": motion.weights.tolist(), "visemes": labels})
            )

        for i, (samples, marks, voice) in enumerate(clips):
            lead_in = int(0.3 * RATE)
            sound = np.concatenate([np.zeros(lead_in, np.float32), samples * 0.5, np.zeros(lead_in * 2, np.float32)])
            segments = [(a + 0.3, b + 0.3, p) for a, b, p in segments_of(marks)]
            segments = [
                (0.0, segments[0][0] + 0.3 - 0.3, "sil"),
                *segments,
                (segments[-1][1], len(sound) / RATE, "sil"),
            ]
            segments[0] = (0.0, 0.3, "sil")
            segments[1] = (0.3, *segments[1][1:])
            family = voice.split("/")[0] + (
                "" if not voice.startswith("espeak") else "-en" if "gmw/en" in voice else "-xx"
            )
            run(f"c{i:03d}", sound, truth(segments, len(sound) / RATE, family, "clean"))
            if i % 3 == 0:
                run(f"d{i:03d}", augment.degrade(sound, pick), truth(segments, len(sound) / RATE, family, "degraded"))
        for i in range(12):
            sound = augment.no_speech(4 * RATE, pick)
            run(f"n{i:03d}", sound, truth([(0.0, 4.0, "sil")], 4.0, "nonspeech", "nonspeech"))
        groups, missing, p95 = lipsync_score.run(str(real), str(made), args.by)
        keep = (
            "clips",
            "acc_lenient",
            "corr",
            "lag_ms",
            "clos_rec",
            "clos_in",
            "clos_prec",
            "clos_f1",
            "round_auc",
            "sil_move",
        )
        lipsync_score.COLS[:] = keep
        print(lipsync_score.table(groups))
        print(f"P95 of the aperture {p95:.2f}; {heard / spent:.0f} times real time on one core; missing {missing}")


if __name__ == "__main__":
    main()
