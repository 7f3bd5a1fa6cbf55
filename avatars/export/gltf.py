"""glTF 2.0 (Khronos, 2021) in one binary file: morph targets with their names, skin, materials, animation.

Vertices are split where texture coordinates part. Shapes are sparse: most move a small part of the head. An animation
holds every frame of the motion (linear in between): weights of all targets, turn and place of head and eyes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from avatars.rig import Rig
from avatars.shade3d import vertex_normals
from studio.errors import require
from studio.motion import FaceMotion, join, rotation_matrix

_FLOAT, _UINT, _USHORT, _UBYTE = 5126, 5125, 5123, 5121
_MOVED = 1e-7  # metres below which a vertex counts as still


class _Buffer:
    """The binary chunk as it grows, with its views and accessors."""

    def __init__(self, gltf: Any, document: Any) -> None:
        self.gltf, self.document, self.data = gltf, document, bytearray()

    def view(self, data: bytes, target: int | None = None) -> int:
        self.data += b"\0" * (-len(self.data) % 4)
        self.document.bufferViews.append(
            self.gltf.BufferView(buffer=0, byteOffset=len(self.data), byteLength=len(data), target=target)
        )
        self.data += data
        return len(self.document.bufferViews) - 1

    def accessor(
        self, values: np.ndarray, kind: str, component: int, target: int | None = None, bounds: bool = False
    ) -> int:
        """An accessor of its own view. values (N,) or (N, C)."""
        types = {_FLOAT: np.float32, _UINT: np.uint32, _USHORT: np.uint16, _UBYTE: np.uint8}
        values = np.ascontiguousarray(values, types[component])
        made = self.gltf.Accessor(
            bufferView=self.view(values.tobytes(), target),
            byteOffset=0,
            componentType=component,
            count=len(values),
            type=kind,
        )
        if bounds:
            flat = values.reshape(len(values), -1)
            made.min, made.max = flat.min(0).tolist(), flat.max(0).tolist()
        self.document.accessors.append(made)
        return len(self.document.accessors) - 1

    def sparse(self, values: np.ndarray) -> int:
        """An accessor of (N, 3) float32 that is zero but for a few rows."""
        gltf = self.gltf
        moved = np.flatnonzero(np.abs(values).max(1) > _MOVED)
        if len(moved) == 0:
            moved = np.array([0])
        made = gltf.Accessor(componentType=_FLOAT, count=len(values), type="VEC3", byteOffset=None)
        shown = np.zeros_like(values)
        shown[moved] = values[moved]
        made.min, made.max = shown.min(0).tolist(), shown.max(0).tolist()
        made.sparse = gltf.Sparse(
            count=len(moved),
            indices=gltf.AccessorSparseIndices(
                bufferView=self.view(moved.astype(np.uint32).tobytes()), byteOffset=0, componentType=_UINT
            ),
            values=gltf.AccessorSparseValues(
                bufferView=self.view(values[moved].astype(np.float32).tobytes()), byteOffset=0
            ),
        )
        self.document.accessors.append(made)
        return len(self.document.accessors) - 1


def write_glb(rig: Rig, path: Path, motion: FaceMotion | Iterable[FaceMotion] | None = None) -> None:
    """Writes the rig; with a motion also an animation of it."""
    gltf = require("pygltflib", extra="export")
    document = gltf.GLTF2()
    document.asset = gltf.Asset(version="2.0", generator="Face Studio", copyright=rig.licence or None)
    buffer = _Buffer(gltf, document)
    corners, inverse = _split(rig)
    vertex, uv = corners[:, 0], rig.uv[corners[:, 1]]
    normals = vertex_normals(rig.neutral, rig.triangles)
    attributes = gltf.Attributes(
        POSITION=buffer.accessor(rig.neutral[vertex], "VEC3", _FLOAT, 34962, bounds=True),
        NORMAL=buffer.accessor(_unit(normals[vertex]), "VEC3", _FLOAT, 34962),
        TEXCOORD_0=buffer.accessor(uv * [1, -1] + [0, 1], "VEC2", _FLOAT, 34962),
    )
    if rig.joints:
        joints, weights = strongest(rig.skin[vertex])
        attributes.JOINTS_0 = buffer.accessor(joints, "VEC4", _UBYTE, 34962)
        attributes.WEIGHTS_0 = buffer.accessor(weights, "VEC4", _FLOAT, 34962)
    names = [*rig.shape_names, *(c.name for c in rig.correctives)]
    deltas = [*rig.deltas, *(c.delta for c in rig.correctives)]
    targets = [{"POSITION": buffer.sparse(delta[vertex])} for delta in deltas]
    primitives = []
    for number in np.unique(rig.material_of):
        faces = inverse[rig.material_of[rig.triangle_polygon] == number]
        primitives.append(
            gltf.Primitive(
                attributes=attributes,
                indices=buffer.accessor(faces.ravel(), "SCALAR", _UINT, 34963),
                material=int(number),
                targets=targets or None,
            )
        )
    document.meshes.append(
        gltf.Mesh(
            name=rig.name,
            primitives=primitives,
            weights=[0.0] * len(names) if names else None,
            extras={"targetNames": names} if names else {},
        )
    )
    for material in rig.materials:
        document.materials.append(_material(gltf, document, buffer, material))
    _nodes(gltf, document, buffer, rig)
    if motion is not None:
        _animation(gltf, document, buffer, rig, join(motion))
    document.buffers.append(gltf.Buffer(byteLength=len(buffer.data)))
    document.set_binary_blob(bytes(buffer.data))
    document.save_binary(str(path))


def _split(rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """((N, 2) vertex and texture coordinate of each vertex of the file, (F, 3) its triangles)."""
    pairs = np.stack([rig.triangles, rig.uv_triangles], -1).reshape(-1, 2)
    corners, inverse = np.unique(pairs, axis=0, return_inverse=True)
    return corners, inverse.reshape(-1, 3)


def _unit(normals: np.ndarray) -> np.ndarray:
    """Unit length; where there is none, up."""
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 0.5, normals / np.maximum(length, 1e-9), [0.0, 1.0, 0.0])


def strongest(skin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The four strongest joints (N, 4) of each vertex and their weights, which add up to 1."""
    count = min(4, skin.shape[1])
    order = np.argsort(-skin, axis=1, kind="stable")[:, :count]
    weights = np.take_along_axis(skin, order, 1)
    weights = weights / np.maximum(weights.sum(1, keepdims=True), 1e-9)
    joints, full = np.zeros((len(skin), 4), np.uint8), np.zeros((len(skin), 4), np.float32)
    joints[:, :count], full[:, :count] = np.where(weights > 0, order, 0), weights
    return joints, full


def _material(gltf: Any, document: Any, buffer: _Buffer, material: Any) -> Any:
    made = gltf.PbrMetallicRoughness(
        baseColorFactor=list(material.colour), metallicFactor=material.metallic, roughnessFactor=material.roughness
    )
    if material.texture is not None:
        made.baseColorTexture = gltf.TextureInfo(index=_texture(gltf, document, buffer, material.texture))
    out = gltf.Material(
        name=material.name,
        pbrMetallicRoughness=made,
        alphaMode="BLEND" if material.blend else "OPAQUE",
        doubleSided=material.double_sided,
    )
    out.alphaCutoff = None
    if material.normal is not None:
        out.normalTexture = gltf.NormalMaterialTexture(index=_texture(gltf, document, buffer, material.normal))
    return out


def _texture(gltf: Any, document: Any, buffer: _Buffer, picture: np.ndarray) -> int:
    from PIL import Image

    data = io.BytesIO()
    if picture.shape[2] == 4:
        Image.fromarray(picture).save(data, "PNG")
        kind = "image/png"
    else:
        Image.fromarray(picture).save(data, "JPEG", quality=92, subsampling=0)
        kind = "image/jpeg"
    if not document.samplers:
        document.samplers.append(gltf.Sampler(magFilter=9729, minFilter=9987, wrapS=33071, wrapT=33071))
    document.images.append(gltf.Image(bufferView=buffer.view(data.getvalue()), mimeType=kind))
    document.textures.append(gltf.Texture(source=len(document.images) - 1, sampler=0))
    return len(document.textures) - 1


def _nodes(gltf: Any, document: Any, buffer: _Buffer, rig: Rig) -> None:
    """Node 0 carries the mesh, the joints follow."""
    mesh = gltf.Node(name=rig.name, mesh=0)
    document.nodes.append(mesh)
    roots = [0]
    for i, joint in enumerate(rig.joints):
        parent = rig.joints[joint.parent].position if joint.parent >= 0 else (0.0, 0.0, 0.0)
        place = (np.array(joint.position) - parent).tolist()
        document.nodes.append(gltf.Node(name=joint.name, translation=place))
        children = [1 + k for k, other in enumerate(rig.joints) if other.parent == i]
        if children:
            document.nodes[-1].children = children
        if joint.parent < 0:
            roots.append(1 + i)
    if rig.joints:
        matrices = np.tile(np.eye(4, dtype=np.float32), (len(rig.joints), 1, 1))
        matrices[:, :3, 3] = -np.array([joint.position for joint in rig.joints])
        bind = buffer.accessor(matrices.transpose(0, 2, 1).reshape(-1, 16), "MAT4", _FLOAT)
        document.skins.append(
            gltf.Skin(inverseBindMatrices=bind, joints=[1 + i for i in range(len(rig.joints))], skeleton=None)
        )
        mesh.skin = 0
    document.scenes.append(gltf.Scene(nodes=roots))
    document.scene = 0


def _animation(gltf: Any, document: Any, buffer: _Buffer, rig: Rig, motion: FaceMotion) -> None:
    times = np.arange(len(motion)) / float(motion.fps)
    clock = buffer.accessor(times, "SCALAR", _FLOAT, bounds=True)
    animation = gltf.Animation(name="take", samplers=[], channels=[])

    def add(node: int, path: str, values: np.ndarray, kind: str) -> None:
        output = buffer.accessor(values, kind, _FLOAT)
        animation.samplers.append(gltf.AnimationSampler(input=clock, output=output, interpolation="LINEAR"))
        animation.channels.append(
            gltf.AnimationChannel(
                sampler=len(animation.samplers) - 1, target=gltf.AnimationChannelTarget(node=node, path=path)
            )
        )

    add(0, "weights", rig.shape_weights(motion.weights).ravel(), "SCALAR")
    if (head := rig.joint("head")) >= 0:
        add(1 + head, "rotation", quaternions(motion.head[:, :3]), "VEC4")
        joint = rig.joints[head]
        parent = rig.joints[joint.parent].position if joint.parent >= 0 else (0.0, 0.0, 0.0)
        add(1 + head, "translation", np.array(joint.position) - parent + motion.head[:, 3:], "VEC3")
    for k, name in enumerate(("eye_left", "eye_right")):
        if (eye := rig.joint(name)) >= 0:
            turn = np.concatenate([motion.gaze[:, k], np.zeros((len(motion), 1))], 1)
            add(1 + eye, "rotation", quaternions(turn), "VEC4")
    document.animations.append(animation)


def quaternions(angles: np.ndarray) -> np.ndarray:
    """(T, 3) yaw, pitch, roll in radians -> (T, 4) float64 unit quaternions x, y, z, w, neighbours on one side."""
    out = np.empty((len(angles), 4))
    for i, (yaw, pitch, roll) in enumerate(np.asarray(angles, np.float64)):
        m = rotation_matrix(yaw, pitch, roll)
        w = np.sqrt(max(0.0, 1 + m[0, 0] + m[1, 1] + m[2, 2])) / 2  # heads don't turn by 180 degrees
        out[i] = (m[2, 1] - m[1, 2]) / (4 * w), (m[0, 2] - m[2, 0]) / (4 * w), (m[1, 0] - m[0, 1]) / (4 * w), w
    return out / np.linalg.norm(out, axis=1, keepdims=True)
