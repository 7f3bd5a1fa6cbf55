"""Pictures of people at random, and what the tracker finds in them; kept in files of `PEOPLE` people each."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from avatars.head.photo import facemesh_points
from avatars.render3d import Light, RigRenderer
from avatars.rig import Rig
from avatars.shade3d import Camera
from controls import detection
from controls.detection import Region
from demos.fit_training.people import expression, face_of, rig_of
from studio.motion import rotation_matrix

PEOPLE, SCENES = 50, 4
"""People of a file, and pictures of each."""

SEED = 20_000


def picture_of(rig: Rig, weights: np.ndarray, pick: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture (S, S, 3) uint8 of a head that wears weights (52,); FaceMesh's points in it (468, 2) pixels; and the
    head's rotation (3, 3) to the camera."""
    import cv2

    turn = rotation_matrix(*np.radians(pick.uniform([-45, -20, -20], [45, 20, 20])))
    posed = rig.vertices(weights)
    shown = ((posed - facemesh_points(rig, rig.neutral)[168]) @ turn.T).astype(np.float32)
    size = (int(pick.integers(300, 520)),) * 2
    camera = Camera.portrait(size, pick.uniform(0.26, 0.4), pick.uniform(0.6, 2.0), (0, -0.02, 0))
    lights = [
        Light(
            tuple(pick.normal(size=3) * [1, 0.6, 0] + [0, 0.3, 1]),
            tuple(pick.uniform(0.3, 0.9) * pick.uniform(0.8, 1.0, 3)),
            pick.uniform(0.1, 0.4),
        )
        for _ in range(pick.integers(1, 4))
    ]
    background = tuple(map(int, pick.integers(10, 245, 3)))
    picture = RigRenderer(rig, size, background=background, lights=tuple(lights)).draw(shown, camera)
    if pick.random() < 0.4:
        picture = cv2.GaussianBlur(picture, (0, 0), pick.uniform(0.4, 1.8))
    if pick.random() < 0.4:
        noisy = picture + pick.normal(0, pick.uniform(2, 9), picture.shape)
        picture = np.clip(noisy, 0, 255).astype(np.uint8)
    return picture, camera.project(facemesh_points(rig, shown))[:, :2], turn


def person(seed: int) -> list[dict[str, np.ndarray]]:
    """What is known of each picture of one person: `landmarks` (478, 3) pixels that the tracker found, `weights` (52,),
    `rotation` (3, 3), `face` (468, 3) eye spans. Faces that the tracker misses are left out."""
    pick = np.random.default_rng([SEED, seed])
    face = face_of(pick)
    rig = rig_of(face, pick)
    out = []
    for _ in range(SCENES):
        weights = expression(pick)
        picture, marks, rotation = picture_of(rig, weights, pick)
        found, score = detection.refine(picture, Region.of(marks))
        if score > 0.5:
            out.append({"landmarks": found, "weights": weights, "rotation": rotation.astype(np.float32), "face": face})
    return out


def render(folder: Path, people: int) -> None:
    """Pictures of so many people, measured; what the folder already holds is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    for first in range(0, people, PEOPLE):
        target = folder / f"{first:06d}.npz"
        if target.exists():
            continue
        seen = [(seed, scene) for seed in range(first, first + PEOPLE) for scene in person(seed)]
        columns = {key: np.array([scene[key] for _, scene in seen], np.float32) for key in seen[0][1]}
        part = target.with_suffix(".part.npz")
        np.savez(part, person=np.array([seed for seed, _ in seen]), **columns)
        part.rename(target)
        print(f"{first + PEOPLE} people, {time.monotonic() - began:.0f} s", flush=True)


def load(folder: Path, people: int) -> dict[str, np.ndarray]:
    """What `render` made of so many people, one row a picture; `person` says whose."""
    parts = []
    for first in range(0, people, PEOPLE):
        with np.load(folder / f"{first:06d}.npz") as data:
            parts.append(dict(data))
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
