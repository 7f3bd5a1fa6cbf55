"""Light on a surface: spherical harmonics (Ramamoorthi and Hanrahan 2001), points and directions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from avatars.flame.lighting import FACTORS


def sphere_harmonics(normals: Tensor) -> Tensor:
    """(B, 3, ...) unit normals -> (B, 9, ...), the basis times `FACTORS`."""
    x, y, z = normals.unbind(1)
    basis = torch.stack([torch.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1], 1)
    factors = torch.from_numpy(FACTORS).to(normals)
    return basis * factors.reshape(-1, *[1] * (basis.dim() - 2))


def harmonic_shading(normals: Tensor, light: Tensor) -> Tensor:
    """Normals (B, 3, ...), light (B, 9, 3: by RGB) -> (B, 3, ...) to multiply the albedo with."""
    return torch.einsum("bk...,bkc->bc...", sphere_harmonics(normals), light)


def relit(texture: Tensor, normals: Tensor, light: Tensor) -> Tensor:
    """Albedo (B, 3, H, W), 0..1, under a light (B, 9, 3), on normals (B, 3, H, W) -> (B, 3, H, W), not clamped."""
    return texture * harmonic_shading(normals, light)


def point_shading(points: Tensor, normals: Tensor, lights: Tensor) -> Tensor:
    """Points and normals (B, N, 3), lights (B, L, 6: place, RGB) -> (B, N, 3), the mean over lights.

    As published, a light behind the surface counts negatively.
    """
    way = F.normalize(lights[:, :, None, :3] - points[:, None], dim=3)
    return ((normals[:, None] * way).sum(3, keepdim=True) * lights[:, :, None, 3:]).mean(1)


def directional_shading(normals: Tensor, lights: Tensor) -> Tensor:
    """Normals (B, N, 3), lights (B, L, 6: the way towards it, RGB) -> (B, N, 3), the mean over lights."""
    way = F.normalize(lights[:, :, None, :3], dim=3)
    return ((normals[:, None] * way).sum(3, keepdim=True).clamp(0, 1) * lights[:, :, None, 3:]).mean(1)
