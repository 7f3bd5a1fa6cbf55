"""Where the benchmarks find real pictures, clips and voices, and the judges that measure results.

They lie in a folder `shared` beside the repository, or where FACE_STUDIO_SHARED says.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

FRONTAL = (
    "astronaut_smile.png",
    "dark_skin_disgust.jpg",
    "glasses_curly_frown.jpg",
    "grey_beard_34.png",
    "hat_smile.png",
    "large_3500px.jpg",
    "marble_statue_rgba.png",
    "neutral_long_hair.png",
    "old_photo_moustache.jpg",
    "old_woman_painting.png",
    "painted_child.jpg",
    "painting_half_length.jpg",
    "statue_terracotta.jpg",
)
"""Portraits that look at the camera, or nearly."""

CLIPS = (
    "talk_woman_25fps.mp4",
    "talk_suit_22fps.mp4",
    "expressions_still_head.mp4",
    "expressions_head_turns.mp4",
    "phone_portrait_no_audio.mp4",
    "talk_412px_audio_first.mp4",
)
"""Clips of one person in front of the camera throughout."""


def shared() -> Path:
    """The folder of data and judges; leaves the program with a reason where there is none.

    The judges and this checkout's packages can be imported from then on.
    """
    folder = Path(os.environ.get("FACE_STUDIO_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "judges").is_dir():
        sys.exit(f"{folder} holds no judges; point FACE_STUDIO_SHARED to the folder that does")
    for path in (str(REPOSITORY), str(folder / "judges")):
        if path not in sys.path:
            sys.path.insert(0, path)
    return folder


def row(cells: list[object], widths: list[int]) -> str:
    """Cells as a line of a table."""
    words = [f"{c:.3f}" if isinstance(c, float) else str(c) for c in cells]
    return "  ".join(w.ljust(n) if i == 0 else w.rjust(n) for i, (w, n) in enumerate(zip(words, widths, strict=False)))
