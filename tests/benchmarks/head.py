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
from judges import FRONTAL

from avatars.facemesh import BROW_LEFT, BROW_RIGHT, EYE_LEFT, EYE_RIGHT, LIPS_OUTER
from avatars.head import embedded_head
from avatars.head.identity import random_identity
from avatars.head.photo import facemesh_points, fit_head, head_from_photo
from avatars.load_rig import load_rig
from avatars.pose import _similarity, to_pixels
from avatars.render3d import Light, RigRenderer
from avatars.rig import Material, Rig
from avatars.shade3d import Camera
from controls.tracker import FaceTracker
from studio.arkit import ARKIT, INDEX
from studio.errors import NoFaceError
from studio.motion import EYE_SPAN, rotation_matrix

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


def case(seed: int, rig: Rig, marks: Marks, tracker: FaceTracker) -> dict | None:
    """One head rendered and fitted from what the tracker found, and from landmarks whose place in the picture is the
    true one (their depth is still the tracker's); None where no face was found."""
    pick = np.random.default_rng(1000 + seed)
    weights = np.zeros(len(ARKIT), np.float32)
    for shape, value in EXPRESSIONS[seed % len(EXPRESSIONS)].items():
        weights[INDEX[shape]] = value
    turn = rotation_matrix(*np.radians(pick.uniform([-40, -15, -15], [40, 15, 15])))
    light = Light(tuple(pick.normal(size=3) * [1, 0.6, 0] + [0, 0.3, 1]), tuple(pick.uniform(0.5, 0.8, 3)), 0.3)
    posed = rig.vertices(weights)
    shown = ((posed - marks(rig.neutral)[168]) @ turn.T).astype(np.float32)  # the whole turns, neck and all
    camera = Camera.portrait(SIZE, 0.34, pick.uniform(0.8, 1.6), (0, -0.02, 0))
    background = tuple(map(int, pick.integers(60, 200, 3)))
    picture = RigRenderer(rig, SIZE, background=background, lights=(light,)).draw(shown, camera)
    try:
        found = tracker.observe(picture)
    except NoFaceError:
        found = []
    if not found:
        return None
    perfect = found[0].landmarks.copy()
    perfect[:468, :2] = camera.project(marks(shown))[:, :2]
    out = {"weights": weights}
    for name, landmarks in (("tracker", found[0].landmarks), ("true", perfect)):
        began = time.perf_counter()
        fit = fit_head(landmarks, SIZE)
        seconds = time.perf_counter() - began
        neutral, moved = scaled(marks(rig.neutral)), scaled(marks(posed))
        own, frame = laid(scaled(facemesh_points(fit.rig, fit.rig.neutral)), neutral)
        own_moved, _ = laid(scaled(facemesh_points(fit.rig, fit.rig.vertices(fit.weights))), moved)
        off = fit.pose.rotation @ frame.T @ turn.T
        error = lambda a, b: np.linalg.norm(a - b, axis=1).mean()
        angle = np.degrees(np.arccos(np.clip((np.trace(off) - 1) / 2, -1, 1)))
        out[name] = (error(own, neutral), error(own_moved, moved), angle, seconds, fit.weights)
    return out


def portraits(tracker: FaceTracker) -> None:
    """Landmarks of real frontal portraits against the head's own."""
    from pipelines.portrait import read_portrait

    folder = Path(os.environ.get("FACE_STUDIO_SHARED", REPOSITORY.parent / "shared")) / "data" / "portraits"
    if not folder.is_dir():
        print("real portraits: not measured, the shared folder is not there")
        return
    errors, seconds = [], []
    for name in FRONTAL:
        seen = read_portrait(folder / name, tracker)
        image, landmarks = seen.over(), seen.faces[0].landmarks
        began = time.perf_counter()
        made = head_from_photo(image, landmarks)
        seconds.append(time.perf_counter() - began)
        placed = to_pixels(facemesh_points(made.rig, made.rig.vertices(made.weights)) / EYE_SPAN, made.pose)
        apart = np.linalg.norm(placed[:, :2] - landmarks[:468, :2], axis=1).mean()
        eyes = np.linalg.norm(landmarks[EYE_LEFT].mean(0) - landmarks[EYE_RIGHT].mean(0))
        errors.append(100 * apart / eyes)
    print(
        f"{len(errors)} real portraits: landmarks {np.mean(errors):.2f} % of the distance between the eyes off, "
        f"{max(errors):.2f} % at worst; {np.median(seconds):.2f} s each, texture included"
    )


def speed() -> None:
    """Pictures and vertices a second."""
    rig = embedded_head()
    draw = RigRenderer(rig, (512, 512))
    weights = np.zeros(len(ARKIT), np.float32)
    weights[[INDEX["jawOpen"], INDEX["mouthFunnel"], INDEX["eyeBlinkLeft"], INDEX["eyeLookUpLeft"]]] = 0.4
    posed = rig.vertices(weights)
    for name, work in (
        ("pictures of 512 x 512", lambda: draw.draw(posed)),
        ("posed rigs", lambda: rig.vertices(weights)),
    ):
        work()
        times = []
        for _ in range(40):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
        print(f"{name}: {1 / np.median(times):.0f} a second, {1 / min(times):.0f} at best")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 24
    tracker = FaceTracker()
    names = ("n", "neutral mm", "posed mm", "expression r", "pose deg", "s")
    widths = (3, 11, 9, 13, 9, 5)
    print(f"{'heads':5} {'landmarks':9}", *(name.rjust(width) for name, width in zip(names, widths, strict=True)))
    for name, heads in (("own", own_heads(count)), ("ICT", ict_heads(count))):
        cases = [case(seed, rig, marks, tracker) for seed, (rig, marks) in enumerate(heads)]
        found = [c for c in cases if c is not None]
        if not found:
            print(f"{name:5} not measured: the shared folder is not there, or no face was found")
            continue
        truth = np.array([c["weights"] for c in found])
        used = truth.any(0)
        for source in ("tracker", "true"):
            neutral, posed, pose, seconds = np.mean([c[source][:4] for c in found], 0)
            r = np.corrcoef(truth[:, used].ravel(), np.array([c[source][4] for c in found])[:, used].ravel())[0, 1]
            print(
                f"{name:5} {source:9} {len(found):3d} {neutral:11.2f} {posed:9.2f} {r:13.2f} {pose:9.2f} {seconds:5.2f}"
            )
    portraits(tracker)
    speed()


if __name__ == "__main__":
    main()
