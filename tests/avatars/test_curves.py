"""Animations of fewer keys, and meshes a frame: what is interpolated, or read back, is what was asked for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("pygltflib", reason="the extra 'export' is not installed")

from takes import wave

from avatars.export import save_rig, save_sequence
from avatars.export.curves import blended, distances, slerped, thinned
from avatars.export.gltf_animation import quaternions
from avatars.gltf_file import GltfFile
from avatars.head import embedded_head
from avatars.load_take import load_take
from studio.errors import MediaError, OutputError, UsageError


def test_a_line_needs_two_keys_and_a_corner_one_more():
    times = np.arange(9.0)
    line = np.stack([times * 2, 5 - times], 1)
    assert thinned(times, line, 1e-9).tolist() == [0, 8]
    line[5:, 0] = line[5, 0]
    assert thinned(times, line, 1e-9).tolist() == [0, 5, 8]


@pytest.mark.parametrize("tolerance", [1e-3, 1e-2])
def test_interpolation_stays_within_the_tolerance(tolerance):
    motion = wave()
    for values, between in ((motion.weights, blended), (quaternions(motion.head[:, :3]), slerped)):
        values = np.asarray(values, np.float64)
        keys = thinned(motion.times, values, tolerance, between)
        assert len(keys) < 0.7 * len(values)
        for low, high in pairwise(keys):
            share = np.linspace(0, 1, high - low + 1)
            apart = distances(between(values[low], values[high], share), values[low : high + 1], between)
            assert apart.max() <= tolerance


def test_rotations_are_measured_in_radians():
    angles = np.zeros((3, 3))
    angles[:, 0] = 0, 0.3, 0.6
    turns = quaternions(angles)
    assert slerped(turns[0], turns[2], np.array([0.5]))[0] == pytest.approx(turns[1], abs=1e-12)
    assert distances(turns[:1], turns[1:2], slerped)[0] == pytest.approx(0.3, abs=1e-9)
    assert distances(turns[:1], -turns[1:2], slerped)[0] == pytest.approx(0.3, abs=1e-9)


def test_a_sampled_take_comes_back(tmp_path):
    motion = wave()
    save_rig(embedded_head(), tmp_path / "take.glb", motion)
    back = load_take(tmp_path / "take.glb")
    assert back.fps == motion.fps and len(back) == len(motion)
    assert np.abs(back.weights - motion.weights).max() <= 1e-5
    assert np.abs(back.head - motion.head).max() <= 1e-5


def test_a_thinned_take_comes_back_within_its_tolerance(tmp_path):
    motion, rig = wave(), embedded_head()
    whole = save_rig(rig, tmp_path / "whole.glb", motion).stat().st_size
    small = save_rig(rig, tmp_path / "small.glb", motion, tolerance=1e-3).stat().st_size
    assert small < whole
    sampler = GltfFile(tmp_path / "small.glb").document.animations[0].samplers[0]
    keys = GltfFile(tmp_path / "small.glb").document.accessors[sampler.input].count
    assert keys < 0.8 * len(motion)
    back = load_take(tmp_path / "small.glb")
    assert back.fps == motion.fps and len(back) == len(motion)
    assert np.abs(back.weights - motion.weights).max() <= 1.01e-3
    assert np.abs(back.head[:, :3] - motion.head[:, :3]).max() <= 2e-3
    assert np.abs(back.head[:, 3:] - motion.head[:, 3:]).max() <= 1.01e-4
    save_rig(rig, tmp_path / "one.glb", motion[:1], tolerance=1e-3)
    assert len(load_take(tmp_path / "one.glb")) == 1
    for tolerance, name in ((0.0, "take.glb"), (2.0, "take.glb"), (1e-3, "take.usdc")):
        with pytest.raises(UsageError, match="tolerance"):
            save_rig(rig, tmp_path / name, motion, tolerance=tolerance)


def read_ply(path):
    """Points, normals, polygons of a binary PLY, by its header alone."""
    data = path.read_bytes()
    end = data.index(b"end_header\n") + len(b"end_header\n")
    head = data[:end].decode("ascii").split("\n")
    assert head[:2] == ["ply", "format binary_little_endian 1.0"]
    count, faces = (
        int(next(line for line in head if line.startswith(f"element {n}")).split()[-1]) for n in ("vertex", "face")
    )
    table = np.frombuffer(data, "<f4", count * 6, end).reshape(count, 6)
    place, polygons = end + count * 24, []
    for _ in range(faces):
        size = data[place]
        polygons.append(tuple(np.frombuffer(data, "<i4", size, place + 1)))
        place += 1 + 4 * size
    assert place == len(data)
    return table[:, :3], table[:, 3:], polygons


def test_a_mesh_a_frame(tmp_path):
    motion, rig = wave(5), embedded_head()
    assert save_sequence(rig, tmp_path / "take" / "%03d.ply", motion) == 5
    assert sorted(p.name for p in (tmp_path / "take").iterdir()) == [f"{k:03d}.ply" for k in range(5)]
    for k in (0, 4):
        points, normals, polygons = read_ply(tmp_path / "take" / f"{k:03d}.ply")
        assert np.array_equal(points, rig.vertices(motion.weights[k], motion.head[k]))
        assert np.abs(np.linalg.norm(normals, axis=1) - 1).max() < 1e-4
        wanted = {tuple(int(v) for v in polygon if v >= 0) for polygon in rig.polygons}
        assert set(polygons) == wanted and len(polygons) == len(rig.polygons)
    stream = (motion[k : k + 2] for k in range(0, 5, 2))
    assert save_sequence(rig, tmp_path / "take_%05d.obj", stream) == 5  # beside other files
    lines = (tmp_path / "take_00004.obj").read_text().splitlines()
    points = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    assert np.abs(points - rig.vertices(motion.weights[4], motion.head[4])).max() < 1e-6
    assert sum(line.startswith("f ") for line in lines) == len(rig.polygons)


def test_the_rest_pose_as_ply(tmp_path):
    points, _, polygons = read_ply(save_rig(embedded_head(), tmp_path / "head.ply"))
    assert np.array_equal(points, embedded_head().neutral) and len(polygons) == len(embedded_head().polygons)


def test_sequences_leave_nothing_behind(tmp_path):
    rig, motion = embedded_head(), wave(3)

    def broken():
        yield motion[:2]
        raise MediaError("the camera went away")

    with pytest.raises(MediaError, match="camera"):
        save_sequence(rig, tmp_path / "take" / "%03d.ply", broken())
    with pytest.raises(MediaError, match="no frame"):
        save_sequence(rig, tmp_path / "take_%03d.ply", iter(()))
    for name in ("take.ply", "take_%s%d.ply", "take_%05d.stl", "take_%%.ply"):
        with pytest.raises(UsageError):
            save_sequence(rig, tmp_path / name, motion)
    with pytest.raises(OutputError, match="no such folder"):
        save_sequence(rig, tmp_path / "a" / "b" / "%d.ply", motion)
    (tmp_path / "take_0.ply").write_text("mine")
    with pytest.raises(OutputError, match="there already"):
        save_sequence(rig, tmp_path / "take_%d.ply", motion)
    assert [p.name for p in tmp_path.iterdir()] == ["take_0.ply"] and (tmp_path / "take_0.ply").read_text() == "mine"
    with pytest.raises(UsageError, match="%05d"):
        save_rig(rig, tmp_path / "take.ply", motion)
