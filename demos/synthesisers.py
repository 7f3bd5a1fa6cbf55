"""Two speech synthesisers that say when each phone ends: Flite and espeak-ng, both installed by apt."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import wave
from pathlib import Path
from typing import NamedTuple

import numpy as np

from studio.errors import MissingExtraError


class Spoken(NamedTuple):
    """samples mono float32; rate in Hz; ends: (seconds, phone in lower-case ARPAbet, "pau" for a pause)."""

    samples: np.ndarray
    rate: int
    ends: list[tuple[float, str]]


def flite(text: str, voice: str = "slt", speed: float = 1.0) -> Spoken:
    """`voice`: slt, awb, rms, kal16."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        command = ["flite", "-voice", voice, "--setf", f"duration_stretch={1 / speed:.3f}", "-psdur", text, str(path)]
        try:
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except FileNotFoundError as error:
            raise MissingExtraError("flite is not installed. Run: apt-get install flite") from error
        with wave.open(str(path)) as file:
            rate, data = file.getframerate(), file.readframes(file.getnframes())
    ends = [(float(item.rpartition(":")[2]), item.rpartition(":")[0]) for item in told.split()]
    return Spoken(np.frombuffer(data, np.int16).astype(np.float32) / 32768, rate, ends)


_IPA = {
    **{letter: letter for letter in "pbmfvtdnlszkgrw"},
    **{"ɡ": "g", "j": "y", "ɹ": "r", "ɾ": "d", "ʁ": "k", "ɣ": "g", "x": "k", "ç": "k", "h": "hh", "ŋ": "ng", "ɲ": "n"},
    **{"θ": "th", "ð": "dh", "ʃ": "sh", "ʒ": "zh", "ɕ": "sh", "ʂ": "sh", "ʐ": "zh", "ʎ": "l", "ɫ": "l", "β": "v"},
    **{"i": "iy", "ɪ": "ih", "ɨ": "ih", "e": "ey", "ɛ": "eh", "æ": "ae", "a": "aa", "ɑ": "aa", "ɐ": "ah", "ʌ": "ah"},
    **{"ə": "ax", "ɜ": "er", "ɚ": "er", "ɔ": "ao", "ɒ": "ao", "o": "ow", "ʊ": "uh", "u": "uw", "ʉ": "uw"},
    **{"y": "ue", "ʏ": "ue", "ø": "oe", "œ": "oe"},
}


_STOPS = ("p", "b", "t", "d", "k", "g")


class _Event(ctypes.Structure):  # espeak_EVENT of speak_lib.h
    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


_HEAR = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_END, _PHONE, _RATE, _PITCH = 0, 7, 1, 3
_RETRIEVE, _PHONES_AS_IPA = 1, 3


class Espeak:
    """The espeak-ng library (speak_lib.h), which tells the start of each phone."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL("libespeak-ng.so.1")
        except OSError as error:
            raise MissingExtraError("espeak-ng is not installed. Run: apt-get install espeak-ng") from error
        self._rate = self._library.espeak_Initialize(_RETRIEVE, 0, None, _PHONES_AS_IPA)
        self._sound: list[np.ndarray] = []
        self._starts: list[tuple[float, str]] = []
        self._hear = _HEAR(self._receive)
        self._library.espeak_SetSynthCallback(self._hear)

    def _receive(self, sound, count, events) -> int:
        if count > 0:
            self._sound.append(np.ctypeslib.as_array(sound, (count,)).copy())
        at = 0
        while events[at].type != _END:
            if events[at].type == _PHONE:
                self._starts.append((events[at].sample / self._rate, events[at].name.decode("utf-8", "ignore")))
            at += 1
        return 0

    def speak(self, text: str, voice: str = "en-us", speed: float = 1.0, pitch: float = 1.0) -> Spoken:
        """`voice` as espeak-ng names it, such as "en-us+f3" or "de+m2"."""
        self._sound, self._starts = [], []
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        self._library.espeak_SetParameter(_RATE, round(165 * speed), 0)
        self._library.espeak_SetParameter(_PITCH, int(np.clip(50 * pitch, 5, 99)), 0)
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, 1, None, None)
        self._library.espeak_Synchronize()
        samples = np.concatenate(self._sound).astype(np.float32) / 32768
        ends: list[tuple[float, str]] = []
        edges = [start for start, _ in self._starts[1:]] + [len(samples) / self._rate]
        for (start, name), end in zip(self._starts, edges, strict=True):
            phones = [_IPA[letter] for letter in name if letter in _IPA] or ["pau"]
            pause = len(ends) > 1 and ends[-1][1] == "pau" and ends[-1][0] - ends[-2][0]
            if phones[0] in _STOPS and pause and pause < 0.12:
                ends.pop()  # the silence before a burst belongs to the stop
            ends += [(start + (end - start) * (i + 1) / len(phones), phone) for i, phone in enumerate(phones)]
        return Spoken(samples, self._rate, ends)
