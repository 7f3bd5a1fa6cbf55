"""Blender's own importers: shape keys, their values at three times, and every vertex as Blender poses it.

FACE_STUDIO_BLENDER_PYTHON names an interpreter with bpy (the extra 'blender-test'), else ours is tried.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pygltflib", reason="the extra 'export' is not installed")

from takes import wave

from avatars.export import save_rig
from avatars.export.gltf import split
from avatars.head import embedded_head
from studio.arkit import ARKIT, INDEX

LOOK = Path(__file__).resolve().parents[1] / "helpers" / "blender_look.py"
FRAMES = [0, 20, 45]


def look(path, times):
    """What Blender has of a file at these times."""
    python = os.environ.get("FACE_STUDIO_BLENDER_PYTHON")
    if not python and importlib.util.find_spec("bpy") is None:
        pytest.skip("no bpy; pip install 'face-studio[blender-test]' or set FACE_STUDIO_BLENDER_PYTHON")
    output = path.with_suffix(".npz")
    words = [python or sys.executable, str(LOOK), str(path), str(output), *map(str, times)]
    run = subprocess.run(words, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    return np.load(output)


def ours(points):
    """Blender's +Z up to our +Y up, (..., 3)."""
    return points[..., [0, 2, 1]] * [1, 1, -1]


@pytest.mark.slow
def test_a_glb_in_blender_moves_as_the_rig(tmp_path):
    rig, motion = embedded_head(), wave(60)
    found = look(save_rig(rig, tmp_path / "take.glb", motion), [k / float(motion.fps) for k in FRAMES])
    names = list(found["names"])
    assert set(ARKIT) <= set(names)
    columns = [names.index(name) for name in ARKIT]
    assert np.abs(found["values"][:, columns] - motion.weights[FRAMES]).max() < 1e-5
    assert found["values"][:, names.index("jawOpen")].tolist() == pytest.approx(
        motion.weights[FRAMES, INDEX["jawOpen"]].tolist(), abs=1e-5
    )
    corners = split(rig)[0][:, 0]
    assert np.abs(ours(found["rest"]) - rig.neutral[corners]).max() < 1e-6
    for k, points in zip(FRAMES, found["points"], strict=True):
        assert np.abs(ours(points) - rig.vertices(motion.weights[k], motion.head[k])[corners]).max() < 1e-5
    assert {"neck", "head", "jaw", "eye_left", "eye_right"} <= set(found["bones"])


@pytest.mark.slow
def test_fewer_keys_look_the_same_in_blender(tmp_path):
    rig, motion = embedded_head(), wave(60)
    times = [k / float(motion.fps) for k in FRAMES]
    found = look(save_rig(rig, tmp_path / "few.glb", motion, tolerance=1e-3), times)
    columns = [list(found["names"]).index(name) for name in ARKIT]
    assert np.abs(found["values"][:, columns] - motion.weights[FRAMES]).max() < 1.01e-3


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["usdc", "usdz"])
def test_usd_in_blender_moves_as_the_rig(tmp_path, ending):
    pytest.importorskip("pxr", reason="usd-core is not installed")
    rig, motion = embedded_head(), wave(60)
    found = look(save_rig(rig, tmp_path / f"take.{ending}", motion), FRAMES)
    names = list(found["names"])
    assert set(ARKIT) <= set(names)
    assert np.abs(found["values"][:, [names.index(n) for n in ARKIT]] - motion.weights[FRAMES]).max() < 1e-5
    for k, points in zip(FRAMES, found["points"], strict=True):
        assert np.abs(ours(points) - rig.vertices(motion.weights[k], motion.head[k])).max() < 1e-5
