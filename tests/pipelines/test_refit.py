# ruff: noqa: E402  (torch may be missing)
"""Animate, track, solve: with a stand-in for LivePortrait that draws a real portrait by a planted map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="LivePortrait runs on torch (extra: models)")

from liveportrait_parts import tiny_networks

from avatars.liveportrait.avatar import LivePortraitAvatar
from avatars.liveportrait.blendshapes import DEFAULT, BlendshapeMap
from avatars.photo import PhotoAvatar
from pipelines.refit import refit_blendshapes
from studio.arkit import INDEX
from studio.errors import NoFaceError
from studio.media import read_image

VISIBLE = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "browInnerUp", "mouthPucker")


class Planted:
    """Draws as the photo avatar does, each visible shape by a number of its own."""

    def __init__(self, start: BlendshapeMap) -> None:
        self.blendshapes = start

    def __call__(self, image: np.ndarray, observation) -> Planted:
        self.photo = PhotoAvatar(image, observation)
        return self

    def expressed(self, change: np.ndarray) -> np.ndarray:
        return change

    def draw(self, changes: np.ndarray):
        for change in changes:
            yield self.photo.render_frame(self.weights(change), fine=False)

    def weights(self, change: np.ndarray) -> np.ndarray:
        weights = np.zeros(52, np.float32)
        for k, name in enumerate(VISIBLE):
            weights[INDEX[name]] = np.clip(change.reshape(-1)[10 * k] / 0.05, 0, 1)
        return weights


@pytest.mark.slow
def test_a_planted_map_is_measured(shared: Path) -> None:
    table = np.zeros((52, 63), np.float32)
    for k, name in enumerate(VISIBLE):
        table[INDEX[name], 10 * k] = 0.02  # what is believed at first does too little
    avatar = Planted(BlendshapeMap(table))
    picture = read_image(shared / "data/portraits/neutral_long_hair.png").rgb
    portrait = np.ascontiguousarray(picture[::2, ::2])  # small, for speed
    found = refit_blendshapes(portrait, avatar, pictures=80)
    assert found.pictures >= 75 and {"jawOpen", "eyeBlinkRight"} <= set(found.shapes)
    assert found.after < 0.8 * found.before
    jaw = found.map.expression(np.eye(52)[[INDEX["jawOpen"]]])[0]
    assert avatar.weights(jaw)[INDEX["jawOpen"]] > 0.5
    same = [name for name in INDEX if name not in found.shapes]
    assert np.array_equal(*(m.table[[INDEX[name] for name in same]] for m in (found.map, avatar.blendshapes)))


def test_pictures_without_faces_are_no_measure(shared: Path) -> None:
    with pytest.raises(NoFaceError, match="in 0 of 3 pictures"):
        refit_blendshapes(
            shared / "data/portraits/neutral_long_hair.png",
            LivePortraitAvatar(tiny_networks(), blendshapes=DEFAULT),
            pictures=3,
        )
