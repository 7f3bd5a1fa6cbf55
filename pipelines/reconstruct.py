"""A photo becomes a head: rigged, with the photo as its texture."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.output import check_output, is_meshes
from pipelines.portrait import default_tracker, read_portrait
from pipelines.take import Saved
from studio.errors import UsageError
from studio.motion import FaceMotion
from studio.observation import Observation

if TYPE_CHECKING:
    from avatars.export.vrm import VrmMeta
    from avatars.rig import Rig

Engine = Callable[[np.ndarray, Observation], Any]
"""(H, W, 3) uint8 RGB and the face in it -> what has `rig`, `weights` (52,) and `error`, as `avatars.head.photo`."""


@dataclass(frozen=True)
class Reconstruction:
    """A head made from a photo.

    rig      the person's head at rest, textured (`avatars.rig.Rig`).
    weights  (52,) float32 ARKit: the expression that the photo wears.
    error    root mean square distance of the head's landmarks from the photo's, in eye spans; None if not measured.
    source   what messages call the photo.
    made     all that the engine found, `pipelines.flame_face.FlameFace` where FLAME was asked for.
    """

    rig: Rig
    weights: np.ndarray
    error: float | None = None
    source: str = "the portrait"
    seconds: float = field(default=0.0, compare=False)
    made: Any = field(default=None, compare=False, repr=False)

    def save(
        self,
        path: str | os.PathLike[str],
        motion: FaceMotion | Iterable[FaceMotion] | None = None,
        *,
        tolerance: float | None = None,
        meta: VrmMeta | None = None,
    ) -> Saved:
        """Write the head as .glb, .vrm, .usdc, .usda, .usdz, .obj or .ply, with a motion of it where the form holds
        one; with a motion also a mesh a frame, take/%05d.ply or .obj.

        tolerance, meta  as in `avatars.export.save_rig`, which also tells what is raised.

        Nothing is left at `path` on an error.
        """
        from avatars.export import save_rig, save_sequence
        from studio.motion import join

        began = time.monotonic()
        target = check_output(path, "head")
        whole = None if motion is None else on_its_neck(join(motion))
        if not is_meshes(path):
            save_rig(self.rig, target, whole, tolerance=tolerance, meta=meta)
        elif whole is None:
            raise UsageError(f"{path}: a mesh a frame needs a motion; without one write head.ply")
        else:
            save_sequence(self.rig, target, whole)
        frames, fps = (len(whole), whole.fps) if whole is not None else (0, None)
        note = f"{len(self.rig.neutral)} vertices"
        if self.error is not None:
            note += f", landmarks {100 * self.error:.1f} % of the eye span off"
        return Saved(target, frames, fps, None, self.seconds + time.monotonic() - began, note)

    def shaped(self, identity: Mapping[str, float]) -> Reconstruction:
        """The same person with axes of identity added, in standard deviations: `shaped({"nose_length": 1})`.

        The axes are `avatars.head.identity.AXES`. Raises UsageError for others, and for a head of FLAME.
        """
        from avatars.head import reshaped

        return replace(self, rig=reshaped(self.rig, identity))

    def turntable(
        self,
        path: str | os.PathLike[str],
        *,
        seconds: float = 4.0,
        fps: Fraction | int = 25,
        size: tuple[int, int] = (512, 512),
    ) -> Saved:
        """Write a video of the head, at rest, once round."""
        if not 0.1 <= seconds <= 600:
            raise UsageError(f"a turntable of {seconds:g} seconds: give 0.1 to 600")
        from avatars.render3d import RigRenderer
        from studio.writer import VideoWriter

        began = time.monotonic()
        target = check_output(path, "video")
        frames = max(2, round(seconds * Fraction(fps)))
        with VideoWriter(target, Fraction(fps), size=size) as writer:
            for picture in RigRenderer(self.rig, size).turntable(frames):
                writer.write(picture)
        return Saved(target, frames, Fraction(fps), size, time.monotonic() - began)


class ReconstructionPipeline:
    """A photo becomes a head.

        head = ReconstructionPipeline()("portrait.jpg")
        head.save("head.glb")

    engine   makes a head of a picture and a face in it (default: the embedded head, `avatars.head.photo`).
    tracker  finds faces (default `controls.tracker.FaceTracker`).
    """

    def __init__(self, engine: Engine | None = None, tracker: Any = None) -> None:
        self.engine = engine or embedded
        self._tracker = tracker

    @classmethod
    def from_pretrained(
        cls,
        path_or_name: str | os.PathLike[str] = "embedded",
        flame: Any = None,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        tracker: Any = None,
    ) -> ReconstructionPipeline:
        """With a published model instead of the embedded head: "deca", "smirk", "teaser", "mica", or a checkpoint of
        one or its folder. `flame` is FLAME's file or folder. "embedded" needs neither.

        Without a path the models' folder and the Hugging Face cache are searched; nothing is downloaded. Raises
        WeightsError for what is missing, which says where its authors give it, under which licence, and where to put
        it.
        """
        if str(path_or_name) == "embedded":
            if flame is not None:
                raise UsageError("the embedded head needs no FLAME; name a model that does: deca, smirk, mica")
            return cls(tracker=tracker)
        from pipelines.flame import FlameEngine

        return cls(FlameEngine.from_pretrained(os.fspath(path_or_name), flame, device=device, dtype=dtype), tracker)

    def __call__(self, portrait: Any, *, face: int = 0) -> Reconstruction:
        """portrait: a path, an array (H, W, 3 or 4) uint8 or a PIL image; face counts from 0, the largest.

        Raises `NoFaceError` where there is none or it is turned too far, `MediaError`, `UsageError`.
        """
        if face == "all":
            raise UsageError("a head is made of one face; give its number")
        began = time.monotonic()
        if self._tracker is None:
            self._tracker = default_tracker()
        seen = read_portrait(portrait, self._tracker, face=face)
        made = self.engine(seen.over(), seen.faces[0])
        error = getattr(made, "error", None)
        return Reconstruction(made.rig, made.weights, error, seen.name, time.monotonic() - began, made)


def embedded(image: np.ndarray, face: Observation) -> Any:
    """The embedded engine: `avatars.head.photo.head_from_photo`."""
    from avatars.head.photo import head_from_photo

    return head_from_photo(image, face.landmarks)


def on_its_neck(motion: FaceMotion) -> FaceMotion:
    """A motion for a head that turns on its neck: a head seen by a camera also moves through the room, which would
    tear it off."""
    from dataclasses import replace

    head = motion.head.copy()
    head[:, 3:] = 0
    return replace(motion, head=head, residual=None)


__all__ = ["Reconstruction", "ReconstructionPipeline", "embedded", "on_its_neck"]
