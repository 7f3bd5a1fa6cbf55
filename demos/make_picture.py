"""Makes `docs/talking.jpg`, README's picture, from the sample portrait and speech. Run: python -m demos.make_picture

Above, the photo and moments of `face-studio animate --sample`; below, edits of the same photo.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from pipelines import ExpressionEditPipeline, TalkingPortraitPipeline
from studio.media import write_image

ASSETS = Path(__file__).parent / "assets"
PICTURE = Path(__file__).parents[1] / "docs" / "talking.jpg"
TALK = (37, 58, 76, 106, 131)
EDITS = (
    {"emotion": {"joy": 1.0}},
    {"emotion": {"surprise": 1.0}},
    {"emotion": {"anger": 1.0}, "neutralize": 1.0},
    {"shapes": {"mouthPucker": 0.9, "eyeBlinkLeft": 1.0}, "neutralize": 1.0},
    {"yaw": 22},
    {"yaw": -16, "pitch": 8, "roll": -10, "gaze": "camera"},
)


def crop(image: np.ndarray) -> np.ndarray:
    """The head, 300 pixels square, of the 512 x 512 portrait."""
    return image[0:300, 70:370]


def main() -> None:
    photo = ASSETS / "astronaut.jpg"
    take = TalkingPortraitPipeline()(photo, audio=ASSETS / "speech.wav", seed=0)
    frames = {frame.index: frame.image for frame in islice(take.frames, max(TALK) + 1)}
    edit = ExpressionEditPipeline()
    above = [edit(photo).image, *(frames[k] for k in TALK)]
    below = [edit(photo, **change).image for change in EDITS]
    rows = [np.concatenate([crop(image) for image in row], axis=1) for row in (above, below)]
    PICTURE.parent.mkdir(exist_ok=True)
    write_image(PICTURE, np.concatenate(rows))
    print(PICTURE)


if __name__ == "__main__":
    main()
