"""A head on a body of bones: VRM asks for hips, spine and limbs, which no vertex follows. 1.7 m tall, in T-pose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatars.rig import Joint, Rig

HEAD_HEIGHT = 1.525
"""Metres from the ground to the joint between neck and head."""

BODY: dict[str, tuple[str | None, tuple[float, float, float]]] = {
    # VRM's name: its parent, metres from the ground below the neck; the left is the subject's own, +X
    "hips": (None, (0.0, 0.93, 0.0)),
    "spine": ("hips", (0.0, 1.03, 0.0)),
    "leftUpperLeg": ("hips", (0.09, 0.88, 0.0)),
    "leftLowerLeg": ("leftUpperLeg", (0.09, 0.47, 0.0)),
    "leftFoot": ("leftLowerLeg", (0.09, 0.08, 0.0)),
    "rightUpperLeg": ("hips", (-0.09, 0.88, 0.0)),
    "rightLowerLeg": ("rightUpperLeg", (-0.09, 0.47, 0.0)),
    "rightFoot": ("rightLowerLeg", (-0.09, 0.08, 0.0)),
    "leftUpperArm": ("spine", (0.18, 1.37, 0.0)),
    "leftLowerArm": ("leftUpperArm", (0.46, 1.37, 0.0)),
    "leftHand": ("leftLowerArm", (0.71, 1.37, 0.0)),
    "rightUpperArm": ("spine", (-0.18, 1.37, 0.0)),
    "rightLowerArm": ("rightUpperArm", (-0.46, 1.37, 0.0)),
    "rightHand": ("rightLowerArm", (-0.71, 1.37, 0.0)),
}

OWN = {"neck": "neck", "head": "head", "jaw": "jaw", "eye_left": "leftEye", "eye_right": "rightEye"}
"""A rig's joints, and what VRM calls them."""


def standing(rig: Rig) -> tuple[Rig, dict[str, int]]:
    """The rig as somebody who stands on the ground at the origin, and the joint of each of VRM's bones.

    All of it is moved, not turned or scaled: the head's joint comes to `HEAD_HEIGHT`, the neck over the origin. A rig
    without a joint "head" gets one, a quarter of its height from below, that all vertices follow.
    """
    if rig.joint("head") < 0:
        rig = _with_head(rig)
    head = np.array(rig.joints[rig.joint("head")].position)
    neck = rig.joint("neck")
    under = head if neck < 0 else np.array(rig.joints[neck].position)
    shift = np.array([-under[0], HEAD_HEIGHT - head[1], -under[2]])
    names = list(BODY)
    joints = [Joint(name, names.index(parent) if parent else -1, place) for name, (parent, place) in BODY.items()]
    spine, first = names.index("spine"), len(joints)
    for joint in rig.joints:
        parent = joint.parent + first if joint.parent >= 0 else spine
        joints.append(Joint(joint.name, parent, tuple((np.array(joint.position) + shift).tolist())))
    still = np.zeros((len(rig.neutral), first), np.float32)
    bones = {name: i for i, name in enumerate(names)}
    bones |= {OWN[joint.name]: first + i for i, joint in enumerate(rig.joints) if joint.name in OWN}
    moved = replace(
        rig,
        neutral=(rig.neutral + shift).astype(np.float32),
        joints=tuple(joints),
        skin=np.concatenate([still, rig.skin], 1),
    )
    return moved, bones


def _with_head(rig: Rig) -> Rig:
    """The rig with a joint that carries all of it."""
    low, high = rig.neutral.min(0), rig.neutral.max(0)
    place = (low + high) / 2
    place[1] = low[1] + 0.25 * (high[1] - low[1])
    roots = tuple(replace(j, parent=j.parent + 1) for j in rig.joints)
    weights = np.concatenate([1 - rig.skin.sum(1, keepdims=True), rig.skin], 1)
    return replace(rig, joints=(Joint("head", -1, tuple(place.tolist())), *roots), skin=weights.astype(np.float32))


__all__ = ["BODY", "HEAD_HEIGHT", "OWN", "standing"]
