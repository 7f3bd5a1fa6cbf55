"""A motion as an animation of a glTF document: weights of all targets, turn and place of the head, turn of the eyes.

Every frame is a key, or only those that matter (`avatars.export.curves`); between keys glTF is linear, on the sphere
for rotations. `extras.fps` of the animation holds the motion's exact rate.
"""

from __future__ import annotations

import numpy as np

from avatars.export.curves import blended, slerped, thinned
from avatars.export.gltf_buffer import FLOAT, Buffer
from avatars.rig import Rig
from studio.motion import FaceMotion, rotation_matrix


def add_animation(buffer: Buffer, rig: Rig, motion: FaceMotion, tolerance: float | None = None) -> None:
    """Adds the motion to the document of the rig (`avatars.export.gltf.scene_of`).

    tolerance  None: a key a frame. Else keys are dropped as long as what is interpolated stays this near to the motion:
               weights, radians and, by a tenth of it, metres.
    """
    gltf, document = buffer.gltf, buffer.document
    times = np.arange(len(motion)) / float(motion.fps)
    animation = gltf.Animation(name="take", samplers=[], channels=[], extras={"fps": str(motion.fps)})
    clocks: dict[bytes, int] = {}

    def add(node: int, path: str, values: np.ndarray, kind: str) -> None:
        keys = np.arange(len(values))
        if tolerance is not None:
            between = slerped if path == "rotation" else blended
            keys = thinned(times, values, tolerance * (0.1 if path == "translation" else 1), between)
        name = keys.tobytes()
        if name not in clocks:
            clocks[name] = buffer.accessor(times[keys], "SCALAR", FLOAT, bounds=True)
        shown = values[keys].ravel() if path == "weights" else values[keys]
        output = buffer.accessor(shown, kind, FLOAT)
        animation.samplers.append(gltf.AnimationSampler(input=clocks[name], output=output, interpolation="LINEAR"))
        animation.channels.append(
            gltf.AnimationChannel(
                sampler=len(animation.samplers) - 1, target=gltf.AnimationChannelTarget(node=node, path=path)
            )
        )

    add(0, "weights", rig.shape_weights(motion.weights), "SCALAR")
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


__all__ = ["add_animation", "quaternions"]
