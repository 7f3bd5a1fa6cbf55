"""FLAME as a `Rig`: a head with ARKit's shapes that any `FaceMotion` moves and every exporter writes."""

from __future__ import annotations

import numpy as np

from avatars.flame.arkit import ArkitMap, fit_arkit
from avatars.flame.asset import FlameAsset
from avatars.flame.correspondence import eyeballs, origin, person_of
from avatars.rig import Joint, Material, Rig
from studio.arkit import ARKIT
from studio.weights import model

SKIN, EYE = (0.72, 0.55, 0.47, 1.0), (0.85, 0.85, 0.85, 1.0)
"""Colours of a head without a picture, linear light."""

_JOINTS = (("neck", -1), ("head", 0), ("jaw", 1), ("eye_left", 1), ("eye_right", 1))
"""FLAME's root and neck, by what a rig calls the joint that turns the same."""


def flame_rig(asset: FlameAsset, shape: np.ndarray | None = None, arkit: ArkitMap | None = None) -> Rig:
    """A person's head: FLAME's mesh, skinning and joints, and ARKit's 52 shapes as FLAME says them.

    shape  identity coefficients (up to 300,), the mean head without.
    arkit  made by `fit_arkit` for this asset; made here where it is missing.

    The origin is moved between the outer eye corners, as every rig's; metres, +Y up, +Z out of the face. FLAME's own
    terms stay with it (`licence`). Raises UsageError for an asset without landmarks.
    """
    person = person_of(asset, shape)
    moves = (arkit or fit_arkit(asset)).on(person).deltas.copy()
    middle = origin(person)
    balls = eyeballs(person)
    joints = person.regressor @ person.template - middle
    polygons = np.c_[person.faces, np.full(len(person.faces), -1)].astype(np.int32)
    if person.uv is not None and person.uv_faces is not None and len(person.uv_faces) == len(polygons):
        uv, corners = person.uv, np.c_[person.uv_faces, np.full(len(polygons), -1)]
    else:
        uv, corners = np.zeros((1, 2)), np.where(polygons < 0, -1, 0)
    moves[:, balls] = 0  # they turn
    return Rig(
        name="flame",
        neutral=(person.template - middle).astype(np.float32),
        polygons=polygons,
        uv=uv.astype(np.float32),
        uv_polygons=corners.astype(np.int32),
        materials=(Material("skin", SKIN, roughness=0.55), Material("eye", EYE, roughness=0.15)),
        material_of=balls[person.faces].all(1).astype(np.uint8),
        shape_names=ARKIT,
        deltas=moves,
        arkit=np.eye(len(ARKIT), dtype=np.float32),
        joints=tuple(Joint(name, up, tuple(map(float, p))) for (name, up), p in zip(_JOINTS, joints, strict=True)),
        skin=person.weights.astype(np.float32),
        parts=_eye_ranges(person),
        licence=model("flame").licence,
    )


def _eye_ranges(person: FlameAsset) -> dict[str, slice]:
    """Vertex ranges of the eyeballs, where their vertices stand together in the file."""
    out = {}
    for name, column in (("eye_left", 3), ("eye_right", 4)):
        where = np.flatnonzero(person.weights[:, column] > 0.5)
        if len(where) and where[-1] - where[0] + 1 == len(where):
            out[name] = slice(int(where[0]), int(where[-1]) + 1)
    return out
