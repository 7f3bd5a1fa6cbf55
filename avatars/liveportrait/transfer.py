"""Motion transfer: what the driving face does, done by the source's keypoints (LivePortrait, sections 3.3 and 4).

`transfer` follows the published code case by case; what surprises in it is said where it happens. All is relative to
`first`, the driving pose that stands for the source as it is. Poses are `keypoints.Pose` of float32 on one device.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from avatars.liveportrait.hull import hull_multiplier
from avatars.liveportrait.keypoints import Pose
from avatars.liveportrait.retargeting import retarget, stitch
from avatars.liveportrait.settings import TransferSettings
from avatars.liveportrait.smoothing import kalman_smooth
from studio.errors import UsageError

LIPS = (6, 12, 14, 17, 19, 20)
EYES = (11, 13, 15, 16, 18)
"""Keypoints that move lips and eyes."""

_ABSOLUTE = [(k, axis) for k in (1, 2, 6, *range(11, 21)) for axis in range(3)] + [
    (3, 1),
    (4, 1),
    (5, 2),
    (8, 2),
    (9, 1),
    (9, 2),
]
"""Expression numbers (keypoint, axis) that are not identity, and are copied where motion is absolute."""

OPEN_LIPS = 0.03
"""Lip ratio from which `normalize_lip` closes the source's lips first."""

_CLOSED_EYES, _USUAL_EYES = 0.18, 0.39


@dataclass(frozen=True)
class Correctors:
    """The three small networks (`retargeting.KeypointMLP`)."""

    stitching: nn.Module
    eye: nn.Module
    lip: nn.Module


@dataclass(frozen=True)
class Openings:
    """Ratios (`ratios.ratios`) of T frames: eyes (T, 2), lips (T, 1)."""

    eyes: Tensor
    lips: Tensor

    def __getitem__(self, which: slice) -> Openings:
        return Openings(self.eyes[which], self.lips[which])


def transfer(
    source: Pose,
    driving: Pose,
    first: Pose,
    settings: TransferSettings = TransferSettings(),
    *,
    correctors: Correctors | None = None,
    source_open: Openings | None = None,
    driving_open: Openings | None = None,
    still_driver: bool = False,
    neutral: Tensor | None = None,
) -> Tensor:
    """(T, 21, 3) keypoints to draw.

    source        one pose (a picture), or T (a video, which is smoothed as a whole).
    driving       T poses, or one (`still_driver`), of which the expression alone counts.
    first         one pose: the reference.
    correctors    needed for stitching, retargeting and lip normalisation; without them these are left out.
    source_open, driving_open  for retargeting and lip normalisation.
    neutral       (21, 3) expression that a still driver is measured against (default: none).
    """
    x_source = source.x
    if settings.animal:
        x = _animal(source, driving).x
        return _finish(x_source, _sized(x_source, x, _animal(source, first).x), settings, correctors)
    eyes = None
    if len(source) > 1:
        aims = video_aims(source, driving, first, settings, still_driver=still_driver, neutral=neutral)
        if not still_driver:
            aims = tuple(_smooth(aim, settings.observation) for aim in aims)
        x = _over_video(source, driving, *aims, settings).x
        eyes = None if source_open is None else usual_eyes(source_open)
    else:
        x = _over_still(source, driving, first, settings, still_driver, neutral).x
        if settings.relative and settings.option == "expression-friendly" and not still_driver:
            x = _sized(x_source, x, _over_still(source, first, first, settings, False, neutral).x)
    return _corrected(x_source, x, settings, correctors, source_open, driving_open, eyes)


def transfer_to_frame(
    source: Pose,
    driving: Pose,
    exp: Tensor,
    R: Tensor,
    settings: TransferSettings,
    *,
    correctors: Correctors | None = None,
    source_open: Openings | None = None,
    driving_open: Openings | None = None,
    eyes: float | None = None,
) -> Tensor:
    """`transfer` for one frame of a source video that is read as it comes: (1, 21, 3).

    source, driving   one pose each; exp (1, 21, 3) and R (1, 3, 3) are `video_aims` of them, smoothed over time.
    eyes              `usual_eyes` of the video's first frame, for `settings.source_eyes`.
    """
    x = _over_video(source, driving, exp, R, settings).x
    return _corrected(source.x, x, settings, correctors, source_open, driving_open, eyes)


def generated(source: Pose, motion: Pose, first: Pose, settings: TransferSettings) -> Tensor:
    """(T, 21, 3) for motion that a model made (JoyVASA), on a still source. It is relative to its own first frame, but
    the lips take the generated expression itself; `settings.relative` only says whether the faces' sizes count.
    """

    def moved(pose: Pose) -> Pose:
        change = pose.exp - first.exp
        exp = source.exp.expand_as(pose.exp).clone()
        if settings.animal or settings.region in ("all", "exp"):
            exp = source.exp + change
            if not settings.animal:
                exp[:, LIPS] = pose.exp[:, LIPS]
        elif settings.region in ("lip", "eyes"):
            points = LIPS if settings.region == "lip" else EYES
            exp[:, points] = exp[:, points] + change[:, points]
        turns = settings.animal or settings.region in ("all", "pose")
        R = pose.R @ first.R.transpose(1, 2) @ source.R if turns else source.R
        scale = source.scale if settings.animal else source.scale * pose.scale / first.scale
        return Pose(source.kp, exp, R, source.t + pose.t - first.t, scale)

    x = moved(motion).x
    sized = settings.animal or (settings.relative and settings.option == "expression-friendly")
    return _sized(source.x, x, moved(first).x) if sized else x


def _animal(source: Pose, driving: Pose) -> Pose:
    return Pose(source.kp, driving.exp, driving.R, driving.t, source.scale)


def _over_still(
    source: Pose, driving: Pose, first: Pose, settings: TransferSettings, still_driver: bool, neutral: Tensor | None
) -> Pose:
    region, whole = settings.region, settings.region in ("all", "exp")
    turns = region in ("all", "pose")
    exp = source.exp.expand_as(driving.exp).clone()
    if settings.relative:
        change = driving.exp - _base(first, region, still_driver, neutral)
        if whole:
            exp = exp + change
        elif region != "pose":
            points = LIPS if region == "lip" else EYES
            exp[:, points] = exp[:, points] + change[:, points]
        if still_driver:
            return replace(source, exp=exp)
        R = driving.R @ first.R.transpose(1, 2) @ source.R if turns else source.R
        scale = source.scale * driving.scale / first.scale if region == "all" else source.scale
        return Pose(source.kp, exp, R, source.t + driving.t - first.t if turns else source.t, scale)
    exp = _copied(exp, driving.exp, region)
    return Pose(source.kp, exp, driving.R if turns else source.R, driving.t if turns else source.t, source.scale)


def video_aims(
    source: Pose,
    driving: Pose,
    first: Pose,
    settings: TransferSettings,
    *,
    still_driver: bool = False,
    neutral: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """exp (T, 21, 3) and R (T, 3, 3) that the frames of a source video are to take, before both are smoothed."""
    if not settings.relative:
        return driving.exp.expand_as(source.exp), driving.R.expand_as(source.R)
    exp = source.exp + driving.exp - _base(first, settings.region, still_driver, neutral)
    return exp, source.R if still_driver else driving.R @ first.R.transpose(1, 2) @ source.R


def usual_eyes(first: Openings) -> float:
    """Ratio that the eyes of a source video keep under `settings.source_eyes`, of its first frame."""
    mean = float(first.eyes[0].mean())
    return _USUAL_EYES if mean < _CLOSED_EYES else mean


def _over_video(source: Pose, driving: Pose, exp: Tensor, R: Tensor, settings: TransferSettings) -> Pose:
    turns = settings.region in ("all", "pose")
    t = driving.t.expand_as(source.t) if turns and not settings.relative else source.t
    return Pose(source.kp, _copied(source.exp.clone(), exp, settings.region), R if turns else source.R, t, source.scale)


def _base(first: Pose, region: str, still_driver: bool, neutral: Tensor | None) -> Tensor:
    """The expression that counts as none. A still driver has no reference frame but `neutral`, not for the eyes."""
    if not still_driver:
        return first.exp
    return torch.zeros_like(first.exp) if neutral is None or region == "eyes" else neutral.view(1, 21, 3)


def _copied(exp: Tensor, other: Tensor, region: str) -> Tensor:
    """`exp` with the numbers of `other` where the region's motion is absolute."""
    if region in ("all", "exp"):
        points, axes = zip(*_ABSOLUTE, strict=True)
        exp[:, points, axes] = other[:, points, axes]
    elif region != "pose":
        points = LIPS if region == "lip" else EYES
        exp[:, points] = other[:, points]
    return exp


def _smooth(track: Tensor, observation: float) -> Tensor:
    return torch.from_numpy(kalman_smooth(track.cpu().numpy(), observation)).to(track.device)


def _sized(x_source: Tensor, x: Tensor, x_first: Tensor) -> Tensor:
    factor = hull_multiplier(x_source[0].cpu().numpy(), x_first[0].cpu().numpy())
    return x_source + factor * (x - x_first)


def _corrected(
    x_source: Tensor,
    x: Tensor,
    settings: TransferSettings,
    correctors: Correctors | None,
    source_open: Openings | None,
    driving_open: Openings | None,
    eyes: float | None,
) -> Tensor:
    if correctors is None or source_open is None:
        return _finish(x_source, x, settings, correctors)
    if settings.eye_retargeting or settings.lip_retargeting:
        if driving_open is None:
            raise UsageError("retargeting needs the driver's eye and lip ratios")
        if settings.relative:
            x = x_source.expand_as(x)  # as published: the driver's motion goes, its openings alone are used
        if settings.eye_retargeting:
            x = x + _opened(correctors.eye, x_source, source_open.eyes, driving_open.eyes[:, :1])
        if settings.lip_retargeting:
            x = x + _opened(correctors.lip, x_source, source_open.lips, driving_open.lips)
        return _finish(x_source, x, settings, correctors)
    if settings.stitching:
        x = stitch(correctors.stitching, x_source.expand_as(x), x)
    if settings.relative and settings.normalize_lip:
        x = x + closed_lips(correctors, x_source, source_open)
    if eyes is not None and settings.source_eyes:
        wanted = source_open.eyes.new_full((len(x), 1), eyes)
        x = x + _opened(correctors.eye, x_source, source_open.eyes, wanted)
    return x_source + settings.multiplier * (x - x_source)


def closed_lips(correctors: Correctors, x_source: Tensor, source_open: Openings) -> Tensor:
    """(S, 21, 3) to add so that the source's lips close; zero where they are closed already."""
    zero = torch.zeros_like(source_open.lips)
    return (source_open.lips >= OPEN_LIPS)[..., None] * _opened(correctors.lip, x_source, source_open.lips, zero)


def _opened(network: nn.Module, x_source: Tensor, present: Tensor, wanted: Tensor) -> Tensor:
    count = max(len(x_source), len(wanted))
    ratios = torch.cat([present.expand(count, -1), wanted.expand(count, -1)], 1)
    return retarget(network, x_source.expand(count, -1, -1), ratios)


def _finish(x_source: Tensor, x: Tensor, settings: TransferSettings, correctors: Correctors | None) -> Tensor:
    if settings.stitching and correctors is not None:
        x = stitch(correctors.stitching, x_source.expand_as(x), x)
    return x_source + settings.multiplier * (x - x_source)
