"""Normals of a mesh, and a displacement map laid on it: the detail of DECA (Feng et al. 2021, section 4.2)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """(B, V, 3) unit normals of vertices (B, V, 3) and faces (F, 3): cross products of faces, so weighted by area.

    Lengths are floored at 1e-6, so a vertex without faces has the normal zero.
    """
    a, b, c = (vertices[:, faces[:, i]] for i in range(3))
    cross = torch.cross(b - a, c - a, dim=-1)
    normals = torch.zeros_like(vertices)
    for i in range(3):
        normals = normals.index_add(1, faces[:, i], cross)
    return normals / torch.linalg.vector_norm(normals, dim=-1, keepdim=True).clamp_min(1e-6)


@lru_cache(maxsize=4)
def grid_faces(height: int, width: int) -> np.ndarray:
    """Triangles (N, 3) int64 of a UV grid's inner part, pixel index row * width + column, in DECA's order."""
    columns = np.repeat(np.arange(2, width - 3), max(height - 11, 0))
    rows = np.tile(np.arange(5, height - 6), max(width - 5, 0))
    corner = rows * width + columns
    cells = np.stack([corner, corner + width, corner + 1, corner + 1, corner + width, corner + width + 1], 1)
    return cells.reshape(-1, 3).astype(np.int64)


def displaced(position: Tensor, normals: Tensor, displacement: Tensor, mask: Tensor, fixed: Tensor) -> Tensor:
    """Positions (B, 3, H, W) moved along normals: displacement (B, 1, H, W) inside mask, fixed (H, W) everywhere."""
    return position + (displacement * mask) * normals + fixed * normals


def detail_normals(position: Tensor, normals: Tensor, displacement: Tensor, mask: Tensor, fixed: Tensor) -> Tensor:
    """Normals (B, 3, H, W) of the displaced surface, inside mask, the coarse ones outside it; as `displaced`."""
    batch, _, height, width = position.shape
    detailed = displaced(position, normals, displacement, mask, fixed)
    points = detailed.permute(0, 2, 3, 1).reshape(batch, -1, 3)
    faces = torch.from_numpy(grid_faces(height, width)).to(position.device)
    fine = vertex_normals(points, faces).reshape(batch, height, width, 3).permute(0, 3, 1, 2)
    return fine * mask + normals * (1 - mask)
