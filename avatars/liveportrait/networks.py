"""LivePortrait's networks, opened by their authors' file names, and what they do to pictures.

The two that make every frame (warping, generator) may run in half precision; what feeds keypoints stays float32, and
so do, inside them, places, norms over whole pictures and the mask's softmax. If half precision still overflows on some
card (a black or broken picture elsewhere), the frame is made again in float32, and so are all that follow.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from avatars.liveportrait import retargeting
from avatars.liveportrait.appearance import AppearanceFeatureExtractor
from avatars.liveportrait.files import NETWORKS, STITCHING, files, published
from avatars.liveportrait.generator import SpadeGenerator
from avatars.liveportrait.motion import MotionExtractor
from avatars.liveportrait.transfer import Correctors
from avatars.liveportrait.warping import WarpingNetwork, identity_grid
from studio.errors import UsageError
from studio.weights import load_folded, state_dict, tell_terms

INPUT = 256
"""Side in pixels of the pictures that the networks see."""

_MAKERS = (AppearanceFeatureExtractor, MotionExtractor, WarpingNetwork, SpadeGenerator)
"""In the order of `files.NETWORKS`."""

_CORRECTORS = {
    "retarget_shoulder": retargeting.STITCHING,
    "retarget_eye": retargeting.EYE,
    "retarget_mouth": retargeting.LIP,
}
"""Parts of the stitching file, in the order of `Correctors`."""

HALF = (torch.float16, torch.bfloat16)

COMPILED = ("off", "on", "graphs")
"""How the painting networks run: as they are, by `torch.compile`, or that with CUDA graphs besides."""


@dataclass(frozen=True)
class Painted:
    """crops (B, 512, 512, 3) uint8 RGB; flow (B, 64, 64, 2) float32: where each pixel of a crop comes from, minus where
    it is, in units of half the crop's side, as the mean over depth."""

    crops: np.ndarray
    flow: np.ndarray


class Networks:
    """The five networks (Guo et al. 2024, sections 3.1 to 3.3), on one device.

    dtype     of warping and generator: float32, float16 or bfloat16.
    batch     frames that are made at a time.
    animal    whether they are the animals' variant.
    terms     what its authors allow, as a line.
    compiled  see `COMPILED`. The first frame waits for a minute or two; it pays for videos on a GPU.
    """

    def __init__(
        self,
        appearance: nn.Module,
        motion: nn.Module,
        warping: nn.Module,
        generator: nn.Module,
        correctors: Correctors | None,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        batch: int | None = None,
        animal: bool = False,
        terms: str = "",
        compiled: str = "off",
    ) -> None:
        if compiled not in COMPILED:
            raise UsageError(f"compiled is one of {', '.join(COMPILED)}, not {compiled!r}")
        if compiled == "graphs" and torch.device(device).type != "cuda":
            raise UsageError("CUDA graphs need a GPU: device='cuda', or compiled='on'")
        self.device, self.dtype, self.animal, self.terms = torch.device(device), dtype, animal, terms
        self.batch = batch or (8 if self.device.type == "cuda" else 1)
        self.appearance = appearance.eval().to(self.device)
        self.motion = motion.eval().to(self.device)
        self.warping = warping.eval().to(self.device, dtype)
        self.generator = generator.eval().to(self.device, dtype)
        self.correctors = correctors  # of keypoints, which stay on the CPU
        self.compiled = compiled
        self._painting = self._compiled()

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path | None = None,
        *,
        animal: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
        batch: int | None = None,
        compiled: str = "off",
    ) -> Networks:
        """Opens the published files.

        folder   see `files.files`.
        device   default: CUDA where there is one, else the CPU.
        dtype    of torch, or its name; default: float16 on CUDA, float32 elsewhere.

        Raises `WeightsError` that says what to get, where, under which licence and where to put it, or which keys of a
        file are not this network's.
        """
        paths = files(folder, animal=animal)
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if dtype is None:
            dtype = torch.float16 if device.type == "cuda" else torch.float32
        if isinstance(dtype, str):
            dtype = getattr(torch, dtype, dtype)
        if dtype not in (*HALF, torch.float32):
            raise UsageError(f"dtype is float32, float16 or bfloat16, not {dtype}")
        known = published(animal)
        tell_terms(known)
        parts = [_loaded(make, state_dict(paths[n]), str(paths[n])) for n, make in zip(NETWORKS, _MAKERS, strict=True)]
        correctors = None if paths[STITCHING] is None else correctors_of(paths[STITCHING])
        terms = f"{known.title}: {known.licence}"
        how = {"device": device, "dtype": dtype, "batch": batch, "compiled": compiled}
        return cls(*parts, correctors, animal=animal, terms=terms, **how)

    # ---- pictures in, numbers out ---------------------------------------------------------------------

    @torch.no_grad()
    def features(self, crop: np.ndarray) -> Tensor:
        """Volume (1, 32, 16, 64, 64) of a picture (256, 256, 3) uint8 RGB, in the painting networks' type."""
        return self.appearance(self._input(crop[None])).to(self.dtype)

    @torch.no_grad()
    def raw(self, crops: np.ndarray) -> dict[str, Tensor]:
        """Raw heads of pictures (B, 256, 256, 3) uint8 RGB, float32 on the CPU; see `motion.MotionExtractor`."""
        return {name: value.float().cpu() for name, value in self.motion(self._input(crops)).items()}

    def _input(self, crops: np.ndarray) -> Tensor:
        if crops.dtype != np.uint8 or crops.shape[1:] != (INPUT, INPUT, 3):
            raise UsageError(f"expected (B, {INPUT}, {INPUT}, 3) uint8, got {crops.shape} {crops.dtype}")
        return torch.from_numpy(np.ascontiguousarray(crops)).to(self.device).permute(0, 3, 1, 2).float() / 255

    # ---- numbers in, pictures out ---------------------------------------------------------------------

    @torch.no_grad()
    def paint(self, volume: Tensor, x_source: Tensor, x: Tensor) -> Painted:
        """Pictures of a source's volume (1, 32, 16, h, w) and keypoints (1, 21, 3) moved to x (B, 21, 3)."""
        count, x = len(x), x.to(self.device, torch.float32)
        if self.compiled != "off":  # one shape, compiled once
            x = torch.cat([x, x[-1:].expand(max(0, self.batch - count), -1, -1)])
        source = x_source.to(self.device, torch.float32).expand_as(x)
        volume = volume.to(self.device, self.dtype)
        image, warped = self._painting(volume.expand(len(x), -1, -1, -1, -1), source, x)
        if self.dtype in HALF and not (torch.isfinite(image).all() and torch.isfinite(warped["out"]).all()):
            warnings.warn(f"{self.dtype} overflows here; going on in float32", stacklevel=2)
            self.dtype = torch.float32
            self.warping, self.generator = self.warping.float(), self.generator.float()
            self._painting = self._compiled()
            return self.paint(volume, x_source, x[:count])
        levels = (image[:count].float().clamp(0, 1) * 255).to(torch.uint8).permute(0, 2, 3, 1)
        places = warped["deformation"][:count].float()
        flow = (places - identity_grid(*places.shape[1:4], places))[..., :2].mean(1)
        return Painted(levels.cpu().numpy(), flow.cpu().numpy())

    def _compiled(self) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
        """(pictures, what the warping network gives) of a volume, the source's keypoints and those to draw."""

        def painting(volume: Tensor, source: Tensor, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            warped = self.warping(volume, kp_source=source, kp_driving=x)
            return self.generator(warped["out"]), warped

        if self.compiled == "off":
            return painting
        mode = "reduce-overhead" if self.compiled == "graphs" else "default"
        return torch.compile(painting, mode=mode, dynamic=False)


def correctors_of(path: str | Path) -> Correctors:
    """The three small networks of a stitching file. Raises `WeightsError`."""
    networks = []
    for part, widths in _CORRECTORS.items():
        arrays = {key.replace("module.", ""): value for key, value in state_dict(path, part).items()}
        networks.append(_loaded(lambda widths=widths: retargeting.KeypointMLP(widths), arrays, f"{path}, {part}"))
    return Correctors(*networks)


def _loaded(make: type[nn.Module], arrays: Mapping[str, np.ndarray], what: str) -> nn.Module:
    with torch.device("meta"):
        network = make()
    return load_folded(network, arrays, what=what).float().requires_grad_(False)
