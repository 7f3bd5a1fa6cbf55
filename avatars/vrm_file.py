"""What VRM adds to a glTF file, of version 1.0 and of 0.x alike: bones and expressions by name."""

from __future__ import annotations

from typing import Any

from avatars.gltf_file import GltfFile
from studio.errors import MediaError

_OLD = {
    # VRM 0.x's presets that 1.0 calls otherwise
    "a": "aa", "i": "ih", "u": "ou", "e": "ee", "o": "oh", "joy": "happy", "sorrow": "sad", "fun": "relaxed",
    "blink_l": "blinkLeft", "blink_r": "blinkRight",
}  # fmt: skip


def faces_back(file: GltfFile) -> bool:
    """Whether the model looks along -Z, as VRM 0.x does; 1.0 looks along +Z."""
    extensions = file.document.extensions or {}
    return "VRM" in extensions and "VRMC_vrm" not in extensions


def vrm_bones(file: GltfFile) -> dict[str, int]:
    """{VRM's name of a bone: number of its node}; empty for a file that is no VRM. Raises MediaError."""
    extensions = file.document.extensions or {}
    try:
        if "VRMC_vrm" in extensions:
            told = extensions["VRMC_vrm"]["humanoid"]["humanBones"]
            bones = {str(name): int(bone["node"]) for name, bone in told.items()}
        else:
            told = extensions.get("VRM", {}).get("humanoid", {}).get("humanBones", [])
            bones = {str(bone["bone"]): int(bone["node"]) for bone in told}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MediaError(f"{file.path}: VRM bones that can't be read ({error})") from error
    if any(not 0 <= node < len(file.document.nodes) for node in bones.values()):
        raise MediaError(f"{file.path}: VRM bones that are no nodes of the file")
    return bones


def vrm_expressions(file: GltfFile) -> dict[str, dict[str, float]]:
    """{expression: {morph target: weight 0..1}}, presets under VRM 1.0's names. Raises MediaError."""
    extensions = file.document.extensions or {}
    try:
        if "VRMC_vrm" in extensions:
            return _new(file, extensions["VRMC_vrm"].get("expressions") or {})
        return _old(file, extensions.get("VRM", {}).get("blendShapeMaster", {}).get("blendShapeGroups") or [])
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise MediaError(f"{file.path}: VRM expressions that name no morph targets ({error})") from error


def _new(file: GltfFile, told: dict[str, Any]) -> dict[str, dict[str, float]]:
    out: dict[str, dict[str, float]] = {}
    for name, expression in [*(told.get("custom") or {}).items(), *(told.get("preset") or {}).items()]:
        for bind in expression.get("morphTargetBinds") or []:
            mesh = file.document.meshes[file.document.nodes[bind["node"]].mesh]
            out.setdefault(str(name), {})[file.names(mesh)[bind["index"]]] = float(bind["weight"])
    return out


def _old(file: GltfFile, groups: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    out: dict[str, dict[str, float]] = {}
    for group in groups:
        preset = str(group.get("presetName") or "unknown").lower()
        name = str(group.get("name")) if preset == "unknown" else _OLD.get(preset, preset)
        for bind in group.get("binds") or []:
            mesh = file.document.meshes[bind["mesh"]]
            out.setdefault(name, {})[file.names(mesh)[bind["index"]]] = float(bind["weight"]) / 100
    return out


__all__ = ["faces_back", "vrm_bones", "vrm_expressions"]
