"""Joints of a glTF head that a motion turns, and what its vertices hang on. What turns nothing is one joint, "root"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatars.gltf_file import GltfFile
from avatars.rig import Joint
from avatars.vrm_file import vrm_bones
from studio.errors import MediaError

_BONES = {"neck": "neck", "head": "head", "jaw": "jaw", "leftEye": "eye_left", "rightEye": "eye_right"}
_NAMES = {
    # names of nodes without anything but letters, and without a prefix such as "mixamorig:"
    "neck": "neck", "jbipcneck": "neck", "head": "head", "jbipchead": "head", "jaw": "jaw",
    "eyeleft": "eye_left", "lefteye": "eye_left", "eyel": "eye_left", "jadjlfaceeye": "eye_left",
    "eyeright": "eye_right", "righteye": "eye_right", "eyer": "eye_right", "jadjrfaceeye": "eye_right",
}  # fmt: skip


@dataclass(frozen=True)
class Skeleton:
    """joints as in a `Rig`; column (nodes,) which of them each node of the file hangs on, -1 for none.

    Empty where the file has no head: then all of it is one.
    """

    joints: tuple[Joint, ...]
    column: np.ndarray


def skeleton_of(file: GltfFile) -> Skeleton:
    """The joints by VRM's bones, else by the names of nodes; places are those of the nodes at rest."""
    nodes = file.document.nodes
    column = np.full(len(nodes), -1)
    bones = {node: _BONES[name] for name, node in vrm_bones(file).items() if name in _BONES}
    if "head" not in bones.values():
        bones = _named(file)
    if "head" not in bones.values():
        return Skeleton((), column)
    joints = [Joint("root", -1, (0.0, 0.0, 0.0))]
    above = {child: number for number, node in enumerate(nodes) for child in node.children or []}
    for number, world in file.placed(meshes=False):  # parents come first
        parent = max(int(column[above[number]]), 0) if number in above else 0
        column[number] = parent
        if number in bones:
            column[number] = len(joints)
            joints.append(Joint(bones[number], parent, tuple(world[:3, 3].tolist())))
    return Skeleton(tuple(joints), column)


def _named(file: GltfFile) -> dict[int, str]:
    """{node: joint} by names, the first of each; nodes that carry a mesh are no joints."""
    out: dict[int, str] = {}
    for number, node in enumerate(file.document.nodes):
        plain = re.sub(r"[^a-z]", "", (node.name or "").lower().rsplit(":", 1)[-1])
        joint = _NAMES.get(plain)
        if joint and joint not in out.values() and node.mesh is None:
            out[number] = joint
    return out


def below(skeleton: Skeleton, name: str) -> list[int]:
    """Numbers of the named joint and of all that hang on it."""
    out: list[int] = []
    for number, joint in enumerate(skeleton.joints):
        if joint.name == name or joint.parent in out:
            out.append(number)
    return out


def hung(file: GltfFile, skeleton: Skeleton, number: int, primitive: Any, count: int) -> np.ndarray:
    """(count, J) float32: the share of each joint of the skeleton in each vertex of a primitive of node `number`."""
    weights = np.zeros((count, max(1, len(skeleton.joints))), np.float32)
    influence = _influence(file, number, primitive, count)
    if not len(skeleton.joints):
        weights[:, 0] = 1
    elif influence is None:
        weights[:, skeleton.column[number]] = 1
    else:
        joints, shares = influence
        columns = np.maximum(skeleton.column[np.array(_skin(file, number).joints)], 0)
        for k in range(4):
            np.add.at(weights, (np.arange(count), columns[joints[:, k]]), shares[:, k])
    return weights


def at_rest(
    file: GltfFile, places: dict[int, np.ndarray], number: int, primitive: Any, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """((count, 3, 3), (count, 3)): what turns and shifts each vertex of a primitive to its place at rest in the world.

    places  the (4, 4) place of each node in the world.
    """
    influence = _influence(file, number, primitive, count)
    if influence is None:
        world = places[number]
        return np.broadcast_to(world[:3, :3], (count, 3, 3)), np.broadcast_to(world[:3, 3], (count, 3))
    skin, (joints, shares) = _skin(file, number), influence
    matrices = np.stack([places[joint] for joint in skin.joints])
    if skin.inverseBindMatrices is not None:
        bind = file.read(skin.inverseBindMatrices).astype(np.float64)
        if len(bind) < len(matrices) or bind.shape[1] != 16:
            raise MediaError(f"{file.path}: a skin with fewer matrices than joints")
        matrices = matrices @ bind[: len(matrices)].reshape(-1, 4, 4).transpose(0, 2, 1)
    if np.abs(matrices - np.eye(4)).max() < 1e-6:  # the usual case: vertices are where they are
        return np.broadcast_to(np.eye(3), (count, 3, 3)), np.broadcast_to(np.zeros(3), (count, 3))
    blended = np.einsum("nk,nkrc->nrc", shares, matrices[joints][..., :3, :])
    return blended[..., :3], blended[..., 3]


def _skin(file: GltfFile, number: int) -> Any:
    return file.document.skins[file.document.nodes[number].skin]


def _influence(file: GltfFile, number: int, primitive: Any, count: int) -> tuple[np.ndarray, np.ndarray] | None:
    """((count, 4) joints of the skin, (count, 4) shares that add up to 1); None for a mesh without a skin."""
    attributes = primitive.attributes
    if file.document.nodes[number].skin is None or attributes.JOINTS_0 is None or attributes.WEIGHTS_0 is None:
        return None
    joints, shares = file.read(attributes.JOINTS_0).astype(int), file.read(attributes.WEIGHTS_0).astype(np.float64)
    if joints.shape != (count, 4) or shares.shape != (count, 4) or joints.max() >= len(_skin(file, number).joints):
        raise MediaError(f"{file.path}: a skin that doesn't fit its mesh")
    total = shares.sum(1, keepdims=True)
    shares = np.where(total > 1e-6, shares / np.maximum(total, 1e-6), [1.0, 0.0, 0.0, 0.0])
    return joints, shares


__all__ = ["Skeleton", "at_rest", "below", "hung", "skeleton_of"]
