"""VRM 1.0 (VRM Consortium, 2022): a GLB with bones by name, expressions, gaze and terms of use, for VTuber programs.

The head stands at the height of an adult, its face towards +Z; bones of a body without skin hang under it
(`avatars.export.vrm_body`). Presets and ARKit's shapes are expressions (`avatars.export.vrm_expressions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatars.export.gltf import scene_of
from avatars.export.vrm_body import standing
from avatars.export.vrm_expressions import expressions_of
from avatars.rig import Rig
from studio.errors import UsageError
from studio.motion import LOOK_LIMIT

LICENCE_URL = "https://vrm.dev/licenses/1.0/"

_CHOICES = {
    "avatar_permission": ("onlyAuthor", "onlySeparatelyLicensedPerson", "everyone"),
    "commercial_usage": ("personalNonProfit", "personalProfit", "corporation"),
    "credit_notation": ("required", "unnecessary"),
    "modification": ("prohibited", "allowModification", "allowModificationRedistribution"),
}


@dataclass(frozen=True)
class VrmMeta:
    """Who made a model and what others may do with it: VRM's `meta`, whose most cautious terms are the defaults.

    name     of the model; empty: that of its file.
    authors  one or more.
    The rest stands in the specification under the same words; `other_licence_url` and `third_party_licences` may be
    empty. Raises UsageError for words that are none of VRM's.
    """

    name: str = ""
    authors: tuple[str, ...] = ("anonymous",)
    version: str = ""
    copyright: str = ""
    contact: str = ""
    references: tuple[str, ...] = ()
    third_party_licences: str = ""
    other_licence_url: str = ""
    avatar_permission: str = "onlyAuthor"
    commercial_usage: str = "personalNonProfit"
    credit_notation: str = "required"
    modification: str = "prohibited"
    allow_redistribution: bool = False
    allow_excessively_violent_usage: bool = False
    allow_excessively_sexual_usage: bool = False
    allow_political_or_religious_usage: bool = False
    allow_antisocial_or_hate_usage: bool = False

    def __post_init__(self) -> None:
        if not self.authors or not all(author.strip() for author in self.authors):
            raise UsageError("VRM asks for at least one author, and for none without a name")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise UsageError(f"{name}={getattr(self, name)!r}: VRM knows {', '.join(known)}")

    def document(self, name: str) -> dict[str, Any]:
        """`meta` of the extension; `name` where the model has none of its own."""
        told = {
            "name": self.name or name,
            "version": self.version,
            "authors": list(self.authors),
            "copyrightInformation": self.copyright,
            "contactInformation": self.contact,
            "references": list(self.references),
            "thirdPartyLicenses": self.third_party_licences,
            "otherLicenseUrl": self.other_licence_url,
        }
        return {key: value for key, value in told.items() if value} | {
            "licenseUrl": LICENCE_URL,
            "avatarPermission": self.avatar_permission,
            "commercialUsage": self.commercial_usage,
            "creditNotation": self.credit_notation,
            "modification": self.modification,
            "allowRedistribution": self.allow_redistribution,
            "allowExcessivelyViolentUsage": self.allow_excessively_violent_usage,
            "allowExcessivelySexualUsage": self.allow_excessively_sexual_usage,
            "allowPoliticalOrReligiousUsage": self.allow_political_or_religious_usage,
            "allowAntisocialOrHateUsage": self.allow_antisocial_or_hate_usage,
        }


def write_vrm(rig: Rig, path: Path, meta: VrmMeta | None = None, name: str = "") -> None:
    """Writes the rig; `name` is that of the model where `meta` has none.

    Raises MissingExtraError without pygltflib, UsageError for a rig without shapes.
    """
    if not rig.shape_names:
        raise UsageError(f"the rig {rig.name!r} has no shapes: a VRM without expressions is of no use")
    body, bones = standing(rig)
    made = scene_of(body)
    node = {bone: 1 + joint for bone, joint in bones.items()}
    made.document.extensionsUsed.append("VRMC_vrm")
    made.document.extensions["VRMC_vrm"] = {
        "specVersion": "1.0",
        "meta": (meta or VrmMeta()).document(name or rig.name),
        "humanoid": {"humanBones": {bone: {"node": number} for bone, number in node.items()}},
        "firstPerson": {"meshAnnotations": [{"node": 0, "type": "auto"}]},
        "expressions": expressions_of(body, 0),
        "lookAt": _look_at(body, bones),
    }
    made.save(path)


def _look_at(rig: Rig, bones: dict[str, int]) -> dict[str, Any]:
    """Eyes turn as far as they are looked away, up to `studio.motion.LOOK_LIMIT`; heads without eyes use shapes."""
    head = np.array(rig.joints[bones["head"]].position)
    eyes = [np.array(rig.joints[bones[name]].position) for name in ("leftEye", "rightEye") if name in bones]
    between = np.mean(eyes, 0) - head if eyes else np.array([0.0, 0.06, 0.0])
    by_bone = len(eyes) == 2
    ranges = {}
    for name, limit in (
        ("HorizontalInner", "In"),
        ("HorizontalOuter", "Out"),
        ("VerticalDown", "Down"),
        ("VerticalUp", "Up"),
    ):
        degrees = round(float(np.degrees(LOOK_LIMIT[limit])), 3)
        ranges[f"rangeMap{name}"] = {"inputMaxValue": degrees, "outputScale": degrees if by_bone else 1.0}
    return {
        "type": "bone" if by_bone else "expression",
        "offsetFromHeadBone": [round(float(v), 6) for v in between],
        **ranges,
    }


__all__ = ["LICENCE_URL", "VrmMeta", "write_vrm"]
