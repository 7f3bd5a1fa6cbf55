"""`FaceMotion`: the currency of the library. Every driver makes one, every avatar and exporter takes one.

A long motion travels as a stream: an iterator of consecutive `FaceMotion` blocks of one fps (about a
second each), so that nothing grows with the length of a clip. `blocks` turns either into a stream,
`join` turns a stream into one motion.

Frame of `head` and of everything in 3D: right-handed, origin between the eyes' outer corners,
+X towards the subject's left (the picture's right), +Y up, +Z out of the face towards the camera.
    rotation = Ry(yaw) @ Rx(pitch) @ Rz(-roll)
    yaw   > 0  the face turns towards the picture's right
    pitch > 0  the face looks down
    roll  > 0  the head tilts clockwise in the picture
The head turns about its joint, `HEAD_JOINT`; the translation, in metres, is the joint's own.
`EYE_SPAN` metres between the outer eye corners stand for any face.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from studio.arkit import ARKIT, INDEX, mirror
from studio.errors import UsageError

EYE_SPAN = 0.09
"""Metres between the outer eye corners that stand for any face (adults measure 83 to 98 mm)."""

HEAD_JOINT = (0.0, -0.0765, -0.0675)
"""Metres from the eyes to the top of the neck, about which the head turns, in the head's frame."""

LOOK_LIMIT = {"In": 0.61, "Out": 0.61, "Up": 0.44, "Down": 0.52}
"""Radians that an eye turns at eyeLook weight 1."""


def rotation_matrix(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """(3, 3) rotation of the head from radians; convention in the module's docstring."""
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rx = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    rz = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return ry @ rx @ rz


def rotation_angles(rotation: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch, roll in radians of a (3, 3) rotation: the inverse of `rotation_matrix`."""
    forward = rotation[:, 2]
    yaw = np.arctan2(forward[0], forward[2])
    pitch = np.arctan2(-forward[1], np.hypot(forward[0], forward[2]))
    roll = np.arctan2(rotation[1, 0], rotation[1, 1])
    return float(yaw), float(pitch), float(-roll)


@dataclass(frozen=True)
class FaceMotion:
    """A time series of expression, gaze and head pose.

    weights     (T, 52) float32 over `studio.arkit.ARKIT`: 0 neutral, 1 full; a little outside is tolerated.
    fps         exact frames per second. Frame k shows the time from (start + k) / fps on.
    head        (T, 6) float32: yaw, pitch, roll (radians), x, y, z (metres).
    confidence  (T,) float32: 0 where no face was seen, 1 where sure.
    start       number of the first frame, so that a block of a stream knows its place.
    residual    (T, 468, 3) float32 or None: what the 52 shapes miss, as displacement of the FaceMesh
                points in eye spans in the head's frame. Same person only; files leave it out.

    Gaze is held by the eyeLook weights alone; `gaze` and `with_gaze` turn it into angles and back.
    """

    weights: np.ndarray
    fps: Fraction
    head: np.ndarray = field(default=None)  # type: ignore[assignment]
    confidence: np.ndarray = field(default=None)  # type: ignore[assignment]
    start: int = 0
    residual: np.ndarray | None = None

    def __post_init__(self) -> None:
        weights = np.ascontiguousarray(self.weights, np.float32)
        if weights.ndim != 2 or weights.shape[1] != len(ARKIT):
            raise UsageError(f"weights must be (T, {len(ARKIT)}), got {weights.shape}")
        frames = len(weights)
        fps = Fraction(self.fps)
        if fps <= 0:
            raise UsageError(f"fps must be above 0, got {fps}")
        head = np.zeros((frames, 6)) if self.head is None else self.head
        confidence = np.ones(frames) if self.confidence is None else self.confidence
        put = lambda name, value: object.__setattr__(self, name, value)
        put("weights", weights)
        put("fps", fps)
        put("head", np.ascontiguousarray(head, np.float32))
        put("confidence", np.ascontiguousarray(confidence, np.float32))
        for name, shape in (("head", (frames, 6)), ("confidence", (frames,))):
            if getattr(self, name).shape != shape:
                raise UsageError(f"{name} must be {shape}, got {getattr(self, name).shape}")
        if self.residual is not None:
            put("residual", np.ascontiguousarray(self.residual, np.float32))
            if self.residual.shape != (frames, 468, 3):
                raise UsageError(f"residual must be {(frames, 468, 3)}, got {self.residual.shape}")

    def __len__(self) -> int:
        return len(self.weights)

    @classmethod
    def still(
        cls, frames: int, fps: Fraction | int, shapes: Mapping[str, float] | None = None, start: int = 0
    ) -> FaceMotion:
        """`frames` equal frames with the named weights."""
        weights = np.zeros((frames, len(ARKIT)), np.float32)
        for name, value in (shapes or {}).items():
            if name not in INDEX:
                raise UsageError(f"{name!r} is not an ARKit blendshape")
            weights[:, INDEX[name]] = value
        return cls(weights, Fraction(fps), start=start)

    @property
    def times(self) -> np.ndarray:
        """(T,) float64 seconds of each frame."""
        return (self.start + np.arange(len(self))) / float(self.fps)

    def __getitem__(self, part: slice) -> FaceMotion:
        """A run of frames; it keeps its place in time."""
        first, last, step = part.indices(len(self))
        if step != 1:
            raise UsageError("a motion is sliced in steps of 1; use with_fps to thin it out")
        residual = None if self.residual is None else self.residual[first:last]
        return replace(
            self,
            weights=self.weights[first:last],
            head=self.head[first:last],
            confidence=self.confidence[first:last],
            start=self.start + first,
            residual=residual,
        )

    def curve(self, name: str) -> np.ndarray:
        """(T,) weights of one shape."""
        return self.weights[:, INDEX[name]]

    @property
    def gaze(self) -> np.ndarray:
        """(T, 2, 2) radians: left eye, right eye; yaw (> 0 to the picture's right), pitch (> 0 down)."""
        get = lambda name: (
            self.weights[:, INDEX[name]] * LOOK_LIMIT[name[7:].removesuffix("Left").removesuffix("Right")]
        )
        left = np.stack(
            [get("eyeLookOutLeft") - get("eyeLookInLeft"), get("eyeLookDownLeft") - get("eyeLookUpLeft")], 1
        )
        right = np.stack(
            [get("eyeLookInRight") - get("eyeLookOutRight"), get("eyeLookDownRight") - get("eyeLookUpRight")], 1
        )
        return np.stack([left, right], 1)

    def with_gaze(self, angles: np.ndarray) -> FaceMotion:
        """The same motion with both eyes turned: angles (2,), (T, 2) or (T, 2, 2) radians as in `gaze`."""
        angles = np.asarray(angles, np.float32)
        if angles.ndim == 2:
            angles = angles[:, None, :]
        angles = np.broadcast_to(angles, (len(self), 2, 2))
        weights = self.weights.copy()
        for eye, side, out in ((0, "Left", 1), (1, "Right", -1)):
            yaw, pitch = angles[:, eye, 0] * out, angles[:, eye, 1]
            for direction, value in (("Out", yaw), ("In", -yaw), ("Down", pitch), ("Up", -pitch)):
                weights[:, INDEX[f"eyeLook{direction}{side}"]] = np.maximum(value, 0) / LOOK_LIMIT[direction]
        return replace(self, weights=weights)

    # ---- operations: each returns a new motion ---------------------------------------------------

    def with_fps(self, fps: Fraction | int) -> FaceMotion:
        """Resampled to another rate over the same time: linear between frames, averaged where frames get fewer."""
        fps = Fraction(fps)
        if fps == self.fps or len(self) == 0:
            return replace(self, fps=fps)
        count = max(1, round(len(self) * fps / self.fps))
        source = (np.arange(count) + 0.5) * float(self.fps / fps) - 0.5  # middles of the new frames' spans
        step = float(self.fps / fps)

        def sample(values: np.ndarray) -> np.ndarray:
            if step > 1:  # average what a longer frame spans
                taps = np.linspace(-0.5, 0.5, 2 * int(np.ceil(step)) + 1)[1::2] * step
                return np.mean([_at(values, source + t) for t in taps], 0)
            return _at(values, source)

        residual = None if self.residual is None else sample(self.residual)
        start = round(self.start * fps / self.fps)
        return replace(
            self,
            weights=sample(self.weights),
            fps=fps,
            head=sample(self.head),
            confidence=sample(self.confidence),
            start=start,
            residual=residual,
        )

    def scale(self, factor: float, shapes: Iterable[str] | None = None) -> FaceMotion:
        """Weights times `factor`: all of them, or the named shapes alone."""
        weights = self.weights.copy()
        where = slice(None) if shapes is None else [INDEX[name] for name in shapes]
        weights[:, where] *= factor
        return replace(self, weights=weights)

    def clamp(self, low: float = 0.0, high: float = 1.0) -> FaceMotion:
        """Weights held within low..high."""
        return replace(self, weights=np.clip(self.weights, low, high))

    def add(self, other: FaceMotion) -> FaceMotion:
        """Weights and head of both added, over this motion's frames; beyond its end `other` counts as zero."""
        _same_rate(self, other)
        weights, head = self.weights.copy(), self.head.copy()
        shift = other.start - self.start
        first, last = max(0, shift), min(len(self), shift + len(other))
        if last > first:
            weights[first:last] += other.weights[first - shift : last - shift]
            head[first:last] += other.head[first - shift : last - shift]
        return replace(self, weights=weights, head=head)

    def blend(self, other: FaceMotion, share: float) -> FaceMotion:
        """(1 - share) of this and `share` of the other; both of one length and rate."""
        _same_rate(self, other)
        if len(self) != len(other):
            raise UsageError(f"motions of {len(self)} and {len(other)} frames can't be blended")
        mix = lambda a, b: a * (1 - share) + b * share
        return replace(self, weights=mix(self.weights, other.weights), head=mix(self.head, other.head), residual=None)

    def smooth(self, seconds: float) -> FaceMotion:
        """Weights and head smoothed without delay by a Gaussian of `seconds` standard deviation."""
        sigma = seconds * float(self.fps)
        if sigma <= 0 or len(self) < 2:
            return self
        reach = int(np.ceil(3 * sigma))
        window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        window /= window.sum()

        def run(values: np.ndarray) -> np.ndarray:
            padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
            return np.sum([w * padded[k : k + len(values)] for k, w in enumerate(window)], 0)

        return replace(self, weights=run(self.weights), head=run(self.head))

    def relative_to(self, weights: np.ndarray, head: np.ndarray) -> FaceMotion:
        """The change against a reference: weights (52,), head (6,)."""
        return replace(self, weights=self.weights - weights, head=self.head - head)

    def mirrored(self) -> FaceMotion:
        """Left and right exchanged, as in a mirror."""
        weights = self.weights[:, [INDEX[mirror(name)] for name in ARKIT]]
        return replace(
            self, weights=weights, head=self.head * np.array([-1, 1, -1, -1, 1, 1], np.float32), residual=None
        )

    def save(self, path: str | Path) -> None:
        """Writes .npz, .csv (Live Link Face) or .json; see `studio.motion_io`."""
        from studio.motion_io import save_motion

        save_motion(path, self)

    @classmethod
    def load(cls, path: str | Path) -> FaceMotion:
        """Reads .npz, .csv (Live Link Face) or .json."""
        from studio.motion_io import load_motion

        return load_motion(path)


def _at(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    where = np.clip(where, 0, len(values) - 1)
    low = np.minimum(where.astype(int), max(0, len(values) - 2))
    share = (where - low).reshape(-1, *[1] * (values.ndim - 1))
    return values[low] * (1 - share) + values[np.minimum(low + 1, len(values) - 1)] * share


def _same_rate(a: FaceMotion, b: FaceMotion) -> None:
    if a.fps != b.fps:
        raise UsageError(f"motions of {a.fps} and {b.fps} frames a second don't go together; use with_fps")


def blocks(motion: FaceMotion | Iterable[FaceMotion], seconds: float = 1.0) -> Iterator[FaceMotion]:
    """A motion in blocks of about `seconds`; a stream as it is."""
    if not isinstance(motion, FaceMotion):
        yield from motion
        return
    size = max(1, round(seconds * float(motion.fps)))
    for first in range(0, len(motion), size):
        yield motion[first : first + size]


def join(motion: FaceMotion | Iterable[FaceMotion]) -> FaceMotion:
    """A stream of consecutive blocks as one motion. Raises UsageError for none, or for differing rates."""
    if isinstance(motion, FaceMotion):
        return motion
    parts = list(motion)
    if not parts:
        raise UsageError("a stream without blocks is no motion")
    for part in parts[1:]:
        _same_rate(parts[0], part)
    stack = lambda name: np.concatenate([getattr(p, name) for p in parts])
    residual = stack("residual") if all(p.residual is not None for p in parts) else None
    return FaceMotion(stack("weights"), parts[0].fps, stack("head"), stack("confidence"), parts[0].start, residual)
