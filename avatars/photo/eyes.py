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
from avatars.photo.lids import LASH_IN, LASH_UP, X_FIRST, X_LAST, Lids, analyse_lids, edge_table

CORNEA = 0.57
"""How far a reflection on the cornea travels, against the iris: the cornea's centre lies that much closer to
the eyeball's centre."""


@dataclass(frozen=True)
class _Eye:
    rim: Rim
    to_local: np.ndarray  # (2, 3) photo -> local
    patch: Patch
    ball: Eyeball
    lids: Lids
    rest: np.ndarray  # (468, 2) photo mesh, local
    opening: np.ndarray  # (m,) between the lids' edges in the photo
    axes: np.ndarray  # (2, 3): local right/down components of head right, down, forward


class Eyes:
    """Both eyes of one photo. `from_photo` takes them apart, `paint` draws them."""

    def __init__(self, mesh: np.ndarray, eyes: list[_Eye]) -> None:
        self._mesh = mesh
        self._eyes = eyes  # left, right

    @classmethod
    def from_photo(cls, image: np.ndarray, landmarks: np.ndarray) -> Eyes:
        """image (H, W, 3) uint8 RGB; landmarks (478, 3) pixels of that image (irises included)."""
        points = np.asarray(landmarks, np.float64)
        if image.ndim != 3 or image.shape[2] != 3 or points.shape[0] < 478:
            raise ValueError(f"expected an (H, W, 3) image and (478, 3) landmarks, got {image.shape}, {points.shape}")
        return cls(points[:468], _take_apart(image, points))

    def paint(self, canvas: np.ndarray, mesh: np.ndarray, head: np.ndarray, gaze: np.ndarray) -> None:
        """Paint both eyes into the warped photo, in place.

        canvas  (h, w, 3) uint8: the rendered crop, the photo warped by the posed mesh, eyes included.
        mesh    (468, 3) posed mesh in pixels of the canvas (pixel centres at integers), expression and
                head motion included.
        head    (468, 3) the photo's own mesh moved by the head motion alone (lids as in the photo), same
                frame: it carries the eyeballs. The photo's mesh itself when the head is still.
        gaze    (2, 2) radians, change against the photo: left eye, right eye; yaw (> 0 to the picture's
                right), pitch (> 0 down). As in `FaceMotion.gaze`.

        Where neither lids nor gaze differ from the photo, nothing is touched.
        """
        for eye, turn in zip(self._eyes, np.asarray(gaze, np.float64).reshape(2, 2)):
            _paint(canvas, np.asarray(mesh, np.float64), np.asarray(head, np.float64), self._mesh, eye, turn)


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

    @property
    def shut(self) -> bool:
        return float((self.edges[1] - self.edges[0]).max()) < 0.1


def _open_up(image: np.ndarray, points: np.ndarray, rim: Rim) -> _Opening:
    to_local, width = local_frame(points, rim)
    local = points[:, :2] @ to_local[:, :2].T + to_local[:, 2]
    patch = cut(image, to_local, width)
    count = int(np.clip(1.44 * width, 96, 512))
    x = np.linspace(X_FIRST, X_LAST, count)
    upper, lower = edge_table(local[rim.upper], count), edge_table(local[rim.lower], count)
    lower = np.maximum(lower, upper)
    columns = np.interp(patch.x[0], x, upper), np.interp(patch.x[0], x, lower)
    centre = local[rim.iris[0]]
    radius = float(np.linalg.norm(local[rim.iris[1:]] - centre, axis=1).max())
    centre, radius, edge = find_iris(patch, centre, radius, *columns)
    evidence = iris_evidence(patch, centre, radius, edge, *columns)
    aspect = float(np.linalg.norm(points[rim.upper[-1]] - points[rim.upper[0]])) / width
    return _Opening(rim, local, to_local, patch, (upper, lower), columns, centre, radius, evidence, aspect)


def _take_apart(image: np.ndarray, points: np.ndarray) -> list[_Eye]:
    basis = _head_axes(points)
    openings = [_open_up(image, points, rim) for rim in (RIM_LEFT, RIM_RIGHT)]
    seeing = [o for o in openings if not o.shut] or openings
    seen = float(smoothstep(np.array(np.mean([o.evidence for o in seeing])), 0.1, 0.2))
    balls = [analyse(o.patch, o.centre, o.radius, *o.columns, o.aspect, seen) for o in openings]
    eyes = []
    for i, o in enumerate(openings):
        ball = balls[i]
        if o.shut and not openings[1 - i].shut:
            ball = borrowed(o.patch, o.centre, balls[1 - i], openings[1 - i].patch)
        shade = 1 - ball.shadow * np.exp(-np.maximum(o.patch.y - o.columns[0], 0) / ball.reach)
        picture = (ball.ball + ball.iris[..., 3:4] * (ball.iris[..., :3] - ball.ball)) * shade[..., None] + ball.iris[..., 4:7]
        lids = analyse_lids(o.patch, o.local, o.rim, *o.edges, picture)
        axes = o.to_local[:, :2] / np.sqrt(abs(np.linalg.det(o.to_local[:, :2]))) @ basis[:2]
        eyes.append(_Eye(o.rim, o.to_local, o.patch, ball, lids, o.local[:468], o.edges[1] - o.edges[0], axes))
    return eyes


def _paint(canvas: np.ndarray, mesh: np.ndarray, head: np.ndarray, photo: np.ndarray, eye: _Eye, turn: np.ndarray) -> None:
    from avatars.photo.eye_shader import shade

    rim, lids, ball = eye.rim, eye.lids, eye.ball
    columns = len(lids.upper)
    # canvas -> photo, as the head carries this eye
    around = rim.around
    source = np.c_[head[around, :2], np.ones(len(around))]
    to_photo, *_ = np.linalg.lstsq(source, photo[around, :2], rcond=None)
    to_local = eye.to_local[:, :2] @ to_photo.T
    to_local[:, 2] += eye.to_local[:, 2]
    posed = mesh[:, :2] @ to_local[:, :2].T + to_local[:, 2]
    upper = edge_table(posed[rim.upper], columns)
    lower = edge_table(posed[rim.lower], columns)
    top = edge_table(posed[rim.above], columns)
    start_upper, start_lower = edge_table(eye.rest[rim.upper], columns), edge_table(eye.rest[rim.lower], columns)
    gap = np.maximum(start_lower - start_upper, 1e-3)
    scale = np.clip(eye.opening / gap, 0.5, 3.0)
    upper = lids.upper + (upper - start_upper) * scale
    lower = lids.lower + (lower - start_lower)
    moved = float(np.abs(posed[np.r_[rim.upper, rim.lower]] - eye.rest[np.r_[rim.upper, rim.lower]]).max())
    turned = float(np.abs(turn).max())
    active = min(1.0, max(_ramp(moved, 0.004, 0.03), _ramp(turned, 0.002, 0.035)))
    if active <= 0:
        return
    middle = (upper + lower) / 2
    crossed = upper > lower
    upper, lower = np.where(crossed, middle, upper), np.where(crossed, middle, lower)
    depth = max(float(eye.opening.max()), 0.02)
    closed = np.clip((upper - lids.upper) / np.maximum(eye.opening, 0.4 * depth), 0, 1)
    closed = np.convolve(np.pad(closed, (_WIDE, _WIDE), "edge"), _soft_window(columns), "same")[_WIDE:-_WIDE]
    aside = np.abs(np.linspace(X_FIRST, X_LAST, columns))
    closed *= smoothstep(0.62 - aside, 0.0, 0.12)
    overall = float(closed[columns // 3 : -columns // 3].mean())
    upper = upper + (lower - upper) * _ramp(overall, 0.88, 0.97)
    brow = np.interp(np.linspace(X_FIRST, X_LAST, columns), posed[rim.brow, 0], posed[rim.brow, 1])
    top = np.minimum(np.maximum(top - 0.12, np.minimum(brow + 0.06, top)), np.minimum(upper, lids.upper) - 0.05)
    redo = smoothstep(0.6 - aside, 0.0, 0.2)
    lut = np.stack([upper, lower, redo, redo, top, closed, lids.line * _ramp(overall, 0.06, 0.9), lids.thick])
    lut = lut.astype(np.float32)

    pixel = float(np.sqrt(abs(np.linalg.det(to_local[:, :2]))))
    place = np.zeros(16, np.float32)
    old = _direction(ball.gaze)
    new = _direction(ball.gaze + turn)
    shift = ball.turn * (eye.axes @ (new - old))
    place[0:2] = ball.centre
    place[2:4] = ball.centre + shift
    flat = _disc(eye.axes, old) @ np.linalg.inv(_disc(eye.axes, new))
    place[4:8] = flat.ravel()
    place[8:10] = CORNEA * shift
    place[10], place[11], place[12] = ball.radius, ball.shadow, ball.reach
    number = np.array([X_FIRST, X_LAST, 0.75 * pixel + 0.008, active, LASH_UP, LASH_IN, 0, 0.06], np.float32)

    corners = np.array([[X_FIRST, float(top.min())], [X_LAST, float(top.min())],
                        [X_FIRST, float(lower.max()) + 0.12], [X_LAST, float(lower.max()) + 0.12]])  # fmt: skip
    back = np.linalg.inv(np.vstack([to_local, [0, 0, 1]]))
    spots = corners @ back[:2, :2].T + back[:2, 2]
    h, w = canvas.shape[:2]
    low, high = np.floor(spots.min(0)), np.ceil(spots.max(0)) + 1
    box = np.array([max(low[0], 0), max(low[1], 0), min(high[0], w), min(high[1], h)]).astype(np.int64)
    if box[2] > box[0] and box[3] > box[1]:
        shade(canvas, box, to_local.astype(np.float32), eye.patch.to_plate.astype(np.float32), ball.ball, ball.iris,
              lids.skin, lids.tint, lids.lash, lut, place, number)  # fmt: skip


_WIDE = 32


def _soft_window(columns: int) -> np.ndarray:
    """Smoothing along x over about a tenth of the eye."""
    t = np.arange(-_WIDE, _WIDE + 1) / (0.05 * columns)
    window = np.exp(-0.5 * t * t)
    return window / window.sum()


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
