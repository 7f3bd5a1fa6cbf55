"""`PhotoAvatar`: one photo that a `FaceMotion` moves.

The photo's mesh, lifted to 3D, is moved by expression and head; rasterised, it tells for every pixel where in the photo
it comes from, and one cubic resampling makes the picture. Behind a head that turns lies a filled background; behind
lips and lids that part lie mouth and eyeballs of their own. What doesn't move stays the photo's own pixels.
"""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from avatars.facemesh import LIPS_INNER
from avatars.fields import displace, fields_for
from avatars.fit import fit_photo
from avatars.photo.eyes import Eyes
from avatars.photo.geometry import FACE_TRIANGLES, FaceGeometry, HeadChange
from avatars.photo.layers import Layers, make_layers
from avatars.photo.mouth import MouthInterior
from avatars.photo.surround import SurroundSettings, border_weight, surround
from avatars.photo.untangle import untangled
from avatars.pose import fit_pose, to_head, to_pixels
from studio.arkit import INDEX
from studio.motion import FaceMotion, blocks
from studio.observation import Observation

_JAW, _TONGUE = INDEX["jawOpen"], INDEX["tongueOut"]
_STILL = 0.04
"""Pixels that nothing visible moves by."""


@dataclass(frozen=True)
class PhotoSettings:
    """still        pixels of motion below which the photo's own pixel stays; up to three times that it gives way.
    turn_limit   degrees of yaw beyond which a face that is turned already isn't turned further to the front.
    """

    still: float = 0.05
    turn_limit: float = 40.0


@dataclass(frozen=True)
class _Mesh:
    """Face and sheet in one: what `raster.move_points` and `raster.rasterise` take."""

    points: np.ndarray
    source: np.ndarray
    near: np.ndarray
    share: np.ndarray
    spread: np.ndarray
    turn: np.ndarray
    shift: np.ndarray
    pin: np.ndarray
    triangles: np.ndarray


def _mesh(face: FaceGeometry, size: tuple[int, int], head: bool) -> _Mesh:
    settings = SurroundSettings()
    sheet = surround(face, size, settings, head)
    whole = np.ones(len(face.source))
    pin = border_weight(face.source, size, settings.face_border * face.pose.scale)
    return _Mesh(
        np.concatenate([face.points, sheet.points]),
        np.concatenate([face.source, sheet.source]),
        sheet.near,
        sheet.share,
        sheet.spread,
        np.concatenate([whole, sheet.turn]),
        np.concatenate([whole, sheet.shift]),
        np.concatenate([np.maximum(pin, 0.0), sheet.pin]),
        np.concatenate([FACE_TRIANGLES[:, ::-1], sheet.triangles + len(face.source)]).astype(np.int32),
    )


def _smoothed(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks (478, 3) pixels whose mesh has no folds."""
    pose = fit_pose(landmarks)
    shape = to_head(landmarks[:468], pose)
    flat = untangled(shape)
    if flat is shape:
        return landmarks
    moved = np.any(flat != shape, axis=1)
    out = landmarks.copy()
    out[:468][moved] = to_pixels(flat, pose)[moved]
    return out


class PhotoAvatar:
    """A face in a photo, ready to move.

    image (H, W, 3) uint8 RGB; observation: the face in it (landmarks in its pixels); alpha (H, W) uint8 or None is
    kept and moved along. Weights and head of `render_frame` are CHANGES, added to what the photo shows: all zero
    gives the photo back, bit by bit. Frames can be rendered from several threads at once.
    """

    def __init__(
        self,
        image: np.ndarray,
        observation: Observation,
        *,
        alpha: np.ndarray | None = None,
        settings: PhotoSettings = PhotoSettings(),
    ) -> None:
        self.image = np.ascontiguousarray(image)
        self.alpha = alpha
        self.observation = observation
        self.settings = settings
        height, width = image.shape[:2]
        self.size = (width, height)
        self._landmarks = _smoothed(np.asarray(observation.landmarks, np.float64))
        neutral, self.expression = fit_photo(self._landmarks)
        self.neutral = neutral.shape
        self.fields = fields_for(self.neutral)
        self.face = FaceGeometry(self._landmarks, self.size)
        self._shown = displace(self.neutral, self.expression, self.fields)
        self._locks = {part: threading.Lock() for part in ("layers", "mouth", "eyes")}

    # ---- what moves ---------------------------------------------------------------------------------

    def weights_for(self, weights: np.ndarray, neutralize: float | np.ndarray = 0.0) -> np.ndarray:
        """Changes (..., 52) that bring the photo to absolute weights: its own expression, times `neutralize` (a
        number or one a shape), is taken out."""
        return np.asarray(weights, np.float32) - np.float32(neutralize) * self.expression

    def render(
        self,
        motion: FaceMotion | Iterable[FaceMotion],
        *,
        neutralize: float | np.ndarray = 0.0,
        workers: int = 2,
        with_alpha: bool = False,
    ) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB, (H, W, 4) with_alpha, for each frame of a motion or stream of blocks, in order,
        `workers` at a time."""
        how = {"fine": False, "with_alpha": with_alpha}
        with ThreadPoolExecutor(max(workers, 2)) as pool:
            pool.submit(lambda: self._layers)  # what takes longest to make, side by side
            pool.submit(lambda: self._eyes)
            waiting: deque = deque()
            for block in blocks(motion):
                changes = self.weights_for(block.weights, neutralize)
                for k in range(len(block)):
                    residual = None if block.residual is None else block.residual[k]
                    waiting.append(pool.submit(self.render_frame, changes[k], block.head[k], residual, **how))
                    if len(waiting) > workers:
                        yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def render_frame(
        self,
        weights: np.ndarray,
        head: np.ndarray | None = None,
        residual: np.ndarray | None = None,
        *,
        with_alpha: bool = False,
        fine: bool = True,
    ) -> np.ndarray:
        """The photo (H, W, 3) uint8 under one change; (H, W, 4) with `with_alpha`.

        fine keeps the finest detail, as a still wants it; a video is resampled faster. weights (52,) and head (6,)
        (radians, metres; see `studio.motion`) are added to the photo's own; residual
        (468, 3) eye spans in the head's frame as in `FaceMotion.residual`.
        """
        weights = np.asarray(weights, np.float32)
        head = np.zeros(6, np.float32) if head is None else np.asarray(head, np.float32)
        out = self.image.copy()
        alpha = self.alpha
        if weights.any() or head.any() or (residual is not None and residual.any()):
            alpha = self._draw(out, weights, head, residual, fine)
        if not with_alpha:
            return out
        full = np.full(out.shape[:2], 255, np.uint8)
        return np.dstack([out, full if alpha is None else alpha])

    # ---- geometry ------------------------------------------------------------------------------------

    def _moves(self, weights: np.ndarray, residual: np.ndarray | None) -> np.ndarray:
        """(468, 3) displacement against the photo, eye spans, camera's frame."""
        now = displace(self.neutral, self.expression + weights, self.fields)
        move = self.face.openings_kept(self._shown, now)
        if residual is not None:
            move = move + residual
        return move @ self.face.pose.rotation.T

    def _allowed(self, head: np.ndarray) -> np.ndarray:
        head, limited = self.face.allowed(head)
        if limited:
            warnings.warn(
                f"the face is turned {np.degrees(self.face.angles[0]):.0f} degrees: turning it to the front is "
                "limited, its far side is not in the photo",
                stacklevel=4,
            )
        return head

    def _posed(self, sheet: _Mesh, moves: np.ndarray, change: HeadChange) -> np.ndarray:
        """(N, 3) x, y in pixels and nearness in eye spans, of the face's points and then the sheet's."""
        from avatars.photo.raster import move_points

        out = np.empty((len(sheet.points), 3))
        move_points(
            sheet.points,
            sheet.source,
            moves,
            sheet.near,
            sheet.share,
            sheet.spread,
            sheet.turn,
            sheet.shift,
            sheet.pin,
            change.rotation,
            change.pivot,
            change.shift,
            self.face.centre,
            self.face.pose.scale,
            self.face.distance,
            out,
        )
        return out

    # ---- pixels --------------------------------------------------------------------------------------

    def _draw(
        self, out: np.ndarray, weights: np.ndarray, head: np.ndarray, residual: np.ndarray | None, fine: bool
    ) -> np.ndarray | None:
        import cv2

        from avatars.photo.raster import compose, moved_box, rasterise, soften_steps

        turning = bool(head.any())
        if turning:
            head = self._allowed(head)
        change = self.face.head_change(head)
        mesh = self._turning_mesh if turning else self._still_mesh
        moves = self._moves(weights, residual)
        posed = self._posed(mesh, moves, change)
        gain = np.ones(len(posed))
        width, height = self.size
        x0, y0, x1, y1 = moved_box(posed, mesh.source, gain, _STILL, 3.0, width, height)
        if x1 - x0 < 2 or y1 - y0 < 2:
            return self.alpha
        shape = (y1 - y0, x1 - x0)
        map_x, map_y, gains, near = (np.empty(shape, np.float32) for _ in range(4))
        rasterise(posed, mesh.source, gain, mesh.triangles, len(FACE_TRIANGLES), x0, y0, map_x, map_y, gains, near)
        taps = cv2.INTER_LANCZOS4 if fine else cv2.INTER_CUBIC
        warped = cv2.remap(self.image, map_x, map_y, taps, borderMode=cv2.BORDER_REPLICATE)
        layers = self._layers if turning else None
        photo = self.image[y0:y1, x0:x1]
        if layers is None:
            cover, plate = np.zeros(shape, np.uint8), photo
        else:
            cover = cv2.remap(layers.matte, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            plate = layers.plate[y0:y1, x0:x1]
        part = np.empty((*shape, 3), np.uint8)
        compose(photo, warped, cover, plate, map_x, map_y, gains, x0, y0, layers is not None, self.settings.still, part)
        if turning:
            smooth = part.copy()
            soften_steps(part, map_x, map_y, max(3.0, 0.05 * self.face.pose.scale), smooth)
            part = smooth
        bare = (
            self._posed(mesh, np.zeros_like(moves), change)[:468]
            if turning
            else np.column_stack([mesh.source[:468], mesh.points[:468, 2]])
        )
        self._openings(part, weights, self._pixels(posed[:468], x0, y0), self._pixels(bare, x0, y0))
        out[y0:y1, x0:x1] = part
        if self.alpha is None:
            return None
        alpha = self.alpha.copy()
        alpha[y0:y1, x0:x1] = cv2.remap(self.alpha, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return alpha

    def _pixels(self, posed: np.ndarray, x0: int, y0: int) -> np.ndarray:
        """(468, 3) landmarks in pixels of a box, z negative towards the camera."""
        return np.column_stack([posed[:, 0] - x0, posed[:, 1] - y0, -posed[:, 2] * self.face.pose.scale])

    def _openings(self, part: np.ndarray, weights: np.ndarray, posed: np.ndarray, carried: np.ndarray) -> None:
        """Eyeballs and mouth, painted into the warped part of the picture; posed with and without the expression."""
        self._eyes.paint(part, posed, carried, FaceMotion(weights[None], Fraction(1)).gaze[0])
        apart = posed[LIPS_INNER, :2] - carried[LIPS_INNER, :2]
        parted = np.linalg.norm(apart - apart.mean(0), axis=1).max() / self.face.pose.scale
        active = float(np.clip((parted - 0.003) / 0.012, 0, 1))
        if active <= 0:
            return
        jaw, tongue = float(max(self.expression[_JAW] + weights[_JAW], 0)), float(max(weights[_TONGUE], 0))
        hole = self._mouth.hole(posed, part.shape[:2]) * active if active < 1 else None
        self._mouth.paint(part, posed, jaw=jaw, tongue_out=tongue, hole=hole)

    # ---- made when first needed ---------------------------------------------------------------------

    @cached_property
    def _turning_mesh(self) -> _Mesh:
        return _mesh(self.face, self.size, True)

    @cached_property
    def _still_mesh(self) -> _Mesh:
        return _mesh(self.face, self.size, False)

    @property
    def _layers(self) -> Layers | None:
        with self._locks["layers"]:
            return self._made_layers

    @cached_property
    def _made_layers(self) -> Layers | None:
        return make_layers(self.image, self._landmarks, self.face.pose.scale)

    @property
    def _mouth(self) -> MouthInterior:
        with self._locks["mouth"]:
            return self._made_mouth

    @cached_property
    def _made_mouth(self) -> MouthInterior:
        return MouthInterior.from_photo(self.image, self._landmarks, jaw=float(self.expression[_JAW]))

    @property
    def _eyes(self) -> Eyes:
        with self._locks["eyes"]:
            return self._made_eyes

    @cached_property
    def _made_eyes(self) -> Eyes:
        return Eyes.from_photo(self.image, self._landmarks)
