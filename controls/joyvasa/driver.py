"""`JoyVasaDriver`: speech becomes motion in LivePortrait's own numbers, head and blinks included.

What JoyVASA's own scripts do and this does not, unless `JoyVasaSettings.original()` asks for it: they leave 80 ms of
silence before the sound, so that lips come that much too late, and a clip ends three frames after its sound; and they
smooth the head by a mean of four seconds, so that it hardly moves. Windows of four seconds hear nothing of each other;
ten frames of motion are carried over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatars.liveportrait.blendshapes import DEFAULT, BlendshapeMap
from avatars.liveportrait.native import WIDTH, NativeMotion
from avatars.liveportrait.settings import TransferSettings
from studio.errors import MediaError, UsageError, WeightsError, require
from studio.motion import FaceMotion

if TYPE_CHECKING:
    from torch import Tensor

    from controls.joyvasa.generator import MotionGenerator
    from controls.joyvasa.template import Template

RATE, FPS = 16000, 25
FRAME = RATE // FPS
BEFORE, AFTER = 1280, 640
"""Samples of silence that are put round the sound."""

LATE = BEFORE // FRAME
"""Frames by which lips are late for it."""

ORIGINAL_SECONDS = -1 / (FPS * math.log(0.99))
"""Time constant of the published smoothing: each frame takes a hundredth of the new."""


@dataclass(frozen=True)
class JoyVasaSettings:
    """guidance      how much speech is exaggerated (classifier-free guidance); None for a single pass without.
    flexibility   0..1: 1 adds more noise at each step.
    seed          another number gives another performance.
    late          keep the published delay of 80 ms, and the frames after the end.
    head_seconds  time constant of the smoothing of head, place and size; 0 for none.
    stitching, multiplier   how it is put on a portrait where nothing else is asked for.
    """

    guidance: float | None = 2.8
    flexibility: float = 0.0
    seed: int = 0
    late: bool = False
    head_seconds: float = 0.2
    stitching: bool = True
    multiplier: float = 1.1

    def __post_init__(self) -> None:
        if self.head_seconds < 0:
            raise UsageError(f"head_seconds must be 0 or more, got {self.head_seconds:g}")
        if not 0 <= self.flexibility <= 1:
            raise UsageError(f"flexibility must be 0 to 1, got {self.flexibility:g}")

    @classmethod
    def original(cls, seed: int = 0) -> JoyVasaSettings:
        """As the published command line does it."""
        return cls(seed=seed, late=True, head_seconds=ORIGINAL_SECONDS, stitching=False)


class JoyVasaDriver:
    """Speech to LivePortrait's motion (Cao et al. 2024) on the user's own weights.

        driver = JoyVasaDriver.from_pretrained("JoyVASA")
        for block in driver.native(Audio.open("speech.wav"), 25): ...     # for LivePortrait
        for block in driver.stream(Audio.open("speech.wav"), 25): ...     # `FaceMotion`, for anything else

    generator, template   the network and its statistics; blendshapes turns its motion into ARKit weights.
    """

    lively = True
    """It moves head, gaze and lids by itself."""

    def __init__(
        self,
        generator: MotionGenerator,
        template: Template,
        settings: JoyVasaSettings = JoyVasaSettings(),
        *,
        blendshapes: BlendshapeMap = DEFAULT,
        terms: str = "",
    ) -> None:
        self.generator, self.template, self.settings = generator, template, settings
        self.blendshapes, self.terms = blendshapes, terms

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path | None = None,
        settings: JoyVasaSettings = JoyVasaSettings(),
        *,
        positions: str = "old",
        device: Any = None,
        blendshapes: BlendshapeMap = DEFAULT,
    ) -> JoyVasaDriver:
        """Opens the published files from a folder, or where `studio.weights.locate` looks.

        positions  "old" for the released weights; "new" for weights trained after the authors mended the positions.
        device     default: CUDA where there is one.

        Raises `MissingExtraError` without torch, `WeightsError` for files that are missing or another network's.
        """
        from studio.weights import locate, model, open_weights, state_dict, tell_terms

        if positions not in ("old", "new"):
            raise UsageError(f"positions is 'old' or 'new', not {positions!r}")
        published = model("joyvasa")
        if folder is not None and not Path(folder).expanduser().is_dir():
            raise WeightsError(f"{folder}: no such folder; name the one that holds {published.files[0].name}")
        weights, statistics = (locate(published, file.name, folder) for file in published.files)
        torch = require("torch", extra="models")
        from controls.joyvasa.generator import MotionGenerator
        from controls.joyvasa.template import Template

        tell_terms(published)
        arrays = state_dict(weights, None if weights.suffix == ".safetensors" else "model")
        tensors = {key: torch.from_numpy(np.require(value, requirements=("C", "W"))) for key, value in arrays.items()}
        generator = MotionGenerator.of(tensors, positions).requires_grad_(False)
        generator.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        template = Template.of(open_weights(statistics))
        terms = f"{published.title}: {published.licence}"
        return cls(generator, template, settings, blendshapes=blendshapes, terms=terms)

    @property
    def transfer(self) -> TransferSettings:
        """How its motion goes onto a portrait: lips as they were made, all else as change from the first frame."""
        settings = self.settings
        return TransferSettings(relative=False, stitching=settings.stitching, multiplier=settings.multiplier)

    def native(self, audio: Any, fps: Fraction | int | str = FPS) -> Iterator[NativeMotion]:
        """Blocks of at most four seconds while the audio is read: round(duration * fps) frames, at least one.

        audio  `studio.media.Audio`. The same sound and seed give the same motion. Raises `MediaError` for no sound.
        """
        frames, first, start = resampled(self._frames(audio), Fraction(fps)), None, 0
        for block, reference in frames:
            first = reference if first is None else first
            yield NativeMotion(block, first, Fraction(fps), start=start, made=True)
            start += len(block)

    def stream(self, audio: Any, fps: Fraction | int | str = FPS) -> Iterator[FaceMotion]:
        """The same as changes of ARKit weights and head against the first frame, which hears silence."""
        return (block.face_motion(self.blendshapes) for block in self.native(audio, fps))

    def _frames(self, audio: Any) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        """(frames (T, 73) at 25 a second, the reference (73,), seconds that all frames shall last or inf so far)."""
        import torch

        from controls.joyvasa.template import PoseSmoother

        sound = _Windows(audio)
        seconds = self.settings.head_seconds
        smooth = PoseSmoother(1 - math.exp(-1 / (FPS * seconds))) if seconds else None
        first, skip = None, 0 if self.settings.late else LATE
        device = next(self.generator.parameters()).device
        pieces = (torch.from_numpy(piece)[None].to(device) for piece in sound)
        with torch.no_grad():
            for made in self.generator.windows(
                pieces,
                self._noise(),
                guidance=self.settings.guidance,
                flexibility=self.settings.flexibility,
            ):
                motion = self.template.motion(made.cpu())
                motion = motion if smooth is None else smooth(motion)
                parts = (motion.exp.flatten(1), motion.t, motion.scale, motion.pitch, motion.yaw, motion.roll)
                block = torch.cat(parts, 1).numpy()
                block = np.pad(block, ((0, 0), (0, WIDTH - block.shape[1])))
                first = block[0] if first is None else first
                whole = math.inf if sound.samples is None else self._lasts(sound.samples)
                yield block[skip:], first, whole
                skip = 0

    def _lasts(self, samples: int) -> float:
        """Seconds of motion for so many samples of sound."""
        return (samples + BEFORE + AFTER) // FRAME / FPS if self.settings.late else samples / RATE

    def _noise(self) -> Any:
        """Every window starts from the same noise; that of each step is fresh."""
        import torch

        draw = torch.Generator().manual_seed(self.settings.seed)
        sizes = self.generator.sizes
        device = next(self.generator.parameters()).device
        start = torch.randn(1, sizes.window, sizes.motion, generator=draw)

        def noise(_: int, step: int) -> Tensor:
            return (torch.randn(start.shape, generator=draw) if step else start).to(device)

        return noise


class _Windows:
    """The sound in windows of four seconds, silence round it; `samples` of the sound once the last one is out."""

    def __init__(self, audio: Any) -> None:
        self.audio = audio
        self.samples: int | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        size = 100 * FRAME
        heard, out, rest = 0, 0, np.zeros(BEFORE, np.float32)
        waiting: np.ndarray | None = None  # the newest window is held back: it may be the last
        for samples in self.audio.blocks(rate=RATE, seconds=0.5):
            if not np.isfinite(samples).all():
                raise MediaError("the sound holds samples that are not numbers (NaN or infinite)")
            heard += len(samples)
            rest = np.concatenate([rest, samples])
            while len(rest) >= size:
                if waiting is not None:
                    yield waiting
                waiting, rest, out = rest[:size], rest[size:], out + 1
        if not heard:
            raise MediaError("there is no sound to speak from")
        wanted = max(1, math.ceil(((heard + BEFORE + AFTER) // FRAME) / 100))
        last = [] if waiting is None else [waiting]
        while out < wanted:
            last.append(np.pad(rest[:size], (0, size - len(rest[:size]))))
            rest, out = rest[size:], out + 1
        for k, window in enumerate(last):
            if k == len(last) - 1:
                self.samples = heard
            yield window


def resampled(
    blocks: Iterator[tuple[np.ndarray, np.ndarray, float]], fps: Fraction
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks at 25 frames a second, as `JoyVasaDriver` makes them, at another rate: linear between frames' middles,
    as many as last as long as the last block says."""
    step = Fraction(FPS) / fps
    kept, begin, done = np.zeros((0, WIDTH), np.float32), 0, 0  # kept[0] is frame `begin` of the source
    for block, first, whole in blocks:
        kept = np.concatenate([kept, block])
        end = begin + len(kept)
        if math.isinf(whole):
            count = max(0, math.floor((end - Fraction(1, 2)) / step - Fraction(1, 2)) + 1 - done)
        else:
            count = max(1, round(whole * float(fps))) - done
        where = np.array([float((done + k + Fraction(1, 2)) * step - Fraction(1, 2)) for k in range(count)])
        place = np.clip(where - begin, 0, len(kept) - 1)
        low = np.minimum(place.astype(int), max(0, len(kept) - 2))
        share = (place - low)[:, None].astype(np.float32)
        if count > 0:
            yield kept[low] * (1 - share) + kept[np.minimum(low + 1, len(kept) - 1)] * share, first
        done += max(count, 0)
        begin, kept = end - 1, kept[-1:]


__all__ = ["JoyVasaDriver", "JoyVasaSettings", "resampled"]
