"""MICA (Zielonka et al. 2022): a person's shape in metres from the features of a face recogniser.

The recogniser is ArcFace's IResNet-100 (Deng et al. 2019), trained further by MICA's authors; a small network maps its
embedding to FLAME's 300 identity coefficients. Key names are those of the published checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatars.transfer import similarity
from studio.errors import UsageError
from studio.weights import load_published

if TYPE_CHECKING:
    from avatars.flame.layer import Flame

SIDE = 112
"""Of the aligned picture, pixels."""

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""ArcFace's places (5, 2) of both eyes, nose and both mouth corners, left to right in the picture."""

FIVE = np.array([468, 473, 4, 61, 291])
"""The points of FaceMesh's 478 that stand for them."""

NOW = np.array([19, 22, 25, 28, 16, 31, 37]) + 17
"""Of 68 landmarks, the seven that the NoW benchmark asks for."""

_BLOCKS = ((3, 64), (13, 128), (30, 256), (3, 512))


class Block(nn.Module):
    """Two 3x3 convolutions, norms before, between and after; nothing after the sum. The second one has the stride."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.prelu = nn.PReLU(after)
        self.conv2 = nn.Conv2d(after, after, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return out + (x if self.downsample is None else self.downsample(x))


class ArcFace(nn.Module):
    """IResNet-100: aligned faces (B, 3, 112, 112), RGB -1..1 -> embeddings (B, 512), not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU(64)
        width = 64
        for number, (blocks, after) in enumerate(_BLOCKS, 1):
            stage = [Block(width if k == 0 else after, after, 2 if k == 0 else 1) for k in range(blocks)]
            self.add_module(f"layer{number}", nn.Sequential(*stage))
            width = after
        self.bn2 = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width * (SIDE // 16) ** 2, 512)
        self.features = nn.BatchNorm1d(512)

    def forward(self, image: Tensor) -> Tensor:
        if image.dim() != 4 or image.shape[1:] != (3, SIDE, SIDE):
            raise UsageError(f"ArcFace sees (B, 3, {SIDE}, {SIDE}), not {tuple(image.shape)}")
        x = self.prelu(self.bn1(self.conv1(image)))
        for number in range(1, len(_BLOCKS) + 1):
            x = getattr(self, f"layer{number}")(x)
        return self.features(self.fc(self.bn2(x).flatten(1)))


class Mapping(nn.Module):
    """Embedding (B, 512), of length 1 -> FLAME's identity coefficients (B, 300)."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.ModuleList([nn.Linear(512 if k == 0 else 300, 300) for k in range(4)])
        self.output = nn.Linear(300, 300)

    def forward(self, embedding: Tensor) -> Tensor:
        x = embedding
        for layer in self.network:
            x = F.leaky_relu(layer(x), 0.2)
        return self.output(x)


class MicaEncoder(nn.Module):
    """Aligned faces (B, 3, 112, 112), RGB -1..1, as `aligned` makes them -> FLAME's shape (B, 300)."""

    def __init__(self) -> None:
        super().__init__()
        self.arcface = ArcFace()
        self.regressor = Mapping()

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None) -> MicaEncoder:
        """From mica.tar (or its folder, or where `studio.weights.locate` finds it). FLAME's arrays, which it holds too,
        are left out. Raises WeightsError.
        """
        made = cls()
        load_published(made.arcface, "mica", path, top="arcface")
        load_published(made.regressor, "mica", path, top="flameModel", prefix="regressor.")
        return made.eval()

    def forward(self, image: Tensor) -> Tensor:
        return self.shape_of(self.arcface(image))

    def shape_of(self, embedding: Tensor) -> Tensor:
        """The shape (B, 300) of embeddings (B, 512) of any length."""
        return self.regressor(F.normalize(embedding))


def alignment(points: np.ndarray) -> np.ndarray:
    """(2, 3): picture pixels to those of the aligned face, for five points (5, 2), or 478 of FaceMesh (478, 2 or 3).

    The best similarity (Umeyama 1991). Raises UsageError for other points.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or len(points) not in (5, 478) or not np.isfinite(points[:, :2]).all():
        raise UsageError(f"landmarks {points.shape}: five points or FaceMesh's 478 expected")
    points = points[FIVE if len(points) == 478 else slice(None), :2]
    found = similarity(points, TEMPLATE)
    return np.c_[found.scale * found.rotation, found.shift]


def aligned(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(112, 112, 3) uint8 of a picture (H, W, 3) uint8: bilinear, black outside; points as in `alignment`."""
    import cv2

    return cv2.warpAffine(picture, alignment(points), (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderValue=0.0)


def normalised(faces: np.ndarray) -> Tensor:
    """Aligned faces (B, 112, 112, 3) uint8 RGB -> (B, 3, 112, 112) float32, -1..1."""
    return torch.from_numpy(np.ascontiguousarray(faces.transpose(0, 3, 1, 2))).float().sub(127.5).div(127.5)


def now_landmarks(flame: Flame, shape: Tensor) -> Tensor:
    """(B, 7, 3) millimetres: the points of the NoW benchmark (Sanyal et al. 2019) on neutral heads."""
    return 1000 * flame.full_landmarks(flame(shape))[:, NOW]
