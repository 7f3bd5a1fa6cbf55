"""Which nodes of a glTF file are head, neck, jaw and eyes, and how its vertices hang on them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from avatars.gltf_file import GltfFile
from avatars.rig import Joint
from avatars.vrm_file import faces_back, vrm_bones

_NAMES = {
    "neck": ("neck", "neck01", "neck1", "neckmiddle"),
    "head": ("head", "head01"),
    "jaw": ("jaw", "jawroot", "lowerjaw"),
    "eye_left": ("eyeleft", "lefteye", "leye", "eyel", "faceeyel", "adjlfaceeye", "grpeyeleft"),
    "eye_right": ("eyeright", "righteye", "reye", "eyer", "faceeyer", "adjrfaceeye", "grpeyeright"),
}
_PREFIXES = ("mixamorig", "jbipc", "jbipl", "jbipr", "ccbase", "bip01", "bip001", "def", "bone")
_VRM = {"neck": "neck", "head": "head", "jaw": "jaw", "leftEye": "eye_left", "rightEye": "eye_right"}


def role_of(name: str) -> str | None:
    """ "head", "neck", "jaw", "eye_left" or "eye_right" for a bone's name as programs write it; None for others."""
    plain = re.sub(r"[^a-z0-9]", "", name.rsplit(":", 1)[-1].lower())
    for prefix in _PREFIXES:
        if plain.startswith(prefix) and plain != prefix:
            plain = plain[len(prefix) :]
            break
    return next((role for role, names in _NAMES.items() if plain in names), None)


class Skeleton:
    """The nodes of a file: `world` (4, 4) of each, facing +Z, and which of them are joints of a face.

    joints  the rig's joints. The last is "body", where the file has more than a head: it stands still.
    """

    def __init__(self, file: GltfFile) -> None:
        self.file, nodes = file, file.document.nodes
        turn = np.diag([-1.0, 1.0, -1.0, 1.0]) if faces_back(file) else np.eye(4)
        self.world = {number: turn @ place for number, place in file.placed(meshes=False)}
        self.above = {child: i for i, node in enumerate(nodes) for child in node.children or []}
        skinned = {joint for skin in file.document.skins for joint in skin.joints}
        self.node = self._roles(skinned)
        head = self.node.get("head")
        self.solid = head is None or not (head in skinned or nodes[head].children)
        order = [role for role in _NAMES if role in self.node or role == "head"]
        if self.solid or "neck" not in self._line(head):
            order = [role for role in order if role != "neck"]
        self.index = {role: k for k, role in enumerate(order)}
        self.joints = [
            Joint(role, self._parent(role), tuple(self.world[self.node[role]][:3, 3].tolist()))
            if role in self.node
            else Joint(role, -1, (0.0, 0.0, 0.0))
            for role in order
        ]
        if not self.solid:
            self.index["body"] = len(self.joints)
            self.joints.append(Joint("body", -1, (0.0, 0.0, 0.0)))

    def _roles(self, skinned: set[int]) -> dict[str, int]:
        """{role: node}, by VRM's table of bones where there is one, else by name; bones go before what is only called
        so."""
        told = {_VRM[name]: node for name, node in vrm_bones(self.file).items() if name in _VRM}
        nodes = self.file.document.nodes
        for number in sorted(self.world, key=lambda k: (k not in skinned, not nodes[k].children, k)):
            role = role_of(nodes[number].name or "")
            if role is not None:
                told.setdefault(role, number)
        return {role: number for role, number in told.items() if number in self.world}

    def _line(self, node: int | None) -> list[str]:
        """Roles of a node and all above it, the nearest first."""
        roles = {number: role for role, number in self.node.items()}
        out = []
        while node is not None:
            if node in roles:
                out.append(roles[node])
            node = self.above.get(node)
        return out

    def _parent(self, role: str) -> int:
        if role == "neck":
            return -1
        return self.index.get("neck", -1) if role == "head" else self.index["head"]

    def column(self, node: int) -> int:
        """The joint that a node moves with."""
        line = [role for role in self._line(node) if role in self.index]
        return self.index[line[0]] if line else self.index["head" if self.solid else "body"]

    def hang(self, node: int, primitive: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(count, 4, 4) or (4, 4) that takes a primitive's vertices to the scene as the file stands, and
        (count, joints) float32 how much of each joint they follow."""
        weights = np.zeros((count, len(self.joints)), np.float32)
        skin = self.file.document.nodes[node].skin
        if skin is None or primitive.attributes.JOINTS_0 is None:
            weights[:, self.column(node)] = 1
            return self.world[node], weights
        bound = self.file.document.skins[skin]
        matrices = np.array([self.world[joint] for joint in bound.joints])
        if bound.inverseBindMatrices is not None:
            inverse = self.file.read(bound.inverseBindMatrices).astype(np.float64)
            matrices = matrices @ inverse.reshape(-1, 4, 4).transpose(0, 2, 1)[: len(matrices)]
        which = self.file.read(primitive.attributes.JOINTS_0).astype(int)
        share = self.file.read(primitive.attributes.WEIGHTS_0).astype(np.float64)
        share[share.sum(1) <= 0, 0] = 1
        share /= share.sum(1, keepdims=True)
        columns = np.array([self.column(joint) for joint in bound.joints])
        for k in range(share.shape[1]):
            np.add.at(weights, (np.arange(count), columns[which[:, k]]), share[:, k])
        if np.abs(matrices - matrices[0]).max() < 1e-5 * (1 + np.abs(matrices[0]).max()):
            return matrices[0], weights
        placed = np.zeros((count, 4, 4))
        for k in range(share.shape[1]):
            placed += share[:, k, None, None] * matrices[which[:, k]]
        return placed, weights


def settled(
    joints: list[Joint], skin: np.ndarray, neutral: np.ndarray, looking: np.ndarray
) -> tuple[tuple[Joint, ...], np.ndarray]:
    """The joints, and skin (V, J), without those that would do harm.

    looking (V,) metres that eyeLook shapes move a vertex: eyes that shapes turn have no joint turn them as well, nor
    do those whose joint is not where they are. A head's joint that is not where its head is goes below its middle. A
    body that nothing hangs on is left out.
    """
    from dataclasses import replace

    names = [joint.name for joint in joints]
    head = names.index("head")
    if skin[:, [k for k, name in enumerate(names) if name not in ("body", "neck")]].sum() < 0.5:
        skin = np.zeros_like(skin)  # nothing hangs on the head: the file's bones are for something else
        skin[:, head] = 1
    gone = set()
    for k, name in enumerate(names):
        own = skin[:, k] > 0.5
        if name.startswith("eye"):
            low, high = (neutral[own].min(0), neutral[own].max(0)) if own.any() else (np.zeros(3), np.zeros(3))
            size = float((high - low).max())
            there = np.all(np.abs(np.array(joints[k].position) - (low + high) / 2) <= 0.6 * size)
            if not own.any() or not there or looking[own].max() > 0.05 * size:
                gone.add(k)
        elif name == "body" and not skin[:, k].any():
            gone.add(k)
    for k in gone:
        skin[:, head] += skin[:, k]
    kept = [k for k in range(len(joints)) if k not in gone]
    moving = skin[:, [k for k, name in enumerate(names) if name not in ("body", "neck")]].sum(1) > 0.5
    low, high = neutral[moving].min(0), neutral[moving].max(0)
    place = np.array(joints[head].position)
    if np.any(np.abs(place - (low + high) / 2) > 0.75 * (high - low).max()) or not place.any():
        place = np.array([(low[0] + high[0]) / 2, low[1] + 0.25 * (high[1] - low[1]), (low[2] + high[2]) / 2])
        joints = [replace(j, position=tuple(place.tolist())) if j.name == "head" else j for j in joints]
    number = {k: i for i, k in enumerate(kept)}
    return tuple(replace(joints[k], parent=number.get(joints[k].parent, -1)) for k in kept), skin[:, kept]


__all__ = ["Skeleton", "role_of", "settled"]
