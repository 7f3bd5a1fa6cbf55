"""ARKit's shapes for a head that has none, from one that has them.

Landmarks that both heads know give a similarity and then a smooth warp (biharmonic radial basis functions) that lays
the source on the target. Each vertex of the target takes the nearest place of the warped source whose surface faces
the same way, so that the lips keep apart. What moves there is carried through the warp, which makes a lid travel just
as far as this eye is open; then the shapes are solved for as in deformation transfer (Sumner and Popovic 2004, in the
gradient form of Botsch et al. 2006): the change of each triangle is that of the source, places only weigh a little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatars.rig import Rig
from studio.errors import MediaError, UsageError, require

FEWEST = 12
"""Landmarks that are needed."""

_FACING = 0.12  # eye spans that a normal turned by a right angle is worth, as a distance
_REACH = 0.25  # eye spans beyond which nothing of the source is near
_HOLD = 0.4  # weight of places against triangles' changes


@dataclass(frozen=True)
class Similarity:
    """target = scale * rotation @ source + shift."""

    scale: float
    rotation: np.ndarray
    shift: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) -> (N, 3)."""
        return self.scale * points @ self.rotation.T + self.shift


def similarity(source: np.ndarray, target: np.ndarray) -> Similarity:
    """The best one from (N, D) to (N, D), D = 2 or 3 (Umeyama 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    left, sizes, right = np.linalg.svd(b.T @ a)
    flip = np.diag([*[1.0] * (a.shape[1] - 1), np.sign(np.linalg.det(left @ right))])
    rotation = left @ flip @ right
    scale = float((sizes * np.diag(flip)).sum() / (a**2).sum())
    return Similarity(scale, rotation, target.mean(0) - scale * rotation @ source.mean(0))


@dataclass(frozen=True)
class Warp:
    """Biharmonic radial basis functions with a linear part; exact at the centres but for `smooth`."""

    centres: np.ndarray
    weights: np.ndarray
    linear: np.ndarray

    @classmethod
    def fit(cls, source: np.ndarray, target: np.ndarray, smooth: float) -> Warp:
        """From (N, 3) to (N, 3); smooth in the source's units."""
        count = len(source)
        whole = np.zeros((count + 4, count + 4))
        whole[:count, :count] = _apart(source, source) - smooth * np.eye(count)
        whole[:count, count:] = np.c_[source, np.ones(count)]
        whole[count:, :count] = whole[:count, count:].T
        solved = np.linalg.lstsq(whole, np.r_[target, np.zeros((4, 3))], rcond=1e-10)[0]
        return cls(source, solved[:count], solved[count:])

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) -> (N, 3)."""
        out = np.c_[points, np.ones(len(points))] @ self.linear
        for first in range(0, len(points), 4096):
            part = slice(first, first + 4096)
            out[part] += _apart(points[part], self.centres) @ self.weights
        return out


def transfer_shapes(
    source: Rig, points: np.ndarray, triangles: np.ndarray, landmarks: np.ndarray, numbers: np.ndarray
) -> np.ndarray:
    """(52, V, 3) float32: ARKit's shapes of a mesh, in its own units and frame.

    points     (V, 3); triangles (F, 3). Vertices at one place count as one.
    landmarks  (N, 3) on the mesh, and numbers (N,) which of FaceMesh's 468 points they are.

    Raises UsageError for too few landmarks or a source without FaceMesh points, MediaError for a mesh that doesn't
    look like a head there.
    """
    if source.facemesh is None:
        raise UsageError(f"the rig {source.name!r} doesn't tell where FaceMesh's points lie on it")
    if len(np.unique(numbers)) < FEWEST:
        raise UsageError(f"{len(np.unique(numbers))} landmarks; at least {FEWEST} are needed, all over the face")
    if not np.isfinite(points).all() or not np.isfinite(landmarks).all():
        raise MediaError("the mesh or its landmarks hold numbers that are none (NaN or infinite)")
    corners = source.neutral[source.triangles[source.facemesh[0][numbers]]]
    places = (corners * source.facemesh[1][numbers][..., None]).sum(1).astype(np.float64)
    onto = similarity(places, landmarks)
    span = 0.09 * onto.scale
    off = np.sqrt(((onto(places) - landmarks) ** 2).sum(1).mean()) / span
    if not onto.scale > 0 or off > 0.3:
        raise MediaError(f"the landmarks don't lie like a face: {100 * off:.0f} % of the eye span off")
    warp = Warp.fit(onto(places), landmarks.astype(np.float64), 0.02 * span)
    rest = onto(source.neutral.astype(np.float64))
    laid = warp(rest)

    points = np.asarray(points, np.float64)
    welded, back = _weld(points, span)
    faces = back[triangles]
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])]
    nearest, near = _match(laid, source, welded, faces, landmarks, span)

    shapes = np.einsum("as,svc->avc", source.arkit, source.deltas) if len(source.deltas) else None
    moved = np.zeros((len(source.arkit), len(welded), 3))
    for k, delta in enumerate(shapes if shapes is not None else ()):
        live = np.flatnonzero(np.abs(delta).max(1) > 1e-6)
        if len(live) == 0:
            continue
        travel = np.zeros_like(laid)
        travel[live] = warp(rest[live] + onto.scale * delta[live] @ onto.rotation.T) - laid[live]
        moved[k] = travel[nearest] * near[:, None]
    return _solved(welded, faces, moved)[:, back].astype(np.float32)


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    square = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(square, 0))


def _weld(points: np.ndarray, span: float) -> tuple[np.ndarray, np.ndarray]:
    """Places (W, 3) and which of them each vertex (V,) has."""
    _, first, back = np.unique(np.round(points / (1e-5 * span)), axis=0, return_index=True, return_inverse=True)
    return points[first], back.reshape(-1)


def _normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (points[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    out = np.zeros_like(points)
    for k in range(3):
        np.add.at(out, triangles[:, k], face)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-20)


def _match(
    laid: np.ndarray, source: Rig, points: np.ndarray, faces: np.ndarray, landmarks: np.ndarray, span: float
) -> tuple[np.ndarray, np.ndarray]:
    """For each of points (W, 3): the vertex of the warped source that is nearest and faces alike, and how near.

    Each connected piece of the mesh keeps to one part of the source, so that a lid doesn't take the eyeball behind it
    for its like, nor a tooth the lip: the skin, where the landmarks lie, to the skin, others to whichever most of their
    vertices are nearest to.
    """
    sparse = require("scipy.sparse", extra="export")
    graph = require("scipy.sparse.csgraph", extra="export")
    spatial = require("scipy.spatial", extra="export")
    facing = _FACING * span / np.sqrt(2)
    there = np.c_[laid, facing * _normals(laid, source.triangles)]
    here = np.c_[points, facing * _normals(points, faces)]
    part = np.full(len(laid), -1)
    for number, place in enumerate(source.parts.values()):
        part[place] = number
    nearest = spatial.cKDTree(there).query(here)[1]
    ends = faces[:, [0, 1, 2]], faces[:, [1, 2, 0]]
    edges = sparse.coo_matrix((np.ones(faces.size), (ends[0].ravel(), ends[1].ravel())), (len(points), len(points)))
    count, piece = graph.connected_components(edges, directed=False)
    votes = np.zeros((count, part.max() + 2), np.int64)
    np.add.at(votes, (piece, part[nearest] + 1), 1)
    chosen = votes.argmax(1) - 1
    if "skin" in source.parts:
        skin = np.bincount(piece[spatial.cKDTree(points).query(landmarks)[1]], minlength=count)
        chosen[skin > 0.2 * len(landmarks)] = list(source.parts).index("skin")
    for number in np.unique(chosen):
        own, like = np.flatnonzero(chosen[piece] == number), np.flatnonzero(part == number)
        nearest[own] = like[spatial.cKDTree(there[like]).query(here[own])[1]]
    gap = np.linalg.norm(laid[nearest] - points, axis=1) / (_REACH * span)
    return nearest, np.clip(2 - 2 * gap, 0, 1)


def _solved(points: np.ndarray, faces: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """(52, W, 3): displacements whose gradients over the triangles are those of `moved` with its noise taken out.

    The gradient of a triangle is the mean of it and its neighbours': matching by single vertices is uneven.
    """
    sparse = require("scipy.sparse", extra="export")
    linear = require("scipy.sparse.linalg", extra="export")
    count, number = len(points), len(faces)
    a, b, c = (points[faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    double = np.linalg.norm(normal, axis=1)
    fine = double > 1e-9 * max(double.max(initial=0), 1e-30)
    unit = normal / np.maximum(double, 1e-30)[:, None]
    rows = np.arange(number)
    parts = []
    for axis in range(3):
        slopes = [np.cross(unit, edge)[:, axis] / np.maximum(double, 1e-30) * fine for edge in (c - b, a - c, b - a)]
        parts.append(sparse.csr_matrix((np.concatenate(slopes), (np.tile(rows, 3), faces.T.ravel())), (number, count)))
    area = sparse.diags(double * fine / 2)
    touch = sparse.csr_matrix((np.ones(3 * number), (np.tile(rows, 3), faces.T.ravel())), (number, count))
    spread = touch @ sparse.diags(1 / np.maximum(np.asarray(touch.sum(0)).ravel(), 1)) @ touch.T
    spread = sparse.diags(1 / np.maximum(np.asarray(spread.sum(1)).ravel(), 1e-12)) @ spread
    laplacian = sum(part.T @ area @ part for part in parts)
    own = np.asarray(touch.T @ (double / 6)).ravel() + 1e-12 * max(double.max(initial=0), 1e-30)
    size = own.mean()
    hold = sparse.diags(_HOLD * own / size)
    solver = linear.splu((laplacian + hold).tocsc())
    out = np.zeros_like(moved)
    for k, shape in enumerate(moved):
        if not shape.any():
            continue
        wanted = sum(part.T @ (area @ (spread @ (part @ shape))) for part in parts)
        out[k] = solver.solve(wanted + hold @ shape)
    out[np.abs(out) < 1e-6 * max(np.abs(moved).max(initial=0), 1e-30)] = 0
    return out


__all__ = ["FEWEST", "Similarity", "Warp", "similarity", "transfer_shapes"]
