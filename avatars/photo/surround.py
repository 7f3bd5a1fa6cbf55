"""What lies round the face: a sheet of fine cells over hair, ears, neck and shoulders that follows the face's outline.

The sheet runs on under the face, so that nothing gapes where the face moves away. Its points follow the nearest place
of the face's visible outline in depth and expression; the head's turning reaches hair and ears fully and ends below the
chin, shifts reach down to the shoulders, and nothing moves at the picture's border or beyond the sheet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from avatars.facemesh import OVAL
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
    face_border: float = 0.12  # that of the face itself, which must keep its proportions
    fall: float = 0.12  # depth lost per eye span of distance from the outline


@dataclass(frozen=True)
class Surround:
    """points (G, 3) camera's frame, source (G, 2) pixels; near (G, 2) two outline points and share (G,) of the second;
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
    """The surroundings of one photo of size (width, height); without `head` only as far as expressions reach.

    Rings start on the face's own outline and go outward: skin and hair hang together however the head turns. Behind
    them a sheet of cells fills what hollows of the outline leave open.
    """
    scale = face.pose.scale
    reach = settings.around + settings.fade if head else settings.chin_spread
    rings = _rings(face, size, settings, reach)
    if not head:
        return rings
    low, high = face.source.min(0) - reach * scale, face.source.max(0) + reach * scale
    high[1] = max(high[1], face.source[:, 1].max() + settings.body * scale)
    low, high = np.maximum(low, -1.0), np.minimum(high, np.array(size, float))
    counts = np.maximum(np.ceil((high - low) / (settings.cell * scale)).astype(int), 2)
    x, y = (np.linspace(low[k], high[k], counts[k] + 1) for k in (0, 1))
    source = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    edges = visible_outline(face.source)
    sheet = _following(face, source, edges, size, settings)
    columns, rows = counts[0] + 1, counts[1]
    first = (np.arange(rows)[:, None] * columns + np.arange(columns - 1)).ravel()
    triangles = np.concatenate(
        [
            np.stack([first, first + 1, first + columns], 1),
            np.stack([first + 1, first + columns + 1, first + columns], 1),
        ]
    )
    sheet = replace(sheet, points=sheet.points - [0, 0, 0.8], triangles=triangles.astype(np.int32))
    sheet = replace(sheet, points=face.unproject(source, sheet.points[:, 2]))
    join = lambda name: np.concatenate([getattr(rings, name), getattr(sheet, name)])
    names = ("points", "source", "near", "share", "spread", "turn", "shift", "pin")
    return Surround(*(join(n) for n in names), np.concatenate([rings.triangles, sheet.triangles + len(rings.source)]))


def _rings(face: FaceGeometry, size: tuple[int, int], settings: SurroundSettings, reach: float) -> Surround:
    """Rings of points round the outline, the first on it."""
    import cv2

    scale = face.pose.scale
    hull = cv2.convexHull(face.source.astype(np.float32), returnPoints=False)[:, 0]
    apart = _hull_distance(face.source, face.source[OVAL]) / scale
    loop = np.union1d(hull, OVAL[apart < 0.05])
    centre = face.source[loop].mean(0)
    angle = np.arctan2(*(face.source[loop] - centre).T[::-1])
    loop = loop[np.argsort(angle)]
    near = np.stack([loop, np.roll(loop, -1)], 1).repeat(2, 0)  # every outline point, and the middle of every edge
    share = np.tile([0.0, 0.5], len(loop))
    edge = face.source[near[:, 0]] * (1 - share[:, None]) + face.source[near[:, 1]] * share[:, None]
    outward = edge - centre
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-6)
    steps = np.concatenate([[0.0], np.geomspace(0.05, max(reach, settings.body) + 0.3, 16)])
    source = (edge + outward * (steps[:, None, None] * scale)).reshape(-1, 2)
    rings, around = len(steps), len(near)
    near, share = np.tile(near, (rings, 1)), np.tile(share, rings)
    found = _following(face, source, visible_outline(face.source), size, settings)
    distance = np.repeat(steps, around)
    depth = face.points[near[:, 0], 2] * (1 - share) + face.points[near[:, 1], 2] * share
    depth = depth - settings.fall * np.minimum(distance, 1.0)
    on_edge = distance == 0
    ids = np.arange(rings * around).reshape(rings, around)
    a, b = ids[:-1], np.roll(ids[:-1], -1, 1)
    c, d = ids[1:], np.roll(ids[1:], -1, 1)
    triangles = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    p, q, r = (source[triangles[:, k]] for k in range(3))
    area = (q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0])
    triangles[area < 0] = triangles[area < 0][:, ::-1]
    take = lambda x: np.where(on_edge, 1.0, x)
    return replace(
        found,
        points=face.unproject(source, depth),
        near=near,
        share=share,
        spread=take(found.spread),
        turn=take(found.turn),
        shift=take(found.shift),
        pin=np.where(on_edge, border_weight(source, size, settings.border * scale), found.pin),
        triangles=triangles.astype(np.int32),
    )


def _following(
    face: FaceGeometry, source: np.ndarray, edges: np.ndarray, size: tuple[int, int], settings: SurroundSettings
) -> Surround:
    """How places (N, 2) of the photo follow the face; without triangles."""
    from avatars.photo.raster import nearest_edges

    scale = face.pose.scale
    near, share, distance = nearest_edges(source, face.source, edges)
    distance /= scale
    outside = np.where(_inside(face.source, source), 0.0, distance)
    depth = face.points[near[:, 0], 2] * (1 - share) + face.points[near[:, 1], 2] * share
    depth = depth - settings.fall * np.minimum(distance, 1.0)
    # below: how far along the head's own downward axis a point lies under the outline point nearest to it
    down = face.pose.rotation[:2, 1] * [-1.0, 1.0]
    down = down / max(np.linalg.norm(down), 1e-6)
    chin = ((face.source[152] - face.centre) @ down) / scale
    under = ((source - face.centre) @ down) / scale - chin
    jaw = 0.45 * (
        1 + np.cos(np.pi * np.clip(np.abs((source - face.source[152]) @ [down[1], -down[0]]) / scale / 1.4, 0, 1))
    )
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
    none = np.zeros((0, 3), np.int32)
    return Surround(face.unproject(source, depth), source, near, share, spread, turn * far, shift * far, pin, none)


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
