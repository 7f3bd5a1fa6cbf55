"""`load_rig`: heads of other makers as a `Rig`: glTF and VRM files with morph targets, ICT-FaceKit as .npz.

Names of morph targets are matched tolerantly to ARKit's (`match_name`); what a head lacks `Rig.missing` tells.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from avatars.rig import Joint, Material, Rig
from studio.arkit import ARKIT
from studio.errors import MediaError, require
from studio.motion import FaceMotion

MOST_TRIANGLES = 2_000_000
MOST_BYTES = 1 << 30

_KINDS = {5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}

VRM = {
    # VRM's expressions as ARKit shapes, for heads that have no more
    "aa": {"jawOpen": 1.0},
    "ih": {"mouthStretchLeft": 1.0, "mouthStretchRight": 1.0},
    "ou": {"mouthPucker": 1.0},
    "oh": {"mouthFunnel": 1.0},
    "blinkleft": {"eyeBlinkLeft": 1.0},
    "blinkright": {"eyeBlinkRight": 1.0},
    "happy": {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5},
    "sad": {"mouthFrownLeft": 0.5, "mouthFrownRight": 0.5},
    "surprised": {"browInnerUp": 1.0},
    "angry": {"browDownLeft": 0.5, "browDownRight": 0.5},
}


def match_name(name: str) -> str | None:
    """The ARKit shape that a name means, None for none: "Blendshape2.Eye_Blink_L" is eyeBlinkLeft."""
    plain = re.sub(r"[^a-z0-9]", "", name.rsplit(".", 1)[-1].rsplit(":", 1)[-1].lower())
    found = _PLAIN.get(plain)
    if found is None and plain and plain[-1] in "lr":
        found = _PLAIN.get(plain[:-1] + {"l": "left", "r": "right"}[plain[-1]])
    if found is None:
        for known, shape in _PLAIN.items():
            if plain.endswith(known) and len(known) > 6:  # a prefix such as "head_" or "bs_"
                return shape
    return found


_PLAIN = {name.lower(): name for name in ARKIT}


def load_rig(path: str | Path) -> Rig:
    """A head from .glb, .gltf, .vrm (morph targets named as ARKit's or VRM's) or ICT-FaceKit's .npz.

    Raises MediaError for what can't be read, has no morph targets or none whose name means a face shape, holds numbers
    that are none, or is too large.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaError(f"{path}: no such file")
    if path.suffix.lower() == ".npz":
        return _ict(path)
    if path.suffix.lower() not in (".glb", ".gltf", ".vrm"):
        raise MediaError(f"{path}: a rig is read from .glb, .gltf, .vrm or ICT-FaceKit's .npz")
    return _File(path).rig()


def load_take(path: str | Path) -> FaceMotion:
    """The first animation of a GLB as a motion, if it was sampled at one rate: weights by name, head and its place."""
    return _File(Path(path)).motion()


class _File:
    """A glTF file opened with care: sizes are checked before anything is read."""

    def __init__(self, path: Path) -> None:
        gltf = require("pygltflib", extra="export")
        self.path = path
        if path.stat().st_size > MOST_BYTES:
            raise MediaError(f"{path}: larger than {MOST_BYTES >> 30} GiB")
        try:
            if path.suffix.lower() == ".gltf":
                self.document = gltf.GLTF2().load(str(path))
            else:
                self.document = gltf.GLTF2().load_binary(str(path))
        except Exception as error:  # the library lets through whatever JSON and struct raise
            raise MediaError(f"{path}: not a glTF file, or cut short ({error})") from error
        if self.document is None or not self.document.meshes:
            raise MediaError(f"{path}: no mesh in it")
        self._blobs: dict[int, bytes] = {}

    def _bytes(self, number: int) -> bytes:
        if number not in self._blobs:
            buffer = self.document.buffers[number]
            data = self.document.binary_blob() if not buffer.uri else None
            if data is None:
                if str(buffer.uri).startswith("data:"):
                    data = self.document.get_data_from_buffer_uri(buffer.uri)
                else:
                    beside = (self.path.parent / str(buffer.uri)).resolve()
                    if beside.parent != self.path.parent.resolve() or not beside.is_file():
                        raise MediaError(f"{self.path}: its part {buffer.uri} is not beside it")
                    data = beside.read_bytes()
            self._blobs[number] = data
        return self._blobs[number]

    def _view(self, number: int, offset: int, kind: Any, count: int, width: int) -> np.ndarray:
        view = self.document.bufferViews[number]
        size = np.dtype(kind).itemsize * width
        stride = view.byteStride or size
        first = (view.byteOffset or 0) + offset
        data = self._bytes(view.buffer)
        if count < 0 or first + stride * (count - 1) + size > len(data):
            raise MediaError(f"{self.path}: cut short: a table of {count} rows lies beyond the file's end")
        rows = np.lib.stride_tricks.as_strided(
            np.frombuffer(data, np.uint8, offset=first), (count, size), (stride, 1), writeable=False
        )
        return np.ascontiguousarray(rows).view(kind).reshape(count, width)

    def read(self, number: int) -> np.ndarray:
        """(N, C) float or integer values of an accessor."""
        accessor = self.document.accessors[number]
        kind, width, count = _KINDS[accessor.componentType], _WIDTH[accessor.type], accessor.count
        if count > 3 * MOST_TRIANGLES:
            raise MediaError(f"{self.path}: a table of {count} rows is more than a head needs")
        if accessor.bufferView is None:
            values = np.zeros((count, width), kind)
        else:
            values = self._view(accessor.bufferView, accessor.byteOffset or 0, kind, count, width).copy()
        if accessor.sparse is not None:
            part = accessor.sparse
            index = self._view(
                part.indices.bufferView, part.indices.byteOffset or 0, _KINDS[part.indices.componentType], part.count, 1
            )[:, 0]
            if len(index) and index.max() >= count:
                raise MediaError(f"{self.path}: a sparse table points beyond its end")
            values[index] = self._view(part.values.bufferView, part.values.byteOffset or 0, kind, part.count, width)
        if accessor.normalized and kind is not np.float32:
            values = values.astype(np.float32) / np.iinfo(kind).max
        if kind is np.float32 and not np.isfinite(values).all():
            raise MediaError(f"{self.path}: holds numbers that are none (NaN or infinite)")
        return values

    def _names(self, mesh: Any) -> list[str]:
        count = len(mesh.primitives[0].targets or [])
        told = (mesh.extras or {}).get("targetNames") or (mesh.primitives[0].extras or {}).get("targetNames") or []
        return [str(told[i]) if i < len(told) else f"target{i}" for i in range(count)]

    def rig(self) -> Rig:
        """All meshes with morph targets, and those without that share their node tree, as one rig."""
        shapes: list[str] = []
        for mesh in self.document.meshes:
            shapes += [name for name in self._names(mesh) if name not in shapes]
        if not shapes:
            raise MediaError(f"{self.path}: no morph targets; `face-studio rig add` gives a head its shapes")
        parts: list[tuple] = []
        total = 0
        for node_number, world in self._placed():
            node = self.document.nodes[node_number]
            mesh = self.document.meshes[node.mesh]
            known: dict[int, int] = {}  # primitives that share their vertices keep them in common
            for primitive in mesh.primitives:
                if primitive.mode not in (None, 4):
                    continue
                points = self.read(primitive.attributes.POSITION).astype(np.float64)
                if primitive.indices is None:
                    index = np.arange(len(points))
                else:
                    index = self.read(primitive.indices)[:, 0].astype(np.int64)
                total += len(index) // 3
                if total > MOST_TRIANGLES:
                    raise MediaError(f"{self.path}: more than {MOST_TRIANGLES:,} triangles; reduce the mesh first")
                if len(index) and index.max() >= len(points):
                    raise MediaError(f"{self.path}: triangles point beyond the vertices")
                if primitive.attributes.POSITION in known:
                    parts.append((known[primitive.attributes.POSITION], index.reshape(-1, 3), primitive.material))
                    continue
                known[primitive.attributes.POSITION] = len(parts)
                uv = primitive.attributes.TEXCOORD_0
                texture = np.zeros((len(points), 2)) if uv is None else self.read(uv) * [1, -1] + [0, 1]
                turn = world[:3, :3]
                moved = {
                    name: self.read(target["POSITION"]) @ turn.T
                    for name, target in zip(self._names(mesh), primitive.targets or [], strict=False)
                    if "POSITION" in target
                }
                placed = points @ turn.T + world[:3, 3]
                parts.append((len(parts), index.reshape(-1, 3), primitive.material, placed, texture, moved))
        if not parts:
            raise MediaError(f"{self.path}: no triangles in it")
        own = [part for part in parts if len(part) > 3]
        sizes = {part[0]: len(part[3]) for part in own}
        first = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))
        neutral = np.concatenate([part[3] for part in own])
        deltas = np.zeros((len(shapes), len(neutral), 3), np.float32)
        for number, _, _, points, _, moved in own:
            for name, delta in moved.items():
                deltas[shapes.index(name), first[number] : first[number] + len(points)] = delta
        triangles = np.concatenate([part[1] + first[part[0]] for part in parts])
        polygons = np.concatenate([triangles, np.full((len(triangles), 1), -1)], 1).astype(np.int32)
        arkit = self._arkit(shapes)
        if not arkit.any():
            raise MediaError(
                f"{self.path}: none of its {len(shapes)} morph targets is named as a face shape "
                f"({', '.join(shapes[:6])} ...); ARKit's names are needed, such as jawOpen"
            )
        return Rig(
            name=self.path.stem,
            neutral=neutral.astype(np.float32),
            polygons=polygons,
            uv=np.concatenate([part[4] for part in own]).astype(np.float32),
            uv_polygons=polygons,
            materials=tuple(
                Material(m.name or f"material{i}", tuple(m.pbrMetallicRoughness.baseColorFactor or (1, 1, 1, 1)))
                if m.pbrMetallicRoughness
                else Material(m.name or f"material{i}")
                for i, m in enumerate(self.document.materials)
            )
            or (Material("skin"),),
            material_of=np.concatenate([np.full(len(part[1]), part[2] or 0) for part in parts]).astype(np.uint8),
            shape_names=tuple(shapes),
            deltas=deltas,
            arkit=arkit,
            joints=(Joint("head", -1, self._head(neutral)),),
            skin=np.ones((len(neutral), 1), np.float32),
            licence=self.document.asset.copyright or "",
        )

    def _arkit(self, shapes: list[str]) -> np.ndarray:
        table = np.zeros((len(ARKIT), len(shapes)), np.float32)
        for column, name in enumerate(shapes):
            shape = match_name(name)
            if shape is not None and not table[ARKIT.index(shape)].any():
                table[ARKIT.index(shape), column] = 1.0
        if not table.any():  # only VRM's own expressions
            for column, name in enumerate(shapes):
                for shape, share in VRM.get(re.sub(r"[^a-z]", "", name.lower()), {}).items():
                    table[ARKIT.index(shape), column] = share
        return table

    def _head(self, neutral: np.ndarray) -> tuple[float, float, float]:
        for number, world in self._placed(meshes=False):
            if (self.document.nodes[number].name or "").lower().split(":")[-1] in ("head", "j_bip_c_head"):
                return tuple(world[:3, 3].tolist())
        low, high = neutral.min(0), neutral.max(0)
        return float((low[0] + high[0]) / 2), float(low[1] + 0.25 * (high[1] - low[1])), float((low[2] + high[2]) / 2)

    def _placed(self, meshes: bool = True) -> list[tuple[int, np.ndarray]]:
        """(node, its (4, 4) place in the world) of every node, or of those that carry a mesh."""
        nodes = self.document.nodes
        children = {c for node in nodes for c in node.children or []}
        out, stack = [], [(i, np.eye(4), 0) for i in range(len(nodes)) if i not in children]
        while stack:
            number, above, depth = stack.pop()
            if depth > 200:
                raise MediaError(f"{self.path}: its nodes go in circles")
            node = nodes[number]
            world = above @ _local(node)
            if not meshes or node.mesh is not None:
                skinned = meshes and node.skin is not None
                out.append((number, np.eye(4) if skinned else world))  # a skinned mesh stands where its joints say
            stack += [(c, world, depth + 1) for c in node.children or []]
        return out

    def motion(self) -> FaceMotion:
        """See `load_take`."""
        if not self.document.animations:
            raise MediaError(f"{self.path}: no animation in it")
        animation = self.document.animations[0]
        weights = head = None
        fps = Fraction(25)
        for channel in animation.channels:
            sampler = animation.samplers[channel.sampler]
            node = self.document.nodes[channel.target.node]
            times, values = self.read(sampler.input)[:, 0], self.read(sampler.output)
            if channel.target.path == "weights":
                names = self._names(self.document.meshes[node.mesh])
                table = values.reshape(len(times), len(names))
                weights = np.zeros((len(times), len(ARKIT)), np.float32)
                for column, name in enumerate(names):
                    shape = match_name(name) if name in _PLAIN.values() or "_" not in name else None
                    if shape is not None:
                        weights[:, ARKIT.index(shape)] = table[:, column]
                if len(times) > 1:
                    fps = _rate((len(times) - 1) / float(times[-1] - times[0]))
            elif channel.target.path == "rotation" and (node.name or "").lower() == "head":
                head = values
        if weights is None:
            raise MediaError(f"{self.path}: its animation moves no morph targets")
        pose = np.zeros((len(weights), 6), np.float32)
        if head is not None and len(head) == len(weights):
            pose[:, :3] = _angles(head)
        return FaceMotion(weights, fps, pose)


def _rate(value: float) -> Fraction:
    """Frames per second, exact where the value is as near as float32 times tell: 29.97003 is 30000/1001."""
    for below in (1, 2, 1001):
        rate = Fraction(round(value * below), below)
        if abs(float(rate) / value - 1) < 1e-5:
            return rate
    return Fraction(value).limit_denominator(1000)


def _local(node: Any) -> np.ndarray:
    if node.matrix is not None:
        return np.array(node.matrix, np.float64).reshape(4, 4).T
    out = np.eye(4)
    out[:3, :3] = _rotation(np.array(node.rotation or (0, 0, 0, 1.0)))
    out[:3, :3] = out[:3, :3] * np.array(node.scale or (1, 1, 1))
    out[:3, 3] = node.translation or (0, 0, 0)
    return out


def _rotation(q: np.ndarray) -> np.ndarray:
    x, y, z, w = q / max(np.linalg.norm(q), 1e-12)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _angles(quaternions: np.ndarray) -> np.ndarray:
    from studio.motion import rotation_angles

    return np.array([rotation_angles(_rotation(q)) for q in quaternions], np.float32)


def _ict(path: Path) -> Rig:
    """ICT-FaceKit (Li et al., CVPR 2020), repacked as .npz; MIT licence."""
    try:
        data = np.load(path, allow_pickle=False)
        step = float(data["delta_step"]) * 0.01
        neutral = data["neutral"].astype(np.float32) * 0.01
        names = tuple(str(name) for name in data["expression_names"])
        to_arkit = np.zeros((len(ARKIT), len(names)), np.float32)
        for name, row in zip(data["arkit_names"], data["arkit_to_expression"], strict=True):
            to_arkit[ARKIT.index(str(name))] = row
        span = np.linalg.norm(data["eye_centre_radius"][0, :3] - data["eye_centre_radius"][1, :3]) * 0.01
        middle = data["eye_centre_radius"][:, :3].mean(0) * 0.01
        materials = tuple(Material(str(name)) for name in data["material_names"])
        regions = dict(zip(map(str, data["region_names"]), data["region_ranges"], strict=True))
        joints = [Joint("head", -1, tuple((middle - span * np.array([0.0, 1.2, 1.3])).tolist()))]
        skin = np.zeros((len(neutral), 3), np.float32)
        skin[:, 0] = 1
        for k, side in enumerate(("left", "right")):
            joints.append(Joint(f"eye_{side}", 0, tuple((data["eye_centre_radius"][k, :3] * 0.01).tolist())))
            first, last = regions[f"eyeball_{side}"][:2]
            skin[first:last] = np.eye(3, dtype=np.float32)[k + 1]
        return Rig(
            name="ict-facekit",
            neutral=neutral,
            polygons=data["quads"],
            uv=data["uv"],
            uv_polygons=data["quads_uv"],
            materials=materials,
            material_of=data["face_material"],
            shape_names=names,
            deltas=data["expression_delta"].astype(np.float32) * step,
            arkit=to_arkit,
            joints=tuple(joints),
            skin=skin,
            parts={name: slice(int(r[0]), int(r[1])) for name, r in regions.items()},
            licence=str(data["licence"]),
        )
    except (KeyError, ValueError, OSError) as error:
        raise MediaError(f"{path}: not ICT-FaceKit's arrays ({error})") from error


__all__ = ["load_rig", "load_take", "match_name"]
