"""The training set on disk: a folder of .npz shards of spoken clips at 16 kHz with labels every 10 ms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from controls.lipsync.mel import HOP, RATE, WINDOW
from controls.lipsync.phones import INDEX
from demos.speech_training.texts import Texts
from demos.speech_training.voices import Espeak, Manner, Utterance, festival, flite

ESPEAK_ENGLISH = tuple(
    f"gmw/en{accent}" for accent in ("-US", "", "-GB-scotland", "-GB-x-rp", "-029", "-GB-x-gbclan", "-GB-x-gbcwmd")
)
VARIANTS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5", "klatt2", "klatt4", "croak")
ESPEAK_OTHERS = {
    "gmw/de": "de",
    "roa/es": "es",
    "sit/cmn-Latn-pinyin": "zh",
    "inc/hi": "hi",
    "sem/ar": "ar",
    "roa/fr": "fr",
    "roa/it": "it",
    "zle/ru": "ru",
    "roa/pt-BR": "pt",
    "zlw/pl": "pl",
    "trk/tr": "tr",
    "gmw/nl": "nl",
}
FLITE = ("kal16", "awb", "rms", "slt")


@dataclass(frozen=True)
class Plan:
    """Minutes of speech per source. English recordings lead, espeak-ng is about a third."""

    espeak_english: float = 45.0
    espeak_others: float = 40.0
    flite: float = 100.0
    festival_english: float = 75.0
    festival_others: float = 30.0
    seed: int = 0


def labels(segments: list[tuple[float, float, str]], frames: int) -> np.ndarray:
    """(frames,) int16 phone classes at the middle of each 25 ms frame."""
    middles = (np.arange(frames) * HOP + WINDOW / 2) / RATE
    ends = np.array([end for _, end, _ in segments])
    which = np.minimum(np.searchsorted(ends, middles, side="right"), len(segments) - 1)
    classes = np.array([INDEX[phone] for _, _, phone in segments], np.int16)
    return classes[which]


def to_rate(samples: np.ndarray, rate: int) -> np.ndarray:
    if rate == RATE:
        return samples
    from math import gcd

    from scipy.signal import resample_poly

    common = gcd(rate, RATE)
    return resample_poly(samples, RATE // common, rate // common).astype(np.float32)


def speak(plan: Plan) -> Iterator[Utterance]:
    """All utterances of a plan, source by source."""
    pick = np.random.default_rng(plan.seed)

    def manner(spread: float = 0.18) -> Manner:
        return Manner(float(np.exp(pick.normal(0, spread))), float(np.exp(pick.normal(0, 0.3))))

    def until(minutes: float, make) -> Iterator[Utterance]:
        seconds = 0.0
        while seconds < 60 * minutes:
            for spoken in make():
                if len(spoken.samples) > spoken.rate // 2:
                    seconds += len(spoken.samples) / spoken.rate
                    yield spoken

    espeak = Espeak()
    texts = {name: Texts(name, pick) for name in {"en", *ESPEAK_OTHERS.values(), "cs", "fi", "ca", "it", "ru", "hi"}}

    def espeak_english() -> list[Utterance]:
        voice = f"{ESPEAK_ENGLISH[pick.integers(len(ESPEAK_ENGLISH))]}+{VARIANTS[pick.integers(len(VARIANTS))]}"
        return [espeak.speak(texts["en"](), voice, manner(0.25))]

    def espeak_other() -> list[Utterance]:
        voice, language = list(ESPEAK_OTHERS.items())[pick.integers(len(ESPEAK_OTHERS))]
        return [espeak.speak(texts[language](), f"{voice}+{VARIANTS[pick.integers(len(VARIANTS))]}", manner(0.2))]

    yield from until(plan.espeak_english, espeak_english)
    yield from until(plan.espeak_others, espeak_other)
    for voice in FLITE:
        yield from until(plan.flite / len(FLITE), lambda voice=voice: [flite(texts["en"](), voice, manner())])
    for voice in ("kal_diphone", "ked_diphone", "cmu_us_slt_arctic_hts"):
        yield from until(
            plan.festival_english / 3,
            lambda voice=voice: list(festival([texts["en"]() for _ in range(40)], voice, manner())),
        )
    from demos.speech_training.voices import FESTIVAL

    others = [name for name, (language, _) in FESTIVAL.items() if language != "en"]
    for voice in others:
        language = FESTIVAL[voice][0]
        yield from until(
            plan.festival_others / len(others),
            lambda voice=voice, language=language: list(
                festival([texts[language]() for _ in range(20)], voice, manner())
            ),
        )


def write(folder: Path, clips: Iterable[tuple[np.ndarray, np.ndarray, str, str]]) -> dict[str, float]:
    """Stores clips (samples at 16 kHz, labels, voice, text) in shards; returns seconds per voice."""
    folder.mkdir(parents=True, exist_ok=True)
    shard: list[tuple[np.ndarray, np.ndarray, str, str]] = []
    seconds: dict[str, float] = {}
    number = len(list(folder.glob("*.npz")))

    def store() -> None:
        nonlocal number, shard
        sounds, marks, voices, texts = zip(*shard, strict=True)
        np.savez(
            folder / f"{number:03d}.npz",
            sounds=np.concatenate([(sound * 32767).astype(np.int16) for sound in sounds]),
            labels=np.concatenate(marks),
            lengths=np.array([len(sound) for sound in sounds]),
            counts=np.array([len(mark) for mark in marks]),
            voices=np.array(voices),
            texts=np.array(texts),
        )
        number, shard = number + 1, []

    for clip in clips:
        shard.append(clip)
        name = clip[2].split("+")[0]
        seconds[name] = seconds.get(name, 0.0) + len(clip[0]) / RATE
        if len(shard) == 200:
            store()
    if shard:
        store()
    return seconds


def levelled(samples: np.ndarray) -> np.ndarray | None:
    """Peaks at .7; None for what is silent or shorter than a third of a second."""
    top = float(np.abs(samples).max()) if len(samples) else 0.0
    if top < 0.01 or (len(samples) - WINDOW) // HOP + 1 < 30:
        return None
    return samples * (0.7 / top)


def build(folder: Path, plan: Plan) -> dict[str, float]:
    """Speaks a plan into `folder`; returns seconds per voice. Silent and tiny clips are left out."""

    def clips() -> Iterator[tuple[np.ndarray, np.ndarray, str, str]]:
        for spoken in speak(plan):
            samples = levelled(to_rate(spoken.samples, spoken.rate))
            if samples is not None:
                frames = (len(samples) - WINDOW) // HOP + 1
                yield samples, labels(spoken.segments, frames), spoken.voice, spoken.text

    return write(folder, clips())


def load(folder: Path) -> list[tuple[np.ndarray, np.ndarray, str]]:
    """(samples float32, labels int16, voice) of every clip."""
    clips = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            sounds, marks = data["sounds"], data["labels"]
            at, mark = 0, 0
            for length, count, voice in zip(data["lengths"], data["counts"], data["voices"], strict=True):
                clips.append(
                    (sounds[at : at + length].astype(np.float32) / 32767, marks[mark : mark + count], str(voice))
                )
                at, mark = at + length, mark + count
    return clips


def load_texts(folder: Path) -> list[str]:
    """What was said in each clip of `load`, in the same order."""
    texts: list[str] = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            texts += [str(text) for text in data["texts"]]
    return texts
