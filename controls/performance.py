"""`PerformanceDriver`: a video of a face becomes the motion that another face, or the same one, repeats.

The first seconds are tracked ahead to learn the driver's neutral face; what was seen then is kept, so that nothing is
tracked twice. After that motion comes as fast as frames are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from math import ceil
from pathlib import Path

import numpy as np

from avatars.fit import ExpressionFit, Neutral
from avatars.pose import Pose, fit_pose, to_head
from controls.smoothing import LIDS, eased_return, zero_phase
from controls.tracker import FaceTracker
from studio.errors import NoFaceError, UsageError
from studio.motion import EYE_SPAN, HEAD_JOINT, FaceMotion, rotation_angles, rotation_matrix
from studio.observation import Observation

AHEAD = 10.0
"""Seconds tracked ahead to learn the driver's face."""

BLOCK = 0.5
"""Seconds of motion in a block."""

RELAX = 1.0
"""Seconds in which a lost face comes to rest."""

SAME_FACE = 0.01
"""Mean distance of the portrait's landmarks, pose taken out, from the nearest frame's, eye spans, below which the
portrait shows the driver: .002 to .007 for frames of one clip, .015 to .025 for two people."""

SAME_PLACE = 0.03
"""Eye spans, and part of the size, by which the face may differ between the portrait and the frame that it is."""

_CHOICES = {
    "head": ("relative", "absolute", "off"),
    "reference": ("match", "first", "frontal"),
    "residual": ("auto", "on", "off"),
}


@dataclass(frozen=True)
class _State:
    """A face in one frame: what `ExpressionFit` says of it."""

    weights: np.ndarray
    pose: Pose
    residual: np.ndarray
    confidence: float


@dataclass(frozen=True)
class _Reference:
    """What changes are measured against. weights (52,); `pose` of the driver; residual (468, 3); `portrait`, where it
    is `same` as the driver: its pose, fitted with the driver's own face."""

    weights: np.ndarray
    pose: Pose
    residual: np.ndarray
    same: bool
    portrait: Pose | None = None


class PerformanceDriver:
    """Motion of a video.

        motion = PerformanceDriver("take.mp4", portrait=observation).stream()

    path       a video.
    portrait   the face that will move. With it, motion comes as changes of that picture: nothing is added where the
               driver looks as it does in the reference. Without it, weights are relative to the driver's neutral face.
    head       "relative": turns and moves as against the reference; "absolute": the driver's own angles; "off".
    reference  the moment that stands for the portrait's pose: "first" (the first frame with a face), "frontal" (the
               calm frame that looks straightest into the camera), "match" (the frame most like the portrait where the
               portrait shows the driver, else "frontal").
    residual   keep what the 52 shapes miss: "on", "off", or "auto", which is on where the portrait shows the driver.
    intensity  factor on the expression.
    face       0 is the largest face of the first frames.
    fps        default: the clip's own.
    smooth     take tracking noise out, without delay; lids stay as they are.

    Where the portrait shows the driver, weights are changes against the reference, so that frames come out as they
    truly are. For anybody else they are relative to the driver's neutral, and add to what the portrait shows.
    Raises `UsageError` at once for unknown choices, `MediaError` for what is no video.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        portrait: Observation | None = None,
        head: str = "relative",
        reference: str = "match",
        residual: str = "auto",
        intensity: float = 1.0,
        face: int = 0,
        fps: Fraction | int | None = None,
        smooth: bool = True,
    ) -> None:
        from studio.media import Clip

        for name, value in (("head", head), ("reference", reference), ("residual", residual)):
            if value not in _CHOICES[name]:
                raise UsageError(f"{name}={value!r}: choose one of {', '.join(_CHOICES[name])}")
        if not 0 <= intensity <= 3:
            raise UsageError(f"intensity={intensity:g} is out of range; give a number from 0 to 3")
        if face < 0:
            raise UsageError(f"face={face}: give a number from 0 (the largest face)")
        self.clip = Clip.open(Path(path))
        self.fps = Fraction(fps or self.clip.fps)
        self.portrait = portrait
        self.head = head
        self.reference = reference
        self.residual = residual
        self.intensity = float(intensity)
        self.face = face
        self.smooth = smooth

    def stream(self, portrait: Observation | None = None) -> Iterator[FaceMotion]:
        """The motion in consecutive blocks, one frame for each frame of the clip at `fps`.

        confidence is 0 where no face was seen. Raises `NoFaceError` when no frame of the clip shows one.
        """
        raw = eased_return(self._raw(portrait or self.portrait))
        return zero_phase(raw) if self.smooth else raw

    def _raw(self, portrait: Observation | None) -> Iterator[FaceMotion]:
        source = self._observations()
        ahead: list[Observation | None] = []
        wanted = ceil(AHEAD * float(self.fps))
        while len(ahead) < wanted or not any(_seen(o) for o in ahead):
            try:
                ahead.append(next(source))
            except StopIteration:
                break
        known = [o for o in ahead if o is not None and o.confidence > 0]
        if not known:
            raise NoFaceError(f"{self.clip.path}: no face in {len(ahead)} frames. Crop closer to the face.")
        fit = ExpressionFit(Neutral.from_frames([o.landmarks for o in known[:: max(1, len(known) // 150)]]))
        states = [None if o is None else self._state(fit, o) for o in ahead]
        sure = [(o, s) for o, s in zip(ahead, states) if s is not None and s.confidence > 0]
        reference = self._reference(fit, portrait, sure)
        own = None if portrait is None else fit_pose(portrait.landmarks, size=portrait.size)
        if portrait is not None and reference.same:
            reference = self._measured(reference, self._state(fit, portrait))
        size = max(1, round(BLOCK * float(self.fps)))
        start = 0
        pending: list[_State] = []
        rest = (None if o is None else self._state(fit, o) for o in source)
        held, away = _State(reference.weights, reference.pose, reference.residual, 0.0), 0
        for state in chain(states, rest):
            if state is None:
                away += 1
                calm = min(1.0, away / (RELAX * float(self.fps)))
                rested = held.weights * (1 - calm) + (reference.weights if reference.same else 0) * calm
                pending.append(replace(held, weights=rested, confidence=0.0))
            else:
                held, away = state, 0
                pending.append(state)
            if len(pending) == size:
                yield self._block(pending, start, reference, own)
                start, pending = start + size, []
        if pending:
            yield self._block(pending, start, reference, own)

    def _observations(self) -> Iterator[Observation | None]:
        """The chosen face of each frame, or None."""
        tracker = FaceTracker(max_faces=1 if self.face == 0 else max(8, self.face + 1))
        for _, faces in tracker.track(self.clip.frames_at(self.fps)):
            yield next((f for f in faces if f.face_id == self.face), None)

    @staticmethod
    def _state(fit: ExpressionFit, seen: Observation) -> _State:
        weights, pose, residual = fit(seen.landmarks, seen.size)
        return _State(weights, pose, residual, seen.confidence)

    def _reference(
        self, fit: ExpressionFit, portrait: Observation | None, known: Sequence[tuple[Observation | None, _State]]
    ) -> _Reference:
        states = [state for _, state in known]
        turned = np.array([np.abs(state.pose.head[:3]).sum() for state in states])
        active = np.array([state.weights.sum() for state in states])
        match, same = 0, False
        if portrait is not None:
            match, same = _match(fit, portrait, [seen for seen, _ in known if seen is not None])
        if self.reference == "first":
            chosen = states[0]
        elif self.reference == "match" and same:
            chosen = states[match]
        else:
            chosen = states[int(np.argmin(turned + 0.1 * active))]
        if same:
            return _Reference(states[match].weights, chosen.pose, states[match].residual, True)
        # What noise makes of a calm face is no expression of the driver.
        calm = np.argsort(active)[: max(1, len(states) // 5)]
        bias = np.median([states[i].weights for i in calm], 0)
        bias[LIDS] = 0
        return _Reference(bias, chosen.pose, np.median([states[i].residual for i in calm], 0), False)

    def _measured(self, reference: _Reference, shown: _State) -> _Reference:
        """The reference where the portrait shows the driver, from what the portrait was measured to be."""
        there, here = reference.pose, shown.pose
        near = (
            here.size == there.size
            and np.abs(here.centre - there.centre)[:2].max() < SAME_PLACE * there.scale
            and abs(here.scale / there.scale - 1) < SAME_PLACE
        )
        if self.reference != "match" or not near:
            return replace(reference, portrait=here)
        # The portrait is a frame of the clip: measured as a still, it doesn't inherit the lag of a moving face.
        return replace(reference, weights=shown.weights, pose=here, residual=shown.residual, portrait=here)

    def _block(self, states: Sequence[_State], start: int, reference: _Reference, portrait: Pose | None) -> FaceMotion:
        weights = np.array([s.weights for s in states])
        if reference.same:
            change = weights - reference.weights
            shut = reference.weights[LIDS]
            lids = change[:, LIDS]
            # Eyes that close, close altogether, however far they were in the reference.
            change[:, LIDS] = np.where(lids > 0, lids / np.maximum(1 - shut, 0.2), lids)
        else:
            change = np.maximum(weights - reference.weights, 0)
        residual = None
        if self.residual == "on" or (self.residual == "auto" and reference.same):
            residual = np.array([s.residual for s in states]) - reference.residual
            residual *= np.float32(self.intensity)
        change *= np.float32(self.intensity)
        change[:, LIDS] /= max(self.intensity, 1e-6) if self.intensity > 1 else 1
        head = np.array([self._head(s.pose, reference, portrait) for s in states])
        confidence = np.array([s.confidence for s in states])
        return FaceMotion(change, self.fps, head, confidence, start, residual)

    def _head(self, pose: Pose, reference: _Reference, portrait: Pose | None) -> np.ndarray:
        """(6,) change of the head, or its own pose where nobody is to be moved."""
        if self.head == "off":
            return np.zeros(6, np.float32)
        before = reference.pose
        if portrait is None:
            return pose.head if self.head == "absolute" else pose.head - before.head
        angles = portrait.head[:3]
        turn = pose.head[:3] - (angles if self.head == "absolute" else before.head[:3])
        # The eyes go where they go in the driver's picture, in eye spans, and the face grows as it grows there.
        grown = np.clip(pose.scale / before.scale, 0.5, 2.0)
        went = (pose.centre - before.centre) / before.scale
        if reference.portrait is not None:
            # The same face moves as one solid body, whatever point of it either pose calls the middle of its eyes.
            same = reference.portrait
            turned = pose.rotation @ before.rotation.T
            arm = (portrait.centre - same.centre) / portrait.scale
            went = went * (same.scale / portrait.scale) + grown * turned @ arm - arm
            if self.head == "relative":
                turn = rotation_angles(turned @ portrait.rotation) - angles
        eyes = np.array([*went[:2] / grown, portrait.view_distance * (1 - 1 / grown)]) * EYE_SPAN
        # The joint goes so that they do.
        joint = (rotation_matrix(*(angles + turn)) - rotation_matrix(*angles)) @ HEAD_JOINT
        return np.array([*turn, *(eyes + joint)], np.float32)


def _match(fit: ExpressionFit, portrait: Observation, frames: Sequence[Observation]) -> tuple[int, bool]:
    """The frame most like the portrait in shape and pose, and whether the portrait shows the driver."""
    own = fit_pose(portrait.landmarks, fit.neutral.shape, portrait.size)
    shape = to_head(portrait.landmarks, own)[:468]
    cost, nearest = [], []
    for seen in frames:
        pose = fit_pose(seen.landmarks, fit.neutral.shape, seen.size)
        apart = float(np.linalg.norm((to_head(seen.landmarks, pose)[:468] - shape)[:, :2], axis=1).mean())
        nearest.append(apart)
        cost.append(apart + 0.1 * float(np.abs(pose.head[:3] - own.head[:3]).sum()))
    return int(np.argmin(cost)), min(nearest) < SAME_FACE


def _seen(observation: Observation | None) -> bool:
    return observation is not None and observation.confidence > 0


__all__ = ["PerformanceDriver"]
