"""Khronos' glTF validator finds nothing in what is exported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

pytest.importorskip("pygltflib", reason="the extra 'export' is not installed")

from browser import WEB, node_modules
from takes import wave

from avatars.export import save_rig
from avatars.export.morphs import OpenHead
from avatars.head import embedded_head
from avatars.transfer import transfer_shapes


def issues(path):
    """What the validator says of a file."""
    modules, node = node_modules("gltf-validator"), shutil.which("node")
    if node is None:
        pytest.skip("no node on the path")
    run = subprocess.run(
        [node, str(WEB / "validate.cjs"), str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "NODE_PATH": str(modules)},
        check=True,
        timeout=120,
    )
    return json.loads(run.stdout)


@pytest.mark.parametrize(
    "name, motion, tolerance",
    [("head.glb", None, None), ("take.glb", wave(40), None), ("few.glb", wave(40), 1e-3), ("head.vrm", None, None)],
)
def test_the_validator_finds_nothing(name, motion, tolerance, tmp_path):
    found = issues(save_rig(embedded_head(), tmp_path / name, motion, tolerance=tolerance))
    assert (found["numErrors"], found["numWarnings"], found["numHints"]) == (0, 0, 0), found["messages"]
    told = {message["code"] for message in found["messages"]}
    assert told <= ({"UNSUPPORTED_EXTENSION"} if name.endswith(".vrm") else set())  # it does not know VRM


def test_nor_where_shapes_were_added(tmp_path):
    """`rig add` on a head without shapes: our own, stripped of them."""
    from dataclasses import replace

    import numpy as np

    rig = embedded_head()
    bare = replace(rig, shape_names=(), deltas=rig.deltas[:0], arkit=rig.arkit[:, :0], correctives=())
    save_rig(bare, tmp_path / "bare.glb")
    head = OpenHead(tmp_path / "bare.glb")
    numbers = np.arange(0, 468, 3)
    places = rig.neutral[rig.triangles[rig.facemesh[0][numbers], 0]]
    head.save(tmp_path / "rigged.glb", transfer_shapes(rig, head.points, head.triangles, places, numbers))
    found = issues(tmp_path / "rigged.glb")
    assert (found["numErrors"], found["numWarnings"]) == (0, 0), found["messages"]


def test_the_validator_would_tell(tmp_path):
    """The test of the test: a wrong bound is an error."""
    path = save_rig(embedded_head(), tmp_path / "head.glb")
    data = path.read_bytes()
    place = data.index(b'"max":[') + len(b'"max":[')
    assert data[place : place + 2] == b"0."
    path.write_bytes(data[:place] + b"9." + data[place + 2 :])
    assert issues(path)["numErrors"] > 0
