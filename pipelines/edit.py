"""Another expression, gaze or head pose: in a picture, or frame by frame in a video."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipelines.change import read_change
from pipelines.engines import avatar_of, takes_native
from pipelines.output import is_video
from pipelines.portrait import read_portrait
from pipelines.prepared import PreparedEdit
from pipelines.take import Still, Take
from studio.errors import UsageError

if TYPE_CHECKING:
    from controls.tracker import FaceTracker


class ExpressionEditPipeline:
    """Sliders for a face in a picture or a video.

        edited = ExpressionEditPipeline()("portrait.jpg", shapes={"smile": 0.8}, yaw=10)
        edited.save("out.png")

    tracker  finds faces (default `controls.tracker.FaceTracker`).
    avatar   makes an avatar of a picture and an observation (default: what `engine` names).
    engine   "photo", "liveportrait", whose files lie in the folder `weights`, or "diffusion", with a checkpoint there;
             `options` go to the engine (`pipelines.engines.avatar_of`): controlnet, identity, settings, ...
    """

    def __init__(
        self,
        tracker: FaceTracker | None = None,
        avatar: Callable[..., Any] | None = None,
        *,
        engine: str = "photo",
        weights: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        self._tracker, self._avatar = tracker, avatar
        self._engine, self._weights, self._options = engine, weights, options

    @property
    def tracker(self) -> FaceTracker:
        """Finds the faces of pictures."""
        if self._tracker is None:
            from pipelines.portrait import default_tracker

            self._tracker = default_tracker()
        return self._tracker

    @property
    def avatar(self) -> Callable[..., Any]:
        """Makes what the edit moves."""
        if self._avatar is None:
            self._avatar = avatar_of(self._engine, self._weights, **self._options)
        return self._avatar

    def __call__(
        self,
        source: Any,
        *,
        shapes: Mapping[str, float] | None = None,
        aus: Mapping[str, float | str] | None = None,
        emotion: Mapping[str, float] | None = None,
        gaze: Any = None,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
        neutralize: float = 0.0,
        sliders: Mapping[str, float] | None = None,
        face: int | str = 0,
        progress: Callable[..., None] | None = None,
        cancel: threading.Event | None = None,
    ) -> Still | Take:
        """Edit a picture (gives a `Still`) or a video (gives a `Take`, whose frames are made as they are read).

        source      path, (H, W, 3 or 4) uint8 array or PIL image; a path of a video edits the video, each
                    change relative to the expression that the face has at that moment.
        shapes, aus, emotion   see `controls.expressions`.
        gaze        (yaw, pitch) in degrees, or "left", "right", "up", "down" (sides of the picture), "camera".
        yaw, pitch, roll       degrees to turn the head by: to the picture's right, down, clockwise.
        neutralize  0..1: take the present expression out first.
        sliders     LivePortrait's own for a picture: smile, brow, wink, blink, pupil_x, pupil_y, a, i, u, e, o, …
                    (`avatars.liveportrait.sliders.RANGES`), zoom, eyes and lips.
        face        0 is the largest, or "all".

        With all sliders at zero the picture is returned as it was, to the last bit.
        Raises `UsageError`, `MediaError`, `NoFaceError`.
        """
        video = is_video(source)
        change = read_change(
            shapes=shapes,
            aus=aus,
            emotion=emotion,
            gaze=gaze,
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            neutralize=neutralize,
            speaking=video,
        )
        if sliders and (video or not takes_native(self.avatar)):
            what = (
                "a picture; for a video use shapes" if video else "engine='liveportrait'; the photo engine takes shapes"
            )
            raise UsageError(f"sliders are for {what}")
        if video:
            from pipelines.edit_video import edit_video

            return edit_video(source, change, self.avatar, face, cancel)
        began = time.monotonic()
        still = self.prepare(source, face=face).apply(change, sliders)
        return replace(still, seconds=time.monotonic() - began)

    def prepare(self, source: Any, *, face: int | str = 0, size: int | tuple[int, int] | None = None) -> PreparedEdit:
        """A picture whose faces are found once, to be edited many times: `prepare("me.jpg")(yaw=10).save("out.png")`.

        face and size as elsewhere: 0 is the largest, or "all"; the long side, or (width, height).
        """
        return PreparedEdit(read_portrait(source, self.tracker, face=face, size=size), self.avatar)

    def sheet(
        self, source: Any, *, progress: Callable[..., None] | None = None, face: int | str = 0, **settings: Any
    ) -> Still:
        """A grid of expressions and strengths as one picture; see `pipelines.sheet`."""
        from pipelines.sheet import expression_sheet

        if is_video(source):
            raise UsageError(f"{source}: a sheet is made of a picture, not of a video")
        return expression_sheet(self, source, face=face, progress=progress, **settings)
