"""A portrait made ready once and edited many times, as an editor's live preview does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pipelines.change import Change, read_change
from pipelines.portrait import Portrait, choose
from pipelines.scene import Scene
from pipelines.take import Still


class PreparedEdit:
    """Faces that are found and avatars that are made once; a call takes a few hundredths of a second.

    portrait  what was observed.
    avatar    makes an avatar of a picture and an observation; called at the first edit that changes something.

    Several threads may call it; they take turns.
    """

    def __init__(self, portrait: Portrait, avatar: Callable[..., Any]) -> None:
        self.portrait = portrait
        self._avatar, self._scene, self._lock = avatar, None, threading.Lock()

    def __call__(self, **settings: Any) -> Still:
        """The edited picture; settings as `ExpressionEditPipeline` takes them. Raises `UsageError`."""
        return self.apply(read_change(**settings))

    def apply(self, change: Change, sliders: Mapping[str, float] | None = None) -> Still:
        """The picture under a change, and under LivePortrait's own sliders where its avatar draws; without any the
        picture as it is, to the last bit."""
        began, portrait = time.monotonic(), self.portrait
        if change.nothing and not sliders:
            return Still(portrait.rgb, portrait.alpha, portrait.faces, time.monotonic() - began)
        with self._lock:
            if self._scene is None:
                self._scene = Scene(portrait, self._avatar, transparent=True)
            weights = [change.of(f, a.expression) for f, a in zip(portrait.faces, self._scene.avatars)]
            heads = [change.head] * len(weights)
            if sliders:
                from avatars.liveportrait.edit import read_edit

                image = self._scene.edited(read_edit(sliders), weights, heads)
            else:
                image = self._scene.frame(weights, heads)
        alpha = None if portrait.alpha is None else np.ascontiguousarray(image[..., 3])
        return Still(np.ascontiguousarray(image[..., :3]), alpha, portrait.faces, time.monotonic() - began)

    def only(self, face: int) -> PreparedEdit:
        """The same picture with one of its faces to edit: 0 is the largest. Raises `UsageError`."""
        faces, others = choose(self.portrait.faces, face, self.portrait.name)
        chosen = replace(self.portrait, faces=faces, others=(*others, *self.portrait.others))
        return PreparedEdit(chosen, self._avatar)

    def warm(self) -> None:
        """Does now what the first turn of the head would have to wait for."""
        self(yaw=2.0, shapes={"jawOpen": 0.1})
