"""From DECA's codes to a head on the picture: vertices, landmarks and which of them are seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from avatars.flame.camera import project
from avatars.flame.landmarks import on_mesh
from avatars.flame.surface import vertex_normals

if TYPE_CHECKING:
    from avatars.flame.codes import FlameCodes
    from avatars.flame.layer import Flame

_TURNED = 0.1  # z of a normal, which faces the viewer where negative


@dataclass(frozen=True)
class Decoded:
    """vertices (B, V, 3) metres in FLAME's frame; the rest is projected: x right, y down, -1..1 over the crop, smaller
    z nearer. projected (B, V, 3); landmarks (B, 68, 2), whose contour slides with the yaw; landmarks3d (B, 68, 3),
    which stay on the mesh; visible (B, 68, 1), 1 where one of those faces the viewer.
    """

    vertices: Tensor
    projected: Tensor
    landmarks: Tensor
    landmarks3d: Tensor
    visible: Tensor


def decoded(flame: Flame, codes: FlameCodes) -> Decoded:
    """What codes say, on a FLAME with DECA's landmarks; differentiable but for `visible`."""
    head = codes.head(flame)
    projected = project(head.vertices, codes.camera)
    normals = vertex_normals(projected, flame.faces)
    towards = on_mesh(normals, flame.faces, flame.full_triangles, flame.full_barycentric)
    return Decoded(
        head.vertices,
        projected,
        project(flame.landmarks(head), codes.camera)[..., :2],
        project(flame.full_landmarks(head), codes.camera),
        (towards[..., 2:] < _TURNED).to(projected),
    )
