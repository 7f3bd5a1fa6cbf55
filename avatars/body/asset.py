"""SMPL-X's arrays from its file, and its head as a FLAME: the same expressions and jaw, on a larger mesh."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatars.flame.asset import IDENTITY, Embedding, FlameAsset
from studio.errors import WeightsError
from studio.weights import locate, model, open_weights, tell_terms

_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
JOINTS = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle"),
    *("spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("jaw", "eye_left", "eye_right"),
    *(f"{side}_{finger}{k}" for side in ("left", "right") for finger in _FINGERS for k in (1, 2, 3)),
)
"""SMPL-X's 55 joints in its order, eyes called as a rig calls them."""

HEAD, JAW, EYES = JOINTS.index("head"), JOINTS.index("jaw"), (JOINTS.index("eye_left"), JOINTS.index("eye_right"))
SHAPES = 300
"""Expression starts at this column of `shapedirs` in files with 400; at 10 in those with 20."""

NEEDED = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "lmk_faces_idx")


@dataclass(frozen=True)
class BodyAsset:
    """The body (V = 10475 vertices, 55 joints). float64 unless stated; metres, +Y up, +Z ahead, +X the subject's left;
    arms stretched out to the sides.

    template (V, 3); faces (F, 3) int64; identity (V, 3, S) and expression (V, 3, E): directions, each a standard
    deviation; posedirs (V, 3, 486); regressor (55, V); weights (V, 55), rows sum to 1; parents (55,) int64, -1 for the
    root. static: the 51 inner landmarks of a face; dynamic: 79 rows of 17 contour points, or None; uv (U, 2), v up, and
    uv_faces (F, 3), or None.
    """

    template: np.ndarray
    faces: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    posedirs: np.ndarray
    regressor: np.ndarray
    weights: np.ndarray
    parents: np.ndarray
    static: Embedding
    dynamic: Embedding | None = None
    uv: np.ndarray | None = None
    uv_faces: np.ndarray | None = None

    def __post_init__(self) -> None:
        count, joints = len(self.template), len(JOINTS)
        wanted = {
            "template": (count, 3),
            "posedirs": (count, 3, 9 * (joints - 1)),
            "regressor": (joints, count),
            "weights": (count, joints),
            "parents": (joints,),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise WeightsError(f"{name} {getattr(self, name).shape}: {shape} expected; not an SMPL-X body")
        if self.parents[0] != -1 or (self.parents[1:] >= np.arange(1, joints)).any() or self.parents[1:].min() < 0:
            raise WeightsError("its joints don't form a tree; the file is damaged")
        if self.faces.ndim != 2 or self.faces.shape[1] != 3 or not 0 <= self.faces.min() <= self.faces.max() < count:
            raise WeightsError("faces point outside the vertices; the file is damaged")


def load_smplx(path: str | Path | None = None) -> BodyAsset:
    """Reads SMPLX_NEUTRAL.npz (or _FEMALE, _MALE; .pkl too): its file or folder; without it the places of
    `studio.weights.locate` are searched. Nothing in the file is run.

    Raises WeightsError where it is missing (it says where to get it) or is another model; warns once of its terms.
    """
    known = model("smplx")
    file = locate(known, given=path)
    tree = open_weights(file)
    tell_terms(known)
    missing = set(NEEDED) - (tree.keys() if isinstance(tree, dict) else set())
    if missing:
        raise WeightsError(f"{file}: not an SMPL-X model; {', '.join(sorted(missing))} missing")
    try:
        return _asset(tree)
    except WeightsError as error:
        raise WeightsError(f"{file}: {error}") from error


def split_at(directions: int) -> int:
    """Where expression begins among so many shape directions, as smplx has it."""
    return SHAPES if directions >= 400 else 10


def head_of(body: BodyAsset) -> FlameAsset:
    """The body as a FLAME whose root is all of it but head, jaw and eyes: while the other joints are at rest, both move
    alike. FLAME's neck is SMPL-X's head joint, about which the head turns.

    Shape coefficients are the body's. There are no eyelids: SMPL-X has none.
    """
    moved = [HEAD, JAW, *EYES]
    weights = np.empty((len(body.template), 5))
    weights[:, 1:] = body.weights[:, moved]
    weights[:, 0] = 1 - weights[:, 1:].sum(1)
    columns = np.concatenate([np.arange(9 * (joint - 1), 9 * joint) for joint in moved])
    count = min(body.identity.shape[2], IDENTITY)
    directions = np.zeros((len(body.template), 3, IDENTITY + body.expression.shape[2]))
    directions[:, :, :count] = body.identity[:, :, :count]
    directions[:, :, IDENTITY:] = body.expression
    return FlameAsset(
        template=body.template,
        faces=body.faces,
        shapedirs=directions,
        posedirs=body.posedirs[:, :, columns],
        regressor=body.regressor[[0, *moved]],
        weights=weights,
        static=body.static,
        dynamic=body.dynamic,
        uv=body.uv,
        uv_faces=body.uv_faces,
    )


def _asset(tree: dict[str, Any]) -> BodyAsset:
    real = lambda name: np.asarray(tree[name], np.float64)
    directions = real("shapedirs")
    if directions.ndim != 3 or directions.shape[2] < 20:
        raise WeightsError(f"shapedirs {directions.shape}: (V, 3, 20 or 400) expected; not an SMPL-X body")
    first = split_at(directions.shape[2])
    parents = np.asarray(tree["kintree_table"])[0].astype(np.int64)
    parents[:1] = -1  # stored as the largest number
    dynamic = None
    if "dynamic_lmk_faces_idx" in tree:
        dynamic = _embedding(tree["dynamic_lmk_faces_idx"], tree["dynamic_lmk_bary_coords"])
    textured = "vt" in tree and "ft" in tree
    return BodyAsset(
        template=real("v_template"),
        faces=np.asarray(tree["f"]).astype(np.int64),
        identity=directions[:, :, :first],
        expression=directions[:, :, first:],
        posedirs=real("posedirs"),
        regressor=real("J_regressor"),
        weights=real("weights"),
        parents=parents,
        static=_embedding(tree["lmk_faces_idx"], tree["lmk_bary_coords"]),
        dynamic=dynamic,
        uv=real("vt") if textured else None,
        uv_faces=np.asarray(tree["ft"]).astype(np.int64) if textured else None,
    )


def _embedding(triangles: Any, barycentric: Any) -> Embedding:
    return Embedding(np.asarray(triangles).astype(np.int64), np.asarray(barycentric, np.float64))
