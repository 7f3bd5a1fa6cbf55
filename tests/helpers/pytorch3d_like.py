"""What `avatars.raster` needs of pytorch3d, with its published signature and conventions, in plain torch.

NDC: x to the left, y up, the shorter side from -1 to 1; z grows away from the viewer; pixel centres are sampled.
Padding is -1 everywhere. Pixels on an edge are no part of a triangle.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import torch


class Meshes:
    """A batch of one mesh: lists of verts (V, 3) and faces (F, 3)."""

    def __init__(self, verts, faces) -> None:
        (self._verts,), (self._faces,) = verts, faces

    def verts_packed(self):
        return self._verts

    def faces_packed(self):
        return self._faces


def centres(count: int, other: int) -> torch.Tensor:
    """(count,) NDC of pixel centres along a side, from the largest to the smallest."""
    reach = max(count / other, 1.0)
    return reach * (1 - (2 * torch.arange(count) + 1) / count)


def rasterize_meshes(
    meshes,
    image_size=256,
    blur_radius: float = 0.0,
    faces_per_pixel: int = 8,
    bin_size=None,
    max_faces_per_bin=None,
    perspective_correct: bool = False,
    clip_barycentric_coords: bool = False,
    cull_backfaces: bool = False,
    z_clip_value=None,
    cull_to_frustum: bool = False,
):
    """pix_to_face (1, H, W, K), zbuf, bary_coords (1, H, W, K, 3), dists, nearest first; exact for blur_radius 0."""
    assert blur_radius == 0 and perspective_correct and not cull_backfaces
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    y, x = torch.meshgrid(centres(height, width), centres(width, height), indexing="ij")
    corners = meshes.verts_packed()[meshes.faces_packed()]  # (F, 3, 3)
    depth = torch.full((height, width, len(corners)), float("inf"))
    shares = []
    for f, (a, b, c) in enumerate(corners):
        area = _edge(c[0], c[1], a, b)
        flat = torch.stack([_edge(x, y, b, c), _edge(x, y, c, a), _edge(x, y, a, b)], -1) / area
        whole = flat / torch.stack([a[2], b[2], c[2]])
        inside = (flat > 0).all(-1)
        share = whole / torch.where(inside, whole.sum(-1), torch.ones_like(x))[..., None]
        place = (share * torch.stack([a[2], b[2], c[2]])).sum(-1)
        depth[..., f] = torch.where(inside & (place >= 0), place, depth[..., f])
        shares.append(share)
    order = depth.sort(-1)
    found, shares = order.indices[..., :faces_per_pixel], torch.stack(shares, 2)
    hit = order.values[..., :faces_per_pixel] < float("inf")
    bary = torch.gather(shares, 2, found[..., None].expand(*found.shape, 3))
    zbuf = torch.where(hit, order.values[..., :faces_per_pixel], torch.tensor(-1.0))
    index = torch.where(hit, found, torch.tensor(-1))
    bary = torch.where(hit[..., None], bary, torch.tensor(-1.0))
    return index[None], zbuf[None], bary[None], torch.zeros_like(zbuf)[None]


def _edge(px, py, a, b):
    return (px - a[0]) * (b[1] - a[1]) - (py - a[1]) * (b[0] - a[0])


def install(monkeypatch) -> None:
    """Puts this in pytorch3d's place for a test."""
    names = ("pytorch3d", "pytorch3d.structures", "pytorch3d.renderer", "pytorch3d.renderer.mesh")
    made = {name: ModuleType(name) for name in (*names, "pytorch3d.renderer.mesh.rasterize_meshes")}
    for name, module in made.items():
        module.__spec__ = ModuleSpec(name, None)
        module.__path__ = []
        if "." in name:
            before, _, last = name.rpartition(".")
            setattr(made[before], last, module)
    made["pytorch3d.structures"].Meshes = Meshes
    made["pytorch3d.renderer.mesh.rasterize_meshes"].rasterize_meshes = rasterize_meshes
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, name, module)
