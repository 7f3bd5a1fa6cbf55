"""LivePortrait's files as its authors lay them out, with weights by recipe; and tiny networks of the same interface."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from liveportrait_recipe import state
from torch import Tensor, nn

from avatars.liveportrait.motion import HEADS
from avatars.liveportrait.networks import Networks
from avatars.liveportrait.retargeting import EYE, LIP, STITCHING, KeypointMLP
from avatars.liveportrait.transfer import Correctors
from avatars.liveportrait.warping import identity_grid

_BASE = ("appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator")


@cache
def _temporary() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory()


@cache
def published_folder(shared: Path) -> Path:
    """A folder of five files of recipe weights (520 MB), made once, which nobody may change."""
    folder = Path(_temporary().name)
    base, small = folder / "liveportrait" / "base_models", folder / "liveportrait" / "retargeting_models"
    base.mkdir(parents=True)
    small.mkdir()
    for part in _BASE:
        torch.save(state(shared, "liveportrait", part), base / f"{part}.pth")
    nested = {}
    for name, part in (("retarget_shoulder", "stitching"), ("retarget_mouth", "lip"), ("retarget_eye", "eye")):
        nested[name] = {f"module.{key}": value for key, value in state(shared, "liveportrait", part).items()}
    torch.save(nested, small / "stitching_retargeting_module.pth")
    return folder


class _Appearance(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        small = nn.functional.avg_pool2d(image, 16).mean(1)
        return small[:, None, None].expand(-1, 32, 16, -1, -1)


class _Motion(nn.Module):
    """Linear in a picture of 8x8, so that what moves in it moves the numbers."""

    def __init__(self) -> None:
        super().__init__()
        for name, size in HEADS.items():
            setattr(self, f"fc_{name}", nn.Linear(192, size))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        small = nn.functional.avg_pool2d(image, 32).flatten(1)
        out = {name: getattr(self, f"fc_{name}")(small) for name in HEADS}
        out["exp"] = 0.05 * out["exp"]
        out["scale"] = 1 + 0.05 * out["scale"]
        out["kp"] = 0.3 * torch.sin(torch.arange(63.0))[None] + 0.01 * out["kp"]
        return out


class _Warping(nn.Module):
    def forward(self, volume: Tensor, *, kp_source: Tensor, kp_driving: Tensor) -> dict[str, Tensor]:
        shift = (kp_driving - kp_source).mean((1, 2))[:, None, None, None]
        places = identity_grid(16, 16, 16, volume.float())[None].expand(len(volume), -1, -1, -1, -1)
        return {"out": volume[:, 0] + shift.to(volume.dtype), "deformation": places - shift[..., None].float()}


class _Generator(nn.Module):
    def forward(self, feature: Tensor) -> Tensor:
        return nn.functional.interpolate(feature[:, :3], size=(512, 512)).sigmoid()


def tiny_networks(seed: int = 0, **options: object) -> Networks:
    """Networks that take milliseconds, filled by a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        correctors = Correctors(*(KeypointMLP(widths).eval() for widths in (STITCHING, EYE, LIP)))
        motion = _Motion()
    for network in (correctors.stitching, correctors.eye, correctors.lip, motion):
        network.requires_grad_(False)
    return Networks(_Appearance(), motion, _Warping(), _Generator(), correctors, **options)


def portrait_of(shared: Path, name: str = "neutral_long_hair.png") -> tuple[np.ndarray, object]:
    """A real portrait (H, W, 3) and the face in it."""
    from controls.tracker import FaceTracker
    from studio.media import read_image

    image = read_image(shared / "data" / "portraits" / name).rgb
    return image, FaceTracker().observe(image)[0]
