"""Typed words as speech, by espeak-ng where it is installed on this computer."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from studio.errors import MediaError, MissingExtraError, UsageError

COMMAND = "espeak-ng"
FIRST = ("en-us", "en-gb", "de", "fr-fr", "es", "it", "pt", "nl", "pl", "ru", "cmn", "ja", "hi", "ar")
"""Languages at the top of the list."""


@lru_cache(maxsize=1)
def voices() -> dict[str, str]:
    """{name of a voice: its language in words}, the common ones first; empty where nothing speaks."""
    if shutil.which(COMMAND) is None:
        return {}
    done = subprocess.run([COMMAND, "--voices"], capture_output=True, text=True, timeout=20)
    found = {}
    for line in done.stdout.splitlines()[1:]:
        columns = line.split()
        if len(columns) >= 4 and re.fullmatch(r"[a-z]{2,3}(-[a-z0-9-]+)?", columns[1]):
            found.setdefault(columns[1], columns[3].replace("_", " "))
    first = {name: found[name] for name in FIRST if name in found}
    return first | dict(sorted(found.items(), key=lambda item: item[1]))


def speak(text: str, path: Path, voice: str = "en-us") -> Path:
    """Writes a WAV with the words of `text`. Raises UsageError, MissingExtraError."""
    if not voices():
        raise MissingExtraError(f"{COMMAND} speaks typed words and is not installed. Run: apt-get install {COMMAND}")
    if voice not in voices():
        raise UsageError(f"no voice {voice!r}; choose one of the list")
    if not re.search(r"\w", text):
        raise UsageError("there is no word in the text")
    words = [COMMAND, "-v", voice, "-s", "160", "-w", str(path), "--stdin"]
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=120)
    if done.returncode or not path.is_file() or path.stat().st_size < 1000:
        raise MediaError(f"{COMMAND} could not speak this: {done.stderr.strip() or 'it made no sound'}")
    return path
