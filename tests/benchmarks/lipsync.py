"""Lip-sync figures on speech that was not trained on.

    python tests/benchmarks/lipsync.py [CORPUS] [--weights FILE] [--clips 120]
    python tests/benchmarks/lipsync.py CORPUS --ablation TRAINING   short trainings without each part of the data
    python tests/benchmarks/lipsync.py --recorded FOLDER   people's recordings: x.wav with x.TextGrid beside it

CORPUS is a folder of other sentences than the training set's, made by `demos.speech_training.corpus.build`; without
one it is spoken first. Prints `lipsync_score.py`'s table (definitions in its docstring; FACE_STUDIO_SHARED or ../shared
must hold judges/): from the sound alone by synthesiser, with the text, and by language; then how the mouths of real
talking clips agree with what their sound alone drives; then the speed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from controls.lipsync.driver import LipSyncDriver, LipSyncSettings
from controls.lipsync.events import viseme_frames
from controls.lipsync.mel import HOP, RATE, WINDOW
from controls.lipsync.network import load_weights
from controls.lipsync.phones import NAMES, PHONES
from controls.lipsync.transcript import read_transcript
from demos.speech_training import augment
from demos.speech_training.corpus import ESPEAK_OTHERS, Plan, build, load, load_texts
from demos.speech_training.voices import FESTIVAL
from studio.arkit import ARKIT, INDEX
from studio.media import Audio

SHARED = Path(os.environ.get("FACE_STUDIO_SHARED", Path(__file__).resolve().parents[3] / "shared"))
HELD_OUT = Plan(espeak_english=4, espeak_others=8, flite=6, festival_english=4, festival_others=4, seed=4711)
COLUMNS = ("clips", "acc_lenient", "corr", "lag_ms", "clos_rec", "clos_in", "clos_prec", "clos_f1", "round_auc")
TALKING = ("talk_suit_22fps", "talk_412px_audio_first", "talk_woman_25fps")
UNSYNCED = "talk_woman_25fps"
"""Its sound is offset inside the file: printed, but not in the mean."""
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


def language_of(voice: str) -> str:
    """Of a corpus's voice: en, de, zh, ..."""
    synthesiser, _, name = voice.partition("/")
    if synthesiser == "festival":
        return FESTIVAL[name][0]
    if synthesiser == "recorded":
        return name.replace("held-out", "en").split("/")[0].split("-")[0]
    return ESPEAK_OTHERS.get(name.split("+")[0], "en") if synthesiser == "espeak" else "en"


def family_of(voice: str) -> str:
    """Synthesiser, and for those with voices of both kinds whether they speak English."""
    synthesiser = voice.split("/")[0]
    return synthesiser if synthesiser == "flite" else f"{synthesiser}-{'en' if language_of(voice) == 'en' else 'xx'}"


class Trial:
    """Clips with their truth, and what drivers make of them."""

    def __init__(self) -> None:
        self.clips: list[tuple[str, np.ndarray, dict, str, str]] = []

    def add(self, samples: np.ndarray, segments: list, voice: str, condition: str, text: str = "") -> None:
        seconds = len(samples) / RATE
        family = "nonspeech" if condition == "nonspeech" else family_of(voice)
        track = truth(segments, seconds, family, condition) | {"language": language_of(voice)}
        self.clips.append((f"{condition[0]}{len(self.clips):04d}", samples, track, voice, text))

    def score(self, driver_of: Callable[[str, str], LipSyncDriver], by: str, columns: tuple[str, ...]) -> float:
        """Prints the table; returns how many times real time it went. driver_of(voice, text) makes a clip's driver."""
        import lipsync_score

        heard = spent = 0.0
        with tempfile.TemporaryDirectory() as folder:
            real, made = Path(folder) / "truth", Path(folder) / "made"
            real.mkdir(), made.mkdir()
            for name, samples, track, voice, text in self.clips:
                sound, driver = Audio.from_array(samples, RATE), driver_of(voice, text)
                begin = time.thread_time()
                motion = driver(sound, 60)
                spent, heard = spent + time.thread_time() - begin, heard + len(samples) / RATE
                answer = {"fps": 60, "names": list(ARKIT), "frames": motion.weights.tolist()}
                answer["visemes"] = viseme_frames(driver.events(sound), 60)
                (real / f"{name}.json").write_text(json.dumps(track))
                (made / f"{name}.json").write_text(json.dumps(answer))
            groups, missing, p95 = lipsync_score.run(str(real), str(made), by)
        lipsync_score.COLS[:] = columns
        print(lipsync_score.table(groups))
        print(f"P95 of the aperture {p95:.2f}; missing {missing}\n", flush=True)
        return heard / spent


def trial(corpus: Path, count: int, seed: int = 1) -> Trial:
    """Clean clips, every third degraded as well, and sounds that are no speech."""
    pick, out = np.random.default_rng(seed), Trial()
    clips, texts = load(corpus), load_texts(corpus)
    for i, k in enumerate(pick.permutation(len(clips))[:count]):
        samples, marks, voice = clips[k]
        quiet = np.zeros(int(0.3 * RATE), np.float32)
        sound = np.concatenate([quiet, samples * 0.5, quiet, quiet])
        segments = [(a + 0.3, b + 0.3, p) for a, b, p in segments_of(marks)]
        segments = [(0.0, 0.3, "sil"), *segments, (segments[-1][1], len(sound) / RATE, "sil")]
        out.add(sound, segments, voice, "clean", texts[k])
        if i % 3 == 0:
            out.add(augment.degrade(sound, pick), segments, voice, "degraded", texts[k])
    for _ in range(24):
        out.add(augment.no_speech(4 * RATE, pick), [(0.0, 4.0, "sil")], "flite/none", "nonspeech")
    return out


def recorded_trial(folder: Path, count: int, seed: int = 1) -> Trial:
    """Recordings with phones laid along them by some aligner: x.wav, x.TextGrid and, for the text, x.txt. Clean, every
    third degraded as well."""
    pick, out = np.random.default_rng(seed), Trial()
    paths = sorted(folder.glob("*.wav"))
    for i, k in enumerate(pick.permutation(len(paths))[:count]):
        path, words = paths[k], paths[k].with_suffix(".txt")
        phones = read_transcript(path.with_suffix(".TextGrid"))[0].phones
        sound = np.concatenate(list(Audio.open(path).blocks(rate=RATE)))
        segments = [(0.0, phones[0][0], "sil"), *phones, (phones[-1][1], len(sound) / RATE, "sil")]
        segments = [segment for segment in segments if segment[1] > segment[0]]
        text = words.read_text("utf-8").strip() if words.is_file() else ""
        out.add(sound, segments, "recorded/en", "clean", text)
        if i % 3 == 0:
            out.add(augment.degrade(sound, pick), segments, "recorded/en", "degraded", text)
    return out


def with_text(weights: dict) -> Callable[[str, str], LipSyncDriver]:
    """Drivers that are told what is said."""

    def make(voice: str, text: str) -> LipSyncDriver:
        return LipSyncDriver(weights=weights, transcript=text or None, language="en-us")

    return make


def talking(weights: dict) -> None:
    """Mouths of real clips against what their sound alone drives, each at its best lag within 120 ms."""
    from facemeasure import Faces, measures, video_frames

    from studio.media import Clip

    print("clip                      opening   lag ms   width   lag ms")
    means = []
    for name in TALKING:
        path = SHARED / "data" / "videos" / f"{name}.mp4"
        faces, seen = Faces(video=True), []
        for _, _, frame in video_frames(str(path)):
            points = faces.mesh(frame)
            found = measures(points) if points is not None else {}
            seen.append([found.get("mouth_open", np.nan), found.get("mouth_width", np.nan)])
        fps = Clip.open(path).fps
        weights_ = LipSyncDriver(weights=weights)(Audio.open(path), fps).weights
        take = lambda *shapes, w=weights_: np.sum([w[:, INDEX[shape]] for shape in shapes], 0)
        opened = take("jawOpen") - take("mouthClose") + 0.25 * take("mouthLowerDownLeft", "mouthUpperUpLeft")
        wide = take("mouthStretchLeft", "mouthSmileLeft") - take("mouthPucker") - 0.5 * take("mouthFunnel")
        row = [best_lag(np.array(seen)[:, k], curve, float(fps)) for k, curve in enumerate((opened, wide))]
        print(f"{name:24}  {row[0][0]:7.2f} {row[0][1]:8.0f} {row[1][0]:7.2f} {row[1][1]:8.0f}", flush=True)
        if name != UNSYNCED:
            means.append([row[0][0], row[1][0]])
    opening, width = np.mean(means, 0)
    print(f"mean without {UNSYNCED}: opening {opening:.2f}, width {width:.2f}; the other clips carry no speech\n")


def best_lag(real: np.ndarray, made: np.ndarray, fps: float, limit: float = 0.12) -> tuple[float, float]:
    """(correlation, lag in ms) of two curves where they agree best."""
    count, best = min(len(real), len(made)), (-1.0, 0.0)
    for lag in range(-int(limit * fps), int(limit * fps) + 1):
        a, b = real[max(0, -lag) : count - max(0, lag)], made[max(0, lag) : count - max(0, -lag)]
        good = np.isfinite(a)
        best = max(best, (float(np.corrcoef(a[good], b[good])[0, 1]), 1000 * lag / fps))
    return best


def ablation(corpus: Path, training: Path, steps: int, thin: int) -> None:
    """Short trainings on every `thin`th clip, each without something. What is left out has rows of its own."""
    from demos.speech_training.model import export
    from demos.train_speech import train

    clips = load(training)[::thin]
    for name, without, augmented in (
        ("all", "none", True),
        ("no augmentation", "none", False),
        ("without espeak-ng", "espeak", True),
        ("without Flite", "flite", True),
        ("without Festival", "festival", True),
    ):
        chosen = [clip for clip in clips if not clip[2].startswith(without)]
        net = train(chosen, steps=steps, versions=1, seed=0, augmented=augmented, report=lambda _: None)
        weights = {key: value.numpy() for key, value in export(net).items()}
        print(f"{name}, {steps} steps")
        trial(corpus, 90).score(lambda *_, w=weights: LipSyncDriver(weights=w), "state,family+", COLUMNS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, nargs="?", help="folder of held-out speech; spoken first where it is none")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--recorded", type=Path, metavar="FOLDER", help="people's recordings with their phones")
    parser.add_argument("--ablation", type=Path, metavar="TRAINING", help="folder of the training set")
    parser.add_argument("--steps", type=int, default=300, help="of each short training")
    parser.add_argument("--thin", type=int, default=4, metavar="N", help="short trainings use every Nth clip")
    args = parser.parse_args()
    sys.path.insert(0, str(SHARED / "judges"))
    if args.recorded:
        weights = load_weights(args.weights)
        people = recorded_trial(args.recorded, args.clips)
        print("from the sound alone")
        people.score(lambda *_: LipSyncDriver(weights=weights), "state", (*COLUMNS, "sil_move"))
        print("with the text")
        people.score(with_text(weights), "state", COLUMNS)
        return
    corpus = args.corpus or Path(tempfile.mkdtemp(prefix="speech-"))
    if not any(corpus.glob("*.npz")):
        build(corpus, HELD_OUT)
    if args.ablation:
        ablation(corpus, args.ablation, args.steps, args.thin)
        return
    weights = load_weights(args.weights)
    heard = trial(corpus, args.clips)
    print("from the sound alone")
    speed = heard.score(lambda *_: LipSyncDriver(weights=weights), "state,family+", (*COLUMNS, "sil_move"))
    print("from the sound alone, low latency (curves; the labels are those of full latency)")
    heard.score(lambda *_: LipSyncDriver(LipSyncSettings(latency="quick"), weights=weights), "state", COLUMNS)
    told = Trial()
    told.clips = [clip for clip in heard.clips if clip[2]["language"] == "en" and clip[4]]
    print("with the text, English")
    told.score(with_text(weights), "state", COLUMNS)
    print("by language, from the sound alone")
    clean = Trial()
    clean.clips = [clip for clip in trial(corpus, 10_000).clips if clip[2]["condition"] == "clean"]
    clean.score(lambda *_: LipSyncDriver(weights=weights), "language", COLUMNS)
    talking(weights)
    print(f"{speed:.0f} times real time on one core")


if __name__ == "__main__":
    main()
