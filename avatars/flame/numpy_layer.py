"""FLAME's forward pass in NumPy: needs no torch, and is the readable twin that the fast one is compared with."""

from __future__ import annotations

import numpy as np

from avatars.flame.asset import IDENTITY, PARENTS, Embedding, FlameAsset
from avatars.flame.landmarks import Convention, contour_rows_numpy
from studio.errors import UsageError


def flame_vertices(
    asset: FlameAsset,
    shape: np.ndarray,
    expression: np.ndarray,
    pose: np.ndarray | None = None,
    eyelids: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Posed vertices (B, V, 3), joints (B, 5, 3), both metres, and rotations (B, 5, 3, 3).

    shape (B, up to 300), expression (B, up to 100); pose (B, 15): axis-angle of root, neck, jaw, left and right eye;
    eyelids (B, 2). float64 throughout.
    """
    batch = len(shape)
    pose = np.zeros((batch, 15)) if pose is None else np.asarray(pose, np.float64)
    rest = asset.template + np.einsum("vck,bk->bvc", asset.shapedirs[:, :, : shape.shape[1]], shape, optimize=True)
    columns = asset.shapedirs[:, :, IDENTITY : IDENTITY + expression.shape[1]]
    rest = rest + np.einsum("vck,bk->bvc", columns, expression, optimize=True)
    joints = np.einsum("jv,bvc->bjc", asset.regressor, rest, optimize=True)
    rotations = axis_angle_matrices(pose.reshape(batch, 5, 3))
    rest = rest + np.einsum(
        "vck,bk->bvc", asset.posedirs, (rotations[:, 1:] - np.eye(3)).reshape(batch, 36), optimize=True
    )
    world = np.zeros((batch, 5, 4, 4))
    for j, parent in enumerate(PARENTS):
        own = np.tile(np.eye(4), (batch, 1, 1))
        own[:, :3, :3] = rotations[:, j]
        own[:, :3, 3] = joints[:, j] - (joints[:, parent] if parent >= 0 else 0)
        world[:, j] = own if parent < 0 else world[:, parent] @ own
    posed = world[..., :3, 3].copy()
    world[..., :3, 3] -= np.einsum("bjrc,bjc->bjr", world[..., :3, :3], joints)
    blended = np.einsum("vj,bjrc->bvrc", asset.weights, world[..., :3, :], optimize=True)
    out = np.einsum("bvrc,bvc->bvr", blended[..., :3], rest) + blended[..., 3]
    if eyelids is not None:
        if asset.eyelids is None:
            raise UsageError("this FLAME has no eyelids; put SMIRK's l_eyelid.npy and r_eyelid.npy beside it")
        out = out + np.einsum("bk,kvc->bvc", eyelids, asset.eyelids)
    return out, posed, rotations


def flame_landmarks(
    asset: FlameAsset, vertices: np.ndarray, rotations: np.ndarray, convention: Convention = "deca"
) -> np.ndarray:
    """The 68 landmarks (B, 68, 3) with a sliding contour, as `Flame.landmarks`."""
    if asset.static is None or asset.dynamic is None:
        raise UsageError("this FLAME has no landmarks; put landmark_embedding.npy (DECA's) beside it")
    turn = rotations[:, 0] @ rotations[:, 1] if convention == "deca" else rotations[:, 0]
    row = contour_rows_numpy(turn, convention)
    moving = Embedding(asset.dynamic.triangles[row], asset.dynamic.barycentric[row])
    contour, inner = points_on(asset, vertices, moving), points_on(asset, vertices, asset.static)
    return np.concatenate([contour, inner] if convention == "deca" else [inner, contour], 1)


def points_on(asset: FlameAsset, vertices: np.ndarray, embedding: Embedding) -> np.ndarray:
    """Points (B, N, 3) of an embedding on vertices (B, V, 3)."""
    corners = asset.faces[embedding.triangles]
    batch = np.arange(len(vertices))[:, None, None]
    return (vertices[batch, corners if corners.ndim == 3 else corners[None]] * embedding.barycentric[..., None]).sum(-2)


def axis_angle_matrices(rotation: np.ndarray) -> np.ndarray:
    """(..., 3) axis-angle, radians -> (..., 3, 3); zero gives the identity."""
    angle = np.linalg.norm(rotation + 1e-8, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(rotation, -1, 0) / angle[..., 0, 0]
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
