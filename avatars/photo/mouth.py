"""The inside of the mouth: teeth on skull and jaw, tongue, cavity, drawn where the lips part.

`MouthInterior.from_photo` looks once at the portrait; `paint` then draws one frame into the rendered picture,
within the hole between the inner lips only. It is deterministic and continuous in all its inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from avatars.facemesh import LIPS_INNER, MEAN
from avatars.photo.mouth_lips import closed_curve, hole_box, lip_heights
from avatars.photo.mouth_own import OwnInterior, read_own
from avatars.photo.mouth_palette import MouthPalette, read_palette

SPAN_MM = 90.0
"""An eye span in millimetres."""

ANCHORS = np.array([33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 10, 151, 9, 67, 297])
"""Points that follow the skull: eye corners, bridge and tip of the nose, forehead."""

_TILT = 0.20  # the mesh's frame leans this far (rad) against the plane of the bite
_HINGE = np.array([0.0, -26.0, -75.0])  # axis of the jaw, mm, frame of the mesh
JAW_FULL = np.radians(25.3)
"""Rotation of the jaw at jawOpen = 1."""


@dataclass(frozen=True)
class MouthSettings:
    """Lengths in millimetres of a grown face."""

    upper_below_lip: float = 2.4  # the front teeth end this far below the resting lip line
    lower_below_lip: float = 2.4  # the lower teeth begin this far below it
    teeth_behind_lip: float = 7.0
    open_mm: float = 2.0  # a photo whose lips are further apart shows its own teeth
    edge_px: float = 1.1  # softness of the lips' edge, canvas pixels


class MouthInterior:
    """What lies behind the lips of one portrait.

    `palette`: colours read from the photo; `settings`; `face` (468, 3): the photo's mesh in the head's frame,
    millimetres. Make it with `from_photo`."""

    def __init__(
        self,
        palette: MouthPalette,
        face: np.ndarray,
        pixel_mm: float,
        rest: np.ndarray,
        settings: MouthSettings,
        jaw: float = 0.0,
    ) -> None:
        from avatars.photo.dentition import arch_table

        self.palette, self.face, self.pixel_mm, self.settings = palette, face, pixel_mm, settings
        self._photo_jaw = JAW_FULL * jaw
        self._solve = np.linalg.pinv(np.c_[face[ANCHORS], np.ones(len(ANCHORS))])  # (4, n)
        lips = 0.5 * (rest[13] + rest[14])
        width = np.linalg.norm(rest[78, :2] - rest[308, :2])
        mean_width = SPAN_MM * np.linalg.norm(MEAN[78, :2] - MEAN[308, :2])
        self._size = float(np.clip(np.sqrt(width / mean_width), 0.86, 1.14))
        self._width = width / self._size
        cos, sin = np.cos(_TILT), np.sin(_TILT)
        self._axes = np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]]) * self._size  # bite -> head
        origin = np.array([0.5 * (rest[13, 0] + rest[0, 0]), lips[1], 0.5 * rest[13, 2] + 0.5 * SPAN_MM * MEAN[13, 2]])
        behind = np.array([0.0, 0.0, -settings.teeth_behind_lip])
        self._upper = origin + behind + self._axes @ np.array([0.0, -settings.upper_below_lip, 0.0])
        self._lower = origin + behind + self._axes @ np.array([0.0, -settings.lower_below_lip, -2.0])
        self._tables = arch_table(True), arch_table(False)
        self.own = OwnInterior.nothing()
        self._opened = False
        self._slack = np.zeros(9)  # mm by which the photo's shut lips seem to gape
        noise = np.random.default_rng(7).normal(size=(64, 64))
        self._grain = noise.astype(np.float32)

    @classmethod
    def from_photo(
        cls,
        image: np.ndarray,
        mesh_px: np.ndarray,
        *,
        neutral_px: np.ndarray | None = None,
        jaw: float | None = None,
        settings: MouthSettings = MouthSettings(),
    ) -> MouthInterior:
        """Look at a portrait.

        image (H, W, 3) uint8 RGB; mesh_px (468 or 478, 3) its landmarks in pixels (z in pixels, towards the camera
        negative); neutral_px (468, 3): the same mesh in the same pose with the expression taken out, where known
        (it says where the lips rest; without it the mean face helps); jaw: the photo's own jawOpen weight, where
        known. A photo whose mouth is open keeps its own teeth and tongue: they move with skull and jaw."""
        mesh = np.asarray(mesh_px, np.float64)[:468] * np.array([1.0, -1.0, -1.0])
        scale, rotation, shift = _similarity(SPAN_MM * MEAN[ANCHORS].astype(np.float64), mesh[ANCHORS])
        face = (mesh - shift) @ rotation / scale
        if neutral_px is None:
            rest = face.copy()
            middle = 0.5 * (face[13] + face[14])
            gap = face[13, 1] - face[14, 1]
            middle[1] = face[13, 1] - min(0.3 * gap, 3.0)
            rest[13], rest[14] = middle, middle
        else:
            rest = (np.asarray(neutral_px, np.float64)[:468] * np.array([1.0, -1.0, -1.0]) - shift) @ rotation / scale
        if jaw is None:  # from the gap of the lips; a smile shows 8 mm of teeth with the jaw shut
            gap = face[13, 1] - face[14, 1]
            jaw = float(np.clip((gap - 8.0) / 33.0, 0.0, 1.2))
        mouth = cls(read_palette(image, mesh_px), face, 1.0 / scale, rest, settings, jaw)
        if face[13, 1] - face[14, 1] > settings.open_mm:
            mouth._keep_own(image, np.asarray(mesh_px, np.float64))
        if not mouth._opened:
            gap = face[LIPS_INNER[:10:-1], 1] - face[LIPS_INNER[1:10], 1]
            mouth._slack = np.clip(1.08 * gap, 0.0, settings.open_mm)
        return mouth

    def _keep_own(self, image: np.ndarray, mesh_px: np.ndarray) -> None:
        """Keep what the photo's open mouth shows, and bring the drawn teeth into line with it."""
        pose = (self._solve @ mesh_px[ANCHORS, :2]).T
        lips = closed_curve(mesh_px[LIPS_INNER, :2], 4)
        for _ in range(2):  # once to find the teeth, once in the frame that is moved to them
            upper, lower = self._planes(pose, self._photo_jaw)
            self.own = read_own(image, lips, upper, lower, self.pixel_mm / self._size)
            if self.own.edge is None:
                break
            shift = float(np.clip(self.own.edge, -6.0, 9.0))
            self._upper = self._upper + self._axes @ np.array([0.0, shift, 0.0])
        self._opened = bool(self.own.upper_at[2] > 0.0)
        if self.own.teeth is not None:
            self.palette = replace(self.palette, teeth=self.own.teeth * 1.04)
        if self.own.tongue is not None:
            self.palette = replace(self.palette, tongue=0.3 * self.palette.tongue + 0.7 * self.own.tongue)

    def _planes(self, pose: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
        """Maps from canvas pixel to the planes of the upper and lower arch."""
        turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
        lower = _to_plane(pose, _HINGE + turn @ (self._lower - _HINGE), turn @ self._axes)
        return _to_plane(pose, self._upper, self._axes), lower

    def paint(
        self,
        canvas: np.ndarray,
        mesh_px: np.ndarray,
        *,
        jaw: float | None = None,
        tongue: float = 0.0,
        tongue_out: float = 0.0,
        hole: np.ndarray | None = None,
    ) -> None:
        """Draw the inside of the mouth into a rendered frame, in place.

        canvas (h, w, 3) uint8 or float32 (0..255) RGB; mesh_px (468 or more, 3) the posed landmarks in canvas
        pixels, same axes as in `from_photo` (a crop or a scaled picture is fine: shift and scale them along);
        jaw: rotation of the lower jaw as a weight of jawOpen (1 = 25 degrees; the photo's own weight plus the
        change), read from the chin when None; tongue: 0 at rest, 1 raised to the upper teeth; tongue_out: weight of
        tongueOut; hole (h, w) float32 coverage, `mouth_hole` when None. Nothing outside the hole changes, save
        under a tongue that is put out."""
        from avatars.photo.mouth_shader import draw_line, shade

        mesh = np.asarray(mesh_px, np.float64)
        lips = mesh[LIPS_INNER, :2]
        pose = (self._solve @ mesh[ANCHORS, :2]).T  # (2, 4) head mm -> canvas
        box, alpha = hole_box(self._parted(lips, pose), canvas.shape, self.settings.edge_px)
        if alpha is None:
            return
        if hole is not None:
            alpha = np.ascontiguousarray(hole[box], np.float32)
        if not self._opened and tongue_out <= 0.0 and not (alpha > 0.002).any():
            return
        angle = JAW_FULL * jaw if jaw is not None else self._photo_jaw + self._jaw_angle(pose, mesh)
        upper, lower = self._planes(pose, angle)
        outline, span = lip_heights(lips, upper)
        open_mm = float(max((outline[0] - outline[1]).max(), 0.0))
        if self.own.edge is None:
            self._show_teeth(upper, lower, outline, span, open_mm)
        mm = 0.5 * (np.hypot(upper[0], upper[3]) + np.hypot(upper[1], upper[4]))  # per canvas pixel
        blur_mm = self.palette.blur * self.pixel_mm / self._size
        soft = float(np.hypot(1.1 * mm, 0.8 * blur_mm))
        half = 0.5 if canvas.dtype == np.uint8 else 0.0
        rise = float(np.clip(tongue, 0.0, 1.0))
        wide = _ramp(open_mm, 8.0, 30.0)  # seen whole, it is a mound; in a narrow opening it fills the floor
        body = np.array([0.0, -8.5 + 8.0 * rise, -27.0 + 7.0 * rise, 25.0 - 6.0 * wide, 10.0 + rise, 24.0])
        per_pixel = self._size / self.pixel_mm
        grain = self.palette.grain * min(1.0, mm * per_pixel)
        shade(
            canvas,
            alpha,
            box[0].start,
            box[1].start,
            upper,
            lower,
            *self._tables,
            outline,
            span,
            body,
            soft,
            self.palette.light,
            self.palette.colours(),
            open_mm,
            self._grain,
            per_pixel,
            grain,
            half,
            self.own.upper,
            self.own.upper_at,
            self.own.lower,
            self.own.lower_at,
        )
        if self._opened:  # such a photo holds no line where the lips meet
            strength = 0.55 * (1.0 - _ramp(open_mm, 0.8, 3.0))
            if strength > 0.003:
                width = float(np.hypot(0.45, 0.6 * soft))
                draw_line(
                    canvas,
                    box[0].start,
                    box[1].start,
                    alpha.shape[0],
                    alpha.shape[1],
                    upper,
                    outline,
                    span,
                    strength,
                    width,
                    self.palette.lip,
                    half,
                )
        if tongue_out > 0.0:
            self._put_out(canvas, pose, outline, span, soft, float(min(tongue_out, 1.0)), half)

    def hole(self, mesh_px: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Coverage (h, w) float32 of the part of the canvas that `paint` draws on when it is given no hole."""
        mesh = np.asarray(mesh_px, np.float64)
        alpha = np.zeros(shape[:2], np.float32)
        pose = (self._solve @ mesh[ANCHORS, :2]).T
        box, part = hole_box(self._parted(mesh[LIPS_INNER, :2], pose), shape, self.settings.edge_px)
        if part is not None:
            alpha[box] = part
        return alpha

    def _parted(self, lips: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """The contour between parted lips: detected lips gape a little even where the photo's are shut, so that
        much is taken off, and lips that cross leave nothing."""
        up = self._axes @ np.array([0.0, 1.0, 0.0]) / self._size
        up = pose[:, :3] @ up
        mm = float(np.hypot(*up))
        low, high = lips[1:10], lips[:10:-1]
        gap = (high - low) @ (up / mm)
        slack = self._slack * mm * (1.0 - _ramp(float(gap.max()) / mm, 1.0 + self._slack.max(), 7.0))
        keep = np.maximum(gap - slack, 0.0) / np.maximum(gap, 1e-6)
        middle, half = 0.5 * (high + low), 0.5 * (high - low)
        out = lips.copy()
        out[1:10] = middle - half * keep[:, None]
        out[:10:-1] = middle + half * keep[:, None]
        return out

    def _put_out(
        self,
        canvas: np.ndarray,
        pose: np.ndarray,
        outline: np.ndarray,
        span: np.ndarray,
        soft: float,
        out: float,
        half: float,
    ) -> None:
        from avatars.photo.mouth_tongue import draw_tongue

        front = _to_plane(pose, self._upper, self._axes)
        x = np.array([-18.0, 18.0])
        y = np.array([outline[1].min() - 34.0, outline[0].max() + 1.0])
        corners = np.array([(i, j) for i in x for j in y])
        at = np.linalg.solve(front[[0, 1, 3, 4]].reshape(2, 2), (corners - front[[2, 5]]).T).T
        low = np.clip(np.floor(at.min(0)).astype(int), 0, None)
        high = np.clip(np.ceil(at.max(0)).astype(int) + 1, None, canvas.shape[1::-1])
        if (high > low).all():
            draw_tongue(
                canvas,
                low[1],
                low[0],
                high[1] - low[1],
                high[0] - low[0],
                front,
                outline,
                span,
                out,
                soft,
                self.palette.light,
                self.palette.colours(),
                half,
            )

    def _show_teeth(
        self, upper: np.ndarray, lower: np.ndarray, outline: np.ndarray, span: np.ndarray, open_mm: float
    ) -> None:
        """Move the arches a little, in place, so that an open mouth shows the teeth that people see in one: some of
        the upper ones from a narrow opening on (a rounded mouth hides them), the lower ones in a wide one."""
        width = (span[1] - span[0]) / self._width
        round_lips = _ramp(width, 0.72, 0.92)
        at = np.clip((0.0 - span[0]) / max(span[1] - span[0], 1e-3), 0.0, 1.0) * (outline.shape[1] - 1)
        top, bottom = (float(np.interp(at, np.arange(outline.shape[1]), line)) for line in outline)
        want = 3.0 * _ramp(open_mm, 2.0, 14.0) * (0.4 + 0.6 * round_lips)
        shift = min(_soft_floor(want - top), 2.5)  # the edge lies at y = 0: `top` mm of teeth show
        upper[5] += shift
        outline += shift
        matrix = lower[[0, 1, 3, 4]].reshape(2, 2)
        pixel = -np.linalg.solve(matrix, lower[[2, 5]])  # where the lower front teeth end
        shown = upper[3] * pixel[0] + upper[4] * pixel[1] + upper[5] - (bottom + shift)
        lower[5] -= min(_soft_floor(3.2 * _ramp(open_mm, 12.0, 30.0) - shown), 6.0)

    def _jaw_angle(self, pose: np.ndarray, mesh: np.ndarray) -> float:
        """How far the chin has turned about the hinge against the photo's own face, radians."""
        arm = self.face[[152, 148, 377]].mean(0) - _HINGE
        seen = mesh[[152, 148, 377], :2].mean(0)
        angles = np.linspace(-0.25, 0.55, 17)
        cos, sin = np.cos(angles), np.sin(angles)
        swing = np.stack([np.full(17, arm[0]), arm[1] * cos - arm[2] * sin, arm[1] * sin + arm[2] * cos], 1)
        track = (_HINGE + swing) @ pose[:, :3].T + pose[:, 3]
        along = track[-1] - track[4]
        return float(np.interp(seen @ along, track @ along, angles))


def _ramp(x: float, low: float, high: float) -> float:
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


def _soft_floor(x: float) -> float:
    """max(x, 0) without a corner."""
    return 0.5 * (x + float(np.hypot(x, 1.0))) - 0.1 if x > -2.4 else 0.0


def _to_plane(pose: np.ndarray, origin: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """(8,) canvas pixel -> mm on the plane z = 0 of a jaw's frame, and its shift per mm of depth."""
    matrix = pose[:, :3] @ axes
    inverse = np.linalg.inv(matrix[:, :2])
    shift = -inverse @ (pose[:, :3] @ origin + pose[:, 3])
    lean = -inverse @ matrix[:, 2]
    return np.array([inverse[0, 0], inverse[0, 1], shift[0], inverse[1, 0], inverse[1, 1], shift[1], lean[0], lean[1]])


def _similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """target = scale * source @ rotation.T + shift, least squares (Umeyama 1991)."""
    a, b = source.mean(0), target.mean(0)
    u, s, vt = np.linalg.svd((target - b).T @ (source - a))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((s * sign).sum() / ((source - a) ** 2).sum())
    return scale, rotation, b - scale * rotation @ a
