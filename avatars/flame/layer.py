"""FLAME's forward pass in torch: batched, differentiable, on any device, without branches that depend on data.

Every fixed product is taken once: joints come straight from the coefficients, and all blend shapes are one matrix
product. `Identity` keeps what a person's shape alone decides, for sequences.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from avatars.flame.asset import IDENTITY, FlameAsset
from avatars.flame.landmarks import Convention, contour_rows, on_mesh
from studio.errors import UsageError


@dataclass(frozen=True)
class Identity:
    """A person at rest: offset (B, 3 V) without expression, in planes x, y, z; joints (B, 5, 3), metres."""

    offset: Tensor
    joints: Tensor


@dataclass(frozen=True)
class FlameOutput:
    """vertices (B, V, 3) and joints (B, 5, 3), metres, posed; rotations (B, 5, 3, 3), each joint's own."""

    vertices: Tensor
    joints: Tensor
    rotations: Tensor


class Flame(nn.Module):
    """FLAME with its first `shapes` identity and `expressions` expression coefficients (300 and 100: all of them)."""

    def __init__(self, asset: FlameAsset, *, shapes: int = IDENTITY, expressions: int = 100) -> None:
        super().__init__()
        if not 0 < shapes <= IDENTITY or not 0 <= expressions <= asset.shapedirs.shape[2] - IDENTITY:
            raise UsageError(f"{shapes} shapes and {expressions} expressions: FLAME has 300 and 100")
        self.shapes, self.expressions = shapes, expressions
        self.count = len(asset.template)
        directions = asset.shapedirs.transpose(2, 1, 0)  # (400, 3, V): in planes, so that products stay long
        identity, expression = directions[:shapes], directions[IDENTITY : IDENTITY + expressions]
        posedirs = asset.posedirs.transpose(2, 1, 0)
        self._keep("template", asset.template.T.reshape(-1))
        self._keep("identity_dirs", identity.reshape(shapes, -1))
        self._keep("moving_dirs", np.concatenate([expression, posedirs]).reshape(expressions + 36, -1))
        self._keep("joint_template", asset.regressor @ asset.template)
        self._keep("identity_joints", np.einsum("jv,kcv->kjc", asset.regressor, identity))
        self._keep("expression_joints", np.einsum("jv,kcv->kjc", asset.regressor, expression))
        self._keep("skin", asset.weights.T)
        if asset.eyelids is not None:
            self._keep("eyelids", asset.eyelids.transpose(0, 2, 1).reshape(2, -1))
        self._keep("faces", asset.faces)
        for name in ("static", "dynamic", "full", "mediapipe"):
            if (embedding := getattr(asset, name)) is not None:
                self._keep(f"{name}_triangles", embedding.triangles)
                self._keep(f"{name}_barycentric", embedding.barycentric)

    def _keep(self, name: str, value: np.ndarray) -> None:
        tensor = torch.from_numpy(np.ascontiguousarray(value))
        self.register_buffer(name, tensor.float() if tensor.is_floating_point() else tensor, persistent=False)

    def identity(self, shape: Tensor) -> Identity:
        """What identity coefficients (B, up to `shapes`) alone decide."""
        shape = self._padded(shape, self.shapes, "shape")
        joints = self.joint_template + torch.einsum("bk,kjc->bjc", shape, self.identity_joints)
        return Identity(torch.addmm(self.template, shape, self.identity_dirs), joints)

    def forward(
        self,
        shape: Tensor | None = None,
        expression: Tensor | None = None,
        *,
        rotation: Tensor | None = None,
        neck: Tensor | None = None,
        jaw: Tensor | None = None,
        eyes: Tensor | None = None,
        eyelids: Tensor | None = None,
        person: Identity | None = None,
    ) -> FlameOutput:
        """Posed vertices and joints.

        shape (B, up to 300), expression (B, up to 100): standard deviations; shorter ones are padded with zeros.
        rotation, neck, jaw (B, 3), eyes (B, 6; left, right): axis-angle, radians. eyelids (B, 2; left, right), 0..1,
        are added after skinning along the model's axes, as SMIRK does. What is left out is zero; `person` (of batch 1
        or B) takes the place of `shape`. Raises UsageError for coefficients that don't fit.
        """
        parts = (shape, expression, rotation, neck, jaw, eyes, eyelids)
        first = next((part for part in parts if part is not None), None)
        if first is None and person is None:
            raise UsageError("nothing to make a head of: give shape, expression, a pose or a person")
        batch = len(first) if first is not None else len(person.offset)  # type: ignore[union-attr]
        if person is None:
            person = self.identity(shape if shape is not None else self._zeros(1, self.shapes))
        expression = self._padded(expression, self.expressions, "expression", batch)
        pose = [
            self._padded(part, 3, name, batch) for part, name in ((rotation, "rotation"), (neck, "neck"), (jaw, "jaw"))
        ]
        rotations = rodrigues(torch.cat([*pose, self._padded(eyes, 6, "eyes", batch)], 1).reshape(-1, 3))
        rotations = rotations.reshape(batch, 5, 3, 3)
        joints = person.joints + torch.einsum("bk,kjc->bjc", expression, self.expression_joints)
        correctives = (rotations[:, 1:] - _eye(rotations)).reshape(batch, 36)
        moved = torch.cat([expression, correctives], 1) @ self.moving_dirs + person.offset
        world, places = _chained(rotations, joints.expand(batch, 5, 3))
        planes = self._skinned(moved.reshape(batch, 3, self.count), world, places, joints)
        if eyelids is not None:
            if not hasattr(self, "eyelids"):
                raise UsageError("this FLAME has no eyelids; put SMIRK's l_eyelid.npy and r_eyelid.npy beside it")
            planes = planes + (eyelids.to(planes) @ self.eyelids).reshape(batch, 3, self.count)
        return FlameOutput(planes.transpose(1, 2), places, rotations)

    def landmarks(self, out: FlameOutput, convention: Convention = "deca") -> Tensor:
        """The 68 landmarks (B, 68, 3), metres, with a contour that slides with the yaw, in a named convention."""
        self._needs("static_triangles", "dynamic_triangles")
        turn = out.rotations[:, 0]
        if convention == "deca":
            turn = turn @ out.rotations[:, 1]
        row = contour_rows(turn, convention)
        contour = on_mesh(out.vertices, self.faces, self.dynamic_triangles[row], self.dynamic_barycentric[row])
        inner = on_mesh(out.vertices, self.faces, self.static_triangles, self.static_barycentric)
        return torch.cat([contour, inner] if convention == "deca" else [inner, contour], 1)

    def full_landmarks(self, out: FlameOutput) -> Tensor:
        """The 68 landmarks that stay where they are on the mesh (B, 68, 3), contour first."""
        self._needs("full_triangles")
        return on_mesh(out.vertices, self.faces, self.full_triangles, self.full_barycentric)

    def mediapipe_landmarks(self, out: FlameOutput) -> Tensor:
        """The 105 points (B, 105, 3) that MediaPipe sees too; which ones, `FlameAsset.mediapipe_points` says."""
        self._needs("mediapipe_triangles")
        return on_mesh(out.vertices, self.faces, self.mediapipe_triangles, self.mediapipe_barycentric)

    @torch.inference_mode()
    def sequence(self, shape: Tensor, expression: Tensor, *, block: int = 64, **pose: Tensor) -> Iterator[FlameOutput]:
        """One person's frames (T, ...) in blocks, so that memory doesn't grow with T; arguments as in `forward`."""
        person = self.identity(shape.reshape(1, -1))
        for at in range(0, len(expression), block):
            part = {name: value[at : at + block] for name, value in pose.items()}
            yield self(expression=expression[at : at + block], person=person, **part)

    def _skinned(self, planes: Tensor, world: Tensor, places: Tensor, joints: Tensor) -> Tensor:
        """Linear blend skinning (Loper et al. 2015, section 3) of planes (B, 3, V)."""
        batch = len(planes)
        shift = places - (world @ joints.expand(batch, 5, 3)[..., None])[..., 0]
        transforms = torch.cat([world, shift[..., None]], 3).reshape(batch, 5, 12).transpose(1, 2)
        blended = (transforms @ self.skin).reshape(batch, 3, 4, self.count)
        x, y, z = planes[:, None, 0], planes[:, None, 1], planes[:, None, 2]
        return (
            torch.addcmul(blended[:, :, 3], blended[:, :, 0], x)
            .addcmul(blended[:, :, 1], y)
            .addcmul(blended[:, :, 2], z)
        )

    def _zeros(self, batch: int, width: int) -> Tensor:
        return self.template.new_zeros(batch, width)

    def _padded(self, value: Tensor | None, width: int, name: str, batch: int = 1) -> Tensor:
        if value is None:
            return self._zeros(batch, width)
        if (
            value.dim() != 2
            or value.shape[1] > width
            or (name not in ("shape", "expression") and value.shape[1] != width)
        ):
            raise UsageError(f"{name} {tuple(value.shape)}: (B, {width}) expected")
        value = value.to(self.template)
        return value if value.shape[1] == width else nn.functional.pad(value, (0, width - value.shape[1]))

    def _needs(self, *names: str) -> None:
        if not all(hasattr(self, name) for name in names):
            raise UsageError(
                "this FLAME has no such landmarks; put landmark_embedding.npy (DECA's) or "
                "mediapipe_landmark_embedding.npz (SMIRK's) beside it"
            )


def rodrigues(rotation: Tensor) -> Tensor:
    """(N, 3) axis-angle, radians -> (N, 3, 3). 1e-8 is added before the norm, as SMPL does: zero stays finite."""
    angle = torch.linalg.vector_norm(rotation + 1e-8, dim=1, keepdim=True)
    x, y, z = (rotation / angle).unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    angle = angle[:, :, None]
    return _eye(cross) + torch.sin(angle) * cross + (1 - torch.cos(angle)) * (cross @ cross)


def _eye(like: Tensor) -> Tensor:
    return torch.eye(3, dtype=like.dtype, device=like.device)


def _chained(rotations: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
    """World rotations (B, 5, 3, 3) and posed places (B, 5, 3): root, neck on it, then jaw and eyes on the neck."""
    root, neck = rotations[:, 0], rotations[:, 0] @ rotations[:, 1]
    rest = neck[:, None] @ rotations[:, 2:]
    place0 = joints[:, 0]
    place1 = place0 + (root @ (joints[:, 1] - place0)[..., None])[..., 0]
    places = place1[:, None] + (neck[:, None] @ (joints[:, 2:] - joints[:, 1:2])[..., None])[..., 0]
    world = torch.cat([root[:, None], neck[:, None], rest], 1)
    return world, torch.cat([place0[:, None], place1[:, None], places], 1)
