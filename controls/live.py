"""Motion as it happens: from a microphone and from a camera."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from studio.errors import MediaError, NoFaceError, require
from studio.motion import FaceMotion

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


def _seen(number: int, camera: Any, fps: Fraction, stop: threading.Event) -> Iterator[FaceMotion]:
    from avatars.fit import ExpressionFit, Neutral
    from controls.smoothing import OneEuro
    from controls.tracker import FaceTracker

    try:
        observed = _observed(number, camera, fps, stop, FaceTracker(max_faces=1))
        known, asked = [], 0
        for seen in observed:
            asked += 1
            if seen is not None and seen.confidence > 0:
                known.append(seen)
            if len(known) >= CALM * fps:
                break
            if not known and asked > PATIENCE * fps:
                raise NoFaceError(f"camera {number}: no face in {asked} frames. Sit before it, with light on the face.")
        if not known:
            return
        fit = ExpressionFit(Neutral.from_frames([seen.landmarks for seen in known]))
        bias = np.median([fit(seen.landmarks, seen.size)[0] for seen in known], 0)
        calm, count = OneEuro(float(fps)), 0
        weights, head = np.zeros(52, np.float32), np.zeros(6, np.float32)
        for seen in observed:
            sure = seen.confidence if seen is not None else 0.0
            if sure > 0:
                raw, pose, _ = fit(seen.landmarks, seen.size)
                both = calm(np.concatenate([np.maximum(raw - bias, 0), pose.head]))
                weights, head = both[:52].astype(np.float32), both[52:].astype(np.float32)
            else:
                calm.reset()
            yield FaceMotion(weights[None], fps, head[None], np.array([sure]), start=count)
            count += 1
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


__all__ = ["camera_motion", "microphone", "spoken_live"]
