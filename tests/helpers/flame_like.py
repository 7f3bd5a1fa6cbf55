"""FLAME's arrays with known answers: the embedded head's mesh, whose expression directions are its own ARKit shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatars.facemesh import POINTS_68
from avatars.flame.asset import IDENTITY, Embedding, FlameAsset
from avatars.head import embedded_head, identity_basis
from avatars.rig import Rig
from studio.arkit import ARKIT, INDEX

JAW_OPEN = 0.3
"""Radians about x."""

SPAN = [k for k, name in enumerate(ARKIT) if name not in ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "tongueOut")]
"""Shapes that the expression directions hold, mixed by `mix`."""


def mix() -> np.ndarray:
    """(48, 48), of full rank: which shapes a direction is made of."""
    rng = np.random.default_rng(3)
    return np.linalg.qr(rng.standard_normal((len(SPAN), len(SPAN))))[0]


def asset_of(rig: Rig) -> FlameAsset:
    """Skin and eyes of an embedded head as FLAME: 48 expression directions, eyelids that are its blinks, a jaw."""
    parts = [rig.parts[name] for name in ("skin", "eye_left", "eye_right")]
    keep = np.concatenate([np.arange(part.start, part.stop) for part in parts])
    count = len(keep)
    new = np.full(len(rig.neutral), -1)
    new[keep] = np.arange(count)
    faces = new[rig.triangles]
    kept = (faces >= 0).all(1)
    place = np.cumsum(kept) - 1
    template = rig.neutral[keep].astype(np.float64)
    shapes = rig.deltas[:, keep].astype(np.float64)
    shapedirs = np.zeros((count, 3, 400))
    shapedirs[:, :, IDENTITY : IDENTITY + len(SPAN)] = np.einsum("ms,svc->vcm", mix(), shapes[SPAN])
    identity = identity_basis()[:, keep]
    shapedirs[:, :, : len(identity)] = identity.transpose(1, 2, 0)
    weights = np.zeros((count, 5))
    for column, name in ((3, "eye_left"), (4, "eye_right")):
        weights[new[rig.parts[name].start] : new[rig.parts[name].stop - 1] + 1, column] = 1
    chin = np.clip(np.abs(shapes[INDEX["jawOpen"]]).max(1) / 0.02, 0, 1)
    weights[:, 2] = chin * (1 - weights.sum(1))
    weights[:, 1] = 1 - weights.sum(1)
    regressor = np.zeros((5, count))
    for row, joint in enumerate(rig.joints):
        near = np.linalg.norm(template - joint.position, axis=1)
        regressor[row, np.argsort(near)[:50]] = 1 / 50
    triangle, share = rig.facemesh

    def points(numbers: np.ndarray) -> Embedding:
        return Embedding(place[triangle[numbers]], share[numbers].astype(np.float64))

    contour = points(POINTS_68[:17])
    return FlameAsset(
        template=template,
        faces=faces[kept].astype(np.int64),
        shapedirs=shapedirs,
        posedirs=np.zeros((count, 3, 36)),
        regressor=regressor,
        weights=weights,
        static=points(POINTS_68[17:]),
        dynamic=Embedding(np.tile(contour.triangles, (79, 1)), np.tile(contour.barycentric, (79, 1, 1))),
        full=points(POINTS_68),
        eyelids=shapes[[INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]],
    )


def bare(asset: FlameAsset) -> FlameAsset:
    """The asset without landmarks."""
    return replace(asset, static=None, dynamic=None, full=None, mediapipe=None)


def known_head() -> tuple[Rig, FlameAsset]:
    """The mean embedded head, and it as FLAME."""
    rig = embedded_head()
    return rig, asset_of(rig)


def check_gradients(engine, codes) -> None:
    """From projected landmarks to every parameter, so that users can fit."""
    from avatars.flame.camera import project

    codes = codes._each(lambda value: value.clone().requires_grad_())
    flame = engine.flame()
    seen = project(flame.landmarks(codes.head(flame)), codes.camera)[..., :2]
    ((seen - 0.1) ** 2).mean().backward()
    for name in ("shape", "expression", "rotation", "jaw", "camera"):
        assert getattr(codes, name).grad.abs().max() > 0, name
