"""Another expression painted by SMIRK's neural renderer, as its authors do it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.change import read_change
from pipelines.flame import FlameEngine
from pipelines.portrait import default_tracker, read_portrait
from pipelines.take import Still
from studio.errors import UsageError

if TYPE_CHECKING:
    from avatars.flame.codes import FlameCodes
    from avatars.smirk.rerender import Rerenderer


class NeuralEditPipeline:
    """Sliders for the expression of a photo's face, which SMIRK sees, FLAME moves and SMIRK's renderer paints.

        edit = NeuralEditPipeline.from_pretrained("SMIRK_em1.pt", flame="FLAME2020")
        edit("portrait.jpg", shapes={"smile": 0.8}).save("out.png")

    engine    sees the face (`pipelines.flame.FlameEngine`, of SMIRK).
    renderer  paints it (`avatars.smirk.rerender.Rerenderer`).
    tracker   finds faces (default `controls.tracker.FaceTracker`).
    """

    def __init__(self, engine: FlameEngine, renderer: Rerenderer, tracker: Any = None) -> None:
        if engine.name != "smirk":
            raise UsageError(f"the renderer was trained for SMIRK's heads, not for {engine.name}'s")
        self.engine, self.renderer = engine, renderer
        self._tracker = tracker

    @classmethod
    def from_pretrained(
        cls, path: str | os.PathLike[str] | None = None, flame: Any = None, *, device: str = "cpu", tracker: Any = None
    ) -> NeuralEditPipeline:
        """From SMIRK_em1.pt and FLAME's file or folder, which also has FLAME_masks.pkl. Raises WeightsError."""
        from avatars.smirk.generator import SmirkGenerator
        from avatars.smirk.rerender import Rerenderer, face_triangles

        engine = FlameEngine.from_pretrained("smirk" if path is None else os.fspath(path), flame, device=device)
        folder = None if flame is None or hasattr(flame, "template") else Path(flame).expanduser()
        beside = folder if folder is None or folder.is_dir() else folder.parent
        face = face_triangles(engine.asset.faces, beside)
        generator = SmirkGenerator.from_pretrained(path).to(device)
        return cls(engine, Rerenderer(generator, engine.flame(), face), tracker)

    def __call__(
        self,
        source: Any,
        *,
        shapes: Mapping[str, float] | None = None,
        aus: Mapping[str, float | str] | None = None,
        emotion: Mapping[str, float] | None = None,
        neutralize: float = 0.0,
        face: int | str = 0,
        seed: int = 0,
    ) -> Still:
        """Edit a picture: path, (H, W, 3 or 4) uint8 array or PIL image.

        shapes, aus, emotion  see `controls.expressions`; neutralize 0..1 takes the present expression out first.
        face  0 is the largest, or "all".
        seed  chooses the few of the photo's colours that the renderer sees.

        With all at zero the picture is returned as it was. Raises UsageError, MediaError, NoFaceError.
        """
        change = read_change(shapes=shapes, aus=aus, emotion=emotion, neutralize=neutralize)
        began = time.monotonic()
        self._tracker = self._tracker or default_tracker()
        portrait = read_portrait(source, self._tracker, face=face)
        if change.nothing:
            return Still(portrait.rgb, portrait.alpha, portrait.faces, time.monotonic() - began)
        image = portrait.rgb
        for seen in portrait.faces:
            crop = self.engine.crop(seen)
            codes = self.engine.encode([portrait.over()], [crop])
            edited = self._edited(codes, partial(change.of, seen))
            image = self.renderer(image, crop, seen.landmarks, codes, edited, seed=seed)
        return Still(image, portrait.alpha, portrait.faces, time.monotonic() - began)

    def _edited(self, codes: FlameCodes, change: Any) -> FlameCodes:
        """The codes with what ARKit weights add: change takes the face's own (52,) and gives what is added (52,)."""
        import torch

        arkit = self.engine.arkit()
        lids = None if codes.eyelids is None else codes.eyelids.numpy()
        own = arkit.weights_of(codes.expression.numpy(), codes.jaw.numpy(), lids)[0]
        added = np.asarray(change(own), np.float64) @ arkit.coefficients
        width, count = codes.expression.shape[1], arkit.expressions
        expression = codes.expression + torch.from_numpy(added[:width]).float()
        jaw = codes.jaw + torch.from_numpy(added[count : count + 3]).float()
        lids_now = codes.eyelids
        if lids_now is not None:
            lids_now = (lids_now + torch.from_numpy(added[count + 3 :]).float()).clamp(0, 1)
        return replace(codes, expression=expression, jaw=jaw, eyelids=lids_now)


__all__ = ["NeuralEditPipeline"]
