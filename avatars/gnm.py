"""GNM Head (Google, 2026): a statistical head model as a `Rig`. Code and weights are Apache-2.0; users bring the file.

`gnm_head.npz` of version 3 holds a template in metres (+Y up, facing +Z), bases of identity and expression, joints
neck, head and eyes. Its expressions are components without names, so ARKit's shapes are carried over from the embedded
head (`avatars.transfer`) and then replaced by the expression of GNM that comes nearest, which keeps them natural.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatars.rig import Joint, Material, Rig
from avatars.transfer import transfer_shapes
from studio.arkit import ARKIT
from studio.errors import MediaError, UsageError

LICENCE = "GNM Head: Apache-2.0, Google LLC"
NEEDED = (
    "template_vertex_positions",
    "template_joint_positions",
    "vertex_identity_basis",
    "joint_identity_basis",
    "expression_basis",
    "joint_names",
    "joint_parent_indices",
    "skinning_weights",
    "quads",
    "quad_uvs",
    "mesh_component_names",
    "vertex_groups",
    "vertex_group_names",
)
"""Arrays of the file that are read."""

MOST_BYTES = 4 << 30
NOISE = 1e-3
"""Metres by which a carried shape may miss its truth; expressions are worth their standard deviation against it."""


def is_gnm(path: Path) -> bool:
    """Whether an .npz has GNM's arrays."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {f"{name}.npy" for name in NEEDED} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


@dataclass(frozen=True)
class GnmHead:
    """One person of the model.

    path        of its file.
    points      (V, 3) float32 metres, neutral; triangles (F, 3) int32.
    quads       (P, 4) int32, quad_uvs (P, 4, 2) with v up.
    expressions (E, V, 3) float32, metres at one standard deviation.
    joints      those of a `Rig`, and skin (V, J).
    components  vertex numbers of skin, eyes, teeth, tongue by GNM's names.
    """

    path: Path
    points: np.ndarray
    quads: np.ndarray
    quad_uvs: np.ndarray
    expressions: np.ndarray
    joints: tuple[Joint, ...]
    skin: np.ndarray
    components: dict[str, np.ndarray]

    @classmethod
    def open(cls, path: str | Path, identity: Sequence[float] = ()) -> GnmHead:
        """Read the file; identity: up to as many standard deviations as it has components, zeros for the rest.

        Raises MediaError for a file that is none of GNM's or whose arrays don't fit together, UsageError for too many
        components of identity.
        """
        path = Path(path)
        data = _arrays(path)
        person = np.asarray(identity, np.float64)
        known = len(data["vertex_identity_basis"])
        if person.ndim != 1 or len(person) > known or not np.isfinite(person).all():
            raise UsageError(f"an identity is up to {known} numbers, got {person.shape}")
        build = lambda base, basis: data[base] + np.tensordot(person, data[basis][: len(person)], 1)
        points = build("template_vertex_positions", "vertex_identity_basis").astype(np.float32)
        places = build("template_joint_positions", "joint_identity_basis")
        return cls(
            path=path,
            points=points,
            quads=data["quads"].astype(np.int32),
            quad_uvs=data["quad_uvs"].astype(np.float32),
            expressions=data["expression_basis"].astype(np.float32),
            joints=_joints(data, places),
            skin=np.ascontiguousarray(data["skinning_weights"].T, np.float32),
            components=_components(data),
        )

    @property
    def triangles(self) -> np.ndarray:
        """(F, 3) int32: quads cut along the diagonal 0-2, as GNM does."""
        return np.concatenate([self.quads[:, :3], self.quads[:, [0, 2, 3]]])

    def rig(self) -> Rig:
        """The head without shapes, to look at and to find its face."""
        return self._rig(np.zeros((0, *self.points.shape), np.float32), (), np.zeros((len(ARKIT), 0), np.float32))

    def arkit_rig(self, numbers: np.ndarray, places: np.ndarray) -> Rig:
        """The head with ARKit's shapes.

        numbers (N,) of FaceMesh's points, and places (N, 3) where they lie on the mesh, metres. See
        `avatars.transfer.transfer_shapes` for what is raised.
        """
        from avatars.head import embedded_head

        carried = transfer_shapes(embedded_head(), self.points, self.triangles, places, numbers)
        shapes = nearest_expressions(carried, self.expressions) if len(self.expressions) else carried
        return self._rig(shapes, ARKIT, np.eye(len(ARKIT), dtype=np.float32))

    def _rig(self, deltas: np.ndarray, names: tuple[str, ...], arkit: np.ndarray) -> Rig:
        uv, index = np.unique(np.round(self.quad_uvs.reshape(-1, 2), 6), axis=0, return_inverse=True)
        materials, material_of = _materials(self.components, self.quads)
        return Rig(
            name="gnm-head",
            neutral=self.points,
            polygons=self.quads,
            uv=uv.astype(np.float32),
            uv_polygons=index.reshape(-1, 4).astype(np.int32),
            materials=materials,
            material_of=material_of,
            shape_names=names,
            deltas=deltas,
            arkit=arkit,
            joints=self.joints,
            skin=self.skin,
            licence=LICENCE,
        )


def nearest_expressions(shapes: np.ndarray, basis: np.ndarray, noise: float = NOISE) -> np.ndarray:
    """(K, V, 3) float32: for each of shapes (K, V, 3) the most probable expression of the basis (E, V, 3).

    Ridge regression: components are normal with deviation 1, coordinates of `shapes` off by `noise` (metres).
    """
    flat = basis.reshape(len(basis), -1)
    square = (flat @ flat.T).astype(np.float64) + noise**2 * np.eye(len(flat))
    weights = np.linalg.solve(square, (flat @ shapes.reshape(len(shapes), -1).T).astype(np.float64))
    return (weights.T.astype(np.float32) @ flat).reshape(shapes.shape)


def _arrays(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MediaError(f"{path}: no such file")
    if not is_gnm(path):
        raise MediaError(f"{path}: not GNM's head; gnm_head.npz of version 3 is read")
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(archive.getinfo(f"{name}.npy").file_size for name in NEEDED) > MOST_BYTES:
                raise MediaError(f"{path}: larger than a head model is")
        with np.load(path, allow_pickle=False) as file:
            data = {name: file[name] for name in NEEDED}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise MediaError(f"{path}: damaged, or not GNM's head ({error})") from error
    count, joints = len(data["template_vertex_positions"]), len(data["template_joint_positions"])
    people, expressions = len(data["vertex_identity_basis"]), len(data["expression_basis"])
    polygons = len(data["quads"])
    wanted = {
        "template_vertex_positions": (count, 3),
        "template_joint_positions": (joints, 3),
        "vertex_identity_basis": (people, count, 3),
        "joint_identity_basis": (people, joints, 3),
        "expression_basis": (expressions, count, 3),
        "joint_names": (joints,),
        "joint_parent_indices": (joints,),
        "skinning_weights": (joints, count),
        "quads": (polygons, 4),
        "quad_uvs": (polygons, 4, 2),
        "vertex_groups": (len(data["vertex_group_names"]), count),
    }
    for name, shape in wanted.items():
        if data[name].shape != shape:
            raise MediaError(f"{path}: {name} is {data[name].shape}, {shape} expected")
        if data[name].dtype.kind == "f" and not np.isfinite(data[name]).all():
            raise MediaError(f"{path}: {name} holds numbers that are none (NaN or infinite)")
    if not polygons or data["quads"].min() < 0 or data["quads"].max() >= count:
        raise MediaError(f"{path}: its polygons point beyond its vertices")
    return data


def _joints(data: dict[str, Any], places: np.ndarray) -> tuple[Joint, ...]:
    """Joints as a `Rig` calls them: eyes by the side they lie on; a joint that is its own parent is the root."""
    out = []
    parents = np.asarray(data["joint_parent_indices"]).astype(int)
    for number, (name, parent, place) in enumerate(zip(data["joint_names"], parents, places, strict=True)):
        own = str(name).lower()
        if "eye" in own:
            own = "eye_left" if place[0] > 0 else "eye_right"
        if parent > number:
            raise MediaError(f"its joint {name} stands before its parent")
        out.append(Joint(own, int(parent) if parent != number else -1, tuple(float(v) for v in place)))
    return tuple(out)


def _components(data: dict[str, Any]) -> dict[str, np.ndarray]:
    groups = [str(name) for name in data["vertex_group_names"]]
    return {
        str(name): np.flatnonzero(data["vertex_groups"][groups.index(str(name))] > 0.5)
        for name in data["mesh_component_names"]
        if str(name) in groups
    }


def _materials(components: dict[str, np.ndarray], quads: np.ndarray) -> tuple[tuple[Material, ...], np.ndarray]:
    """A material a component, and which one each polygon has."""
    looks = {
        "skin": Material("skin", (0.55, 0.36, 0.28, 1.0), 0.55),
        "eye": Material("eye", (0.8, 0.8, 0.8, 1.0), 0.15),
        "teeth": Material("teeth", (0.75, 0.7, 0.62, 1.0), 0.3),
        "tongue": Material("tongue", (0.5, 0.16, 0.15, 1.0), 0.45),
    }
    kinds = list(looks)
    of_vertex = np.zeros(int(quads.max()) + 1, np.uint8)
    for name, vertices in components.items():
        kind = next((kind for kind in kinds if kind in name), "skin")
        of_vertex[vertices[vertices < len(of_vertex)]] = kinds.index(kind)
    return tuple(looks.values()), of_vertex[quads[:, 0]]


__all__ = ["LICENCE", "GnmHead", "is_gnm", "nearest_expressions"]
