"""Phone classes that the lip-sync network tells apart, and what each does to the lips.

The classes are IPA symbols shared by all languages; length, stress, tone and nasality are dropped, and
diphthongs are two vowels in a row. Visemes are the 15 of the Oculus Lipsync reference.
"""

from __future__ import annotations

from dataclasses import dataclass

VISEMES = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou")


@dataclass(frozen=True)
class Phone:
    """What the lips do in one phone class.

    viseme    its Oculus viseme.
    openness  0..1, of the lips in clear speech ('a' is .9).
    rounding  0..1, lips protruded and narrowed ('u' is 1).
    spread    0..1, corners drawn apart ('i' is 1).
    """

    viseme: str
    openness: float
    rounding: float = 0.0
    spread: float = 0.0


PHONES: dict[str, Phone] = {
    "sil": Phone("sil", 0.0),
    "p": Phone("PP", 0.0),
    "b": Phone("PP", 0.0),
    "m": Phone("PP", 0.0),
    "f": Phone("FF", 0.12),
    "v": Phone("FF", 0.12),
    "θ": Phone("TH", 0.2),
    "ð": Phone("TH", 0.2),
    "t": Phone("DD", 0.2, 0.0, 0.2),
    "d": Phone("DD", 0.2, 0.0, 0.2),
    "k": Phone("kk", 0.25),
    "ɡ": Phone("kk", 0.25),
    "x": Phone("kk", 0.25),
    "ŋ": Phone("kk", 0.25),
    "tʃ": Phone("CH", 0.2, 0.4),
    "dʒ": Phone("CH", 0.2, 0.4),
    "ʃ": Phone("CH", 0.2, 0.4),
    "ʒ": Phone("CH", 0.2, 0.4),
    "s": Phone("SS", 0.12, 0.0, 0.5),
    "z": Phone("SS", 0.12, 0.0, 0.5),
    "n": Phone("nn", 0.27, 0.0, 0.15),
    "l": Phone("nn", 0.27),
    "ɹ": Phone("RR", 0.35, 0.4),
    "r": Phone("RR", 0.35, 0.4),
    "j": Phone("ih", 0.3, 0.0, 0.8),
    "w": Phone("ou", 0.3, 1.0),
    "h": Phone("E", 0.5),
    "i": Phone("ih", 0.36, 0.0, 1.0),
    "ɪ": Phone("ih", 0.42, 0.0, 0.6),
    "y": Phone("ih", 0.34, 0.8),
    "e": Phone("E", 0.55, 0.0, 0.6),
    "ɛ": Phone("E", 0.65, 0.0, 0.4),
    "ø": Phone("oh", 0.5, 0.8),
    "ə": Phone("E", 0.5),
    "ɜ": Phone("RR", 0.42, 0.3),
    "æ": Phone("aa", 0.8, 0.0, 0.35),
    "a": Phone("aa", 0.9),
    "ɑ": Phone("aa", 0.9),
    "ʌ": Phone("aa", 0.75),
    "ɔ": Phone("oh", 0.68, 0.7),
    "o": Phone("oh", 0.6, 0.8),
    "ʊ": Phone("ou", 0.38, 0.85),
    "u": Phone("ou", 0.34, 1.0),
}

NAMES = tuple(PHONES)
INDEX = {name: i for i, name in enumerate(NAMES)}

ARPABET: dict[str, tuple[str, ...]] = {
    "aa": ("ɑ",), "ae": ("æ",), "ah": ("ʌ",), "ao": ("ɔ",), "aw": ("a", "ʊ"), "ax": ("ə",), "axr": ("ɜ",),
    "ay": ("a", "ɪ"), "b": ("b",), "ch": ("tʃ",), "d": ("d",), "dh": ("ð",), "dx": ("d",), "eh": ("ɛ",),
    "el": ("l",), "em": ("m",), "en": ("n",), "er": ("ɜ",), "ey": ("e", "ɪ"), "f": ("f",), "g": ("ɡ",), "hh": ("h",),
    "hv": ("h",), "ih": ("ɪ",), "ix": ("ɪ",), "iy": ("i",), "jh": ("dʒ",), "k": ("k",), "l": ("l",), "m": ("m",),
    "n": ("n",), "ng": ("ŋ",), "nx": ("n",), "ow": ("o", "ʊ"), "oy": ("ɔ", "ɪ"), "p": ("p",), "pau": ("sil",),
    "r": ("ɹ",), "s": ("s",), "sh": ("ʃ",), "sil": ("sil",), "sp": ("sil",), "t": ("t",), "th": ("θ",), "uh": ("ʊ",),
    "uw": ("u",), "v": ("v",), "w": ("w",), "y": ("j",), "z": ("z",), "zh": ("ʒ",),
}  # fmt: skip
"""ARPAbet (CMU dictionary, Festival and Flite; lower case, no stress digits) -> our classes."""

DIPHTHONG_SPLIT = {"aw": 0.6, "ay": 0.6, "ey": 0.5, "ow": 0.6, "oy": 0.6}
"""Share of a diphthong that its first vowel takes."""

_IPA: dict[str, str] = {
    # consonants
    "p": "p", "b": "b", "m": "m", "ɱ": "m", "ɸ": "f", "β": "v", "f": "f", "v": "v", "ʋ": "v", "θ": "θ", "ð": "ð",
    "t": "t", "d": "d", "ɾ": "d", "ʈ": "t", "ɖ": "d", "ɗ": "d", "ɓ": "b", "k": "k", "g": "ɡ", "ɡ": "ɡ", "q": "k",
    "ɢ": "ɡ", "c": "k", "ɟ": "ɡ",
    "ʔ": "",
    "x": "x", "χ": "x", "ɣ": "x", "ʁ": "x", "ç": "x", "ʝ": "j", "ħ": "x", "ʕ": "x", "ŋ": "ŋ", "ɴ": "ŋ", "ʃ": "ʃ",
    "ʒ": "ʒ", "ɕ": "ʃ", "ʑ": "ʒ", "ʂ": "ʃ", "ʐ": "ʒ", "s": "s", "z": "z", "ɬ": "l", "n": "n", "ɲ": "n", "ɳ": "n",
    "l": "l", "ɫ": "l", "ʎ": "l", "ɭ": "l", "ʟ": "l", "ɹ": "ɹ", "ɻ": "ɹ", "r": "r", "ʀ": "x", "ɽ": "r", "j": "j",
    "w": "w", "ʍ": "w", "ɥ": "y", "h": "h", "ɦ": "h", "ɰ": "x",
    # vowels
    "i": "i", "ɨ": "ɪ", "ɯ": "ɪ", "ɪ": "ɪ", "y": "y", "ʏ": "y", "e": "e", "ɛ": "ɛ", "ø": "ø", "œ": "ø", "ɵ": "ø",
    "ə": "ə", "ɘ": "ə", "ɤ": "ə", "ɜ": "ɜ", "ɝ": "ɜ", "ɚ": "ɜ", "ɞ": "ø", "æ": "æ", "a": "a", "ä": "a", "ɐ": "ʌ",
    "ɑ": "ɑ", "ɒ": "ɔ", "ʌ": "ʌ", "ɔ": "ɔ", "o": "o", "ʊ": "ʊ", "ʉ": "u", "u": "u", "ᵻ": "ɪ",
}  # fmt: skip
_AFFRICATES = {
    "tʃ": ("tʃ",),
    "dʒ": ("dʒ",),
    "tɕ": ("tʃ",),
    "dʑ": ("dʒ",),
    "ʈʂ": ("tʃ",),
    "ɖʐ": ("dʒ",),
    "ts": ("t", "s"),
    "dz": ("d", "z"),
}


def from_ipa(symbol: str) -> tuple[str, ...]:
    """Our classes of one IPA phone as synthesisers write it: diacritics dropped, diphthongs in two.

    An empty tuple means that the symbol has no lip shape of its own (stress marks, glottal stop).
    """
    plain = "".join(c for c in symbol if c in _IPA)
    found: list[str] = []
    at = 0
    while at < len(plain):
        if plain[at : at + 2] in _AFFRICATES:
            found += _AFFRICATES[plain[at : at + 2]]
            at += 2
            continue
        if _IPA[plain[at]]:
            found.append(_IPA[plain[at]])
        at += 1
    return tuple(found)


def from_arpabet(symbol: str) -> tuple[str, ...]:
    """Our classes of one ARPAbet phone (any case, stress digits allowed). Raises KeyError if unknown."""
    return ARPABET[symbol.lower().rstrip("012")]
