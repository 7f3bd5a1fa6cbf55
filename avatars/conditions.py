"""Condition pictures for diffusion: what a posed head looks like to a ControlNet.

    draw = Conditions(rig, (512, 512))
    picture = draw("normals", rig.vertices(weights, head), camera)      # (512, 512, 3) uint8

landmarks     lines of FaceMesh's contours on black, a colour for each part of the face.
normals       (n + 1) / 2 of the surface in the camera's frame (x right, y up, z towards the viewer), black behind.
depth         near is white, as MiDaS and ControlNet's depth have it; the head's own range of depths.
segmentation  a colour for each part: skin, lips, eyes, brows, hair and neck by where they lie on the head.
render        the head lit, as DECA's and FLAME's renders condition their models.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from avatars import facemesh
from avatars.pose import Pose
from avatars.render3d import RigRenderer
from avatars.rig import Rig
from avatars.shade3d import Camera, Fragments, vertex_normals
from studio.errors import UsageError
from studio.motion import EYE_SPAN

KINDS = ("landmarks", "normals", "depth", "segmentation", "render")

FAR = 20.0
"""Metres from which a photo's head is looked at: weak perspective."""

_LINES = (
    (facemesh.OVAL, (150, 150, 150), True),
    (facemesh.BROW_RIGHT[:5], (255, 170, 0), False),
    (facemesh.BROW_LEFT[:5], (170, 255, 0), False),
    (facemesh.EYE_RIGHT, (0, 255, 85), True),
    (facemesh.EYE_LEFT, (0, 170, 255), True),
    (np.array([168, 6, 197, 195, 5, 4, 1]), (0, 0, 255), False),
    (np.array([98, 97, 2, 326, 327]), (85, 0, 255), False),
    (facemesh.LIPS_OUTER, (255, 0, 85), True),
    (facemesh.LIPS_INNER, (255, 0, 0), True),
)
"""FaceMesh's points, colour, whether the line is closed."""

SEGMENTS = {
    "skin": (204, 140, 110),
    "lips": (220, 40, 60),
    "eye": (240, 240, 250),
    "brow": (90, 60, 30),
    "hair": (60, 40, 120),
    "neck": (180, 170, 60),
    "mouth": (120, 0, 20),
}
"""RGB of a part in a segmentation."""


class Conditions:
    """A rig's condition pictures of size (width, height) pixels. Threads may share one."""

    def __init__(self, rig: Rig, size: tuple[int, int]) -> None:
        if rig.facemesh is None:
            raise UsageError(f"{rig.name}: no landmarks on this head; condition pictures need the embedded one")
        self.rig, self.size = rig, size
        self.renderer = RigRenderer(rig, size)

    def __call__(self, kind: str, vertices: np.ndarray, camera: Camera | None = None) -> np.ndarray:
        """(H, W, 3) uint8 of posed vertices (V, 3) metres, seen by a camera of that size (default: the whole head).
        Raises UsageError for an unknown kind."""
        if kind not in KINDS:
            raise UsageError(f"condition {kind!r}: choose one of {', '.join(KINDS)}")
        camera = camera or self.renderer.camera
        if kind == "render":
            return self.renderer.draw(vertices, camera)
        if kind == "landmarks":
            return draw_landmarks(landmarks_of(self.rig, vertices, camera), camera.size)
        view = camera.scaled(2)
        seen = self.renderer.fragments(vertices, view)
        if kind == "normals":
            facing = vertex_normals(vertices, self.rig.triangles) @ view.rotation.T.astype(np.float32)
            return _half(np.where(seen.cover[..., None], 0.5 + 0.5 * seen.spread(facing, self.rig.triangles), 0.0))
        if kind == "depth":
            return _half(_nearness(seen)[..., None].repeat(3, 2))
        colours = np.vstack([_segments(self.rig), [(0, 0, 0)]])  # the last is what an index of -1 finds
        return _half(colours[seen.index] / 255)


def landmarks_of(rig: Rig, vertices: np.ndarray, camera: Camera) -> np.ndarray:
    """(468, 2) float32 pixels where FaceMesh's points lie on posed vertices (V, 3) metres."""
    triangle, share = rig.facemesh  # type: ignore[misc]
    points = (vertices[rig.triangles[triangle]] * share[..., None]).sum(1)
    return camera.project(points)[:, :2].astype(np.float32)


def draw_landmarks(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8: the lines of points (468 or 478, 2 or 3) pixels on black; irises where there are 478."""
    import cv2

    points = np.asarray(points, np.float64)
    if points.ndim != 2 or len(points) not in (468, 478) or not np.isfinite(points[:, :2]).all():
        raise UsageError(f"landmarks {points.shape}: FaceMesh's 468 or 478 points expected")
    width, height = size
    canvas = np.zeros((height, width, 3), np.uint8)
    thick = max(1, round(min(size) / 200))
    for where, colour, closed in _LINES:
        line = np.round(16 * np.clip(points[where, :2], -4 * max(size), 5 * max(size))).astype(np.int32)
        cv2.polylines(canvas, [line[:, None]], closed, colour, thick, cv2.LINE_AA, 4)
    if len(points) == 478:
        for ring in (facemesh.IRIS_RIGHT, facemesh.IRIS_LEFT):
            x, y = np.round(16 * points[ring[0], :2]).astype(int)
            cv2.circle(canvas, (int(x), int(y)), 16 * thick, (255, 255, 255), -1, cv2.LINE_AA, 4)
    return canvas


def camera_of(pose: Pose, size: tuple[int, int] | None = None) -> Camera:
    """A camera that sees a head as a photo's pose does; size (width, height): the photo scaled to it."""
    whole = size or pose.size
    scale = whole[0] / pose.size[0]
    centre = (scale * float(pose.centre[0]), -scale * float(pose.centre[1]))
    rotation = np.asarray(pose.rotation, np.float64)
    return Camera(whole, scale * pose.scale / EYE_SPAN * FAR, centre, rotation, np.array([0.0, 0.0, -FAR]))


def _half(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 of (2H, 2W, 3) 0..1."""
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    small = picture.reshape(height, 2, width, 2, 3).mean((1, 3))
    return np.clip(255 * small + 0.5, 0, 255).astype(np.uint8)


def _nearness(seen: Fragments) -> np.ndarray:
    """(H, W) 0..1: 1 at the nearest point, 0.1 at the farthest, 0 where nothing is."""
    depth = seen.depth
    if not seen.cover.any():
        return np.zeros(depth.shape)
    low, high = depth[seen.cover].min(), depth[seen.cover].max()
    return np.where(seen.cover, 1 - 0.9 * (depth - low) / max(high - low, 1e-6), 0.0)


@lru_cache(maxsize=1)
def _regions() -> np.ndarray:
    """(V,) number in `SEGMENTS` of the embedded head's vertices by the mean head; all heads share its topology."""
    import cv2

    from avatars.head import embedded_head

    rig, names = embedded_head(), list(SEGMENTS)
    place = rig.neutral / EYE_SPAN
    out = np.full(len(place), names.index("skin"))
    line = np.interp(place[:, 2], [-2.0, -1.35, -1.1, -0.7, -0.4, 0.0], [-1.1, -0.9, 0.25, 0.30, 0.62, 0.80])
    out[place[:, 1] > line] = names.index("hair")
    out[place[:, 1] < -1.25] = names.index("neck")
    for name, loop in (
        ("lips", facemesh.LIPS_OUTER),
        ("brow", facemesh.BROW_LEFT),
        ("brow", facemesh.BROW_RIGHT),
    ):
        edge = np.ascontiguousarray(facemesh.MEAN[loop], np.float32)
        hull = cv2.convexHull(edge[:, :2].copy()) if name == "brow" else edge[:, None, :2].copy()
        near = place[:, 2] > edge[:, 2].min() - 0.05
        inside = np.array([cv2.pointPolygonTest(hull, (float(x), float(y)), False) >= 0 for x, y in place[:, :2]])
        out[near & inside] = names.index(name)
    for part, where in rig.parts.items():
        if part != "skin":
            out[where] = names.index("eye" if part.startswith("eye") else "mouth")
    return out


def _segments(rig: Rig) -> np.ndarray:
    """(F, 3) uint8: the colour of a rig's triangles; by their first vertex."""
    colours = np.array(list(SEGMENTS.values()), np.uint8)
    return colours[_regions()[rig.triangles[:, 0]]]
