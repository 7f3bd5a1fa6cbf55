"""MobileNetV3 "minimal" (Howard et al. 2019), as TensorFlow trained it, with the key names of its published weights.

Minimal: 3x3 kernels and ReLU only, no squeeze-and-excitation. Convolutions are padded as TensorFlow's "same": where a
stride leaves an odd rest, the extra row and column go to the bottom and the right.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-3
"""Of the batch norms."""

Size = Literal["small", "large"]

_STAGES: dict[Size, tuple[tuple[tuple[int, int, int], ...], ...]] = {
    "small": (
        ((2, 0, 16),),
        ((2, 72, 24), (1, 88, 24)),
        ((2, 96, 40), (1, 240, 40), (1, 240, 40)),
        ((1, 120, 48), (1, 144, 48)),
        ((2, 288, 96), (1, 576, 96), (1, 576, 96)),
    ),
    "large": (
        ((1, 0, 16),),
        ((2, 64, 24), (1, 72, 24)),
        ((2, 72, 40), (1, 120, 40), (1, 120, 40)),
        ((2, 240, 80), (1, 200, 80), (1, 184, 80), (1, 184, 80)),
        ((1, 480, 112), (1, 672, 112)),
        ((2, 672, 160), (1, 960, 160), (1, 960, 160)),
    ),
}
"""Stages of blocks: stride, hidden width (0: depthwise separable, nothing is widened), output."""

WIDTH: dict[Size, int] = {"small": 576, "large": 960}
"""Channels of the last map."""

_TAPS: dict[Size, tuple[int, ...]] = {"small": (-1, 0, 1, 3, 5), "large": (0, 1, 2, 4, 6)}
"""Stages whose maps are the last of their resolution, halves to 32nds; -1 is the stem."""


class SameConv(nn.Conv2d):
    """3x3 convolution without bias whose output is ceil(input / stride), padded as TensorFlow does."""

    def __init__(self, before: int, after: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(before, after, 3, stride=stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = (self._padding(side) for side in x.shape[-2:])
        return super().forward(F.pad(x, (*width, *height)))

    def _padding(self, side: int) -> tuple[int, int]:
        stride = self.stride[0]
        whole = max((-(-side // stride) - 1) * stride + 3 - side, 0)
        return whole // 2, whole - whole // 2


def _pointwise(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 1, bias=False)


class Separable(nn.Module):
    """Depthwise, then pointwise without an activation; a skip where the shape is kept. (B, C, H, W)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.skip = stride == 1 and before == after
        self.conv_dw = SameConv(before, before, stride, groups=before)
        self.bn1 = nn.BatchNorm2d(before, eps=EPS)
        self.conv_pw = _pointwise(before, after)
        self.bn2 = nn.BatchNorm2d(after, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv_pw(F.relu(self.bn1(self.conv_dw(x)))))
        return x + out if self.skip else out


class Inverted(nn.Module):
    """Widened, depthwise, narrowed without an activation; a skip where the shape is kept. (B, C, H, W)."""

    def __init__(self, before: int, hidden: int, after: int, stride: int) -> None:
        super().__init__()
        self.skip = stride == 1 and before == after
        self.conv_pw = _pointwise(before, hidden)
        self.bn1 = nn.BatchNorm2d(hidden, eps=EPS)
        self.conv_dw = SameConv(hidden, hidden, stride, groups=hidden)
        self.bn2 = nn.BatchNorm2d(hidden, eps=EPS)
        self.conv_pwl = _pointwise(hidden, after)
        self.bn3 = nn.BatchNorm2d(after, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv_pw(x)))
        out = self.bn3(self.conv_pwl(F.relu(self.bn2(self.conv_dw(out)))))
        return x + out if self.skip else out


class Last(nn.Module):
    """The widening at the end: (B, C, H, W) -> (B, `after`, H, W)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = _pointwise(before, after)
        self.bn1 = nn.BatchNorm2d(after, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv(x)))


class MobileNetV3(nn.Module):
    """Picture (B, 3, H, W), RGB 0..1 -> five maps (B, C, H / 2^k, W / 2^k), k = 1 to 5, sides rounded up."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.taps = _TAPS[size]
        self.conv_stem = SameConv(3, 16, stride=2)
        self.bn1 = nn.BatchNorm2d(16, eps=EPS)
        stages, width = [], 16
        for blocks in _STAGES[size]:
            stage = []
            for stride, hidden, after in blocks:
                stage.append(Inverted(width, hidden, after, stride) if hidden else Separable(width, after, stride))
                width = after
            stages.append(nn.Sequential(*stage))
        self.blocks = nn.ModuleList([*stages, nn.Sequential(Last(width, WIDTH[size]))])

    def forward(self, image: Tensor) -> list[Tensor]:
        x = F.relu(self.bn1(self.conv_stem(image)))
        maps = {-1: x}
        for number, stage in enumerate(self.blocks):
            maps[number] = x = stage(x)
        return [maps[tap] for tap in self.taps]
