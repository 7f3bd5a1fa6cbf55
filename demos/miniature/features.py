"""Where on a picture an expression shows: brows, eyes and mouth are a tenth of it, and count for more in trainings."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from demos.miniature import SIDE

SHOWN = (*range(17, 27), *range(36, 68))
"""Of the 68 landmarks, those of brows, eyes and mouth."""

REACH = 2.0
"""Pixels."""


def feature_weights(points: np.ndarray, most: float = 5.0) -> Tensor:
    """(N, 1, 64, 64) float32 of landmarks (N, 68, 2) pixels: `most` at brows, eyes and mouth, 1 away from them; divided
    by their mean."""
    places = torch.arange(SIDE, dtype=torch.float32)
    rows = []
    for some in torch.from_numpy(np.asarray(points, np.float32)[:, list(SHOWN)]).split(256):
        x, y = (torch.exp(-((places - some[..., i, None]) ** 2) / (2 * REACH**2)) for i in (0, 1))
        rows.append((y[..., None] * x[..., None, :]).amax(1))
    weights = 1 + (most - 1) * torch.cat(rows)[:, None]
    return weights / weights.mean((2, 3), keepdim=True)


def smaller(weights: Tensor, side: int) -> Tensor:
    """(N, 1, side, side), as for latents."""
    return F.adaptive_avg_pool2d(weights, side)
