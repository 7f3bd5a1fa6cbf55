"""`load_rig`: heads of other makers as a `Rig`: glTF and VRM files with morph targets, ICT-FaceKit as .npz.

Names of morph targets are matched tolerantly to ARKit's (`match_name`); what a head lacks `Rig.missing` tells.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from avatars.gltf_file import MOST_TRIANGLES, GltfFile
from avatars.rig import Joint, Material, Rig
from studio.arkit import ARKIT
from studio.errors import MediaError

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
    return _gltf_rig(GltfFile(path))


def _gltf_rig(file: GltfFile) -> Rig:
    """All meshes with morph targets, and those without that share their node tree, as one rig."""
    shapes: list[str] = []
    for mesh in file.document.meshes:
        shapes += [name for name in file.names(mesh) if name not in shapes]
    if not shapes:
        raise MediaError(f"{file.path}: no morph targets; `face-studio rig add` gives a head its shapes")
    parts: list[tuple] = []
    total = 0
    for node_number, world in file.placed():
        node = file.document.nodes[node_number]
        mesh = file.document.meshes[node.mesh]
        known: dict[int, int] = {}  # primitives that share their vertices keep them in common
        for primitive in mesh.primitives:
            if primitive.mode not in (None, 4):
                continue
            points = file.read(primitive.attributes.POSITION).astype(np.float64)
            if primitive.indices is None:
                index = np.arange(len(points))
            else:
                index = file.read(primitive.indices)[:, 0].astype(np.int64)
            total += len(index) // 3
            if total > MOST_TRIANGLES:
                raise MediaError(f"{file.path}: more than {MOST_TRIANGLES:,} triangles; reduce the mesh first")
            if len(index) and index.max() >= len(points):
                raise MediaError(f"{file.path}: triangles point beyond the vertices")
            if primitive.attributes.POSITION in known:
                parts.append((known[primitive.attributes.POSITION], index.reshape(-1, 3), primitive.material))
                continue
            known[primitive.attributes.POSITION] = len(parts)
            uv = primitive.attributes.TEXCOORD_0
            texture = np.zeros((len(points), 2)) if uv is None else file.read(uv) * [1, -1] + [0, 1]
            turn = world[:3, :3]
            moved = {
                name: file.read(target["POSITION"]) @ turn.T
                for name, target in zip(file.names(mesh), primitive.targets or [], strict=False)
                if "POSITION" in target
            }
            placed = points @ turn.T + world[:3, 3]
            parts.append((len(parts), index.reshape(-1, 3), primitive.material, placed, texture, moved))
    if not parts:
        raise MediaError(f"{file.path}: no triangles in it")
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
    arkit = _arkit(shapes)
    if not arkit.any():
        raise MediaError(
            f"{file.path}: none of its {len(shapes)} morph targets is named as a face shape "
            f"({', '.join(shapes[:6])} ...); ARKit's names are needed, such as jawOpen"
        )
    return Rig(
        name=file.path.stem,
        neutral=neutral.astype(np.float32),
        polygons=polygons,
        uv=np.concatenate([part[4] for part in own]).astype(np.float32),
        uv_polygons=polygons,
        materials=tuple(
            Material(m.name or f"material{i}", tuple(m.pbrMetallicRoughness.baseColorFactor or (1, 1, 1, 1)))
            if m.pbrMetallicRoughness
            else Material(m.name or f"material{i}")
            for i, m in enumerate(file.document.materials)
        )
        or (Material("skin"),),
        material_of=np.concatenate([np.full(len(part[1]), part[2] or 0) for part in parts]).astype(np.uint8),
        shape_names=tuple(shapes),
        deltas=deltas,
        arkit=arkit,
        joints=(Joint("head", -1, _head(file, neutral)),),
        skin=np.ones((len(neutral), 1), np.float32),
        licence=file.document.asset.copyright or "",
    )


def _arkit(shapes: list[str]) -> np.ndarray:
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


def _head(file: GltfFile, neutral: np.ndarray) -> tuple[float, float, float]:
    for number, world in file.placed(meshes=False):
        if (file.document.nodes[number].name or "").lower().split(":")[-1] in ("head", "j_bip_c_head"):
            return tuple(world[:3, 3].tolist())
    low, high = neutral.min(0), neutral.max(0)
    return float((low[0] + high[0]) / 2), float(low[1] + 0.25 * (high[1] - low[1])), float((low[2] + high[2]) / 2)


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


__all__ = ["load_rig", "match_name"]
