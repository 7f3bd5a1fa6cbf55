"""FLAME's arrays, from any of its files: 2016, 2019, 2020 and 2023; .pkl, .npz, or .safetensors of ours."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from studio.errors import WeightsError
from studio.weights import locate, model, open_weights, save_weights, tell_terms

JOINTS = ("root", "neck", "jaw", "eye_left", "eye_right")
PARENTS = (-1, 0, 1, 1, 1)
IDENTITY = 300
"""Expression starts at this column of `shapedirs`, however many identity coefficients are used."""


@dataclass(frozen=True)
class Embedding:
    """Points on a mesh. triangles (..., N) int64 into the faces; barycentric (..., N, 3), rows sum to 1."""

    triangles: np.ndarray
    barycentric: np.ndarray


@dataclass(frozen=True)
class FlameAsset:
    """The head model (V = 5023 vertices, F = 9976 triangles, 5 joints). float64 unless stated; metres, +Y up, +Z out
    of the face, +X the subject's left; the origin is the model's own (between the eyes and the neck).

    template (V, 3); faces (F, 3) int64; shapedirs (V, 3, 400): 300 identity, then 100 expression directions, each a
    standard deviation; posedirs (V, 3, 36); regressor (5, V); weights (V, 5), rows sum to 1. The rest is None where no
    file gives it: static (51 inner landmarks), dynamic (79 rows of 17 contour points), full (68 fixed landmarks),
    mediapipe (105 points) with mediapipe_points (105,), which of FaceMesh's 478 each one is; eyelids (2, V, 3) of
    SMIRK, left and right; uv (U, 2), v up, and uv_faces (F, 3).
    """

    template: np.ndarray
    faces: np.ndarray
    shapedirs: np.ndarray
    posedirs: np.ndarray
    regressor: np.ndarray
    weights: np.ndarray
    static: Embedding | None = None
    dynamic: Embedding | None = None
    full: Embedding | None = None
    mediapipe: Embedding | None = None
    mediapipe_points: np.ndarray | None = None
    eyelids: np.ndarray | None = None
    uv: np.ndarray | None = None
    uv_faces: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = len(self.template)
        wanted = {"template": (count, 3), "posedirs": (count, 3, 36), "regressor": (5, count), "weights": (count, 5)}
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise WeightsError(f"{name} {getattr(self, name).shape}: {shape} expected; not a FLAME head")
        if self.shapedirs.shape[:2] != (count, 3) or self.shapedirs.shape[2] <= IDENTITY:
            raise WeightsError(f"shapedirs {self.shapedirs.shape}: ({count}, 3, 400) expected; not a FLAME head")
        if self.faces.ndim != 2 or self.faces.shape[1] != 3 or not 0 <= self.faces.min() <= self.faces.max() < count:
            raise WeightsError("faces point outside the vertices; the file is damaged")


def load_flame(path: str | Path | None = None, *, extras: str | Path | None = None) -> FlameAsset:
    """Reads FLAME. `path` is its file or folder; without it the places of `studio.weights.locate` are searched.

    Landmarks, eyelids and texture coordinates are taken from `extras`, or from files beside it under the names that
    DECA, SMIRK, smplx and MICA use (landmark_embedding.npy, flame_static_embedding.pkl, flame_dynamic_embedding.npy,
    mediapipe_landmark_embedding.npz, l_eyelid.npy, r_eyelid.npy, head_template.obj). Raises WeightsError where the
    file is missing (it says where to get it) or is another model; warns once of FLAME's terms.
    """
    known = model("flame")
    file = locate(known, given=path)
    tree = open_weights(file)
    tell_terms(known)
    if not isinstance(tree, dict):
        raise WeightsError(f"{file}: not a FLAME model; it holds a {type(tree).__name__}")
    if "template" in tree and "faces" in tree:
        return _ours(tree)
    missing = {"v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights"} - tree.keys()
    if missing:
        raise WeightsError(f"{file}: not a FLAME model; {', '.join(sorted(missing))} missing")
    folder = Path(extras).expanduser() if extras is not None else file.parent
    try:
        return FlameAsset(
            template=_real(tree["v_template"]),
            faces=np.asarray(tree["f"]).astype(np.int64),
            shapedirs=_real(tree["shapedirs"]),
            posedirs=_real(tree["posedirs"]),
            regressor=_real(tree["J_regressor"]),
            weights=_real(tree["weights"]),
            **_landmarks(folder),
            **_extras(folder),
        )
    except WeightsError as error:
        raise WeightsError(f"{file}: {error}") from error


def save_flame(path: str | Path, asset: FlameAsset) -> Path:
    """Writes everything of an asset as one .safetensors, which loads faster and needs no unpickling.

    FLAME's terms stay with the file: it is for its owner's own use.
    """
    arrays: dict[str, np.ndarray] = {}
    for item in fields(asset):
        value = getattr(asset, item.name)
        if isinstance(value, Embedding):
            arrays |= {f"{item.name}.triangles": value.triangles, f"{item.name}.barycentric": value.barycentric}
        elif value is not None:
            arrays[item.name] = value
    return save_weights(path, arrays, {"model": "flame", "licence": model("flame").licence})


def _ours(tree: dict[str, np.ndarray]) -> FlameAsset:
    values: dict[str, Any] = {}
    for item in fields(FlameAsset):
        if item.name in tree:
            values[item.name] = tree[item.name]
        elif f"{item.name}.triangles" in tree:
            values[item.name] = Embedding(tree[f"{item.name}.triangles"], tree[f"{item.name}.barycentric"])
    return FlameAsset(**values)


def _real(value: Any) -> np.ndarray:
    return np.asarray(value, np.float64)


def _embedding(triangles: Any, barycentric: Any) -> Embedding:
    return Embedding(np.asarray(triangles).astype(np.int64), _real(barycentric))


def _landmarks(folder: Path) -> dict[str, Embedding]:
    out: dict[str, Embedding] = {}
    if (file := folder / "landmark_embedding.npy").is_file():
        tree = open_weights(file)
        for ours, theirs in (("static", "static"), ("dynamic", "dynamic"), ("full", "full")):
            triangles, barycentric = tree[f"{theirs}_lmk_faces_idx"], tree[f"{theirs}_lmk_bary_coords"]
            if ours == "full":  # stored with a batch axis
                triangles, barycentric = np.reshape(triangles, -1), np.reshape(barycentric, (-1, 3))
            out[ours] = _embedding(triangles, barycentric)
        return out
    for ours, name in (("static", "flame_static_embedding.pkl"), ("dynamic", "flame_dynamic_embedding.npy")):
        if (file := folder / name).is_file():
            tree = open_weights(file)
            out[ours] = _embedding(tree["lmk_face_idx"], tree["lmk_b_coords"])
    return out


def _extras(folder: Path) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if (file := folder / "mediapipe_landmark_embedding.npz").is_file():
        tree = open_weights(file)
        out["mediapipe"] = _embedding(tree["lmk_face_idx"], tree["lmk_b_coords"])
        out["mediapipe_points"] = np.asarray(tree["landmark_indices"]).astype(np.int64)
    lids = [folder / f"{side}_eyelid.npy" for side in "lr"]
    if all(lid.is_file() for lid in lids):
        out["eyelids"] = np.stack([_real(open_weights(lid)).reshape(-1, 3) for lid in lids])
    if (file := folder / "head_template.obj").is_file():
        out["uv"], out["uv_faces"] = _texture_coordinates(file)
    return out


def _texture_coordinates(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(U, 2) and (F, 3) of a Wavefront file's `vt` and `f` lines."""
    uv, faces = [], []
    for line in path.read_text("utf-8", "replace").splitlines():
        words = line.split()
        if words[:1] == ["vt"]:
            uv.append([float(w) for w in words[1:3]])
        elif words[:1] == ["f"] and all("/" in w for w in words[1:4]):
            faces.append([int(w.split("/")[1]) - 1 for w in words[1:4]])
    return np.array(uv), np.array(faces, np.int64)
