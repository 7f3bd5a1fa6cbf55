"""Motion: a picture of a face becomes implicit keypoints, expression and pose."""

from __future__ import annotations

from torch import Tensor, nn

from avatars.liveportrait.convnext import WIDTHS, ConvNeXtV2

HEADS = {"kp": 63, "scale": 1, "pitch": 66, "yaw": 66, "roll": 66, "t": 3, "exp": 63}
"""Numbers of each head: 21 keypoints of 3, 66 bins of an angle."""


class _Detector(ConvNeXtV2):
    def __init__(self) -> None:
        super().__init__()
        for name, size in HEADS.items():
            setattr(self, f"fc_{name}", nn.Linear(WIDTHS[-1], size))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        pooled = super().forward(image)
        return {name: getattr(self, f"fc_{name}")(pooled) for name in HEADS} | {"pool": pooled}


class MotionExtractor(nn.Module):
    """M of LivePortrait (section 3.1): (B, 3, 256, 256) RGB in 0..1 -> raw heads.

    Returns {"kp": (B, 63), "exp": (B, 63), "t": (B, 3), "scale": (B, 1), "pitch" | "yaw" | "roll": (B, 66) logits,
    "pool": (B, 768)}; `avatars.liveportrait.keypoints.refine` makes keypoints and degrees of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.detector = _Detector()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return self.detector(image)
