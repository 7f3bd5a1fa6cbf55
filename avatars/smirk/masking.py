"""What the neural renderer may see of the photo: the surroundings of the face, and a few pixels of the face itself.

Retsinas et al. 2024, section 3.2. Pictures are (B, 3, H, W), 0..1.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

RADIUS = 10
"""Pixels of a 224 crop by which the face is widened before it is taken out."""

SHARE = 0.01
"""Of the picture's pixels, how many of the face's are kept."""


def hull_mask(landmarks: np.ndarray, size: int = 224) -> np.ndarray:
    """(size, size) uint8: 0 inside the convex hull of landmarks (N, 2 or more) in the crop's pixels, 1 outside.

    Coordinates are cut to whole pixels, as published.
    """
    import cv2

    hull = cv2.convexHull(np.asarray(landmarks)[:, :2].astype(np.int32))
    return cv2.fillConvexPoly(np.ones((size, size), np.uint8), hull, 0)


def hole(outside: Tensor, rendered: Tensor, radius: int = RADIUS) -> Tensor:
    """(B, 1, H, W), 1 where the face is taken out of the picture; arguments as in `masked`."""
    wide = F.max_pool2d(1 - outside.to(rendered), 2 * radius + 1, stride=1, padding=radius)
    return torch.maximum(wide, (rendered > 0).any(1, keepdim=True).to(rendered))


def masked(
    picture: Tensor,
    outside: Tensor,
    rendered: Tensor,
    kept: Tensor | None = None,
    *,
    colours: Tensor | None = None,
    radius: int = RADIUS,
) -> Tensor:
    """The picture without its face.

    outside   (B, 1, H, W): 1 outside the face's hull, as `hull_mask`; the hole is wider by `radius`.
    rendered  (B, 3, H, W): the drawn shape, whose pixels (those that aren't black) are taken out too.
    kept      (B, 1, H, W) or None: where 1, values are put back, channel by channel if above 0.
    colours   (B, 3, H, W): what is put back; the picture itself without. Another expression moves the face's colours.
    """
    out = picture * (1 - hole(outside, rendered, radius).to(picture))
    if kept is None:
        return out
    back = (picture if colours is None else colours) * kept.to(picture)
    return torch.where(back > 0, back, out)


def sampled(shown: Tensor, share: float = SHARE, *, generator: torch.Generator | None = None) -> Tensor:
    """(B, 1, H, W), 1 at random places among shown (B, 1, H, W; bool), `share` of all H W pixels on average: the few
    colours of skin that the renderer goes by.
    """
    shown = shown.bool()
    count = shown.sum((1, 2, 3), keepdim=True).clamp_min(1)
    chance = share * shown.shape[2] * shown.shape[3] / count
    drawn = torch.rand(shown.shape, generator=generator)
    return (shown & (drawn.to(shown.device) < chance)).float()
