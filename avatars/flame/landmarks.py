"""Landmarks on FLAME: 51 inner points, 17 contour points that slide with the yaw, in two published conventions.

"deca" (DECA, MICA, SMIRK): contour first; the turn is global times neck; +yaw. "smplx" (smplx 0.1.28, RingNet):
inner points first; the turn is the global rotation alone; -yaw. On the same mesh their contours differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Convention = Literal["deca", "smplx"]
CONVENTIONS: tuple[Convention, ...] = ("deca", "smplx")

LARGEST_YAW = 39


def contour_rows(turn: Tensor, convention: Convention) -> Tensor:
    """Row (B,) int64 of the dynamic table for a head's rotation (B, 3, 3).

    The yaw in degrees is clamped above (not below) and rounded half to even; rows are +0..+39, then -1..-39.
    """
    import torch

    yaw = torch.atan2(-turn[:, 2, 0], torch.hypot(turn[:, 0, 0], turn[:, 1, 0])) * (180 / np.pi)
    yaw = torch.round(torch.clamp(yaw if convention == "deca" else -yaw, max=LARGEST_YAW)).long()
    return torch.where(yaw >= 0, yaw, torch.where(yaw >= -LARGEST_YAW, LARGEST_YAW - yaw, 2 * LARGEST_YAW))


def contour_rows_numpy(turn: np.ndarray, convention: Convention) -> np.ndarray:
    """`contour_rows` in NumPy."""
    yaw = np.degrees(np.arctan2(-turn[:, 2, 0], np.hypot(turn[:, 0, 0], turn[:, 1, 0])))
    yaw = np.round(np.minimum(yaw if convention == "deca" else -yaw, LARGEST_YAW)).astype(np.int64)
    return np.where(yaw >= 0, yaw, np.where(yaw >= -LARGEST_YAW, LARGEST_YAW - yaw, 2 * LARGEST_YAW))


def on_mesh(vertices: Tensor, faces: Tensor, triangles: Tensor, barycentric: Tensor) -> Tensor:
    """Points (B, N, 3) at triangles (N,) or (B, N) with barycentric weights (N, 3) or (B, N, 3)."""
    import torch

    corners = faces[triangles]  # (N, 3) or (B, N, 3)
    if corners.dim() == 2:
        return (vertices[:, corners] * barycentric[..., None]).sum(-2)
    batch = torch.arange(len(vertices), device=vertices.device)[:, None, None]
    return (vertices[batch, corners] * barycentric[..., None]).sum(-2)
