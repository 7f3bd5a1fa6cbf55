"""Measure what ARKit's shapes are in LivePortrait's numbers, on the user's own weights."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.portrait import default_tracker, read_portrait
from studio.errors import Cancelled, NoFaceError

if TYPE_CHECKING:
    from avatars.liveportrait.refit import Refit
    from controls.tracker import FaceTracker

PICTURES = 240


def refit_blendshapes(
    portrait: Any,
    avatar: Any,
    *,
    tracker: FaceTracker | None = None,
    pictures: int = PICTURES,
    seed: int = 0,
    progress: Callable[..., None] | None = None,
    cancel: threading.Event | None = None,
) -> Refit:
    """Animates a portrait, tracks the result and solves (`avatars.liveportrait.refit`).

    portrait  a frontal face at rest, large in its picture: a path, an array or a PIL image.
    avatar    a `LivePortraitAvatar`; its present map is what is started from.
    pictures  that are drawn; each takes as long as a frame.

    Raises `NoFaceError` where the portrait shows no face, or too few of the drawn pictures do.
    """
    from avatars.fit import ExpressionFit, fit_photo
    from avatars.liveportrait.refit import FEWEST, solve, trials
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

    drawn = face.draw(face.expressed(np.concatenate([np.zeros((1, 21, 3), np.float32), changes])))
    rest = weights(next(drawn))
    kept, told = [], []
    for k, image in enumerate(track(drawn, "refit", pictures, progress)):
        if cancel is not None and cancel.is_set():
            raise Cancelled("stopped; no output was left behind")
        now = weights(image)
        if rest is not None and now is not None:
            kept.append(changes[k])
            told.append(now - rest)
    if len(kept) < FEWEST:
        raise NoFaceError(
            f"{seen.name}: a face was seen in {len(kept)} of {pictures} pictures that LivePortrait drew, {FEWEST} are "
            "needed. Give a larger, frontal portrait, draw more pictures, or check the weights."
        )
    return solve(np.array(kept), np.array(told), avatar.blendshapes)
