"""`FaceTracker`: the faces of a picture, and the same faces through a clip.

A still is searched thoroughly: the whole picture, then tiles, then the landmark network on each candidate. In a clip
each face is looked for where it was one frame before (one network, 3 ms); the detectors run only when a face is
lost, after a cut, and now and then for newcomers. Nothing is smoothed here (`controls.smoothing` does that).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from avatars import facenets
from avatars.pose import fit_pose
from controls import detection
from controls.detection import Region
from studio.errors import NoFaceError
from studio.observation import Observation

if TYPE_CHECKING:
    from studio.media import Frame

SMALLEST = 24
"""Width in pixels of the smallest face that can be tracked."""

BRIDGE = Fraction(3, 10)
"""Seconds: shorter gaps are bridged between the frames before and after, in longer ones the last pose is held."""

HOLD = Fraction(1)
"""Seconds that a lost face is reported (with confidence 0) before it is given up."""

NEWCOMERS = Fraction(1, 2)
"""Seconds between searches for further faces."""

CUT = 28.0
"""Mean difference of two frames' thumbnails (0..255) beyond which the scene has changed."""

PRESENCE = 0.5
"""What the landmark network must be sure of, 0..1."""


class FaceTracker:
    """Finds faces with MediaPipe's networks.

        faces = FaceTracker(max_faces=6).observe(image)
        for frame, faces in FaceTracker().track(clip.frames()): ...

    max_faces  report at most so many, the largest ones.
    min_score  what a detector must give a new face, 0..1: real faces, painted and carved ones too, get .8 and more, a
               cat gets .6, folds of cloth .5.
    weights    estimate the 52 ARKit weights of each face of a still as well.
    """

    def __init__(self, max_faces: int = 1, min_score: float = 0.65, weights: bool = False) -> None:
        if max_faces < 1:
            raise ValueError(f"max_faces must be at least 1, got {max_faces}")
        self.max_faces = max_faces
        self.min_score = min_score
        self.weights = weights

    def observe(self, image: np.ndarray, thorough: bool = True) -> list[Observation]:
        """The faces of a picture (H, W, 3) uint8 RGB, largest first; face_id counts them.

        thorough  look for small faces as well; False is four times as fast where a large one is all that matters.

        Raises `NoFaceError` that says why when there is none: nothing like a face, too uncertain, or too small.
        """
        seen, note = self._search(image, thorough)
        if not seen and not thorough:
            seen, note = self._search(image, True)
        if not seen:
            raise NoFaceError(note)
        return [self._observation(points, image, score, i) for i, (points, score) in enumerate(seen)]

    def track(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, list[Observation]]]:
        """Each frame with its faces; a face keeps its face_id, with max_faces=1 it is always 0.

        A face that is lost is reported with confidence 0: bridged over gaps up to `BRIDGE`, held up to `HOLD`. Frames
        are handed on at once while all faces are seen, and wait at most `BRIDGE` while one is lost.
        """
        state = _Clip(self)
        waiting: deque[tuple[Frame, dict[int, Observation]]] = deque()
        for frame in frames:
            here = state.look(frame)
            _bridge(waiting, here)
            waiting.append((frame, here))
            while waiting and (not _open(waiting, here) or frame.time - waiting[0][0].time >= BRIDGE):
                yield self._ordered(waiting.popleft())
        while waiting:
            yield self._ordered(waiting.popleft())

    def follow(self) -> Callable[[Frame], list[Observation]]:
        """For pictures that come one by one: what takes the next frame and gives its faces at once, lost ones with
        confidence 0."""
        state = _Clip(self)
        return lambda frame: self._ordered((frame, state.look(frame)))[1]

    def _ordered(self, item: tuple[Frame, dict[int, Observation]]) -> tuple[Frame, list[Observation]]:
        frame, here = item
        return frame, sorted(here.values(), key=lambda f: -f.eye_span)

    def _search(self, image: np.ndarray, thorough: bool) -> tuple[list[tuple[np.ndarray, float]], str]:
        """Landmarks and scores of all faces, largest first, and what to say when there is none."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"expected (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}")
        best, smallest = 0.0, 0.0
        seen: list[tuple[np.ndarray, float]] = []
        for candidate in detection.detect(image, thorough=thorough):
            best = max(best, candidate.score)
            if candidate.score < self.min_score:
                continue
            points, score = detection.refine(image, candidate.region)
            box = _box(points)
            if score < PRESENCE or detection.overlap(box, candidate.box) < 0.5:
                continue
            if any(detection.overlap(box, _box(other)) > 0.5 for other, _ in seen):
                continue
            if box[2] - box[0] < SMALLEST:
                smallest = max(smallest, float(box[2] - box[0]))
                continue
            seen.append((points, min(1.0, score)))
        seen.sort(key=lambda face: -np.prod(_box(face[0])[2:] - _box(face[0])[:2]))
        if smallest:
            note = f"the face is {smallest:.0f} pixels wide, {SMALLEST} are needed. Give a larger picture of it."
        else:
            note = (
                f"no face found (best score {best:.2f}, needed {self.min_score:.2f}). "
                "Crop closer to the face, or give a sharper picture."
            )
        return seen[: self.max_faces], note

    def _observation(
        self, points: np.ndarray, image: np.ndarray, score: float, face_id: int, time: Fraction = Fraction(0)
    ) -> Observation:
        size = (image.shape[1], image.shape[0])
        pose = fit_pose(points, size=size)
        return Observation(points, size, pose.head, None, score, face_id, time)


@dataclass
class _Track:
    """A face that is followed."""

    face_id: int
    region: Region
    last: Observation
    lost: bool = False


@dataclass
class _Clip:
    """What is known between two frames of a clip."""

    tracker: FaceTracker
    tracks: list[_Track] = field(default_factory=list)
    next_id: int = 0
    searched: Fraction | None = None
    thumbnail: np.ndarray | None = None

    def look(self, frame: Frame) -> dict[int, Observation]:
        """The faces of the next frame by id; lost ones are held with confidence 0."""
        cut = self._is_cut(frame.image)
        for track in self.tracks:
            points, score = detection.landmarks_in(frame.image, track.region)
            jump = np.linalg.norm(points[:468, :2].mean(0) - track.last.landmarks[:468, :2].mean(0))
            sound = score >= PRESENCE and np.ptp(points[:468, 0]) >= 0.7 * SMALLEST and jump < 1.5 * track.last.eye_span
            self._update(track, points if sound and not (cut or track.lost) else None, frame, score)
        self._forget(frame.time)
        missing = not self.tracks or any(track.lost for track in self.tracks)
        due = self.searched is None or frame.time - self.searched >= NEWCOMERS
        if missing or cut or (due and len(self.tracks) < self.tracker.max_faces):
            # Tiles take long: on every frame without a face they would halve the speed of the whole.
            self._meet(frame, thorough=due or cut)
        return {track.face_id: track.last for track in self.tracks}

    def _is_cut(self, image: np.ndarray) -> bool:
        cv2 = facenets.load_cv2()
        small = cv2.resize(image, (48, 48), interpolation=cv2.INTER_LINEAR).astype(np.float32)
        before, self.thumbnail = self.thumbnail, small
        return before is not None and float(np.abs(small - before).mean()) > CUT

    def _update(self, track: _Track, points: np.ndarray | None, frame: Frame, score: float) -> None:
        if points is None:
            track.lost = True
            track.last = replace(track.last, confidence=0.0)
            return
        track.lost = False
        track.region = Region.of(points)
        track.last = self.tracker._observation(points, frame.image, min(1.0, score), track.face_id, frame.time)

    def _forget(self, now: Fraction) -> None:
        """Gives up faces that have been away long, and the later one of two tracks that ended on one face."""
        kept: list[_Track] = []
        for track in self.tracks:
            same = any(
                not track.lost
                and not other.lost
                and detection.overlap(_box(track.last.landmarks), _box(other.last.landmarks)) > 0.6
                for other in kept
            )
            if not same and not (track.lost and now - track.last.time > HOLD):
                kept.append(track)
        self.tracks = kept

    def _meet(self, frame: Frame, thorough: bool) -> None:
        """Searches the frame, gives lost faces back to their tracks and opens tracks for new ones."""
        if thorough:
            self.searched = frame.time
        for points, score in self.tracker._search(frame.image, thorough)[0]:
            box = _box(points)
            known = [t for t in self.tracks if not t.lost and detection.overlap(box, _box(t.last.landmarks)) > 0.5]
            if known:
                continue
            away = [t for t in self.tracks if t.lost]
            away.sort(key=lambda t: _difference(points, t.last))
            if away and (_difference(points, away[0].last) < 1.2 or self.tracker.max_faces == 1):
                self._update(away[0], points, frame, score)
            elif sum(not t.lost for t in self.tracks) < self.tracker.max_faces:
                who = 0 if self.tracker.max_faces == 1 else self.next_id
                self.next_id += 1
                seen = self.tracker._observation(points, frame.image, min(1.0, score), who, frame.time)
                self.tracks.append(_Track(who, Region.of(points), seen))


def _open(waiting: Iterable[tuple[Frame, dict[int, Observation]]], here: dict[int, Observation]) -> bool:
    """Whether a frame that waits may still be bridged: a face in it is lost now as well."""
    return any(face.confidence <= 0 for face in here.values())


def _bridge(waiting: deque[tuple[Frame, dict[int, Observation]]], here: dict[int, Observation]) -> None:
    """Fills the frames that wait between the last sight of a face and the one just had."""
    for who, now in here.items():
        if now.confidence <= 0:
            continue
        for frame, faces in waiting:
            held = faces.get(who)
            if held is None or held.confidence > 0 or held.time >= frame.time:
                continue
            t = float((frame.time - held.time) / (now.time - held.time))
            if _difference(now.landmarks, held) > 0.8:
                continue  # it came back somewhere else: between the two there was a cut
            landmarks = (held.landmarks * (1 - t) + now.landmarks * t).astype(np.float32)
            pose = fit_pose(landmarks, size=held.size)
            faces[who] = replace(held, landmarks=landmarks, head=pose.head, time=frame.time)


def _difference(points: np.ndarray, other: Observation) -> float:
    """How far two faces are apart in place and size, eye spans of the second."""
    place = np.linalg.norm(points[:468, :2].mean(0) - other.landmarks[:468, :2].mean(0))
    size = np.linalg.norm(points[33] - points[263])
    return float(place / other.eye_span + abs(np.log(size / other.eye_span)))


def _box(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points[:468, :2].min(0), points[:468, :2].max(0)])


__all__ = ["FaceTracker"]
