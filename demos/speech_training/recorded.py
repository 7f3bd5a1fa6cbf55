"""People's recorded speech for the training set: what they say is known, when is found by a network trained before.

    python -m demos.speech_training.recorded recorded/

reads what Debian packages hold: the dialogues of Flight of the Amazon Queen (flight-of-the-amazon-queen: actors,
English) and of Fish Fillets (fillets-ng-data, -cs and -nl: actors, Czech and Dutch), and the spoken captions of Tux
Paint's stamps (tuxpaint-stamps-default: one voice for each language). The text is laid along each clip with the network
that ships; clips that don't sound like their text (effects, other words) are left out. Needs espeak-ng.

    python -m demos.speech_training.recorded heldout/ --held-out

the game's characters that no training hears.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from controls.lipsync.lips import LipReader
from controls.lipsync.mel import HOP, RATE, WINDOW, log_mel
from controls.lipsync.network import LipNetwork
from controls.lipsync.phones import INDEX
from controls.lipsync.transcript import Part, align
from demos.speech_training.corpus import levelled, write
from demos.speech_training.queen import Voiced, dialogues
from studio.errors import MediaError
from studio.media import Audio

WORST = -2.4
"""Mean log-probability of the speech frames' phones below which a clip does not say its text."""

ROOM = 0.25
"""Of the way from the room's loudness to the speech's (nepers): below, nobody speaks."""

_LINE = re.compile(r'dialogId\("([^"]+)"[^\n]*\n\s*dialogStr\("((?:[^"\\]|\\.)*)"\)')


def fillets(root: Path, language: str) -> Iterator[tuple[Path, str]]:
    """(sound, text) of every spoken line of the game in a language: cs or nl."""
    said = {}
    for path in sorted(root.glob(f"script/**/*dialogs_{language}.lua")):
        said.update(_LINE.findall(path.read_text("utf-8", errors="replace")))
    for path in sorted(root.glob(f"sound/**/{language}/*.ogg")):
        text = said.get(path.stem, "").strip()
        if text:
            yield path, text


def stamps(root: Path, language: str) -> Iterator[tuple[Path, str]]:
    """(sound, caption) of every stamp that has a voice in a language."""
    for path in sorted(root.glob(f"stamps/**/*_desc_{language}.ogg")):
        captions = path.with_name(path.name.replace(f"_desc_{language}.ogg", ".txt"))
        if captions.is_file():
            found = re.search(rf"^{language}\.utf8=(.+)$", captions.read_text("utf-8", errors="replace"), re.MULTILINE)
            if found and not re.search(r"[\d$]", found[1]):  # how numbers are read is not sure
                yield path, found[1].strip()


HELD_OUT = ("witch", "bud", "frank", "henry", "lola", "zombie")
"""Characters of the game that are kept to measure with; no training hears them."""


def queen(root: Path, language: str) -> Iterator[tuple[Voiced, str]]:
    """(sound, text) of the game's English dialogues; language "held-out": of the characters in `HELD_OUT` alone."""
    for voiced, text in dialogues(root / "queen.1c"):
        if language == ("held-out" if voiced.speaker in HELD_OUT else "en-us"):
            yield voiced, text


def label(samples: np.ndarray, text: str, language: str) -> tuple[np.ndarray, float]:
    """Phone classes every 10 ms along the text, and the mean log-probability of those that are speech."""
    heard = LipReader(LipNetwork()).feed(samples, last=True)
    path = align(heard.phones, [Part(text)], language)[: (len(samples) - WINDOW) // HOP + 1]
    logs = heard.phones[np.arange(len(path)), path][path != INDEX["sil"]]
    return hushed(path.astype(np.int16), samples), float(logs.mean()) if len(logs) else -np.inf


def hushed(marks: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Labels with silence where nothing but the room is heard: before, after, and for 150 ms or longer in between. The
    alignment gives such frames to the phones beside them, which would teach noise to be speech."""
    loud = log_mel(samples).max(1)[: len(marks)]
    low, high = np.percentile(loud, (5, 95))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud < low + ROOM * (high - low), [0]])))
    out = marks.copy()
    for first, beyond in zip(edges[::2], edges[1::2], strict=True):
        if first == 0 or beyond == len(marks) or beyond - first >= 15:
            out[first + (3 if first else 0) : beyond - (3 if beyond < len(marks) else 0)] = INDEX["sil"]
    return out


def clear(samples: np.ndarray) -> bool:
    """Whether speech stands out from the room by 20 dB."""
    low, high = np.percentile(log_mel(samples).max(1), (5, 95))
    return high - low > 4.6


Lines = Callable[[Path, str], Iterator[tuple[Path | Voiced, str]]]


def clips(
    lines_of: Lines, root: Path, language: str, minutes: float, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray, str, str]]:
    """Lines in random order until they last so long, as `corpus.write` takes them."""
    lines = list(lines_of(root, language))
    if not lines:
        raise MediaError(f"{root}: no spoken lines in {language!r}; see the module's docstring for the packages")
    seconds = 0.0
    for k in np.random.default_rng(seed).permutation(len(lines)):
        source, text = lines[k]
        try:
            if isinstance(source, Voiced):
                sound, speaker = source.samples(), f"/{source.speaker}"
            else:
                sound, speaker = np.concatenate(list(Audio.open(source).blocks(rate=RATE))), ""
        except MediaError as error:  # some are empty
            print(error)
            continue
        samples = levelled(sound) if len(sound) < 15 * RATE else None
        if samples is None or not clear(samples):
            continue
        marks, sure = label(samples, text, "en-us" if language == "held-out" else language)
        if sure < WORST or len(marks) > (len(samples) - WINDOW) // HOP + 1:
            continue
        yield samples, marks, f"recorded/{language}{speaker}", text
        seconds += len(samples) / RATE
        if seconds >= 60 * minutes:
            return


SOURCES: dict[str, tuple[Lines, str, dict[str, float]]] = {
    "queen": (queen, "scummvm/flight-of-the-amazon-queen", {"en-us": 180.0}),
    "fillets": (fillets, "games/fillets-ng", {"cs": 60.0, "nl": 45.0}),
    "tuxpaint": (stamps, "tuxpaint", dict.fromkeys(("fr", "es", "ru", "ca", "ro", "bg", "el", "da", "be"), 8.0)),
}
"""Where under share/ each source lies, and minutes of each language."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--share", type=Path, default=Path("/usr/share"), help="where the packages put their data")
    parser.add_argument("--sources", nargs="+", default=list(SOURCES), choices=list(SOURCES))
    parser.add_argument("--held-out", action="store_true", help="what is kept to measure with, instead")
    args = parser.parse_args()
    for source in ["queen"] if args.held_out else args.sources:
        lines_of, folder, languages = SOURCES[source]
        if args.held_out:
            languages = {"held-out": 60.0}
        for language, minutes in languages.items():
            for voice, seconds in write(args.output, clips(lines_of, args.share / folder, language, minutes)).items():
                print(f"{source:10} {voice:20} {seconds / 60:6.1f} min", flush=True)


if __name__ == "__main__":
    main()
