"""A head of one's own gets its shapes: its face is found in a picture of it, shapes come from the embedded head."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.errors import MediaError, NoFaceError, UsageError

if TYPE_CHECKING:
    from avatars.rig import Rig

SIZE = 768
_TURNS = (0.0, np.pi, np.pi / 2, -np.pi / 2)  # VRM 0.x looks the other way, some files sideways
_FRAMES = ((0.5, 1.15), (0.87, 0.35), (0.92, 0.22))  # middle and height as shares of a head's, a bust's, a body's


@dataclass(frozen=True)
class Rigged:
    """path of the file; how many shapes were added, of how many vertices, from how many landmarks."""

    path: Path
    shapes: int
    vertices: int
    landmarks: int


def add_shapes(
    head: str | os.PathLike[str], output: str | os.PathLike[str], *, landmarks: Any = None, tracker: Any = None
) -> Rigged:
    """Write the head with ARKit's 52 shapes; everything else in its file is kept.

    head, output  .glb or .vrm.
    landmarks     {number of FaceMesh's points: [x, y, z] in the scene}, or the path of a JSON with it; found if None.

    Raises `NoFaceError` where no face is found, `MediaError` for a file that can't be used, `UsageError`.
    """
    from avatars.export.morphs import OpenHead
    from avatars.head import embedded_head
    from avatars.transfer import transfer_shapes
    from studio.picture import written_beside

    target = Path(output)
    if target.suffix.lower() not in (".glb", ".vrm"):
        raise UsageError(f"{target}: a head with its shapes is written as .glb or .vrm")
    opened = OpenHead(Path(head))
    numbers, places = find_landmarks(opened, tracker) if landmarks is None else read_landmarks(landmarks)
    deltas = transfer_shapes(embedded_head(), opened.points, opened.triangles, places, numbers)
    with written_beside(target) as beside:
        added = opened.save(beside, deltas)
    return Rigged(target, added, len(opened.points), len(numbers))


def open_rig(
    path: str | os.PathLike[str], *, identity: Sequence[float] = (), landmarks: Any = None, tracker: Any = None
) -> Rig:
    """A head of somebody else's: what `avatars.load_rig` reads, and GNM's gnm_head.npz.

    identity   of GNM alone: standard deviations of its components, zeros where it ends.
    landmarks  of GNM alone, as in `add_shapes`; found in a picture of it if None.

    Raises `MediaError`, `NoFaceError`, `UsageError`.
    """
    from avatars.gnm import GnmHead, is_gnm
    from avatars.load_rig import load_rig

    if Path(path).suffix.lower() != ".npz" or not is_gnm(Path(path)):
        if len(identity) or landmarks is not None:
            raise UsageError(f"{path}: identity and landmarks go with GNM's gnm_head.npz")
        return load_rig(path)
    head = GnmHead.open(path, identity)
    numbers, places = find_landmarks(head, tracker) if landmarks is None else read_landmarks(landmarks)
    return head.arkit_rig(numbers, places)


def read_landmarks(given: Any) -> tuple[np.ndarray, np.ndarray]:
    """(N,) numbers and (N, 3) places of {number: [x, y, z]} or of a JSON file. Raises MediaError, UsageError."""
    if isinstance(given, (str, os.PathLike)):
        try:
            given = json.loads(Path(given).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise MediaError(f"{given}: no JSON that can be read ({error})") from error
    try:
        numbers = np.array([int(key) for key in given])
        places = np.array([given[key] for key in given], np.float64).reshape(len(numbers), 3)
    except (TypeError, ValueError, KeyError) as error:
        raise UsageError('landmarks are {"number of a FaceMesh point": [x, y, z], ...}') from error
    if len(numbers) and not (numbers.min() >= 0 and numbers.max() < 468):
        raise UsageError("numbers of FaceMesh's points go from 0 to 467")
    return numbers, places


def find_landmarks(opened: Any, tracker: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """(N,) numbers of FaceMesh's points and (N, 3) where they lie on the mesh, found in pictures of it."""
    from avatars.render3d import RigRenderer
    from avatars.shade3d import Camera
    from controls.tracker import FaceTracker

    tracker = tracker or FaceTracker()
    draw = RigRenderer(opened.rig(), (SIZE, SIZE))
    used = opened.points[np.unique(opened.triangles)]
    low, high = used.min(0), used.max(0)
    tall = float(high[1] - low[1])
    for middle, share in _FRAMES:
        target = np.array([(low[0] + high[0]) / 2, low[1] + middle * tall, (low[2] + high[2]) / 2])
        for turn in _TURNS:
            camera = Camera.portrait((SIZE, SIZE), share * tall, 4 * share * tall, target, turn, 0.0)
            faces = tracker.observe(draw.draw(opened.points.astype(np.float32), camera)[..., :3])
            if not faces or faces[0].eye_span < SIZE / 12:
                continue
            numbers, places = _on_mesh(opened, draw, camera, faces[0].landmarks[:468])
            if len(numbers) >= 200:
                return numbers, places
    raise NoFaceError(
        f"{opened.path}: no face was found in pictures of it. Turn it upright, or give --landmarks points.json"
    )


def _on_mesh(opened: Any, draw: Any, camera: Any, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (468, 3) pixels that hit the mesh where a face would have them."""
    from avatars.facemesh import MEAN
    from avatars.transfer import similarity

    seen = draw.fragments(opened.points.astype(np.float32), camera)
    column, row = np.round(pixels[:, :2]).astype(int).T
    inside = (column >= 0) & (column < SIZE) & (row >= 0) & (row < SIZE)
    index = np.full(len(pixels), -1)
    index[inside] = seen.index[row[inside], column[inside]]
    numbers = np.flatnonzero(index >= 0)
    bary = seen.bary[row[numbers], column[numbers]]
    corners = opened.points[draw.triangles[index[numbers]]]
    if bary.shape[1] == 2:
        bary = np.c_[bary, 1 - bary.sum(1)]
    places = (corners * bary[..., None]).sum(1)
    for _ in range(3):  # hair, ears and what lies behind an open mouth are no skin of the face
        if len(numbers) < 50:
            break
        onto = similarity(MEAN[numbers].astype(np.float64), places)
        fine = np.linalg.norm(onto(MEAN[numbers]) - places, axis=1) < 0.2 * onto.scale
        if fine.all():
            break
        numbers, places = numbers[fine], places[fine]
    return numbers, places


__all__ = ["Rigged", "add_shapes", "find_landmarks", "open_rig", "read_landmarks"]
