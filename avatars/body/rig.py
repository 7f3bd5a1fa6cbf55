"""SMPL-X as a `Rig`: the whole body with its skeleton, its face moved by ARKit's shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatars.body.asset import JOINTS, BodyAsset, head_of
from avatars.flame.arkit import ArkitMap, fitted
from avatars.flame.asset import FlameAsset
from avatars.flame.correspondence import facemesh_landmarks, origin, person_of
from avatars.flame.rig import flame_rig
from avatars.rig import Joint, Rig
from avatars.transfer import transfer_shapes
from studio.arkit import INDEX
from studio.weights import model


def fit_body(body: BodyAsset, *, lids: bool = True, source: Rig | None = None) -> tuple[FlameAsset, ArkitMap]:
    """The body's head as a FLAME (`head_of`), and the map between its expressions and ARKit's shapes.

    lids    SMPL-X has no eyelids; true gives it those of `source`, so that it blinks. False leaves it as it is.
    source  the head whose shapes are carried over; the embedded one by default. Takes some seconds.

    Raises UsageError, MediaError for a body whose face is none.
    """
    if source is None:
        from avatars.head import embedded_head

        source = embedded_head()
    head = head_of(body)
    points, numbers = facemesh_landmarks(head)
    wanted = transfer_shapes(source, head.template, head.faces, points, numbers).astype(np.float64)
    if lids:
        head = replace(head, eyelids=wanted[[INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]])
    return head, fitted(head, wanted, body.expression.shape[2])


def body_rig(body: BodyAsset, shape: np.ndarray | None = None, fit: tuple[FlameAsset, ArkitMap] | None = None) -> Rig:
    """The body at rest, arms out, with 55 joints and 52 shapes; the origin is moved between the outer eye corners.

    shape  (up to 300,) coefficients; the mean body without.
    fit    of `fit_body`; made here where it is missing.

    SMPL-X's own terms stay with it (`licence`).
    """
    head, arkit = fit or fit_body(body)
    rig = flame_rig(head, shape, arkit)
    person = person_of(head, shape)
    places = body.regressor @ person.template - origin(person)
    joints = (
        Joint(name, int(parent), tuple(map(float, place)))
        for name, parent, place in zip(JOINTS, body.parents, places, strict=True)
    )
    return replace(
        rig,
        name="smplx",
        joints=tuple(joints),
        skin=body.weights.astype(np.float32),
        licence=model("smplx").licence,
    )
