"""Measure what ARKit's shapes are in LivePortrait's numbers, on the user's own weights."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.portrait import default_tracker, read_portrait
from studio.arkit import ARKIT
from studio.errors import Cancelled, NoFaceError

if TYPE_CHECKING:
    from avatars.liveportrait.blendshapes import BlendshapeMap
    from controls.tracker import FaceTracker

PICTURES = 240


@dataclass(frozen=True)
class Measured:
    """map       what was found.
    shapes    names of those that were measured; the others are as they were.
    before, after   mean distance of what the tracker says of each of these, drawn alone, from what was asked for: with
              the map that was started from, and with this one.
    pictures  in which a face was seen.
    """

    map: BlendshapeMap
    shapes: tuple[str, ...]
    before: float
    after: float
    pictures: int


def refit_blendshapes(
    portrait: Any,
    avatar: Any,
    *,
    tracker: FaceTracker | None = None,
    pictures: int = PICTURES,
    seed: int = 0,
    progress: Callable[..., None] | None = None,
    cancel: threading.Event | None = None,
) -> Measured:
    """Animates a portrait, tracks the result and solves (`avatars.liveportrait.refit`).

    portrait  a frontal face at rest, large in its picture: a path, an array or a PIL image.
    avatar    a `LivePortraitAvatar`; its present map is what is started from.
    pictures  that are drawn, and three for each measured shape at the end; each takes as long as a frame.

    Raises `NoFaceError` where the portrait shows no face, or too few of the drawn pictures do.
    """
    from avatars.fit import ExpressionFit, fit_photo
    from avatars.liveportrait.refit import FEWEST, TESTED_AT, rescaled, solve, trials
    from studio.progress import track

    tracker = tracker or default_tracker()
    seen = read_portrait(portrait, tracker)
    face = avatar(seen.over(), seen.faces[0])
    changes = trials(pictures, seed, avatar.blendshapes)
    fit = ExpressionFit(fit_photo(np.asarray(seen.faces[0].landmarks, np.float64))[0])

    def weights(image: np.ndarray) -> np.ndarray | None:
        """(52,) of the largest face of a drawn picture."""
        try:
            found = tracker.observe(image, thorough=False)[0]
        except NoFaceError:
            return None
        return fit(found.landmarks, found.size)[0].copy()

    def tracked(tries: np.ndarray, stage: str) -> Iterator[np.ndarray | None]:
        drawn = face.draw(face.expressed(tries))
        for image in track(drawn, stage, len(tries), progress):
            if cancel is not None and cancel.is_set():
                raise Cancelled("stopped; no output was left behind")
            yield weights(image)

    rest, *told = tracked(np.concatenate([np.zeros((1, 21, 3), np.float32), changes]), "refit")
    seen_in = [k for k, now in enumerate(told) if now is not None and rest is not None]
    if len(seen_in) < FEWEST:
        raise NoFaceError(
            f"{seen.name}: a face was seen in {len(seen_in)} of {pictures} pictures that LivePortrait drew, {FEWEST} "
            "are needed. Give a larger, frontal portrait, draw more pictures, or check the weights."
        )
    start = avatar.blendshapes
    found = solve(changes[seen_in], np.array([told[k] for k in seen_in]) - rest, start)

    def said(of: BlendshapeMap) -> np.ndarray:
        """(52,) what the tracker says of each measured shape alone; NaN for the others."""
        out = np.full(len(ARKIT), np.nan)
        for i, now in zip(found.seen, tracked(of.expression(TESTED_AT * np.eye(len(ARKIT))[found.seen]), "check")):
            out[i] = np.nan if now is None else now[i] - rest[i]
        return out

    before, measured = said(start), rescaled(found.map, said(found.map))
    apart = [float(np.nanmean(np.abs(now - TESTED_AT))) if len(found.seen) else 0.0 for now in (before, said(measured))]
    return Measured(measured, tuple(ARKIT[i] for i in found.seen), *apart, len(seen_in))
