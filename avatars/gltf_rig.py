"""A glTF file's meshes as one `Rig`: shapes by name, joints of the face, pictures, all as the file stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from avatars.gltf_file import MOST_TRIANGLES, GltfFile
from avatars.gltf_joints import Skeleton, settled
from avatars.gltf_materials import Materials
from avatars.rig import Corrective, Rig
from avatars.shape_names import match_name, vrm_shapes
from avatars.vrm_file import vrm_expressions
from studio.arkit import ARKIT
from studio.errors import MediaError

MOST_MOVES = 40_000_000
"""Vertices times shapes that a head may have."""


@dataclass(frozen=True)
class _Piece:
    """The vertices of an accessor as a node shows them: points, normals (N, 3), skin (N, J), what shapes move."""

    points: np.ndarray
    normals: np.ndarray
    skin: np.ndarray
    moved: dict[str, np.ndarray]


def gltf_rig(file: GltfFile) -> Rig:
    """All meshes of a file as one rig. Raises MediaError: see `load_rig`."""
    document = file.document
    shapes: list[str] = []
    for mesh in document.meshes:
        shapes += [name for name in file.names(mesh) if name not in shapes]
    if not shapes:
        raise MediaError(f"{file.path}: no morph targets; `face-studio rig add` gives a head its shapes")
    arkit = _arkit(file, shapes)
    if not arkit.any():
        raise MediaError(
            f"{file.path}: none of its {len(shapes)} morph targets is named as a face shape "
            f"({', '.join(shapes[:6])} ...); ARKit's names are needed, such as jawOpen"
        )
    file.check_triangles()
    skeleton, materials = Skeleton(file), Materials(file)
    pieces, triangles, uv, uv_triangles, material_of = _meshes(file, skeleton, materials, len(shapes))
    points = np.concatenate([piece.points for piece in pieces])
    first = np.cumsum([0, *(len(piece.points) for piece in pieces)])
    deltas = np.zeros((len(shapes), len(points), 3), np.float32)
    place = {name: k for k, name in enumerate(shapes)}
    for piece, start in zip(pieces, first[:-1], strict=True):
        for name, delta in piece.moved.items():
            deltas[place[name], start : start + len(delta)] = delta
    skin = np.concatenate([piece.skin for piece in pieces])
    if not all(np.isfinite(table).all() for table in (points, deltas, skin)):
        raise MediaError(f"{file.path}: holds numbers that are none (NaN or infinite)")
    kept, number = _joined(points, np.concatenate([piece.normals for piece in pieces]), skin, deltas)
    points, deltas, skin = points[kept], deltas[:, kept], skin[kept]
    look = [k for k, name in enumerate(shapes) if (match_name(name) or "").startswith("eyeLook")]
    looking = np.linalg.norm(deltas[look], axis=2).max(0) if look else np.zeros(len(points))
    joints, skin = settled(skeleton.joints, skin, points, looking)
    plain, correctives = _correctives(shapes)
    used = sorted(set(material_of.tolist()))
    polygons = np.concatenate([number[triangles], np.full((len(triangles), 1), -1)], 1).astype(np.int32)
    return Rig(
        name=file.path.stem,
        neutral=points.astype(np.float32),
        polygons=polygons,
        uv=uv,
        uv_polygons=np.concatenate([uv_triangles, polygons[:, 3:]], 1).astype(np.int32),
        materials=tuple(material for k, material in enumerate(materials.all()) if k in used),
        material_of=np.searchsorted(used, material_of).astype(np.uint8),
        shape_names=tuple(shapes[k] for k in plain),
        deltas=np.ascontiguousarray(deltas[plain]),
        arkit=np.ascontiguousarray(arkit[:, plain]),
        joints=joints,
        skin=skin,
        correctives=tuple(Corrective(shapes[k], drivers, deltas[k].copy()) for k, drivers in correctives.items()),
        licence=document.asset.copyright or "",
    )


def _meshes(
    file: GltfFile, skeleton: Skeleton, materials: Materials, shapes: int
) -> tuple[list[_Piece], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(pieces, triangles (F, 3) into their vertices, uv (U, 2), triangles (F, 3) into those, material of each)."""
    document = file.document
    pieces: list[_Piece] = []
    triangles, uv_triangles, material_of = [], [], []
    uv: dict[Any, tuple[int, np.ndarray]] = {}
    vertices = places = 0
    for node, _ in file.placed():
        mesh = document.meshes[document.nodes[node].mesh]
        known: dict[int, tuple[int, int]] = {}  # primitives that share their vertices keep them in common
        for primitive in mesh.primitives:
            if primitive.mode not in (None, 4):
                continue
            accessor = primitive.attributes.POSITION
            if accessor not in known:
                count = document.accessors[accessor].count
                if (vertices + count) * shapes > MOST_MOVES or vertices + count > MOST_TRIANGLES:
                    raise MediaError(
                        f"{file.path}: {vertices + count:,} vertices with {shapes} shapes are more than a head needs; "
                        "reduce the mesh first"
                    )
                pieces.append(_piece(file, skeleton, node, mesh, primitive))
                known[accessor] = vertices, len(pieces[-1].points)
                vertices += known[accessor][1]
            start, count = known[accessor]
            index = np.arange(count) if primitive.indices is None else file.read(primitive.indices)[:, 0]
            index = index[: len(index) // 3 * 3].astype(np.int64).reshape(-1, 3)
            if len(index) and index.max() >= count:
                raise MediaError(f"{file.path}: triangles point beyond the vertices")
            key, table = materials.uv(primitive, count)
            if (node, key) not in uv:
                if len(table) != count:
                    raise MediaError(f"{file.path}: {len(table)} texture coordinates for {count} vertices")
                uv[node, key] = places, table
                places += count
            triangles.append(index + start)
            uv_triangles.append(index + uv[node, key][0])
            chosen = len(document.materials) if primitive.material is None else primitive.material
            material_of.append(np.full(len(index), chosen))
    if not triangles or not sum(map(len, triangles)):
        raise MediaError(f"{file.path}: no triangles in it")
    join = np.concatenate
    return pieces, join(triangles), join([t for _, t in uv.values()]), join(uv_triangles), join(material_of)


def _piece(file: GltfFile, skeleton: Skeleton, node: int, mesh: Any, primitive: Any) -> _Piece:
    points = file.read(primitive.attributes.POSITION).astype(np.float64)
    place, skin = skeleton.hang(node, primitive, len(points))
    turn, shift = place[..., :3, :3], place[..., :3, 3]
    turned = lambda vectors: np.einsum("...rc,...c->...r", turn, vectors)
    moved = {
        name: turned(file.read(target["POSITION"])).astype(np.float32)
        for name, target in zip(file.names(mesh), primitive.targets or [], strict=False)
        if "POSITION" in target
    }
    if any(len(delta) != len(points) for delta in moved.values()):
        raise MediaError(f"{file.path}: a morph target has not as many vertices as its mesh")
    normal = primitive.attributes.NORMAL
    normals = np.zeros_like(points) if normal is None else file.read(normal).astype(np.float64)
    return _Piece(turned(points) + shift, normals, skin, moved)


def _joined(points: np.ndarray, normals: np.ndarray, skin: np.ndarray, deltas: np.ndarray) -> tuple:
    """Vertices that a file keeps apart only because their texture coordinates differ become one again, so that light
    knows no seam: (numbers of those kept, (V,) the new number of each)."""
    if len(normals) != len(points):
        normals = np.zeros_like(points)
    pick = np.random.default_rng(0).normal(size=(len(deltas), 3, 2))  # moves that differ give other sums
    sums = np.tensordot(deltas, pick, ((0, 2), (0, 1)))
    rows = np.concatenate([points, np.round(normals, 3), skin, np.round(sums, 6)], 1).astype(np.float32) + 0.0
    _, first, back = np.unique(
        np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1] * 4)))[:, 0],
        return_index=True,
        return_inverse=True,
    )
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return first[order], rank[back.reshape(-1)]


def _correctives(shapes: list[str]) -> tuple[list[int], dict[int, tuple[str, str]]]:
    """(numbers of plain shapes, {number: the two shapes}): "jawOpen_mouthClose" repairs jawOpen with mouthClose."""
    found = {}
    for k, name in enumerate(shapes):
        first, _, second = name.partition("_")
        if first in ARKIT and second in ARKIT and first in shapes and second in shapes:
            found[k] = (first, second)
    return [k for k in range(len(shapes)) if k not in found], found


def _arkit(file: GltfFile, shapes: list[str]) -> np.ndarray:
    """(52, S) how ARKit's weights move the file's shapes: by their names and those of VRM's expressions; where there
    are none of ARKit's, by VRM's presets."""
    table = np.zeros((len(ARKIT), len(shapes)), np.float32)
    named = {name: np.eye(len(shapes))[k] for k, name in enumerate(shapes)}
    expressions = {
        name: np.array([parts.get(shape, 0.0) for shape in shapes]) for name, parts in vrm_expressions(file).items()
    }
    for name, row in [*named.items(), *expressions.items()]:
        shape = match_name(name)
        if shape is not None and not table[ARKIT.index(shape)].any():
            table[ARKIT.index(shape)] = row
    if not table.any():
        for name, row in (expressions or named).items():
            for shape, share in vrm_shapes(name).items():
                table[ARKIT.index(shape)] += share * row
    return table


__all__ = ["gltf_rig"]
