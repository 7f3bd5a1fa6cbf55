"""Run by Blender's Python: imports a file and writes what Blender has of it at some times as .npz.

python blender_look.py head.glb out.npz 0 0.5 1.0     times in seconds, of USD in its time codes
"""

from __future__ import annotations

import sys

import bpy  # of the interpreter that runs this file
import numpy as np


def main(file: str, output: str, times: list[float]) -> None:
    """names (K,), values (T, K) of shape keys, rest (V, 3) and points (T, V, 3) in Blender's frame (+Z up)."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    in_seconds = file.endswith((".glb", ".gltf"))
    if in_seconds:
        bpy.ops.import_scene.gltf(filepath=file)
    else:
        bpy.ops.wm.usd_import(filepath=file)
    scene = bpy.context.scene
    moved = next(o for o in bpy.data.objects if o.type == "MESH" and o.data.shape_keys)
    keys = moved.data.shape_keys.key_blocks
    rest = np.array([moved.matrix_world @ v.co for v in keys[0].data])
    values, points = [], []
    for time in times:
        frame = time * scene.render.fps / scene.render.fps_base if in_seconds else time
        scene.frame_set(int(frame), subframe=frame - int(frame))
        seen = moved.evaluated_get(bpy.context.evaluated_depsgraph_get())
        mesh = seen.to_mesh()
        points.append([moved.matrix_world @ v.co for v in mesh.vertices])
        seen.to_mesh_clear()
        values.append([key.value for key in seen.data.shape_keys.key_blocks[1:]])
    np.savez(
        output,
        names=np.array([key.name for key in keys[1:]]),
        values=np.array(values),
        rest=rest,
        points=np.array(points),
        rate=scene.render.fps / scene.render.fps_base,
        polygons=len(moved.data.polygons),
        bones=np.array([b.name for o in bpy.data.objects if o.type == "ARMATURE" for b in o.data.bones]),
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [float(word) for word in sys.argv[3:]])
