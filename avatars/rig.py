"""`Rig`: a head of polygons that a `FaceMotion` moves. Every 3D head becomes one: ours, ICT-FaceKit, any GLB.

Frame: metres, right-handed, +X the subject's left, +Y up, +Z out of the face; the origin lies between the
outer eye corners, as in `studio.motion`. Expression is blend shapes plus correctives; the head turns about
its joint and the eyeballs about their centres by linear blend skinning (Loper et al. 2015, section 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from studio.arkit import ARKIT
from studio.motion import FaceMotion, blocks, rotation_matrix


@dataclass(frozen=True)
class Material:
    """How polygons look, in the words of glTF's metallic-roughness model.

    colour    RGBA 0..1, linear light; multiplies the texture.
    texture   (H, W, 3 or 4) uint8 sRGB or None; the first row is v = 1 (the top of the picture).
    normal    (H, W, 3) uint8 tangent-space normal map or None.
    blend     whether its alpha is blended (lashes, cornea); opaque otherwise.
    cutoff    above 0: cut out, nothing shows where alpha is below it (glTF's MASK).
    """

    name: str
    colour: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    roughness: float = 0.6
    metallic: float = 0.0
    texture: np.ndarray | None = None
    normal: np.ndarray | None = None
    blend: bool = False
    double_sided: bool = False
    cutoff: float = 0.0


@dataclass(frozen=True)
class Joint:
    """A joint of the skeleton; `parent` is its index among the rig's joints, -1 for the root.

    position  (3,) metres, rest pose. Rest rotations are none: joints' axes are the rig's.
    """

    name: str
    parent: int
    position: tuple[float, float, float]


@dataclass(frozen=True)
class Corrective:
    """A shape that repairs combinations: its weight is the product of the named shapes' weights."""

    name: str
    drivers: tuple[str, ...]
    delta: np.ndarray  # (V, 3) float32, metres


@dataclass(frozen=True)
class Rig:
    """A head at rest and all that moves it.

    neutral      (V, 3) float32, metres.
    polygons     (P, 4) int32, counter-clockwise seen from outside; -1 last for a triangle.
    uv           (U, 2) float32, v up; uv_polygons (P, 4) int32 into it, -1 where polygons has it.
    materials    materials, and material_of (P,) uint8 which one a polygon has.
    shape_names  names of the S blend shapes; deltas (S, V, 3) float32, metres at weight 1.
    arkit        (52, S) float32: ARKit weights @ arkit = shape weights; a row of zeros is a shape that is missing.
    joints       skeleton; skin (V, J) float32, rows sum to 1. "head" turns with the motion's head, "eye_left" and
                 "eye_right" with its gaze; "jaw" is for animators' hands: jawOpen is a blend shape.
    parts        vertex ranges by name ("face", "eye_left", "teeth_upper", ...).
    facemesh     (468,) triangle of `triangles` and (468, 3) barycentric: where FaceMesh's points lie, or None.
    """

    name: str
    neutral: np.ndarray
    polygons: np.ndarray
    uv: np.ndarray
    uv_polygons: np.ndarray
    materials: tuple[Material, ...]
    material_of: np.ndarray
    shape_names: tuple[str, ...]
    deltas: np.ndarray
    arkit: np.ndarray
    joints: tuple[Joint, ...] = ()
    skin: np.ndarray = field(default=None)  # type: ignore[assignment]
    correctives: tuple[Corrective, ...] = ()
    parts: dict[str, slice] = field(default_factory=dict)
    facemesh: tuple[np.ndarray, np.ndarray] | None = None
    licence: str = ""

    def __post_init__(self) -> None:
        count = len(self.neutral)
        if self.skin is None:
            object.__setattr__(self, "skin", np.zeros((count, len(self.joints)), np.float32))
        if self.deltas.shape != (len(self.shape_names), count, 3):
            raise ValueError(f"deltas {self.deltas.shape}: {(len(self.shape_names), count, 3)} expected")
        if self.arkit.shape != (len(ARKIT), len(self.shape_names)):
            raise ValueError(f"arkit {self.arkit.shape}: {(len(ARKIT), len(self.shape_names))} expected")
        if self.skin.shape != (count, len(self.joints)):
            raise ValueError(f"skin {self.skin.shape}: {(count, len(self.joints))} expected")
        if self.uv_polygons.shape != self.polygons.shape or len(self.material_of) != len(self.polygons):
            raise ValueError("polygons, uv_polygons and material_of differ in length")

    @cached_property
    def triangles(self) -> np.ndarray:
        """(F, 3) int32: polygons cut in two along the diagonal 0-2; see `triangle_polygon`."""
        return _cut(self.polygons)

    @cached_property
    def uv_triangles(self) -> np.ndarray:
        """(F, 3) int32 into `uv`, beside `triangles`."""
        return _cut(np.where(self.polygons < 0, -1, self.uv_polygons))

    @cached_property
    def triangle_polygon(self) -> np.ndarray:
        """(F,) int32: the polygon that a triangle was cut from."""
        index = np.arange(len(self.polygons), dtype=np.int32)
        return np.concatenate([index, index[self.polygons[:, 3] >= 0]])

    def joint(self, name: str) -> int:
        """Index of a joint, -1 where the rig has none of that name."""
        return next((i for i, joint in enumerate(self.joints) if joint.name == name), -1)

    def missing(self) -> tuple[str, ...]:
        """ARKit shapes that do nothing on this rig."""
        return tuple(name for name, row in zip(ARKIT, self.arkit, strict=True) if not row.any())

    def shape_weights(self, weights: np.ndarray) -> np.ndarray:
        """(..., 52) ARKit weights -> (..., S + C) weights of the shapes, then of the correctives."""
        shapes = np.asarray(weights, np.float32) @ self.arkit
        if not self.correctives:
            return shapes
        places = {name: i for i, name in enumerate(self.shape_names)}
        extra = [np.prod([np.clip(shapes[..., places[d]], 0, 1) for d in c.drivers], axis=0) for c in self.correctives]
        return np.concatenate([shapes, np.stack(extra, -1).astype(np.float32)], -1)

    def shaped(self, weights: np.ndarray) -> np.ndarray:
        """(V, 3) vertices of ARKit weights (52,), before the joints turn."""
        return self.neutral + (self.shape_weights(weights) @ self._moves).reshape(-1, 3)

    def vertices(self, weights: np.ndarray, head: np.ndarray | None = None) -> np.ndarray:
        """(V, 3) float32 metres: ARKit weights (52,), head (6,) radians and metres as in `FaceMotion`."""
        shaped = self.shaped(weights)
        return skin(shaped, self.transforms(weights, head), self.skin)

    def transforms(self, weights: np.ndarray, head: np.ndarray | None = None) -> np.ndarray:
        """(J, 4, 4) rest to posed of each joint: the head's turn, the eyes' gaze on top of it."""
        local = np.tile(np.eye(3), (len(self.joints), 1, 1))
        shift = np.zeros((len(self.joints), 3))
        root = self.joint("head")
        if head is not None and root >= 0:
            local[root] = rotation_matrix(*np.asarray(head[:3], np.float64))
            shift[root] = head[3:]
        gaze = FaceMotion(np.asarray(weights, np.float32)[None], Fraction(1)).gaze[0]
        for angles, name in zip(gaze, ("eye_left", "eye_right"), strict=True):
            if (eye := self.joint(name)) >= 0:
                local[eye] = rotation_matrix(float(angles[0]), float(angles[1]), 0.0)
        return joint_transforms(self.joints, local, shift)

    def animate(self, motion: FaceMotion | Iterable[FaceMotion]) -> Iterator[np.ndarray]:
        """(V, 3) vertices of each frame of a motion or a stream of blocks."""
        for block in blocks(motion):
            for weights, head in zip(block.weights, block.head, strict=True):
                yield self.vertices(weights, head)

    def with_texture(self, material: str, texture: np.ndarray) -> Rig:
        """The same rig with another picture on one of its materials."""
        materials = tuple(replace(m, texture=texture) if m.name == material else m for m in self.materials)
        return replace(self, materials=materials)

    @cached_property
    def _moves(self) -> np.ndarray:
        """(S + C, 3 V) float32: shapes, then correctives."""
        moves = [self.deltas, *(c.delta[None] for c in self.correctives)]
        whole = np.concatenate(moves) if self.correctives else np.ascontiguousarray(self.deltas)
        return whole.reshape(len(whole), 3 * len(self.neutral))


def joint_transforms(joints: tuple[Joint, ...], local: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """(J, 4, 4) rest to posed, from each joint's own rotation (J, 3, 3) about its rest place and shift (J, 3)."""
    out = np.tile(np.eye(4), (len(joints), 1, 1))
    for i, joint in enumerate(joints):
        place = np.asarray(joint.position)
        own = np.eye(4)
        own[:3, :3] = local[i]
        own[:3, 3] = place - local[i] @ place + shift[i]
        out[i] = out[joint.parent] @ own if joint.parent >= 0 else own
    return out


def skin(rest: np.ndarray, transforms: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Linear blend skinning (Loper et al. 2015, section 3).

    rest (V, 3) metres; transforms (J, 4, 4), rest to posed; weights (V, J), each row sums to 1.
    Returns (V, 3) float32 in the frame of `rest`.
    """
    if not len(transforms):
        return np.asarray(rest, np.float32)
    blended = weights @ transforms[:, :3].reshape(len(transforms), 12).astype(np.float32)
    blended = blended.reshape(-1, 3, 4)
    return (np.einsum("vrc,vc->vr", blended[..., :3], rest) + blended[..., 3]).astype(np.float32)


def _cut(polygons: np.ndarray) -> np.ndarray:
    quads = polygons[polygons[:, 3] >= 0]
    return np.concatenate([polygons[:, :3], quads[:, [0, 2, 3]]]).astype(np.int32)
