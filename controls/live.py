"""Motion as it happens: from a microphone and from a camera."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.errors import MediaError, NoFaceError, require
from studio.motion import FaceMotion

if TYPE_CHECKING:
    from studio.observation import Observation

MIC_RATE = 16000
MIC_BLOCK = 0.05
"""Seconds of sound that a microphone hands over at a time."""

CALM = 1.0
"""Seconds of a camera's face from which its neutral is measured."""

PATIENCE = 20.0
"""Seconds to wait for a face, or for a device that gives nothing."""


def microphone(stop: threading.Event, device: int | str | None = None) -> Iterator[np.ndarray]:
    """Blocks (n,) float32 mono at 16 kHz of a microphone, until `stop` is set.

    Raises MissingExtraError without sounddevice or PortAudio, MediaError where there is no microphone.
    """
    from studio.errors import MissingExtraError

    try:
        sound = require("sounddevice", extra="live")
    except OSError as error:  # the package is there, the system library isn't
        raise MissingExtraError(f"{error}. Install PortAudio: apt-get install libportaudio2") from error
    heard: queue.Queue[np.ndarray] = queue.Queue(200)

    def take(samples: np.ndarray, *_: Any) -> None:
        if not heard.full():
            heard.put_nowait(samples[:, 0].copy())

    try:
        stream = sound.InputStream(
            samplerate=MIC_RATE,
            channels=1,
            dtype="float32",
            blocksize=int(MIC_RATE * MIC_BLOCK),
            device=device,
            callback=take,
        )
    except (sound.PortAudioError, ValueError) as error:
        raise MediaError(f"no microphone can be opened ({error}); give --audio FILE") from error

    def blocks() -> Iterator[np.ndarray]:
        silent = 0.0
        with stream:
            while not stop.is_set():
                try:
                    yield heard.get(timeout=0.5)
                    silent = 0.0
                except queue.Empty:
                    silent += 0.5
                    if silent >= PATIENCE:
                        raise MediaError(f"the microphone gave nothing for {PATIENCE:.0f} s") from None

    return blocks()


def spoken_live(sound: Iterable[np.ndarray], fps: Fraction) -> Iterator[Any]:
    """`SpokenBlock`s of blocks of float32 mono at 16 kHz, each as soon as it is sure (the quick network)."""
    from controls.lipsync.driver import LipSyncSettings, LipSyncStream

    stream = LipSyncStream(fps, LipSyncSettings(latency="quick"))
    for samples in sound:
        yield from stream.feed(samples)
    yield from stream.finish()


def camera_motion(
    number: int, fps: Fraction, stop: threading.Event, open_camera: Callable[[int], Any] | None = None
) -> Iterator[FaceMotion]:
    """Motion of the face before a camera, a frame a block: what the camera shows when the block is asked for.

    The face's neutral is measured in the first `CALM` seconds, so it should be at rest then. confidence is 0 where no
    face is seen. Raises MediaError where there is no such camera, NoFaceError where none shows within `PATIENCE`.
    """
    import cv2

    camera = (open_camera or cv2.VideoCapture)(number)
    if not camera.isOpened():
        camera.release()
        raise MediaError(f"camera {number} can't be opened: another program may hold it, or there is none")
    camera.set(cv2.CAP_PROP_FPS, float(fps))
    return _seen(number, camera, fps, stop)


class LiveFace:
    """Motion of one face, observation by observation as they come.

    fps   of them per second; the face's neutral is measured in the first `CALM` seconds that show it.
    rest  (6,) the head's pose in those seconds, radians and metres, once they are over.
    """

    def __init__(self, fps: Fraction) -> None:
        from controls.smoothing import OneEuro

        self.fps = fps
        self._calm = OneEuro(fps)
        self._start: list[Observation] = []
        self._fit: Any = None
        self._count = 0
        self._weights, self._head = np.zeros(52, np.float32), np.zeros(6, np.float32)

    @property
    def known(self) -> int:
        """Sights of the face so far from which its neutral is measured."""
        return len(self._start)

    def read(self, seen: Observation | None) -> FaceMotion | None:
        """The next frame; None while the neutral is measured. Where no face is seen the last is held, confidence 0."""
        sure = 0.0 if seen is None else seen.confidence
        if self._fit is None:
            if seen is not None and sure > 0:
                self._start.append(seen)
                if len(self._start) >= CALM * self.fps:
                    self._measure()
            return None
        if seen is not None and sure > 0:
            raw, pose, _ = self._fit(seen.landmarks, seen.size)
            both = self._calm(np.concatenate([np.maximum(raw - self._bias, 0), pose.head]))
            self._weights, self._head = both[:52].astype(np.float32), both[52:].astype(np.float32)
        else:
            self._calm.reset()
        self._count += 1
        return FaceMotion(self._weights[None], self.fps, self._head[None], np.array([sure]), start=self._count - 1)

    def _measure(self) -> None:
        from avatars.fit import ExpressionFit, Neutral

        self._fit = ExpressionFit(Neutral.from_frames([seen.landmarks for seen in self._start]))
        read = [self._fit(seen.landmarks, seen.size) for seen in self._start]
        self._bias = np.median([weights for weights, _, _ in read], 0)
        self.rest = np.median([pose.head for _, pose, _ in read], 0).astype(np.float32)


def _seen(number: int, camera: Any, fps: Fraction, stop: threading.Event) -> Iterator[FaceMotion]:
    from controls.tracker import FaceTracker

    face = LiveFace(fps)
    try:
        for asked, seen in enumerate(_observed(number, camera, fps, stop, FaceTracker(max_faces=1)), 1):
            motion = face.read(seen)
            if motion is not None:
                yield motion
            elif not face.known and asked > PATIENCE * fps:
                raise NoFaceError(f"camera {number}: no face in {asked} frames. Sit before it, with light on the face.")
    finally:
        camera.release()


def _observed(number: int, camera: Any, fps: Fraction, stop: threading.Event, tracker: Any) -> Iterator[Any]:
    """The face of each picture that comes, or None; old pictures that wait in the camera are passed over by it."""
    from studio.clip import Frame

    def pictures() -> Iterator[Frame]:
        count = 0
        while not stop.is_set():
            there, picture = camera.read()
            if not there:
                raise MediaError(f"camera {number} gives no more pictures")
            yield Frame(np.ascontiguousarray(picture[..., ::-1]), Fraction(count) / fps, count)
            count += 1

    for _, faces in tracker.track(pictures()):
        yield faces[0] if faces else None


__all__ = ["LiveFace", "camera_motion", "microphone", "spoken_live"]
