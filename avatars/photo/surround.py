"""What lies round the face: a sheet of fine cells over hair, ears, neck and shoulders that follows the face's outline.

The sheet runs on under the face, so that nothing gapes where the face moves away. Its points follow the nearest place
of the face's visible outline in depth and expression; the head's turning reaches hair and ears fully and ends below the
chin, shifts reach down to the shoulders, and nothing moves at the picture's border or beyond the sheet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatars.photo.geometry import FACE_TRIANGLES, FaceGeometry


@dataclass(frozen=True)
class SurroundSettings:
    """Lengths in eye spans."""

    cell: float = 0.09
    around: float = 1.25  # hair and ears: this far beyond the outline the head takes everything along
    fade: float = 1.1  # and this much further it takes nothing
    neck: float = 1.0  # turning ends this far below the chin
    body: float = 2.6  # shifts end this far below it
    spread: float = 0.28  # expression at the outline ends this far beyond it
    chin_spread: float = 0.55  # and below the chin, where the jaw goes far
    border: float = 0.45  # motion fades towards the picture's border
    fall: float = 0.12  # depth lost per eye span of distance from the outline


@dataclass(frozen=True)
class Surround:
    """points (G, 3) camera's frame, source (G, 2) pixels; near (G, 2) the two outline points and share (G,) of the second;
    spread, turn, shift, pin (G,) weights 0..1 of expression, rotation, translation and border; triangles (M, 3)."""

    points: np.ndarray
    source: np.ndarray
    near: np.ndarray
    share: np.ndarray
    spread: np.ndarray
    turn: np.ndarray
    shift: np.ndarray
    pin: np.ndarray
    triangles: np.ndarray


def border_weight(source: np.ndarray, size: tuple[int, int], margin: float) -> np.ndarray:
    """(N,) 0 on the picture's border and beyond it, 1 from `margin` pixels inwards."""
    edge = np.minimum(source, np.array(size) - 1.0 - source).min(1)
    return _smooth(edge / margin)


def visible_outline(source: np.ndarray) -> np.ndarray:
    """(E, 2) edges of the mesh (468, 2) pixels that border on what faces the camera."""
    a, b, c = (source[FACE_TRIANGLES[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    front = FACE_TRIANGLES[area * np.sign(np.median(area)) > 0]
    edges = np.sort(np.concatenate([front[:, [0, 1]], front[:, [1, 2]], front[:, [2, 0]]]), 1)
    edges, count = np.unique(edges, axis=0, return_counts=True)
    edges = edges[count == 1]
    # lids and lips that cross in the photo make borders of their own: keep those far from the middle
    hull = _hull_distance(source, (source[edges[:, 0]] + source[edges[:, 1]]) / 2)
    return edges[hull < 0.25 * np.ptp(source[:, 0])]


def _hull_distance(points: np.ndarray, at: np.ndarray) -> np.ndarray:
    import cv2

    hull = cv2.convexHull(points.astype(np.float32))
    return np.array([abs(cv2.pointPolygonTest(hull, (float(x), float(y)), True)) for x, y in at])


def surround(face: FaceGeometry, size: tuple[int, int], settings: SurroundSettings, head: bool) -> Surround:
    """The sheet of one photo of size (width, height); without `head` only as far as expressions reach."""
    from avatars.photo.raster import nearest_edges

    scale = face.pose.scale
    reach = settings.around + settings.fade if head else settings.chin_spread
    low, high = face.source.min(0) - reach * scale, face.source.max(0) + reach * scale
    if head:
        high[1] = max(high[1], face.source[:, 1].max() + settings.body * scale)
    low, high = np.maximum(low, -1.0), np.minimum(high, np.array(size, float))
    counts = np.maximum(np.ceil((high - low) / (settings.cell * scale)).astype(int), 2)
    x, y = (np.linspace(low[k], high[k], counts[k] + 1) for k in (0, 1))
    source = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    edges = visible_outline(face.source)
    near, share, distance = nearest_edges(source, face.source, edges)
    distance /= scale
    inside = _inside(face.source, source)
    outside = np.where(inside, 0.0, distance)
    depth = face.points[near[:, 0], 2] * (1 - share) + face.points[near[:, 1], 2] * share
    depth = depth - 0.02 - settings.fall * np.minimum(distance, 1.0)
    depth = depth - np.where(inside, np.minimum(distance / 0.1, 1.0) * 0.8, 0.0)  # a jaw that opens stays in front
    # below: how far along the head's own downward axis a point lies under the outline point nearest to it
    down = face.pose.rotation[:2, 1] * [-1.0, 1.0]
    down = down / max(np.linalg.norm(down), 1e-6)
    chin = ((face.source[152] - face.centre) @ down) / scale
    under = ((source - face.centre) @ down) / scale - chin
    jaw = 0.45 * (1 + np.cos(np.pi * np.clip(np.abs((source - face.source[152]) @ [down[1], -down[0]]) / scale / 1.4, 0, 1)))
    start = under + 0.35 * (1 - jaw / 0.9)  # the jaw rises towards the ears, and the neck's edge with it
    turn = 1 - _smooth(start / settings.neck)
    shift = 1 - _smooth(start / settings.body)
    far = 1 - _smooth((outside - settings.around) / settings.fade)
    lower = np.array([size[0], size[1]]) - 1.0 - source
    shift = shift * _smooth(lower[:, 1] / (1.2 * scale))
    drop = np.clip(start + 0.3, 0, 0.3) / 0.3
    wide = settings.spread + drop * (settings.chin_spread - settings.spread)
    spread = 1 - _smooth(outside / wide)
    pin = border_weight(source, size, settings.border * scale)
    columns, rows = counts[0] + 1, counts[1]
    first = (np.arange(rows)[:, None] * columns + np.arange(columns - 1)).ravel()
    triangles = np.concatenate([np.stack([first, first + 1, first + columns], 1),
                                np.stack([first + 1, first + columns + 1, first + columns], 1)])  # fmt: skip
    return Surround(face.unproject(source, depth), source, near, share, spread, turn * far, shift * far, pin,
                    triangles.astype(np.int32))  # fmt: skip


def _inside(points: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Which places (N, 2) lie within the mesh's outline."""
    import cv2

    low = points.min(0) - 2
    mask = np.zeros(tuple(np.ceil(np.ptp(points, axis=0)).astype(int)[::-1] + 5), np.uint8)
    for triangle in np.round((points - low)[FACE_TRIANGLES]).astype(np.int32):
        cv2.fillConvexPoly(mask, triangle, 1)
    spot = np.round(at - low).astype(int)
    ok = (spot >= 0).all(1) & (spot < mask.shape[::-1]).all(1)
    out = np.zeros(len(at), bool)
    out[ok] = mask[spot[ok, 1], spot[ok, 0]] > 0
    return out


def _smooth(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0.0, 1.0)
    return t * t * (3 - 2 * t)
