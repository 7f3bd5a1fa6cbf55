"""What the actors of the adventure game Flight of the Amazon Queen say, and their voices.

The game is freeware and a Debian package (flight-of-the-amazon-queen): some three hours of English dialogue by
twenty actors, 11 kHz. One file, `queen.1c`, holds all; numbers in it are big-endian:

    "QTBL", version (6 bytes), 0, 0, kind of compression (1 = MP3), number of entries (2 bytes), then for each
    name (12 bytes), bundle (1), offset (4), size (4)

A dialogue (.DOG) lists what is said by number; `*xy` in it ends a segment and tells how the face moves. Each segment
has its own sound, named after the dialogue's key, the number and the segment.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from demos.speech_training.corpus import to_rate
from studio.errors import MediaError

_COMMAND = re.compile(r"\*(?:XY.{11}|..)")


@dataclass(frozen=True)
class Voiced:
    """One segment's sound inside the file, and who speaks."""

    path: Path
    offset: int
    size: int
    speaker: str

    def samples(self) -> np.ndarray:
        """(N,) float32 at 16 kHz.

        Raises MediaError where it can't be read.
        """
        with self.path.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        try:
            with av.open(io.BytesIO(data), format="mp3") as sound:
                blocks = [frame.to_ndarray()[0] for frame in sound.decode(audio=0)]
                rate = sound.streams.audio[0].rate
        except av.FFmpegError as error:
            raise MediaError(f"{self.path}: a line at {self.offset} can't be read: {error}") from error
        return to_rate(np.concatenate(blocks).astype(np.float32), rate)


def dialogues(path: Path) -> Iterator[tuple[Voiced, str]]:
    """(voice, text) of every spoken segment of all dialogues.

    Raises MediaError where the file is another one.
    """
    data = path.read_bytes()
    if data[:4] != b"QTBL" or data[12] != 1:
        raise MediaError(f"{path}: not the compressed game of Debian's package flight-of-the-amazon-queen")
    (count,) = struct.unpack(">H", data[13:15])
    entries = struct.iter_unpack(">12sBII", data[15 : 15 + 21 * count])
    table = {name.rstrip(b"\0").decode("ascii"): (offset, size) for name, _, offset, size in entries}
    for name, (offset, size) in table.items():
        if name.endswith(".DOG"):
            character = re.sub(r"\d*\.DOG", "", name).lower()
            for prefix, sentence in _sentences(data[offset + 20 : offset + size]):
                for k, text in enumerate(_COMMAND.split(sentence), 1):
                    file = f"{prefix}{k:x}.SB".replace(" ", "0").upper()
                    if file in table and text.strip():
                        yield Voiced(path, *table[file], "joe" if prefix.endswith("J") else character), text.strip()


def _sentences(dialogue: bytes) -> Iterator[tuple[str, str]]:
    """(first part of the sounds' names, sentence) of a dialogue without its header: Joe's, then the other's."""
    levels, _, key, of_joe, of_other = struct.unpack(">5h", dialogue[:10])
    other, _, again = struct.unpack(">3H", dialogue[22:28])
    for at, count, who in ((32 + abs(levels) * 96, of_joe, "J"), (other, of_other, "P")):
        for _ in range(count):
            (number,) = struct.unpack(">H", dialogue[at + 2 : at + 4])
            sentence, at = _string(dialogue, at + 4, 4)
            yield f"{key:2d}{number:4x}{who}", sentence
    for who in "PJ":  # when they meet again
        sentence, again = _string(dialogue, again, 2)
        yield f"{key:2d}XXXX{who}", sentence


def _string(data: bytes, at: int, align: int) -> tuple[str, int]:
    """A string with its length in front, and where what follows begins."""
    length, at = data[at], at + 1
    text = data[at : at + length].decode("cp850")
    return text, -(-(at + length) // align) * align if length else at
