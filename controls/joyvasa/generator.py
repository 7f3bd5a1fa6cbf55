"""The motion generator: speech, four seconds at a time, to normalised motion."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from controls.joyvasa.denoiser import Denoiser, MotionSizes
from controls.joyvasa.diffusion import denoise, guided
from controls.joyvasa.hubert import Hubert, HubertSizes
from studio.errors import WeightsError

RATE, FPS = 16000, 25
FRAME = RATE // FPS
"""Samples a frame of motion."""

_CONSTANTS = ("denoising_net.alignment_mask", "denoising_net.TE.pe", "denoising_net.PE.pe", "diffusion_sched.")

Noise = Callable[[int, int], Tensor]
"""(window, step) -> noise (1, frames, motion); step 0 is what a window starts from."""


def padded(sound: Tensor) -> Tensor:
    """(B, samples) mirrored at both ends so that the encoder gives a feature for each 320 samples."""
    count = sound.shape[1] // 320
    side = math.ceil((320 * count + 80 - sound.shape[1]) / 2)
    if side < 0:
        return sound
    for _ in range(2):
        sound = F.pad(sound[:, None], (side // 2,) * 2, mode="reflect")[:, 0]
    return F.pad(sound[:, None], (1, 1), mode="replicate")[:, 0] if side % 2 else sound


class MotionGenerator(nn.Module):
    """JoyVASA's second stage (Cao et al. 2024, section 3.3)."""

    def __init__(
        self,
        sizes: MotionSizes = MotionSizes(),
        encoder: HubertSizes = HubertSizes(),
        positions: str = "old",
    ) -> None:
        super().__init__()
        self.sizes = sizes
        self.audio_encoder = Hubert(encoder)
        self.audio_feature_map = nn.Linear(encoder.width, sizes.width)
        self.start_audio_feat = nn.Parameter(torch.zeros(1, sizes.previous, sizes.width))
        self.start_motion_feat = nn.Parameter(torch.zeros(1, sizes.previous, sizes.motion))
        self.null_audio_feat = nn.Parameter(torch.zeros(1, 1, sizes.width))
        self.denoising_net = Denoiser(sizes, positions)

    @classmethod
    def of(cls, state: Mapping[str, Tensor], positions: str = "old") -> MotionGenerator:
        """The network that a published state_dict belongs to, loaded strictly; sizes are the weights' own.

        Raises `WeightsError` for keys that are missing or unknown.
        """
        state = {key: value for key, value in state.items() if not key.startswith(_CONSTANTS)}
        encoder = {
            key.removeprefix("audio_encoder."): value
            for key, value in state.items()
            if key.startswith("audio_encoder.")
        }
        try:
            _, previous, motion = state["start_motion_feat"].shape
            width, audio = state["audio_feature_map.weight"].shape
        except KeyError as error:
            raise WeightsError(f"this is no JoyVASA motion generator: it has no {error.args[0]}") from None
        network = cls(MotionSizes(motion, width, 100, previous, audio), HubertSizes.of(encoder), positions)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(f"JoyVASA's motion generator: {error}") from None
        return network.eval()

    @property
    def samples(self) -> int:
        """Of a window of sound."""
        return self.sizes.window * FRAME

    def listen(self, sound: Tensor) -> Tensor:
        """One window of sound (B, samples) -> features (B, window, width)."""
        hidden = self.audio_encoder(padded(sound))
        even = F.interpolate(hidden.transpose(1, 2), size=self.sizes.window, mode="linear", align_corners=False)
        return self.audio_feature_map(even.transpose(1, 2))

    def steps(
        self,
        audio: Tensor,
        noise: Callable[[int], Tensor],
        *,
        previous_motion: Tensor | None = None,
        previous_audio: Tensor | None = None,
        guidance: float | None = 2.8,
        flexibility: float = 0.0,
    ) -> Iterator[tuple[int, Tensor]]:
        """(t, motion (1, window, numbers)) of one window, from noise at t = 50 to the motion at t = 0.

        audio (1, window, width) as `listen` gives it; the previous ones are the last frames of the window before, or
        None at the start. guidance None is a single pass without.
        """
        before = self.start_motion_feat if previous_motion is None else previous_motion
        heard_before = self.start_audio_feat if previous_audio is None else previous_audio
        streams = [torch.cat([heard_before, audio], 1)]
        if guidance is not None:
            streams.append(torch.cat([heard_before, self.null_audio_feat.expand_as(audio)], 1))
        heard = self.denoising_net.hear(torch.cat(streams))
        before = before.expand(len(streams), -1, -1)

        def predict(x: Tensor, step: int) -> Tensor:
            clean = self.denoising_net(x.expand(len(streams), -1, -1), before, heard, step)
            clean = clean[:, self.sizes.previous :]
            return clean if guidance is None else guided(clean[:1], clean[1:], guidance)

        return denoise(predict, noise(0), noise, flexibility=flexibility)

    def windows(
        self,
        sound: Iterable[Tensor],
        noise: Noise,
        *,
        guidance: float | None = 2.8,
        flexibility: float = 0.0,
    ) -> Iterator[Tensor]:
        """Motion (window, numbers) for each window of sound (1, samples), each going on from the one before."""
        motion: Tensor | None = None
        audio: Tensor | None = None
        for k, piece in enumerate(sound):
            features = self.listen(piece)
            last = torch.empty(0)
            for _, sample in self.steps(
                features,
                lambda step, k=k: noise(k, step),
                previous_motion=motion,
                previous_audio=audio,
                guidance=guidance,
                flexibility=flexibility,
            ):
                last = sample
            motion, audio = last[:, -self.sizes.previous :], features[:, -self.sizes.previous :]
            yield last[0]
