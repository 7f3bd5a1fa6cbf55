"""How near the head that is made of a photo comes to the true one: python tests/benchmarks/head.py [heads]

Heads of known shape are rendered with random identity, expression, light and pose within 40 degrees, found by the
tracker, and fitted. Errors are means over FaceMesh's 468 points by known correspondence, millimetres, heads scaled to
64 mm between the eye centres and laid on each other as solid bodies. ICT-FaceKit's heads come from the shared folder.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from avatars.facemesh import BROW_LEFT, BROW_RIGHT, EYE_LEFT, EYE_RIGHT, LIPS_OUTER
from avatars.head import embedded_head
from avatars.head.identity import random_identity
from avatars.head.photo import facemesh_points, fit_head
from avatars.load_rig import load_rig
from avatars.pose import _similarity
from avatars.render3d import Light, RigRenderer
from avatars.rig import Material, Rig
from avatars.shade3d import Camera
from controls.tracker import FaceTracker
from studio.arkit import ARKIT, INDEX
from studio.errors import NoFaceError
from studio.motion import rotation_matrix

REPOSITORY = Path(__file__).resolve().parents[2]
SIZE = (640, 640)
EXPRESSIONS = (
    {},
    {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "cheekSquintLeft": 0.4, "cheekSquintRight": 0.4},
    {"jawOpen": 0.45},
    {"jawOpen": 0.2, "mouthFunnel": 0.6},
    {"mouthPucker": 0.8},
    {"browInnerUp": 0.8, "browOuterUpLeft": 0.6, "browOuterUpRight": 0.6, "jawOpen": 0.25},
    {"browDownLeft": 0.8, "browDownRight": 0.8, "mouthFrownLeft": 0.6, "mouthFrownRight": 0.6},
    {"mouthSmileLeft": 0.9, "eyeBlinkLeft": 0.9},
)
"""One after another, so that every shape has its turn."""


Marks = Callable[[np.ndarray], np.ndarray]
"""Posed vertices -> where FaceMesh's 468 points lie on them."""

SHELLS = ("lacrimal", "eye_blend", "eye_occlusion", "eyelashes")
"""Parts of ICT-FaceKit's head that only real-time shaders want."""


def own_heads(count: int) -> Iterator[tuple[Rig, Marks]]:
    """Embedded heads of random people."""
    for seed in range(count):
        rig = embedded_head(random_identity(seed + 100))
        yield rig, lambda vertices, rig=rig: facemesh_points(rig, vertices)


def ict_heads(count: int) -> Iterator[tuple[Rig, Marks]]:
    """ICT-FaceKit's heads of random people; none where the shared folder lacks them."""
    path = Path(os.environ.get("FACE_STUDIO_SHARED", REPOSITORY.parent / "shared")) / "ict-facekit.npz"
    if not path.is_file():
        return
    rig = load_rig(path)
    with np.load(path) as data, np.load(path.with_name("ict-facemesh.npz")) as mesh:
        modes = data["identity_delta"].astype(np.float32) * float(data["delta_step"]) * 0.01
        corners, share = mesh["vertex"], mesh["barycentric"]
        eyes = data["eye_centre_radius"] * 0.01
        ranges = zip(data["region_names"], data["region_ranges"], strict=True)
    shell = np.zeros(len(rig.polygons), bool)
    for name, (_, _, first, last) in ranges:
        shell[first:last] |= str(name).startswith(SHELLS)
    keep = ~shell
    rig = replace(
        rig,
        polygons=rig.polygons[keep],
        uv_polygons=rig.uv_polygons[keep],
        material_of=rig.material_of[keep],
    )
    rig = painted(rig, (rig.neutral[corners] * share[..., None]).sum(1), eyes)
    for seed in range(count):
        values = np.random.default_rng(seed).normal(size=len(modes)).clip(-2, 2)
        person = replace(rig, neutral=rig.neutral + np.tensordot(values, modes, 1).astype(np.float32))
        yield person, lambda vertices: (vertices[corners] * share[..., None]).sum(1)


PAINT = {"skin": (0.72, 0.44, 0.31), "iris": (0.06, 0.035, 0.02), "lip": (0.42, 0.13, 0.12), "brow": (0.10, 0.06, 0.04)}
"""Linear RGB."""


def painted(rig: Rig, marks: np.ndarray, eyes: np.ndarray) -> Rig:
    """A rig without texture gets irises, lips and brows: the tracker knows no faces without. marks (468, 3) FaceMesh's
    points on it, eyes (2, 4) centres and radii."""
    middle = rig.neutral[rig.polygons[:, :3]].mean(1)
    number = len(rig.materials)
    part = rig.material_of.copy()
    part[np.isin(part, (0, 1))] = number
    for centre in eyes:
        ray = middle - centre[:3]
        part[(np.linalg.norm(ray, axis=1) < 1.2 * centre[3]) & (ray[:, 2] > 0.915 * np.linalg.norm(ray, axis=1))] = (
            number + 1
        )
    face = (rig.material_of == 0) & (middle[:, 2] > marks[33, 2] - 0.02)
    for loop, colour in ((LIPS_OUTER, 2), (BROW_LEFT, 3), (BROW_RIGHT, 3)):
        outline = (1e4 * marks[loop][:, :2]).astype(np.float32)
        for k in np.flatnonzero(face):
            if cv2.pointPolygonTest(outline, tuple(map(float, 1e4 * middle[k, :2])), False) >= 0:
                part[k] = number + colour
    more = tuple(Material(name, (*colour, 1.0)) for name, colour in PAINT.items())
    return replace(rig, materials=(*rig.materials, *more), material_of=part)


def scaled(points: np.ndarray) -> np.ndarray:
    """Points (468, 3) in millimetres of a head with 64 between its eye centres."""
    return points * 64 / np.linalg.norm(points[EYE_LEFT].mean(0) - points[EYE_RIGHT].mean(0))


def laid(points: np.ndarray, on: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(points laid on others as a solid body, the rotation that this took)."""
    rotation, _, _ = _similarity(points, on, np.ones(len(points)))
    return (points - points.mean(0)) @ rotation.T + on.mean(0), rotation


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 24
    tracker = FaceTracker()
    print(f"{'heads':8} {'n':>3} {'neutral mm':>11} {'posed mm':>9} {'expression r':>13} {'pose deg':>9} {'fit s':>6}")
    for name, heads in (("own", own_heads(count)), ("ICT", ict_heads(count))):
        rows, truth, found, lost = [], [], [], 0
        for seed, (rig, marks) in enumerate(heads):
            pick = np.random.default_rng(1000 + seed)
            weights = np.zeros(len(ARKIT), np.float32)
            for shape, value in EXPRESSIONS[seed % len(EXPRESSIONS)].items():
                weights[INDEX[shape]] = value
            turn = rotation_matrix(*np.radians(pick.uniform([-40, -15, -15], [40, 15, 15])))
            light = Light(tuple(pick.normal(size=3) * [1, 0.6, 0] + [0, 0.3, 1]), tuple(pick.uniform(0.5, 0.8, 3)), 0.3)
            middle = marks(rig.neutral)[168]
            posed = rig.vertices(weights)
            # the head's own rotation would take the neck along: the whole turns about the eyes
            camera = Camera.portrait(SIZE, 0.34, pick.uniform(0.8, 1.6), (0, -0.02, 0))
            shown = ((posed - middle) @ turn.T).astype(np.float32)
            lit = RigRenderer(rig, SIZE, background=tuple(pick.integers(60, 200, 3)), lights=(light,))
            try:
                seen = tracker.observe(lit.draw(shown, camera))
            except NoFaceError:
                seen = []
            if not seen:
                lost += 1
                continue
            began = time.perf_counter()
            fit = fit_head(seen[0].landmarks, SIZE)
            seconds = time.perf_counter() - began
            true, got = scaled(marks(rig.neutral)), scaled(facemesh_points(fit.rig, fit.rig.neutral))
            apart, frame = laid(got, true)
            target = scaled(marks(posed))
            moved, _ = laid(scaled(facemesh_points(fit.rig, fit.rig.vertices(fit.weights))), target)
            off = fit.pose.rotation @ frame.T @ turn.T
            rows.append(
                (
                    np.linalg.norm(apart - true, axis=1).mean(),
                    np.linalg.norm(moved - target, axis=1).mean(),
                    np.degrees(np.arccos(np.clip((np.trace(off) - 1) / 2, -1, 1))),
                    seconds,
                )
            )
            truth.append(weights)
            found.append(fit.weights)
        if not rows:
            print(f"{name:8} {'-':>3} not measured: the shared folder is not there, or no face was found")
            continue
        used = [i for i in range(len(ARKIT)) if np.array(truth)[:, i].any()]
        r = np.corrcoef(np.array(truth)[:, used].ravel(), np.array(found)[:, used].ravel())[0, 1]
        neutral, posed_, pose, seconds = np.mean(rows, 0)
        print(f"{name:8} {len(rows):3d} {neutral:11.2f} {posed_:9.2f} {r:13.2f} {pose:9.2f} {seconds:6.2f}", end="")
        print(f"   {lost} without a face" if lost else "")


if __name__ == "__main__":
    main()
