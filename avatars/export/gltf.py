"""glTF 2.0 (Khronos, 2021) in one binary file: morph targets with their names, skin, materials, animation.

Vertices are split where texture coordinates part. Shapes are sparse: most move a small part of the head. Node 0 carries
the mesh, the rig's joints follow in their order.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from avatars.export.gltf_animation import add_animation
from avatars.export.gltf_buffer import FLOAT, UBYTE, UINT, Buffer
from avatars.rig import Rig
from avatars.shade3d import vertex_normals
from studio.errors import require
from studio.motion import FaceMotion, join


def write_glb(
    rig: Rig, path: Path, motion: FaceMotion | Iterable[FaceMotion] | None = None, tolerance: float | None = None
) -> None:
    """Writes the rig; with a motion also an animation of it, of fewer keys where a tolerance is given."""
    made = scene_of(rig)
    if motion is not None:
        add_animation(made, rig, join(motion), tolerance)
    made.save(path)


def scene_of(rig: Rig) -> Buffer:
    """The rig as a glTF document: `.document`, which `.save` writes."""
    gltf = require("pygltflib", extra="export")
    document = gltf.GLTF2()
    document.asset = gltf.Asset(version="2.0", generator="Face Studio", copyright=rig.licence or None)
    buffer = Buffer(gltf, document)
    corners, inverse = split(rig)
    vertex, uv = corners[:, 0], rig.uv[corners[:, 1]]
    normals = vertex_normals(rig.neutral, rig.triangles)
    attributes = gltf.Attributes(
        POSITION=buffer.accessor(rig.neutral[vertex], "VEC3", FLOAT, 34962, bounds=True),
        NORMAL=buffer.accessor(_unit(normals[vertex]), "VEC3", FLOAT, 34962),
        TEXCOORD_0=buffer.accessor(uv * [1, -1] + [0, 1], "VEC2", FLOAT, 34962),
    )
    if rig.joints:
        joints, weights = strongest(rig.skin[vertex])
        attributes.JOINTS_0 = buffer.accessor(joints, "VEC4", UBYTE, 34962)
        attributes.WEIGHTS_0 = buffer.accessor(weights, "VEC4", FLOAT, 34962)
    names = [*rig.shape_names, *(c.name for c in rig.correctives)]
    deltas = [*rig.deltas, *(c.delta for c in rig.correctives)]
    targets = [{"POSITION": buffer.sparse(delta[vertex])} for delta in deltas]
    primitives = []
    for number in np.unique(rig.material_of):
        faces = inverse[rig.material_of[rig.triangle_polygon] == number]
        primitives.append(
            gltf.Primitive(
                attributes=attributes,
                indices=buffer.accessor(faces.ravel(), "SCALAR", UINT, 34963),
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
    return buffer


def split(rig: Rig) -> tuple[np.ndarray, np.ndarray]:
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


def _material(gltf: Any, document: Any, buffer: Buffer, material: Any) -> Any:
    made = gltf.PbrMetallicRoughness(
        baseColorFactor=list(material.colour), metallicFactor=material.metallic, roughnessFactor=material.roughness
    )
    if material.texture is not None:
        made.baseColorTexture = gltf.TextureInfo(index=_texture(gltf, document, buffer, material.texture))
    out = gltf.Material(
        name=material.name,
        pbrMetallicRoughness=made,
        alphaMode="BLEND" if material.blend else "MASK" if material.cutoff else "OPAQUE",
        doubleSided=material.double_sided,
    )
    out.alphaCutoff = material.cutoff or None
    if material.normal is not None:
        out.normalTexture = gltf.NormalMaterialTexture(index=_texture(gltf, document, buffer, material.normal))
    return out


def _texture(gltf: Any, document: Any, buffer: Buffer, picture: np.ndarray) -> int:
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


def _nodes(gltf: Any, document: Any, buffer: Buffer, rig: Rig) -> None:
    """Node 0 carries the mesh, the joints follow."""
    taken = rig.joint(rig.name) >= 0  # programs find nodes by name
    mesh = gltf.Node(name=f"{rig.name}_mesh" if taken else rig.name, mesh=0)
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
        bind = buffer.accessor(matrices.transpose(0, 2, 1).reshape(-1, 16), "MAT4", FLOAT)
        document.skins.append(
            gltf.Skin(inverseBindMatrices=bind, joints=[1 + i for i in range(len(rig.joints))], skeleton=None)
        )
        mesh.skin = 0
    document.scenes.append(gltf.Scene(nodes=roots))
    document.scene = 0
