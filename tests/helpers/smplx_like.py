"""SMPL-X's arrays with known answers: the embedded head on a body of tubes, in the layout that smplx reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flame_like import known_head

from avatars.body.asset import EYES, HEAD, JAW, JOINTS

VERTICES = 10475
UP = np.array([0.0, 0.35, 0.0])
"""Metres from the pelvis to between the eyes."""

_BODY = {  # places of joints below the head, metres; hands and feet hang on what is nearest
    "pelvis": (0, 0, 0), "spine1": (0, 0.08, 0), "spine2": (0, 0.14, 0), "spine3": (0, 0.19, 0),
    "neck": (0, 0.22, -0.06), "collar": (0.05, 0.19, 0), "shoulder": (0.15, 0.19, 0), "elbow": (0.4, 0.19, 0),
    "wrist": (0.6, 0.19, 0), "hip": (0.1, -0.08, 0), "knee": (0.1, -0.45, 0), "ankle": (0.1, -0.85, 0),
    "foot": (0.1, -0.9, 0.1),
}  # fmt: skip


def parents() -> np.ndarray:
    """(55,) int64, SMPL-X's tree."""
    body = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15]
    for wrist in (20, 21):
        for _ in range(5):
            body += [wrist, len(body), len(body) + 1]
    return np.array(body, np.int64)


def places(head: np.ndarray) -> np.ndarray:
    """(55, 3) metres; head (5, 3): the head's own joints, neck (unused), head, jaw, eyes."""
    out = np.zeros((len(JOINTS), 3))
    for k, name in enumerate(JOINTS):
        side, _, rest = name.rpartition("left_") if name.startswith("left_") else name.rpartition("right_")
        known = _BODY.get(rest, _BODY["wrist"])
        out[k] = np.array(known) * [-1 if side == "" and name.startswith("right_") else 1, 1, 1]
        if rest[:-1] in ("index", "middle", "pinky", "ring", "thumb"):
            out[k, 0] += np.sign(out[k, 0]) * 0.03 * int(rest[-1])
    out[[HEAD, JAW, *EYES]] = head[1:]
    return out


def arrays(expressions: int = 100) -> dict[str, np.ndarray]:
    """Everything that smplx wants of a file, by its names."""
    flame = known_head()[1]
    count = len(flame.template)
    rng = np.random.default_rng(2)
    turn = np.linspace(0, 2 * np.pi, VERTICES - count, endpoint=False) * 40
    high = np.linspace(-0.9, 0.13, VERTICES - count)
    tube = np.stack([0.14 * np.sin(turn), high, 0.1 * np.cos(turn)], 1)
    template = np.concatenate([flame.template + UP, tube])
    numbers = np.arange(count, VERTICES - 2)
    faces = np.concatenate([flame.faces, np.stack([numbers, numbers + 1, numbers + 2], 1)])
    joints = places(flame.regressor @ flame.template + UP)
    weights = np.zeros((VERTICES, len(JOINTS)))
    weights[:count, [HEAD, JAW, *EYES]] = flame.weights[:, 1:]
    weights[:count, 12] = flame.weights[:, 0]
    near = np.linalg.norm(tube[:, None] - joints[None, :12], axis=2).argmin(1)
    weights[np.arange(count, VERTICES), near] = 1
    regressor = np.zeros((len(JOINTS), VERTICES))
    regressor[:, :count][[HEAD, JAW, *EYES]] = flame.regressor[1:]
    for k in set(range(len(JOINTS))) - {HEAD, JAW, *EYES}:  # exact: a few vertices whose weighted mean is the joint
        rows = np.r_[rng.choice(VERTICES, 12, replace=False)]
        system = np.r_[template[rows].T, np.ones((1, 12))]
        regressor[k, rows] = np.linalg.lstsq(system, np.r_[joints[k], 1], rcond=None)[0]
    columns = 300 if expressions == 100 else 10
    directions = np.zeros((VERTICES, 3, columns + expressions))
    shown = min(expressions, flame.shapedirs.shape[2] - 300)
    directions[:count, :, columns : columns + shown] = flame.shapedirs[:, :, 300 : 300 + shown]
    directions[:, :, :5] = 0.01 * rng.standard_normal((5, 3, 3)).transpose(1, 2, 0)[:1] * template[:, :, None]
    hands = np.eye(45)
    tree = np.stack([parents(), np.arange(len(JOINTS))])
    tree[0, 0] = 2**32 - 1
    return {
        "v_template": template,
        "f": faces.astype(np.uint32),
        "shapedirs": directions,
        "posedirs": 1e-3 * rng.standard_normal((VERTICES, 3, 486)),
        "J_regressor": regressor,
        "weights": weights,
        "kintree_table": tree,
        "lmk_faces_idx": flame.static.triangles,
        "lmk_bary_coords": flame.static.barycentric,
        "dynamic_lmk_faces_idx": flame.dynamic.triangles,
        "dynamic_lmk_bary_coords": flame.dynamic.barycentric,
        "hands_componentsl": hands,
        "hands_componentsr": hands,
        "hands_meanl": np.full(45, 0.1),
        "hands_meanr": np.full(45, 0.1),
        "joint2num": np.array({name: k for k, name in enumerate(JOINTS)}, object),
    }


def write(folder: Path, expressions: int = 100) -> Path:
    """SMPLX_NEUTRAL.npz in a folder, with a pickled dict in it as the published file has."""
    path = folder / "SMPLX_NEUTRAL.npz"
    np.savez(path, allow_pickle=True, **arrays(expressions))
    return path
