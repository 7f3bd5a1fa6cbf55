"""SMPL-X as its own package (smplx) computes it, its head driven by a `FaceMotion`, its body by a pose of yours."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatars.body.asset import HEAD, BodyAsset, load_smplx, split_at
from avatars.flame.arkit import ArkitMap
from avatars.flame.numpy_layer import axis_angle_matrices
from studio.errors import UsageError, WeightsError, require
from studio.motion import FaceMotion, blocks
from studio.weights import locate, model, open_weights

BLOCK = 32
"""Frames that are posed at once."""

_BODY_JOINTS, _HAND_JOINTS = 21, 15
_NEEDED = (
    *("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table"),
    *("lmk_faces_idx", "lmk_bary_coords", "hands_componentsl", "hands_componentsr", "hands_meanl", "hands_meanr"),
)
_CONTOUR = ("dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords")


@dataclass
class SmplxBody:
    """SMPL-X, posed frame by frame.

        body = SmplxBody.from_pretrained("SMPLX_NEUTRAL.npz")
        for vertices in body.vertices(FaceMotion.load("take.csv"), body_pose=walk): ...

    layer  `smplx.SMPLXLayer`; asset: its arrays; arkit: how ARKit's weights become its expression and jaw.
    """

    layer: Any
    asset: BodyAsset
    arkit: ArkitMap

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None) -> SmplxBody:
        """From SMPL-X's file or folder. Raises MissingExtraError without smplx, WeightsError, as `load_smplx`."""
        require("smplx", extra="smplx")
        from avatars.body.rig import fit_body

        asset = load_smplx(path)
        return cls(smplx_layer(path), asset, fit_body(asset, lids=False)[1])

    def vertices(
        self,
        motion: FaceMotion | Iterable[FaceMotion],
        *,
        shape: np.ndarray | None = None,
        body_pose: np.ndarray | None = None,
        hands: np.ndarray | None = None,
        rotation: np.ndarray | None = None,
        translation: np.ndarray | None = None,
    ) -> Iterator[np.ndarray]:
        """(V, 3) float32 metres of each frame of a motion, in SMPL-X's own frame.

        shape  (up to S,) coefficients. body_pose (63,) or (T, 63), hands (90,) or (T, 90; left, then right), rotation
        (3,) or (T, 3): axis-angle, radians; translation (3,) or (T, 3), metres. What is left out is at rest. The
        motion's head turns on top of the body's own head joint; its place is the body's.

        Raises UsageError for arrays that don't fit.
        """
        import torch

        betas = np.zeros(self.asset.identity.shape[2], np.float32)
        if shape is not None:
            given = np.asarray(shape, np.float32).reshape(-1)
            if len(given) > len(betas):
                raise UsageError(f"shape {given.shape}: up to {len(betas)} coefficients")
            betas[: len(given)] = given
        tracks = {
            "body_pose": _track(body_pose, 3 * _BODY_JOINTS, "body_pose"),
            "hands": _track(hands, 6 * _HAND_JOINTS, "hands"),
            "rotation": _track(rotation, 3, "rotation"),
            "translation": _track(translation, 3, "translation"),
        }
        start = 0
        for block in blocks(motion):
            for at in range(0, len(block), BLOCK):
                part = block[at : at + BLOCK]
                body = {name: _taken(track, start, len(part), name) for name, track in tracks.items()}
                start += len(part)
                with torch.no_grad():
                    out = self.layer(**self._arguments(part, betas, body))
                yield from out.vertices.numpy()

    def _arguments(self, motion: FaceMotion, betas: np.ndarray, body: dict[str, np.ndarray]) -> dict[str, Any]:
        """What the layer takes for some frames."""
        import torch

        face = self.arkit.to_flame(motion)
        count = len(motion)
        turns = {name: _turns(face[name]) for name in ("jaw", "neck", "eyes")}
        pose = _turns(body["body_pose"])
        pose[:, HEAD - 1] = pose[:, HEAD - 1] @ turns["neck"][:, 0]
        hands = _turns(body["hands"])
        arrays = {
            "betas": np.tile(betas, (count, 1)),
            "expression": face["expression"],
            "global_orient": _turns(body["rotation"]),
            "body_pose": pose,
            "jaw_pose": turns["jaw"],
            "leye_pose": turns["eyes"][:, :1],
            "reye_pose": turns["eyes"][:, 1:],
            "left_hand_pose": hands[:, :_HAND_JOINTS],
            "right_hand_pose": hands[:, _HAND_JOINTS:],
            "transl": body["translation"],
        }
        return {name: torch.from_numpy(np.ascontiguousarray(value, np.float32)) for name, value in arrays.items()}


def smplx_layer(path: str | Path | None = None) -> Any:
    """`smplx.SMPLXLayer` with all coefficients of a file, whose arrays it gets without unpickling any of the rest.

    It takes rotation matrices. Raises MissingExtraError without smplx, WeightsError for a file that is another's.
    """
    smplx = require("smplx", extra="smplx")
    file = locate(model("smplx"), given=path)
    tree = open_weights(file)
    kept = {name: np.asarray(tree[name]) for name in (*_NEEDED, *_CONTOUR) if isinstance(tree, dict) and name in tree}
    missing = set(_NEEDED) - kept.keys()
    if missing:
        raise WeightsError(f"{file}: smplx needs {', '.join(sorted(missing))}, which it doesn't hold")
    directions = kept["shapedirs"].shape[2]
    shapes = split_at(directions)
    options = {"num_betas": shapes, "num_expression_coeffs": directions - shapes}
    options |= {"use_face_contour": set(_CONTOUR) <= kept.keys()}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):  # it prints warnings
        plain = Path(folder) / "SMPLX_NEUTRAL.npz"
        np.savez(plain, **kept)
        return smplx.SMPLXLayer(str(plain), **options).eval()


def _turns(rotations: np.ndarray) -> np.ndarray:
    """(T, 3 J) axis-angle, radians -> (T, J, 3, 3)."""
    return axis_angle_matrices(np.asarray(rotations, np.float64).reshape(len(rotations), -1, 3))


def _track(values: np.ndarray | None, width: int, name: str) -> np.ndarray:
    """(1, width), which holds for all frames, or (T, width)."""
    if values is None:
        return np.zeros((1, width), np.float32)
    out = np.atleast_2d(np.asarray(values, np.float32))
    if out.ndim != 2 or out.shape[1] != width or not len(out) or not np.isfinite(out).all():
        raise UsageError(f"{name} {np.shape(values)}: ({width},) or (T, {width}) finite numbers expected")
    return out


def _taken(track: np.ndarray, start: int, count: int, name: str) -> np.ndarray:
    if len(track) == 1:
        return np.repeat(track, count, 0)
    if start + count > len(track):
        raise UsageError(f"{name} has {len(track)} frames; the motion has more")
    return track[start : start + count]
