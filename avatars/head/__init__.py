"""The embedded head: a parametric rig made by code, with no scanned data.

`embedded_head()` gives the mean head, `embedded_head({"nose_length": 1.0})` another person's (axes and their names in
`avatars.head.identity`), `head_of(face)` that of somebody whose neutral face was measured, `reshaped(head, ...)` either
of them changed along the axes. Its face is the FaceMesh
with the fields of `avatars.fields`; skull, neck, ears, eyes, teeth and tongue are drawn by code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np

from avatars.facemesh import LIPS_INNER, MEAN
from avatars.fields import EASED, displace, fields, fields_for
from avatars.head import textures
from avatars.head.cage import Cage, build_cage
from avatars.head.identity import AXES, Axis, displacement
from avatars.head.lids import CLEAR, EYE_RADIUS, HOLDERS, rim_loops, settle_lids
from avatars.head.parts import CHIN, Part, eyeball, teeth, tongue
from avatars.head.profile import deepened
from avatars.head.subdivide import Refinement, catmull_clark, refine_corners
from avatars.head.texels import texels, with_margin
from avatars.rig import Corrective, Joint, Material, Rig
from studio.arkit import ARKIT, INDEX
from studio.errors import UsageError
from studio.motion import EYE_SPAN, HEAD_JOINT

LICENCE = "Apache-2.0"

PAIRS = (("jawOpen", "mouthClose"), ("jawOpen", "mouthPucker"), *((shape, by) for shape, by, _ in EASED))
"""Shapes that pull the same skin: where both are set a corrective shape repairs their sum."""


def embedded_head(identity: Mapping[str, float] | None = None) -> Rig:
    """The rig of a head; axes of identity as standard deviations from the mean, by name.

    Metres, +Y up, facing +Z, origin between the outer eye corners. About 8,500 vertices. Raises UsageError for an axis
    that there is none of.
    """
    return reshaped(_mean_head(), identity or {})


def reshaped(rig: Rig, identity: Mapping[str, float]) -> Rig:
    """A head of this module with axes of identity added to it, as standard deviations; lids still meet.

    Raises UsageError for an axis that there is none of, or another rig.
    """
    names = {axis.name for axis in AXES}
    for name in identity:
        if name not in names:
            raise UsageError(f"no axis of identity {name!r}. Axes: {', '.join(sorted(names))}")
    if not any(identity.values()):
        return rig
    mean = _mean_head()
    if rig.neutral.shape != mean.neutral.shape or not np.array_equal(rig.polygons, mean.polygons):
        raise UsageError(f"{rig.name}: axes of identity are for the embedded head")
    neutral = (rig.neutral + identity_offsets(identity)) / EYE_SPAN
    neutral, deltas = with_settled_lids(neutral, rig.deltas / EYE_SPAN)
    centres = {eye: neutral[rig.parts[eye]][-1] + [0.0, 0.0, EYE_RADIUS] for eye in HOLDERS}
    joints = tuple(
        replace(j, position=tuple(EYE_SPAN * centres[j.name])) if j.name in HOLDERS else j for j in rig.joints
    )
    return replace(
        rig,
        name="person",
        neutral=(neutral * EYE_SPAN).astype(np.float32),
        deltas=(deltas * EYE_SPAN).astype(np.float32),
        joints=joints,
    )


def with_settled_lids(neutral: np.ndarray, deltas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and shapes (52, V, 3), eye spans, of a head with the mean head's topology, with lids that lie on
    its eyeballs."""
    cage, refinement, _ = _mean_parts()
    parts = _mean_head().parts
    skin, neutral, deltas = parts["skin"], neutral.copy(), deltas.copy()
    centres = {eye: neutral[parts[eye]][-1] + [0.0, 0.0, EYE_RADIUS] for eye in HOLDERS}
    neutral[skin], deltas[:, skin] = settle_lids(
        neutral[skin], deltas[:, skin], rim_loops(refinement.edges), centres, _clearance(cage, refinement)
    )
    return neutral, deltas


def identity_offsets(identity: Mapping[str, float]) -> np.ndarray:
    """(V, 3) metres that axes at these values add to the mean head."""
    basis = identity_basis()
    return np.tensordot([identity.get(axis.name, 0.0) for axis in AXES], basis, 1)


@lru_cache(maxsize=1)
def identity_basis() -> np.ndarray:
    """(axes, V, 3) float32 metres at one standard deviation, in the order of `AXES`."""
    cage, refinement, parts = _mean_parts()
    return np.stack([_axis_offsets(axis, cage, refinement, parts) for axis in AXES]).astype(np.float32)


def _axis_offsets(axis: Axis, cage: Cage, refinement: Refinement, parts: tuple[Part, ...]) -> np.ndarray:
    skin = refinement.apply(displacement(axis, cage.points))
    rest = []
    for part in parts:
        if part.name.startswith("eye"):  # eyeballs stay round
            move = displacement(axis, part.points.mean(0, keepdims=True))
            rest.append(np.repeat(move, len(part.points), 0))
        else:
            rest.append(displacement(axis, part.points))
    return np.concatenate([skin, *rest]) * EYE_SPAN


@lru_cache(maxsize=1)
def _mean_parts() -> tuple[Cage, Refinement, tuple[Part, ...]]:
    return _build(MEAN.astype(np.float64), fields().astype(np.float64))


def _build(face: np.ndarray, table: np.ndarray) -> tuple[Cage, Refinement, tuple[Part, ...]]:
    """Skin and parts round a neutral face (468, 3), which its fields (52, 468, 3) move."""
    shapes = np.concatenate([table, _corrections(face, table)])
    cage = build_cage(face + deepened(MEAN) - MEAN, shapes)
    refinement = catmull_clark(cage.polygons, len(cage.points))
    count, chin = len(shapes), shapes[:, CHIN]
    parts = (
        eyeball("eye_left", count),
        eyeball("eye_right", count),
        teeth(True, count, chin),
        teeth(False, count, chin),
        tongue(count, chin),
    )
    return cage, refinement, tuple(_fitted(part, face) for part in parts)


def _fitted(part: Part, face: np.ndarray) -> Part:
    """A part of the mean head where it belongs in another face: eyes behind their lids, teeth behind the lips."""
    loop = HOLDERS.get(part.name, LIPS_INNER)
    move = face[loop].mean(0) - MEAN[loop].mean(0)
    if part.name in HOLDERS:
        return replace(part, points=part.points + move)
    wide = np.ptp(face[loop, 0]) / np.ptp(MEAN[loop, 0])
    return replace(part, points=part.points * [np.clip(wide, 0.85, 1.15), 1, 1] + move)


def _pairs() -> list[tuple[str, str]]:
    """Named shapes of `PAIRS`, both sides."""
    out = []
    for pair in PAIRS:
        for side in ("Left", "Right"):
            named = tuple(name if name in INDEX else name + side for name in pair)
            if named not in out:
                out.append(named)
    return out


def _corrections(face: np.ndarray, table: np.ndarray) -> np.ndarray:
    """(C, 468, 3) what a pair of shapes at full weight looks like beyond the sum of both."""
    out = []
    for a, b in _pairs():
        weights = np.zeros(len(ARKIT), np.float32)
        weights[[INDEX[a], INDEX[b]]] = 1
        out.append(displace(face, weights, table.astype(np.float32)) - face - table[INDEX[a]] - table[INDEX[b]])
    return np.array(out, np.float64)


@lru_cache(maxsize=1)
def _mean_head() -> Rig:
    return _rig("head", *_mean_parts()).with_texture("skin", default_skin())


@lru_cache(maxsize=1)
def default_skin(size: int = 1024) -> np.ndarray:
    """(size, size, 3) uint8: the painted skin, which fits every embedded head. Read-only and cached."""
    rig = _rig("head", *_mean_parts())
    seen = texels(rig, size)
    places = seen.spread(rig.neutral / EYE_SPAN, rig.triangles)
    picture = with_margin(textures.skin_picture(places, seen.cover), seen.cover)
    picture.flags.writeable = False
    return picture


def head_of(face: np.ndarray) -> Rig:
    """The head of a person whose neutral face (468, 3) in eye spans is known (`avatars.fit`): their FaceMesh with
    their own fields, carried on by code. The same vertices and polygons as `embedded_head`.
    """
    face = np.asarray(face, np.float64)
    rig = _rig("person", *_build(face, fields_for(face).astype(np.float64)))
    return rig.with_texture("skin", default_skin())


def _rig(name: str, cage: Cage, refinement: Refinement, parts: tuple[Part, ...]) -> Rig:
    skin_moves = refinement.apply(np.moveaxis(cage.shapes, 0, 1)).transpose(1, 0, 2)
    centres = {part.name: _centre(part) for part in parts if part.name in HOLDERS}
    skin_points, skin_moves = settle_lids(
        refinement.apply(cage.points), skin_moves, rim_loops(refinement.edges), centres, _clearance(cage, refinement)
    )
    points = [skin_points, *(part.points for part in parts)]
    moves = [skin_moves, *(part.moves for part in parts)]
    first = np.cumsum([0, *(len(p) for p in points)])
    polygons = [refinement.quads, *(np.where(p.polygons >= 0, p.polygons + f, -1) for p, f in zip(parts, first[1:]))]
    corners = refine_corners(cage.polygons, cage.uv)
    skin_uv, skin_index = np.unique(np.round(corners.reshape(-1, 2), 6), axis=0, return_inverse=True)
    uv, uv_polygons = [skin_uv], [skin_index.reshape(-1, 4)]
    for part in parts:
        uv_polygons.append(np.where(part.polygons >= 0, part.polygons + sum(map(len, uv)), -1))
        uv.append(part.uv)
    names = ("skin", "eye", "teeth", "tongue")
    material_of = [np.zeros(len(refinement.quads)), *(np.full(len(p.polygons), names.index(p.material)) for p in parts)]
    neutral, deltas = np.concatenate(points) * EYE_SPAN, np.concatenate(moves, 1) * EYE_SPAN
    ranges = {"skin": slice(0, first[1])}
    ranges |= {part.name: slice(int(a), int(b)) for part, a, b in zip(parts, first[1:], first[2:])}
    joints = (
        Joint("neck", -1, (0.0, -0.19, -0.088)),
        Joint("head", 0, HEAD_JOINT),
        Joint("jaw", 1, (0.0, -0.026, -0.075)),
        *(Joint(part.name, 1, tuple(EYE_SPAN * _centre(part))) for part in parts if part.name in HOLDERS),
    )
    skin = np.zeros((len(neutral), len(joints)), np.float32)
    low = np.clip((-1.45 - neutral[:, 1] / EYE_SPAN) / 0.6, 0, 1)
    skin[:, 0] = low * low * (3 - 2 * low)
    skin[:, 1] = 1 - skin[:, 0]
    for k, eye in enumerate(HOLDERS, 3):
        skin[ranges[eye]] = np.eye(len(joints), dtype=np.float32)[k]
    extra = deltas[len(ARKIT) :].astype(np.float32)
    return Rig(
        name=name,
        neutral=neutral.astype(np.float32),
        polygons=np.concatenate(polygons).astype(np.int32),
        uv=np.concatenate(uv).astype(np.float32),
        uv_polygons=np.concatenate(uv_polygons).astype(np.int32),
        materials=(
            Material("skin", roughness=0.55),
            Material("eye", roughness=0.12, texture=textures.eye_picture()),
            Material("teeth", roughness=0.3, texture=textures.teeth_picture()),
            Material("tongue", roughness=0.45, texture=textures.tongue_picture()),
        ),
        material_of=np.concatenate(material_of).astype(np.uint8),
        shape_names=ARKIT,
        deltas=deltas[: len(ARKIT)].astype(np.float32),
        arkit=np.eye(len(ARKIT), dtype=np.float32),
        joints=joints,
        skin=skin,
        correctives=tuple(Corrective(f"{a}_{b}", (a, b), d) for (a, b), d in zip(_pairs(), extra)),
        parts=ranges,
        facemesh=_facemesh(refinement),
        licence=LICENCE,
    )


def _clearance(cage: Cage, refinement: Refinement) -> np.ndarray:
    """(V,) how far each vertex of the skin stays off an eyeball: the lids' inside lies on it."""
    inner = np.zeros(len(cage.points))
    inner[cage.inside] = 1
    return CLEAR + (0.004 - CLEAR) * np.clip(2 * refinement.apply(inner), 0, 1)


def _centre(eye: Part) -> np.ndarray:
    """(3,) the middle of an eyeball: between its poles."""
    return eye.points[-1] + [0.0, 0.0, EYE_RADIUS]


def _facemesh(refinement: Refinement) -> tuple[np.ndarray, np.ndarray]:
    """Where FaceMesh's points lie: refined vertex k is what became of the cage's vertex k."""
    corner = np.full(len(MEAN), -1)
    number = np.arange(len(refinement.quads))
    start = refinement.quads[:, 0]
    inside = start < len(MEAN)
    corner[start[inside]] = number[inside]
    bary = np.tile(np.array([1.0, 0.0, 0.0], np.float32), (len(MEAN), 1))
    return corner.astype(np.int32), bary


__all__ = ["AXES", "embedded_head", "head_of", "identity_basis", "identity_offsets", "with_settled_lids"]
