"""Synthesised speech with phone times from three synthesisers: espeak-ng, Flite and Festival.

Each yields `Utterance`s: mono float32 sound and phones with their start times. They are called as
programs or through their library, whichever gives phone times; none of their data is kept.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from controls.lipsync.phones import DIPHTHONG_SPLIT, from_arpabet, from_ipa
from studio.errors import MissingExtraError

Segment = tuple[float, float, str]  # start, end (seconds), phone class


@dataclass(frozen=True)
class Utterance:
    """samples float32 mono, rate in Hz, segments without gaps from 0 to the end."""

    samples: np.ndarray
    rate: int
    segments: list[Segment]
    voice: str
    language: str
    text: str


@dataclass(frozen=True)
class Manner:
    """How a voice is asked to speak: speed and pitch relative to its own."""

    speed: float = 1.0
    pitch: float = 1.0


def read_wave(path: Path) -> tuple[np.ndarray, int]:
    import soundfile

    samples, rate = soundfile.read(path, dtype="float32")
    return (samples if samples.ndim == 1 else samples.mean(1)), rate


def split(start: float, end: float, classes: tuple[str, ...], first: float = 0.5) -> list[Segment]:
    """One synthesiser's phone as segments of our classes (two halves for a diphthong or affricate)."""
    if len(classes) == 1:
        return [(start, end, classes[0])]
    if len(classes) == 2:
        middle = start + (end - start) * first
        return [(start, middle, classes[0]), (middle, end, classes[1])]
    edges = np.linspace(start, end, len(classes) + 1)
    return [(float(a), float(b), c) for a, b, c in zip(edges, edges[1:], classes, strict=False)]


def tidy(segments: list[Segment], duration: float) -> list[Segment]:
    """Closes gaps, drops empty phones, and gives the silence before a stop's burst to the stop."""
    kept: list[Segment] = []
    for start, end, phone in segments:
        start, end = max(0.0, start), min(end, duration)
        if end - start > 1e-4:
            kept.append((kept[-1][1] if kept else 0.0, end, phone))
    if not kept:
        return [(0.0, duration, "sil")]
    if kept[-1][1] < duration:
        kept.append((kept[-1][1], duration, "sil"))
    joined: list[Segment] = []
    for start, end, phone in kept:
        stop = phone in ("p", "b", "t", "d", "k", "ɡ", "tʃ", "dʒ")
        if stop and len(joined) > 1 and joined[-1][2] == "sil" and joined[-1][1] - joined[-1][0] < 0.12:
            start = joined.pop()[0]
        if joined and joined[-1][2] == phone:
            start = joined.pop()[0]
        joined.append((start, end, phone))
    return joined


# ---- espeak-ng: its library tells each phone's start -------------------------------------------------


class _Event(ctypes.Structure):
    class _Id(ctypes.Union):
        _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_EVENT_LIST_END, _EVENT_PHONEME = 0, 7
_RATE, _PITCH = 1, 3


class Espeak:
    """The espeak-ng library (speak_lib.h) in retrieval mode with phoneme events in IPA."""

    def __init__(self) -> None:
        try:
            self.library = ctypes.CDLL("libespeak-ng.so.1")
        except OSError as error:
            raise MissingExtraError("libespeak-ng is not installed. Run: apt-get install espeak-ng") from error
        self.rate = self.library.espeak_Initialize(1, 0, None, 3)  # retrieval; phoneme events as IPA
        self._sound: list[np.ndarray] = []
        self._phones: list[tuple[float, str]] = []
        self._callback = _CALLBACK(self._receive)
        self.library.espeak_SetSynthCallback(self._callback)

    def _receive(self, sound, count, events) -> int:
        if count > 0:
            self._sound.append(np.ctypeslib.as_array(sound, (count,)).copy())
        at = 0
        while events[at].type != _EVENT_LIST_END:
            if events[at].type == _EVENT_PHONEME:
                name = bytes(events[at].id.string).split(b"\0")[0].decode("utf-8", "ignore")
                self._phones.append((events[at].sample / self.rate, name))
            at += 1
        return 0

    def speak(self, text: str, voice: str, manner: Manner = Manner()) -> Utterance:
        """`voice` as espeak-ng names it: 'en-us+f3', 'de+m2'."""
        self._sound, self._phones = [], []
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        self.library.espeak_SetParameter(_RATE, int(165 * manner.speed), 0)
        self.library.espeak_SetParameter(_PITCH, int(np.clip(50 * manner.pitch, 5, 99)), 0)
        data = text.encode()
        self.library.espeak_Synth(data, len(data) + 1, 0, 1, 0, 1, None, None)
        self.library.espeak_Synchronize()
        samples = np.concatenate(self._sound).astype(np.float32) / 32768 if self._sound else np.zeros(0, np.float32)
        duration = len(samples) / self.rate
        segments: list[Segment] = []
        times = [start for start, _ in self._phones] + [duration]
        for (start, name), end in zip(self._phones, times[1:], strict=False):
            classes = from_ipa(name)
            if not classes:  # pauses carry no letters; stress marks no time
                classes = ("sil",) if name.strip("ˈˌː ") in ("", "_", "_:") else ()
            if classes:
                segments += split(start, end, classes, 0.55)
        return Utterance(samples, self.rate, tidy(segments, duration), f"espeak/{voice}", voice.split("+")[0], text)


# ---- Flite: prints each phone's end ------------------------------------------------------------------


def flite(text: str, voice: str, manner: Manner = Manner()) -> Utterance:
    """One of Flite's voices: kal16, awb, rms, slt."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        run = subprocess.run(
            ["flite", "-voice", voice, "--setf", f"duration_stretch={1 / manner.speed:.3f}", "-psdur", text, str(path)],
            capture_output=True,
            text=True,
            check=True,
        )
        samples, rate = read_wave(path)
    segments: list[Segment] = []
    start = 0.0
    for item in run.stdout.split():
        name, _, end = item.rpartition(":")
        segments += split(start, float(end), from_arpabet(name), DIPHTHONG_SPLIT.get(name, 0.5))
        start = float(end)
    return Utterance(samples, rate, tidy(segments, len(samples) / rate), f"flite/{voice}", "en", text)


# ---- Festival: saves label files -------------------------------------------------------------------

FESTIVAL = {  # voice: (language, encoding of its text)
    "kal_diphone": ("en", "ascii"),
    "ked_diphone": ("en", "ascii"),
    "cmu_us_slt_arctic_hts": ("en", "ascii"),
    "lp_diphone": ("it", "latin-1"),
    "pc_diphone": ("it", "latin-1"),
    "czech_dita": ("cs", "iso-8859-2"),
    "czech_machac": ("cs", "iso-8859-2"),
    "czech_ph": ("cs", "iso-8859-2"),
    "czech_krb": ("cs", "iso-8859-2"),
    "hy_fi_mv_diphone": ("fi", "latin-1"),
    "suo_fi_lj_diphone": ("fi", "latin-1"),
    "msu_ru_nsh_clunits": ("ru", "utf-8"),
    "upc_ca_ona_hts": ("ca", "latin-1"),
    "hindi_NSK_diphone": ("hi", "utf-8"),
}

_FESTIVAL_PHONES: dict[str, dict[str, str]] = {  # symbols that are not plain IPA letters, as IPA
    "it": {"tS": "tʃ", "dZ": "dʒ", "S": "ʃ", "J": "ɲ", "L": "ʎ", "E": "ɛ", "O": "ɔ", "ng": "ŋ", "nf": "m", "SS": "ʃ"},
    "cs": {
        "c~": "tʃ", "dz~": "dʒ", "s~": "ʃ", "z~": "ʒ", "r~": "ʒ", "r~*": "ʃ", "n~": "ɲ", "t~": "c", "d~": "ɟ",
        "ch": "x", "c": "ts", "n*": "ŋ", "h": "ɦ",
        "_": "",
        "dz": "dz",
        "e": "ɛ",
    },
    "fi": {"@": "æ", "7": "ø", "N": "ŋ", "D": "d", "G": "ɡ", "v": "ʋ", "S": "ʃ", "a": "ɑ"},
    "ru": {"sch": "ɕ", "sh": "ʂ", "zh": "ʐ", "ch": "tɕ", "c": "ts", "y": "ɨ", "kh": "x", "h": "x"},
    "ca": {
        "S": "ʃ", "Z": "ʒ", "J": "ɲ", "L": "ʎ", "E": "ɛ", "O": "ɔ", "ax": "ə", "rr": "r", "r": "ɾ", "B": "β",
        "D": "ð", "G": "ɣ", "N": "ŋ", "tS": "tʃ", "dZ": "dʒ", "uw": "w", "iy": "j", "y": "j",
    },
    "hi": {
        "aa": "a", "a": "ə", "ii": "i", "i": "ɪ", "uu": "u", "u": "ʊ", "ee": "e", "e": "ɛ", "oo": "o", "ai": "ɛ",
        "au": "ɔ", "ch": "tʃ", "chh": "tʃ", "j": "dʒ", "jh": "dʒ", "sh": "ʃ", "y": "j", "ng": "ŋ", "nj": "ɲ",
        "bh": "b", "ph": "f", "th": "t", "dh": "d", "kh": "k", "gh": "ɡ", "tt": "t", "dd": "d", "nn": "n",
    },
}  # fmt: skip


def _festival_classes(symbol: str, language: str) -> tuple[str, ...]:
    plain = symbol.rstrip("0123456789:") or symbol
    if symbol in ("pau", "#", "_:", "sil") or plain in ("pau", "#", "ssil"):
        return ("sil",)
    if language == "en":
        return from_arpabet(plain)
    table = _FESTIVAL_PHONES[language]
    plain = symbol if symbol in table else plain
    if plain not in table and language == "ru" and len(plain) == 2 and plain[0] == plain[1]:
        plain = plain[0]  # a doubled letter is a soft consonant or a stressed vowel
    return from_ipa(table.get(plain, plain))


def festival(texts: list[str], voice: str, manner: Manner = Manner()) -> Iterator[Utterance]:
    """Many texts in one run of Festival; those that it can't speak are left out."""
    if shutil.which("festival") is None:
        raise MissingExtraError("festival is not installed. Run: apt-get install festival")
    language, encoding = FESTIVAL[voice]
    with tempfile.TemporaryDirectory() as folder:
        lines = [f"(voice_{voice})", f"(Parameter.set 'Duration_Stretch {1 / manner.speed:.3f})"]
        for number, text in enumerate(texts):
            safe = text.replace("\\", "").replace('"', "")
            lines.append(
                f'(unwind-protect (begin (set! u (utt.synth (Utterance Text "{safe}"))) '
                f'(utt.save.wave u "{folder}/{number}.wav" \'riff) (utt.save.segs u "{folder}/{number}.lab")) nil)'
            )
        script = Path(folder) / "speak.scm"
        script.write_bytes("\n".join(lines).encode(encoding, "ignore"))
        subprocess.run(["festival", "-b", str(script)], capture_output=True, check=False, timeout=900)
        for number, text in enumerate(texts):
            sound, labels = Path(folder) / f"{number}.wav", Path(folder) / f"{number}.lab"
            if not (sound.exists() and labels.exists()):
                continue
            samples, rate = read_wave(sound)
            segments: list[Segment] = []
            start = 0.0
            for line in labels.read_text("latin-1").splitlines():
                fields = line.split()
                if len(fields) < 3 or fields[0] == "#":
                    continue
                classes = _festival_classes(fields[2], language)
                first = DIPHTHONG_SPLIT.get(fields[2], 0.5) if language == "en" else 0.5
                if classes:
                    segments += split(start, float(fields[0]), classes, first)
                start = float(fields[0])
            if len(samples) > rate // 4:
                yield Utterance(samples, rate, tidy(segments, len(samples) / rate), f"festival/{voice}", language, text)
