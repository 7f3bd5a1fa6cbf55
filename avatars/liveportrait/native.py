"""Motion in LivePortrait's own numbers: what a driving video or a speech model says, before a portrait does it.

Plain arrays, no torch. Angles are LivePortrait's: degrees of pitch, yaw, roll in the frame of
`avatars.liveportrait.keypoints` (x right, y down, z away), so yaw > 0 turns to the picture's left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from studio.errors import UsageError
from studio.motion import FaceMotion, rotation_angles, rotation_matrix

if TYPE_CHECKING:
    from avatars.liveportrait.blendshapes import BlendshapeMap
    from avatars.liveportrait.keypoints import Pose
    from avatars.liveportrait.transfer import Openings

METRES = 0.17
"""Of one unit of keypoints (half a crop's side) for a driver whose size in the picture is unknown."""

DISTANCE = 1.35
"""Metres from the camera at which a change of scale is taken for a step towards it."""

WIDTH = 73
"""Numbers of a frame: expression 63, t 3, scale 1, angles 3, openings of eyes 2 and lips 1."""

_FLIP = np.diag([1.0, -1.0, -1.0])
"""From LivePortrait's frame (y down, z away) to `studio.motion`'s (y up, z to the camera), and back."""


def columns(angles: np.ndarray) -> np.ndarray:
    """(3, 3) rotation of points as columns, in LivePortrait's frame, of pitch, yaw, roll in degrees."""
    x, y, z = np.radians(np.asarray(angles, np.float64))
    cx, sx, cy, sy, cz, sz = np.cos(x), np.sin(x), np.cos(y), np.sin(y), np.cos(z), np.sin(z)
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return rz @ ry @ rx


def angles_of(rotation: np.ndarray) -> np.ndarray:
    """(3,) degrees pitch, yaw, roll of a rotation as `columns` makes it."""
    pitch = np.arctan2(rotation[2, 1], rotation[2, 2])
    yaw = np.arctan2(-rotation[2, 0], np.hypot(rotation[2, 1], rotation[2, 2]))
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    return np.degrees([pitch, yaw, roll])


def head_angles(angles: np.ndarray) -> np.ndarray:
    """(3,) yaw, pitch, roll in radians as in `FaceMotion.head`, of LivePortrait's (3,) degrees."""
    return np.array(rotation_angles(_FLIP @ columns(angles) @ _FLIP))


def native_angles(head: np.ndarray) -> np.ndarray:
    """The inverse of `head_angles`."""
    return angles_of(_FLIP @ rotation_matrix(*np.asarray(head, np.float64)[:3]) @ _FLIP)


@dataclass(frozen=True)
class NativeMotion:
    """T consecutive frames.

    numbers     (T, 73) float32, see `WIDTH`; expression (21, 3) row by row.
    first       (73,) float32: the frame that stands for the portrait as it is.
    fps         exact frames per second; frame k shows the time from (start + k) / fps on.
    confidence  (T,) float32: 0 where no face was seen.
    start       number of the first frame.
    made        made by a model of speech (JoyVASA), whose lips count as they are.
    measured    whether openings of eyes and lips were seen.
    metres      of one unit of keypoints.
    """

    numbers: np.ndarray
    first: np.ndarray
    fps: Fraction
    confidence: np.ndarray = field(default=None)  # type: ignore[assignment]
    start: int = 0
    made: bool = False
    measured: bool = False
    metres: float = METRES

    def __post_init__(self) -> None:
        for name, shape in (("numbers", (len(self.numbers), WIDTH)), ("first", (WIDTH,))):
            value = np.ascontiguousarray(getattr(self, name), np.float32)
            if value.shape != shape:
                raise UsageError(f"{name} must be {shape}, got {value.shape}")
            object.__setattr__(self, name, value)
        sure = np.ones(len(self)) if self.confidence is None else self.confidence
        object.__setattr__(self, "confidence", np.ascontiguousarray(sure, np.float32))
        object.__setattr__(self, "fps", Fraction(self.fps))

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, part: slice) -> NativeMotion:
        """A run of frames; it keeps its place in time."""
        first, last, _ = part.indices(len(self))
        return replace(
            self,
            numbers=self.numbers[first:last],
            confidence=self.confidence[first:last],
            start=self.start + first,
        )

    def with_fps(self, fps: Fraction | int) -> NativeMotion:
        """At another rate over the same time: linear between frames' middles, as many as last as long."""
        fps = Fraction(fps)
        if fps == self.fps or not len(self):
            return replace(self, fps=fps)
        count = max(1, round(len(self) * fps / self.fps))
        place = np.clip((np.arange(count) + 0.5) * float(self.fps / fps) - 0.5, 0, len(self) - 1)
        low = np.minimum(place.astype(int), max(0, len(self) - 2))
        share = (place - low)[:, None].astype(np.float32)
        high = np.minimum(low + 1, len(self) - 1)
        numbers = self.numbers[low] * (1 - share) + self.numbers[high] * share
        sure = np.minimum(self.confidence[low], self.confidence[high])
        return replace(self, numbers=numbers, confidence=sure, fps=fps, start=round(self.start * fps / self.fps))

    @property
    def pose(self) -> Pose:
        """The frames for `transfer`, without keypoints: the portrait has its own."""
        return pose_of_numbers(self.numbers)

    @property
    def reference(self) -> Pose:
        """`first`, for `transfer`."""
        return pose_of_numbers(self.first[None])

    @property
    def openings(self) -> Openings | None:
        """Eyes and lips of the frames, where they were measured."""
        if not self.measured:
            return None
        import torch

        from avatars.liveportrait.transfer import Openings

        return Openings(torch.from_numpy(self.numbers[:, 70:72].copy()), torch.from_numpy(self.numbers[:, 72:].copy()))

    def face_motion(self, blendshapes: BlendshapeMap) -> FaceMotion:
        """The same as changes against `first`: ARKit weights (T, 52), head (T, 6).

        Angles are exact; place and size become metres by `metres` and `DISTANCE`; the expression is what the map makes
        of it (what its directions don't reach is lost).
        """
        weights = blendshapes.weights((self.numbers[:, :63] - self.first[:63]).reshape(-1, 21, 3))
        start = head_angles(self.first[67:70])
        turn = np.array([head_angles(angles) - start for angles in self.numbers[:, 67:70]]).reshape(-1, 3)
        move = (self.numbers[:, 63:66] - self.first[63:66]) * self.metres
        nearer = DISTANCE * (1 - self.first[66] / np.maximum(self.numbers[:, 66], 1e-6))
        head = np.column_stack([turn, move[:, 0], -move[:, 1], nearer])
        return FaceMotion(weights, self.fps, head, self.confidence, self.start)

    def changed(self, weights: np.ndarray, head: np.ndarray, blendshapes: BlendshapeMap) -> NativeMotion:
        """The frames with ARKit weights (T, 52) and head (T, 6) added."""
        numbers = self.numbers.copy()
        numbers[:, :63] += blendshapes.expression(weights).reshape(-1, 63)
        for frame, turn in zip(numbers, np.asarray(head)):
            if turn[:3].any():
                frame[67:70] = native_angles(head_angles(frame[67:70]) + turn[:3])
        place, scale = moved(numbers[:, 63:66], numbers[:, 66:67], head, self.metres)
        numbers[:, 63:66], numbers[:, 66:67] = place, scale
        return replace(self, numbers=numbers)


def joined(motion: NativeMotion | Iterable[NativeMotion]) -> NativeMotion:
    """A stream of consecutive blocks as one motion. Raises `UsageError` for none."""
    if isinstance(motion, NativeMotion):
        return motion
    parts = list(motion)
    if not parts:
        raise UsageError("a stream without blocks is no motion")
    numbers, confidence = (np.concatenate([getattr(p, name) for p in parts]) for name in ("numbers", "confidence"))
    return replace(parts[0], numbers=numbers, confidence=confidence, metres=parts[-1].metres)


def native_blocks(motion: NativeMotion, seconds: float = 0.5) -> Iterator[NativeMotion]:
    """A motion in blocks of about `seconds`."""
    size = max(1, round(seconds * float(motion.fps)))
    return (motion[first : first + size] for first in range(0, len(motion), size))


def moved(t: np.ndarray, scale: np.ndarray, head: np.ndarray, metres: float) -> tuple[np.ndarray, np.ndarray]:
    """t (T, 3) and scale (T, 1) after the metres of head (T, 6): right and up move t, towards the camera enlarges."""
    head = np.asarray(head, np.float64).reshape(-1, 6)
    shift = np.column_stack([head[:, 3], -head[:, 4], np.zeros(len(head))]) / metres
    return t + shift, scale / np.clip(1 - head[:, 5:6] / DISTANCE, 0.2, 5.0)


def pose_of_numbers(numbers: np.ndarray) -> Pose:
    """`Pose` of frames (T, 73), with keypoints of zero."""
    import torch

    from avatars.liveportrait.keypoints import Pose, rotation

    frames = torch.from_numpy(np.array(numbers, np.float32))
    exp = frames[:, :63].reshape(-1, 21, 3)
    turn = rotation(frames[:, 67:68], frames[:, 68:69], frames[:, 69:70])
    return Pose(torch.zeros_like(exp), exp, turn, frames[:, 63:66], frames[:, 66:67])
