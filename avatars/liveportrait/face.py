"""`LivePortraitFace`: one face of one picture, its features and keypoints made once, drawn under any motion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from avatars.fit import fit_photo
from avatars.liveportrait.crop import Crop, crop_of, cut_out, paste_back, soft_mask
from avatars.liveportrait.edit import PortraitEdit, edited
from avatars.liveportrait.keypoints import Pose, pose_of, refine, rotation
from avatars.liveportrait.native import METRES, NativeMotion, head_angles, moved, native_angles
from avatars.liveportrait.networks import INPUT
from avatars.liveportrait.ratios import ratios
from avatars.liveportrait.retargeting import stitch
from avatars.liveportrait.transfer import Openings, closed_lips, generated, transfer, transfer_to_frame, video_aims
from studio.arkit import INDEX
from studio.errors import UsageError
from studio.motion import EYE_SPAN, FaceMotion, blocks
from studio.observation import Observation

if TYPE_CHECKING:
    from avatars.liveportrait.avatar import LivePortraitAvatar

_GREY = 128
"""What the networks see where a picture is transparent."""


class LivePortraitFace:
    """Made by `LivePortraitAvatar`; renders as `PhotoAvatar` does.

    image (H, W, 3) uint8 RGB. `pose` and `x` (1, 21, 3) are the source's own; keypoints as in
    `avatars.liveportrait.keypoints`. Only the crop is made anew; all else stays the picture's own pixels.
    """

    def __init__(
        self,
        avatar: LivePortraitAvatar,
        image: np.ndarray,
        observation: Observation | None,
        *,
        alpha: np.ndarray | None = None,
        crop: Crop | None = None,
    ) -> None:
        if observation is None and crop is None:
            raise UsageError("a face needs an observation of it, or a crop")
        self.avatar, self.networks = avatar, avatar.networks
        self.image, self.alpha, self.observation = np.ascontiguousarray(image), alpha, observation
        self.size = (image.shape[1], image.shape[0])
        self.crop = crop_of(observation.landmarks, avatar.crop) if crop is None else crop
        shown = self.image
        if alpha is not None:
            share = alpha[..., None].astype(np.uint16)
            shown = ((image * share + _GREY * (255 - share) + 127) // 255).astype(np.uint8)
        self._small = cut_out(shown, self.crop, INPUT)
        self.refined = refine(self.networks.raw(self._small[None]))
        self.pose = pose_of(self.refined)
        self.x = self.pose.x
        self.mask = soft_mask(self.crop.size)
        self.openings: Openings | None = None
        self.metres = METRES
        if observation is not None:
            eyes, lips = ratios(np.asarray(observation.landmarks)[None])
            self.openings = Openings(torch.from_numpy(eyes), torch.from_numpy(lips))
            self.metres = EYE_SPAN * self.crop.side / 2 / observation.eye_span

    @cached_property
    def volume(self) -> Tensor:
        """(1, 32, 16, 64, 64) features, made when the first picture is drawn."""
        return self.networks.features(self._small)

    @cached_property
    def expression(self) -> np.ndarray:
        """(52,) ARKit weights that the picture shows, fitted to its landmarks; zeros without an observation."""
        if self.observation is None:
            return np.zeros(len(INDEX), np.float32)
        return fit_photo(np.asarray(self.observation.landmarks, np.float64))[1]

    # ---- motion to keypoints --------------------------------------------------------------------------

    def keypoints(self, motion: FaceMotion | NativeMotion, neutralize: float | np.ndarray = 0.0) -> Tensor:
        """(T, 21, 3) keypoints to draw.

        A `FaceMotion` holds changes, as for `PhotoAvatar.render`: weights are added through the blendshape map, less
        `neutralize` times the picture's own expression; angles are added to the head's, metres move it. Where the lips
        are to be neutral (`neutralize` of jawOpen), LivePortrait's own lip network closes them. A `NativeMotion` is
        carried over as `avatar.settings` says.
        """
        with torch.no_grad():
            if isinstance(motion, NativeMotion):
                return self._native(motion)
            return self._changed(motion.weights, motion.head, neutralize)

    def _native(self, motion: NativeMotion) -> Tensor:
        settings, correctors = self.avatar.settings, self.networks.correctors
        if not motion.made:
            return transfer(
                self.pose,
                motion.pose,
                motion.reference,
                settings,
                correctors=correctors,
                source_open=self.openings,
                driving_open=motion.openings,
            )
        x = generated(self.pose, motion.pose, motion.reference, settings)
        x = self._stitched(x)
        if settings.normalize_lip and correctors is not None and self.openings is not None:
            x = x + closed_lips(correctors, self.x, self.openings)
        return self.x + settings.multiplier * (x - self.x)

    def _changed(self, weights: np.ndarray, head: np.ndarray, neutralize: float | np.ndarray) -> Tensor:
        correctors = self.networks.correctors
        rest = np.broadcast_to(np.asarray(neutralize, np.float32), (len(INDEX),)).copy()
        lips: Tensor | float = 0.0
        if correctors is not None and self.openings is not None and rest[INDEX["jawOpen"]] > 0:
            lips = float(rest[INDEX["jawOpen"]]) * closed_lips(correctors, self.x, self.openings)
            rest[INDEX["jawOpen"]] = 0
        change = np.asarray(weights, np.float32) - rest * self.expression if rest.any() else weights
        exp = self.pose.exp + torch.from_numpy(self.avatar.blendshapes.expression(change))
        own = np.array([float(self.refined[name]) for name in ("pitch", "yaw", "roll")])
        start = head_angles(own)
        turns = np.array([native_angles(start + turn[:3]) if turn[:3].any() else own for turn in head], np.float32)
        R = rotation(*torch.from_numpy(turns).T[..., None])
        t, scale = moved(self.pose.t.numpy(), self.pose.scale.numpy(), head, self.metres)
        pose = Pose(self.pose.kp, exp, R, torch.from_numpy(t).float(), torch.from_numpy(scale).float())
        return self._stitched(pose.x + lips)

    def aims(self, driving: NativeMotion) -> np.ndarray:
        """(T, 72) expression (63) and rotation (9) that this picture, as a frame of a source video, is to take."""
        exp, R = video_aims(self.pose, driving.pose, driving.reference, self.avatar.settings)
        return torch.cat([exp.flatten(1), R.flatten(1)], 1).numpy()

    def led(self, driving: NativeMotion, aims: np.ndarray, eyes: float | None = None) -> Tensor:
        """(1, 21, 3) keypoints to draw of a frame of a source video: one driving frame and its `aims` (72,), smoothed
        over time; eyes as in `transfer.transfer_to_frame`."""
        aim = torch.from_numpy(np.asarray(aims, np.float32))
        with torch.no_grad():
            return transfer_to_frame(
                self.pose,
                driving.pose,
                aim[None, :63].view(1, 21, 3),
                aim[None, 63:].view(1, 3, 3),
                self.avatar.settings,
                correctors=self.networks.correctors,
                source_open=self.openings,
                driving_open=driving.openings,
                eyes=eyes,
            )

    def expressed(self, change: np.ndarray) -> Tensor:
        """(T, 21, 3) keypoints to draw with changes (T, 21, 3) of the expression's own numbers."""
        with torch.no_grad():
            exp = self.pose.exp + torch.from_numpy(np.asarray(change, np.float32))
            return self._stitched(replace(self.pose, exp=exp).x)

    def _stitched(self, x: Tensor) -> Tensor:
        correctors = self.networks.correctors
        if not self.avatar.settings.stitching or correctors is None:
            return x
        return stitch(correctors.stitching, self.x.expand_as(x), x)

    # ---- keypoints to pictures ------------------------------------------------------------------------

    def render(
        self,
        motion: FaceMotion | NativeMotion | Iterable[FaceMotion | NativeMotion],
        *,
        neutralize: float | np.ndarray = 0.0,
        with_alpha: bool = False,
    ) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB, or (H, W, 4) with_alpha, for each frame of a motion or stream of blocks,
        `networks.batch` at a time."""
        stream = [motion] if isinstance(motion, NativeMotion) else blocks(motion)
        for block in stream:
            yield from self.draw(self.keypoints(block, neutralize), with_alpha=with_alpha)

    def draw(self, x: Tensor, *, with_alpha: bool = False, share: float = 1.0) -> Iterator[np.ndarray]:
        """(H, W, 3) or (H, W, 4) uint8: the picture for each of keypoints (T, 21, 3).

        share  0..1: how much of what is painted is laid over the picture.
        """
        for some in x.split(self.networks.batch):
            painted = self.networks.paint(self.volume, self.x, some)
            for crop, flow in zip(painted.crops, painted.flow):
                out = paste_back(
                    self.image, self.crop, crop, self.mask if share == 1 else self.mask * np.float32(share)
                )
                yield np.dstack([out, self._alpha(flow)]) if with_alpha else out

    def render_frame(
        self,
        weights: np.ndarray,
        head: np.ndarray | None = None,
        residual: np.ndarray | None = None,
        *,
        with_alpha: bool = False,
        fine: bool = True,
    ) -> np.ndarray:
        """The picture under one change: weights (52,), head (6,) as in `PhotoAvatar.render_frame`; (H, W, 4) with
        `with_alpha`. residual and fine have no meaning here."""
        head = np.zeros(6, np.float32) if head is None else np.asarray(head, np.float32)
        x = self._changed(np.asarray(weights, np.float32)[None], head[None], 0.0)
        return next(self.draw(x, with_alpha=with_alpha))

    def edit(
        self, edit: PortraitEdit, weights: np.ndarray | None = None, head: np.ndarray | None = None,
        *, with_alpha: bool = False,
    ) -> np.ndarray:  # fmt: skip
        """The picture under LivePortrait's own sliders, and under a change as in `render_frame` besides.

        Raises `UsageError` without an observation or without the stitching file.
        """
        correctors = self.networks.correctors
        if correctors is None or self.openings is None:
            raise UsageError("sliders need the stitching file of LivePortrait, and a face that was observed")
        refined = dict(self.refined)
        if head is not None and np.any(head):
            own = np.array([float(refined[name]) for name in ("pitch", "yaw", "roll")])
            angles = native_angles(head_angles(own) + np.asarray(head, np.float64)[:3]) - own
            edit = edit.turned(*(float(angle) for angle in angles))
        change = None if weights is None else torch.from_numpy(self.avatar.blendshapes.expression(weights[None]))
        with torch.no_grad():
            stitching = self.avatar.settings.stitching
            x = edited(refined, edit, correctors, self.openings, change=change, stitching=stitching)
        return next(self.draw(x, with_alpha=with_alpha))

    def _alpha(self, flow: np.ndarray) -> np.ndarray:
        """The picture's alpha (H, W) uint8, moved along with a flow (h, w, 2) in halves of the crop's side."""
        if self.alpha is None:
            return np.full(self.image.shape[:2], 255, np.uint8)
        import cv2

        size = self.crop.size
        own = cv2.warpAffine(self.alpha, self.crop.to_crop[:2], (size, size), flags=cv2.INTER_LINEAR)
        y, x = np.mgrid[:size, :size].astype(np.float32)
        shift = cv2.resize(flow, (size, size), interpolation=cv2.INTER_LINEAR) * (size / 2)
        there = cv2.remap(own, x + shift[..., 0], y + shift[..., 1], cv2.INTER_LINEAR)
        return paste_back(self.alpha[..., None], self.crop, there[..., None], self.mask)[..., 0]
