"""What was said, where it is known: text, subtitles or a TextGrid, laid along the sound."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from controls.lipsync.curves import lip_curves
from controls.lipsync.decode import text_path, without_short_pauses
from controls.lipsync.lips import FIRST_TIME, RATE_HZ, TO_VISEME, Lips
from controls.lipsync.phones import INDEX, VISEMES, from_arpabet, from_ipa
from controls.lipsync.pronounce import pronounce
from studio.errors import MediaError, UsageError

SHORT_PAUSE = 12
"""Frames of 10 ms below which a pause between words is none."""
_MARGIN = 0.25  # seconds by which subtitles may be early or late
_BLEND = np.hanning(9)[1:-1].astype(np.float32) / np.hanning(9)[1:-1].sum()  # 70 ms: lips move from shape to shape
_SURE = 0.9  # of a phone that the text says


@dataclass(frozen=True)
class Part:
    """Words between two times (seconds); None where it is not known. phones: the segments, if the file has them."""

    text: str
    start: float | None = None
    end: float | None = None
    phones: tuple[tuple[float, float, str], ...] = ()


def read_transcript(source: str | os.PathLike[str]) -> list[Part]:
    """A .txt, .srt, .vtt or .TextGrid file, or the text itself.

    Raises MediaError for a file that can't be read as what its ending says, UsageError for an empty text.
    """
    ending = Path(source).suffix.lower() if len(str(source)) < 1000 and "\n" not in str(source) else ""
    if isinstance(source, os.PathLike) or ending in (".txt", ".srt", ".vtt", ".textgrid"):
        path = Path(source)
        if not path.is_file():
            raise MediaError(f"{path}: no such transcript")
        data = path.read_bytes()
        wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")  # Praat writes UTF-16 where a label is not ASCII
        text = data.decode("utf-16" if wide else "utf-8-sig", errors="replace")
        readers = {".srt": _subtitles, ".vtt": _subtitles, ".textgrid": _textgrid}
        parts = readers.get(path.suffix.lower(), lambda text: [Part(text)])(text)
        if not parts:
            raise MediaError(f"{path}: no words in it")
    else:
        parts = [Part(str(source))]
    if not any(part.text.strip() or part.phones for part in parts):
        raise UsageError("the transcript is empty")
    return parts


_TIMES = re.compile(r"(?:(\d+):)?(\d+):(\d+)[.,](\d+)\s*-->\s*(?:(\d+):)?(\d+):(\d+)[.,](\d+)")


def _subtitles(text: str) -> list[Part]:
    """SubRip or WebVTT."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        found = _TIMES.search(paragraph)
        if not found:
            continue
        h, m, s, f, h2, m2, s2, f2 = found.groups()
        seconds = lambda h, m, s, f: int(h or 0) * 3600 + int(m) * 60 + int(s) + float(f"0.{f}")
        words = paragraph[found.end() :].split("\n", 1)
        said = re.sub(
            r"<[^>]*>|\{[^}]*\}|\[[^\]]*\]|^\s*-", " ", words[1] if len(words) > 1 else "", flags=re.MULTILINE
        )
        if said.strip():
            parts.append(Part(said.strip(), seconds(h, m, s, f), seconds(h2, m2, s2, f2)))
    return parts


_INTERVAL = re.compile(r'xmin\s*=\s*([\d.]+)\s+xmax\s*=\s*([\d.]+)\s+text\s*=\s*"((?:[^"]|"")*)"')
_PAUSES = ("", "sil", "sp", "spn", "pau", "#", "<p:>", "noise", "<sil>")


def _textgrid(text: str) -> list[Part]:
    """A Praat TextGrid in its long form: its tier of phones as it stands, else its words."""
    tiers = {}
    for tier in re.split(r"item\s*\[\d+\]\s*:", text)[1:]:
        name = re.search(r'name\s*=\s*"(.*?)"', tier)
        tiers[name.group(1).lower() if name else ""] = [(float(a), float(b), c) for a, b, c in _INTERVAL.findall(tier)]
    for name, rows in tiers.items():
        if "phon" in name or name in ("segments", "mau"):
            segments = tuple(s for a, b, label in rows for s in _phones_of(a, b, label))
            if any(phone != "sil" for *_, phone in segments):
                return [Part("", segments[0][0], segments[-1][1], segments)]
    for name, rows in sorted(tiers.items(), key=lambda tier: "word" not in tier[0]):
        words = [(a, b, label) for a, b, label in rows if label.strip().lower() not in _PAUSES]
        if words and ("word" in name or len(tiers) == 1 or any(" " in label for *_, label in words)):
            return [Part(label, a, b) for a, b, label in words]
    return []


def _phones_of(start: float, end: float, label: str) -> list[tuple[float, float, str]]:
    if label.strip().lower() in _PAUSES:
        return [(start, end, "sil")]
    try:
        classes = from_arpabet(label)
    except KeyError:
        classes = from_ipa(label)
    edges = np.linspace(start, end, len(classes) + 1)
    return [(float(a), float(b), c) for a, b, c in zip(edges, edges[1:], classes, strict=False)]


def align(logs: np.ndarray, parts: Sequence[Part], language: str = "en-us") -> np.ndarray:
    """(n, phones) log-probabilities every 10 ms -> (n,) phone classes along the transcript.

    Subtitles and words with times are laid within those times, give or take a quarter of a second. Outside
    of all parts there is silence.
    """
    path = np.full(len(logs), INDEX["sil"])
    frame = lambda seconds: round((seconds - FIRST_TIME) * RATE_HZ)
    if all(part.start is None for part in parts):
        parts = [Part(" ".join(part.text for part in parts))]
    for group in _joined(parts):
        if group.phones:
            for start, end, phone in group.phones:
                path[max(0, frame(start)) : max(0, frame(end))] = INDEX[phone]
            continue
        a = 0 if group.start is None else max(0, frame(group.start - _MARGIN))
        b = len(logs) if group.end is None else min(len(logs), frame(group.end + _MARGIN))
        words = [[INDEX[phone] for phone in word] for word in pronounce(group.text, language)]
        if words and b - a > 1:
            found = text_path(logs[a:b], words, INDEX["sil"])
            path[a:b] = np.where(found == INDEX["sil"], path[a:b], found)
    return without_short_pauses(path, logs, SHORT_PAUSE, known=True)


def _joined(parts: Iterable[Part]) -> list[Part]:
    """Parts that follow each other at once are laid along the sound together: their border is not exact."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        near = last and last.end is not None and part.start is not None and part.start - last.end < 2 * _MARGIN
        if last and near and not part.phones and not last.phones and part.start - (last.start or 0) < 30:  # type: ignore[operator]
            joined[-1] = Part(f"{last.text} {part.text}", last.start, part.end)
        else:
            joined.append(part)
    return joined


def lips_along(path: np.ndarray, heard: Lips) -> Lips:
    """The lips of known phones (n,), with loudness and speech as they were heard."""
    count = min(len(path), len(heard))
    path = path[:count]
    curves = lip_curves(path)
    sure = np.full((count, heard.phones.shape[1]), (1 - _SURE) / (heard.phones.shape[1] - 1), np.float32)
    sure[np.arange(count), path] = _SURE
    sharp = TO_VISEME[path]
    padded = np.pad(sharp, ((len(_BLEND) // 2,) * 2, (0, 0)), mode="edge")
    visemes = sum(w * padded[i : i + count] for i, w in enumerate(_BLEND))
    return Lips(
        heard.start,
        visemes,
        np.log(sure),
        curves[:, 0],
        curves[:, 1],
        curves[:, 2],
        sharp[:, VISEMES.index("PP")] > 0.5,
        path != INDEX["sil"],
        heard.loudness[:count],
        heard.effort[:count],
    )
