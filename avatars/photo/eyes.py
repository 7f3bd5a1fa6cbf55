"""The eyes of a photo: eyeballs that turn and lids that close.

    eyes = Eyes.from_photo(image, landmarks)             # once
    eyes.paint(canvas, mesh, head, gaze)                 # each frame, after the warp

The renderer warps the photo with the posed mesh, lid openings included (whatever it puts there is painted
over). Eyeballs ride on the head alone: a lid that moves uncovers or covers them and never squeezes them. The skin of a
closing lid is the warped photo with what the warp smears there (lashes, shadows) taken back to the lid's own colour;
lashes keep their size and ride on the lid's edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatars.photo.eyeball import (
    RIM_LEFT,
    RIM_RIGHT,
    Eyeball,
    Patch,
    Rim,
    analyse,
    borrowed,
    cut,
    find_iris,
    iris_evidence,
    local_frame,
    smoothstep,
)
from avatars.photo.lids import (
    LASH_IN,
    LASH_UP,
    X_FIRST,
    X_LAST,
    Lids,
    analyse_lids,
    edge_table,
    grown_edges,
    passes_edge,
)

CORNEA = 0.57
"""How far a reflection on the cornea travels, against the iris: the cornea's centre lies that much closer to
the eyeball's centre."""


@dataclass(frozen=True)
class _Eye:
    """One eye taken apart, and what each frame needs of it."""

    rim: Rim
    to_local: np.ndarray  # (2, 3) photo -> local
    to_plate: np.ndarray  # (2, 3) f32 local -> plates
    ball: Eyeball
    lids: Lids
    rest: np.ndarray  # (n, 2) lid points of the photo, local: upper edge, then lower
    edges: tuple[np.ndarray, np.ndarray]  # (m,) each: the same as curves
    stretch: float  # how much wider than the mesh's the eye is drawn
    mesh: tuple[np.ndarray, np.ndarray] | None  # the mesh's own edges, stretched, where the drawn ones are larger
    solve: np.ndarray  # (3, n): times the canvas points round the eye = map from photo to canvas, transposed
    axes: np.ndarray  # (2, 3): local right/down components of head right, down, forward
    x: np.ndarray  # (m,) columns of the tables
    aside: np.ndarray  # (m,) fades to 0 beyond the corners
    redo: np.ndarray  # (m,) how far lid skin may be redone
    window: np.ndarray  # smoothing along x


class Eyes:
    """Both eyes of one photo. `from_photo` takes them apart, `paint` draws them."""

    def __init__(self, eyes: list[_Eye]) -> None:
        self._eyes = eyes  # left, right

    @classmethod
    def from_photo(cls, image: np.ndarray, landmarks: np.ndarray) -> Eyes:
        """image (H, W, 3) uint8 RGB; landmarks (478, 3) pixels of that image (irises included)."""
        points = np.asarray(landmarks, np.float64)
        if image.ndim != 3 or image.shape[2] != 3 or points.shape[0] < 478:
            raise ValueError(f"expected an (H, W, 3) image and (478, 3) landmarks, got {image.shape}, {points.shape}")
        return cls(_take_apart(image, points))

    def paint(self, canvas: np.ndarray, mesh: np.ndarray, head: np.ndarray, gaze: np.ndarray) -> None:
        """Paint both eyes into the warped photo, in place.

        canvas  (h, w, 3) uint8: the rendered crop, the photo warped by the posed mesh, eyes included.
        mesh    (468, 3) posed mesh in pixels of the canvas (pixel centres at integers), expression and
                head motion included.
        head    (468, 3) the photo's own mesh moved by the head motion alone (lids as in the photo), same
                frame: it carries the eyeballs. The photo's mesh itself when the head is still.
        gaze    (2, 2) radians, change against the photo: left eye, right eye; yaw (> 0 to the picture's
                right), pitch (> 0 down). As in `FaceMotion.gaze`.

        Where neither lids nor gaze differ from the photo and the head is not turned, nothing is touched.
        """
        for eye, turn in zip(self._eyes, np.asarray(gaze, np.float64).reshape(2, 2)):
            _paint(canvas, np.asarray(mesh, np.float64), np.asarray(head, np.float64), eye, turn)


def _head_axes(points: np.ndarray) -> np.ndarray:
    """(3, 3) columns: the head's right (in the picture), down, forward in picture axes (x, y, z away)."""
    right = points[263] - points[33]
    right = right / max(np.linalg.norm(right), 1e-9)
    down = points[152] - points[10]
    down = down - right * (right @ down)
    down = down / max(np.linalg.norm(down), 1e-9)
    return np.stack([right, down, -np.cross(right, down)], 1)


@dataclass(frozen=True)
class _Opening:
    """One eye before it is taken apart: patch, edges (along x and per patch column), iris."""

    rim: Rim
    local: np.ndarray
    to_local: np.ndarray
    patch: Patch
    edges: tuple[np.ndarray, np.ndarray]
    columns: tuple[np.ndarray, np.ndarray]
    centre: np.ndarray
    radius: float
    evidence: float
    aspect: float  # true width over the width in the picture
    stretch: float  # how much wider than the mesh's the eye is drawn
    mesh: tuple[np.ndarray, np.ndarray] | None  # the mesh's own edges, stretched, where the drawn ones are larger

    @property
    def shut(self) -> bool:
        return float((self.edges[1] - self.edges[0]).max()) < 0.1


def _open_up(image: np.ndarray, points: np.ndarray) -> list[_Opening]:
    """Left and right eye: patch, lids, iris."""
    rims = RIM_LEFT, RIM_RIGHT
    frames = [local_frame(points, rim) for rim in rims]
    locals_ = [points[:, :2] @ to_local[:, :2].T + to_local[:, 2] for to_local, _ in frames]
    patches = [cut(image, *frame) for frame in frames]
    edges = [(local[rim.upper], local[rim.lower]) for local, rim in zip(locals_, rims)]
    drawn = min(passes_edge(patch, *edge) for patch, edge in zip(patches, edges)) > 0.5
    out = []
    for rim, (to_local, width), local, patch, edge in zip(rims, frames, locals_, patches, edges):
        count = int(np.clip(1.44 * width, 96, 512))
        x = np.linspace(X_FIRST, X_LAST, count)
        stretch, mesh, (high, low) = 1.0, None, edge
        if drawn:
            high, low, stretch = grown_edges(patch, *edge, 1.8)
            mesh = edge_table(edge[0] * [stretch, 1], count), edge_table(edge[1] * [stretch, 1], count)
        upper, lower = edge_table(high, count), edge_table(low, count)
        lower = np.maximum(lower, upper)
        columns = np.interp(patch.x[0], x, upper), np.interp(patch.x[0], x, lower)
        centre = local[rim.iris[0]]
        radius = float(np.linalg.norm(local[rim.iris[1:]] - centre, axis=1).max())
        size, trust = (1.2, 0.5) if drawn else (1.0, 1.0)
        centre, radius, contrast = find_iris(patch, centre, size * radius, *columns, trust)
        evidence = iris_evidence(patch, centre, radius, contrast, *columns)
        aspect = float(np.linalg.norm(points[rim.upper[-1]] - points[rim.upper[0]])) / width
        out.append(
            _Opening(
                rim, local, to_local, patch, (upper, lower), columns, centre, radius, evidence, aspect, stretch, mesh
            )
        )
    return out


def _take_apart(image: np.ndarray, points: np.ndarray) -> list[_Eye]:
    basis = _head_axes(points)
    openings = _open_up(image, points)
    seeing = [o for o in openings if not o.shut] or openings
    seen = float(smoothstep(np.array(np.mean([o.evidence for o in seeing])), 0.1, 0.2))
    # the far eye of a face seen from the side is half guessed: it stays as it is
    sure = [seen * float(1 - smoothstep(np.array(o.aspect), 1.3, 1.5)) for o in openings]
    balls = [analyse(o.patch, o.centre, o.radius, *o.columns, o.aspect, s) for o, s in zip(openings, sure)]
    eyes = []
    for i, o in enumerate(openings):
        ball = balls[i]
        if o.shut and not openings[1 - i].shut:
            ball = borrowed(o.patch, o.centre, balls[1 - i], openings[1 - i].patch)
        shade = 1 - ball.shadow * np.exp(-np.maximum(o.patch.y - o.columns[0], 0) / ball.reach)
        iris, cover = ball.iris[..., :3], ball.iris[..., 3:4]
        picture = (ball.ball + cover * (iris - ball.ball)) * shade[..., None] + ball.iris[..., 4:7]
        lids = analyse_lids(o.patch, o.local, o.rim, *o.edges, picture)
        axes = o.to_local[:, :2] / np.sqrt(abs(np.linalg.det(o.to_local[:, :2]))) @ basis[:2]
        around = np.c_[points[o.rim.around, :2], np.ones(len(o.rim.around))]
        x = np.linspace(X_FIRST, X_LAST, len(o.edges[0]))
        t = np.arange(-_WIDE, _WIDE + 1) / (0.05 * len(x))
        window = np.exp(-0.5 * t * t)
        eyes.append(
            _Eye(
                rim=o.rim,
                to_local=o.to_local,
                to_plate=o.patch.to_plate.astype(np.float32),
                ball=ball,
                lids=lids,
                rest=o.local[o.rim.lids],
                edges=o.edges,
                stretch=o.stretch,
                mesh=o.mesh,
                solve=np.linalg.pinv(around),
                axes=axes,
                x=x,
                aside=smoothstep(0.62 - np.abs(x), 0.0, 0.12),
                redo=smoothstep(0.6 - np.abs(x), 0.0, 0.2),
                window=window / window.sum(),
            )
        )
    return eyes


_WIDE = 32
"""Reach of the smoothing along x, table columns."""


def _paint(canvas: np.ndarray, mesh: np.ndarray, head: np.ndarray, eye: _Eye, turn: np.ndarray) -> None:
    from avatars.photo.eye_shader import shade

    rim, lids, ball = eye.rim, eye.lids, eye.ball
    count = len(eye.x)
    # canvas -> photo, as the head carries this eye, -> local
    to_canvas = (eye.solve @ head[rim.around, :2]).T
    turned_back = np.linalg.inv(to_canvas[:, :2])
    to_local = np.empty((2, 3))
    to_local[:, :2] = eye.to_local[:, :2] @ turned_back
    to_local[:, 2] = eye.to_local[:, 2] - to_local[:, :2] @ to_canvas[:, 2]
    posed = mesh[rim.lids, :2] @ to_local[:, :2].T + to_local[:, 2]
    moved, turned = float(np.abs(posed - eye.rest).max()), float(np.abs(turn).max())
    # a turned head warps the slit of the eye as if it were skin; a moved one doesn't
    scale = np.sqrt(abs(np.linalg.det(to_canvas[:, :2])))
    bent = float(np.abs(to_canvas[:, :2] / max(scale, 1e-9) - np.eye(2)).max())
    active = max(_ramp(moved, 0.004, 0.03), _ramp(turned, 0.002, 0.035), _ramp(bent, 0.01, 0.06))
    if active <= 0:
        return

    n = len(rim.upper)
    if eye.mesh is not None:
        posed[:, 0] *= eye.stretch
    upper, lower = edge_table(posed[:n], count), edge_table(posed[n:], count)
    if eye.mesh is not None:
        upper, lower = _carried(upper, lower, eye)
    crossed = np.maximum(upper - lower, 0) / 2
    upper, lower = upper - crossed, lower + crossed
    opening = eye.edges[1] - eye.edges[0]
    closed = np.clip((upper - eye.edges[0]) / np.maximum(opening, 0.6 * max(float(opening.max()), 0.02)), 0, 1)
    padded = np.empty(count + 2 * _WIDE)
    padded[:_WIDE], padded[_WIDE:-_WIDE], padded[-_WIDE:] = closed[0], closed, closed[-1]
    closed = np.convolve(padded, eye.window, "valid") * eye.aside
    overall = float(closed[count // 3 : -(count // 3)].mean())
    upper = upper + (lower - upper) * _ramp(overall, 0.88, 0.97)
    above, brow = (mesh[i, :2] @ to_local[:, :2].T + to_local[:, 2] for i in (rim.above, rim.brow))
    fold, roof = edge_table(above, count), np.interp(eye.x, brow[:, 0], brow[:, 1]) + 0.06
    top = np.minimum(np.maximum(fold - lids.rise, np.minimum(roof, fold)), np.minimum(upper, eye.edges[0]) - 0.05)
    lut = np.empty((7, count), np.float32)
    rows = upper, lower, eye.redo, top, closed, lids.line * _ramp(overall, 0.06, 0.9), lids.thick
    for i, row in enumerate(rows):
        lut[i] = row

    old, new = _direction(ball.gaze), _direction(ball.gaze + turn)
    shift = ball.turn * (eye.axes @ (new - old))
    flat = _disc(eye.axes, old) @ np.linalg.inv(_disc(eye.axes, new))
    place = np.array(
        [*ball.centre, *(ball.centre + shift), *flat.ravel(), *(CORNEA * shift), ball.radius, ball.shadow, ball.reach],
        np.float32,
    )
    pixel = float(np.sqrt(abs(np.linalg.det(to_local[:, :2]))))
    number = np.array([X_FIRST, X_LAST, 0.75 * pixel + 0.008, active, LASH_UP, LASH_IN], np.float32)

    low, high = float(top.min()), float(lower.max()) + 0.12
    corners = np.array([[X_FIRST, low], [X_LAST, low], [X_FIRST, high], [X_LAST, high]])
    spots = (corners - to_local[:, 2]) @ np.linalg.inv(to_local[:, :2]).T
    (x0, y0), (x1, y1) = spots.min(0), spots.max(0)
    box = np.array([max(x0, 0), max(y0, 0), min(x1 + 2, canvas.shape[1]), min(y1 + 2, canvas.shape[0])], np.int64)
    if box[2] > box[0] and box[3] > box[1]:
        shade(
            canvas,
            box,
            to_local.astype(np.float32),
            eye.to_plate,
            ball.ball,
            ball.iris,
            lids.skin,
            lids.tint,
            lids.lash,
            lut,
            place,
            number,
        )


def _carried(upper: np.ndarray, lower: np.ndarray, eye: _Eye) -> tuple[np.ndarray, np.ndarray]:
    """Posed edges of the mesh (m,) -> of the larger drawn eye: opened and shut in the same proportion."""
    assert eye.mesh is not None
    (high, low), (top, bottom) = eye.mesh, eye.edges
    room = np.maximum(low - high, 0.1 * float((low - high).max()))
    scale = (bottom - top) / room
    return top + (upper - high) * scale, bottom + (lower - low) * scale


def _direction(gaze: np.ndarray) -> np.ndarray:
    """Unit vector (right, down, forward) in the head's frame."""
    yaw, pitch = gaze
    return np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])


def _disc(axes: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """(2, 2): the iris plane of an eye that looks along direction, as the picture shows it."""
    a, b, c = direction
    k = 1 / (1 + c)
    plane = np.array([[1 - a * a * k, -a * b * k], [-a * b * k, 1 - b * b * k], [-a, -b]])
    return axes @ plane


def _ramp(value: float, low: float, high: float) -> float:
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)
