"""`LivePortraitAvatar`: LivePortrait's networks as an avatar that any motion moves.

    avatar = LivePortraitAvatar.from_pretrained("pretrained_weights")
    face = avatar(image, observation)              # features and keypoints, made once
    frames = face.render(motion)                   # FaceMotion, or LivePortrait's own numbers

Needs torch (face-studio[models]); the networks' files are the user's own (`studio.weights.models.LIVEPORTRAIT`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatars.liveportrait.blendshapes import DEFAULT, BlendshapeMap
from avatars.liveportrait.crop import Crop, CropSettings, crop_of_box
from avatars.liveportrait.files import files
from avatars.liveportrait.settings import ANIMALS, TransferSettings
from studio.errors import UsageError, require
from studio.observation import Head, Observation

if TYPE_CHECKING:
    from avatars.liveportrait.face import LivePortraitFace
    from avatars.liveportrait.networks import Networks


class LivePortraitAvatar:
    """Makes `LivePortraitFace`s, as `PhotoAvatar` is made: `avatar(image, observation, alpha=alpha)`.

    networks     opened networks; `from_pretrained` opens the published ones.
    settings     how a driver's motion is carried over.
    blendshapes  what ARKit's weights are in LivePortrait's numbers (`face-studio refit` makes a user's own).
    crop         the square round the face that is made anew.
    """

    takes_native = True
    """It also renders `NativeMotion`."""

    sees_beyond = True
    """It wants the whole picture, also where a part of it may change."""

    def __init__(
        self,
        networks: Networks,
        *,
        settings: TransferSettings | None = None,
        blendshapes: BlendshapeMap = DEFAULT,
        crop: CropSettings = CropSettings(),
    ) -> None:
        self.networks = networks
        self.settings = settings or (ANIMALS if networks.animal else TransferSettings())
        self.blendshapes, self.crop = blendshapes, crop
        if self.settings.animal != networks.animal:
            raise UsageError(
                "these are the animals' networks: settings need animal=True"
                if networks.animal
                else "settings with animal=True need the animals' networks: from_pretrained(folder, animal=True)"
            )

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path | None = None,
        *,
        animal: bool = False,
        device: Any = None,
        dtype: Any = None,
        batch: int | None = None,
        compiled: str = "off",
        settings: TransferSettings | None = None,
        blendshapes: BlendshapeMap | str | Path = DEFAULT,
        crop: CropSettings = CropSettings(),
    ) -> LivePortraitAvatar:
        """Opens the files as their authors publish them (`Networks.from_pretrained` says which and where).

        animal       the animals' variant.
        device, dtype, batch, compiled   see `Networks`.
        blendshapes  a map, or the file of one.

        Raises `MissingExtraError` without torch, `WeightsError` for files that are missing or another network's.
        """
        files(folder, animal=animal)
        require("torch", extra="models")
        from avatars.liveportrait.networks import Networks

        if not isinstance(blendshapes, BlendshapeMap):
            blendshapes = BlendshapeMap.load(blendshapes)
        how = {"device": device, "dtype": dtype, "batch": batch, "compiled": compiled}
        networks = Networks.from_pretrained(folder, animal=animal, **how)
        return cls(networks, settings=settings, blendshapes=blendshapes, crop=crop)

    @property
    def animal(self) -> bool:
        """Whether it draws animals, which no tracker finds: their heads are placed (`studio.observation.Head`)."""
        return self.networks.animal

    @property
    def terms(self) -> str:
        """What its authors allow, as a line."""
        return self.networks.terms

    def with_settings(self, settings: TransferSettings) -> LivePortraitAvatar:
        """The same networks under other settings."""
        return LivePortraitAvatar(self.networks, settings=settings, blendshapes=self.blendshapes, crop=self.crop)

    def __call__(
        self,
        image: np.ndarray,
        observation: Observation | Head | None = None,
        *,
        alpha: np.ndarray | None = None,
        crop: Crop | None = None,
    ) -> LivePortraitFace:
        """A face of a picture (H, W, 3) uint8 RGB, ready to move.

        observation  the face in it, or a head that was placed, or None where `crop` says what to make anew.
        alpha        (H, W) uint8 or None: kept and moved along.
        """
        from avatars.liveportrait.face import LivePortraitFace

        if isinstance(observation, Head):
            crop, observation = crop_of_box(observation.box), None
        return LivePortraitFace(self, image, observation, alpha=alpha, crop=crop)
