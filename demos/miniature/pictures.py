"""The miniature's world drawn: heads with hair's and skin's colours under five lights, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from avatars.facemesh import POINTS_68
from avatars.head import default_skin, embedded_head
from avatars.head.photo import facemesh_points
from avatars.head.texels import texels
from avatars.head.textures import SKIN
from avatars.render3d import STUDIO, Light, RigRenderer
from avatars.shade3d import Camera, vertex_normals
from demos.miniature import SIDE
from demos.miniature.people import Moment, axes_of
from studio.motion import EYE_SPAN

CAMERA = Camera.portrait((SIDE, SIDE), 0.225, 1.1, (0.0, -0.020, -0.06))

SKIN_COLOURS = np.array([(240, 200, 178), (222, 176, 152), (182, 132, 104), (128, 86, 64), (84, 56, 44)], np.float32)
HAIR_COLOURS = np.array([(26, 22, 22), (62, 42, 32), (118, 66, 36), (168, 124, 66), (214, 190, 140)], np.float32)
_TEXTURE = 256
_VOLUME = 0.09  # eye spans that hair stands off

_FILL = Light((0.0, 0.1, 1.0), (0.10, 0.10, 0.11), 0.4)
LIGHTS: dict[str, tuple[tuple[Light, ...], float]] = {
    "soft": (STUDIO, 1.0),
    "left": ((Light((-0.95, 0.15, 0.35), (1.05, 1.0, 0.94), 0.2), _FILL), 0.45),
    "right": ((Light((0.95, 0.15, 0.35), (1.05, 1.0, 0.94), 0.2), _FILL), 0.45),
    "above": ((Light((0.0, 0.95, 0.40), (1.05, 1.0, 0.94), 0.2), _FILL), 0.45),
    "below": ((Light((0.0, -0.85, 0.50), (1.0, 0.94, 0.86), 0.2), _FILL), 0.45),
}
"""Lights of a name, and how much of the sky's."""


@dataclass(frozen=True)
class Sight:
    """picture (64, 64, 3) uint8; normals (64, 64, 3) uint8, (n + 1) / 2 in the camera's frame, black where nothing is;
    points (68, 2) float32 pixels of `avatars.facemesh.POINTS_68`."""

    picture: np.ndarray
    normals: np.ndarray
    points: np.ndarray


class Painter:
    """One person in front of the camera: `Painter(person).draw(moment)`, person (12,) as in `people.IDENTITY`."""

    def __init__(self, person: np.ndarray) -> None:
        rig = embedded_head(axes_of(person))
        cap = np.clip(_hairiness(rig.neutral / EYE_SPAN) * 6, 0, 1)[:, None]
        out = vertex_normals(rig.neutral, rig.triangles) * cap * (_VOLUME * EYE_SPAN)
        out[rig.parts["skin"].stop :] = 0
        rig = replace(rig, neutral=rig.neutral + out.astype(np.float32))
        self.rig = rig.with_texture("skin", _skin(_tone(SKIN_COLOURS, person[-2]), _tone(HAIR_COLOURS, person[-1])))
        self.renderer = RigRenderer(self.rig, (SIDE, SIDE), samples=2)
        self.renderer.camera = CAMERA
        self._sky = self.renderer.sky.copy()

    def draw(self, moment: Moment) -> Sight:
        vertices = self.rig.vertices(moment.weights, moment.head)
        lights, sky = LIGHTS[moment.light]
        self.renderer.background = moment.colour
        self.renderer.lights = np.array(
            [[*np.divide(x.direction, np.linalg.norm(x.direction)), *x.colour, x.wrap] for x in lights], np.float32
        )
        self.renderer.sky = self._sky * np.float32(sky)
        points = CAMERA.project(facemesh_points(self.rig, vertices))[POINTS_68, :2].astype(np.float32)
        return Sight(self.renderer.draw(vertices), self.normals(vertices), points)

    def normals(self, vertices: np.ndarray) -> np.ndarray:
        """(64, 64, 3) uint8 of posed vertices (V, 3) metres; see `Sight`."""
        view = CAMERA.scaled(2)
        seen = self.renderer.fragments(vertices, view)
        facing = vertex_normals(vertices, self.rig.triangles) @ view.rotation.T.astype(np.float32)
        colours = np.where(seen.cover[..., None], seen.spread(facing, self.renderer.triangles) * 0.5 + 0.5, 0.0)
        small = colours.reshape(SIDE, 2, SIDE, 2, 3).mean((1, 3))
        return np.clip(255 * small + 0.5, 0, 255).astype(np.uint8)


_LINES = ((range(0, 17), False, (120, 120, 120)), (range(17, 22), False, (255, 140, 0)),
          (range(22, 27), False, (255, 140, 0)), (range(27, 31), False, (0, 160, 255)),
          (range(31, 36), False, (0, 160, 255)), (range(36, 42), True, (0, 255, 0)), (range(42, 48), True, (0, 255, 0)),
          (range(48, 60), True, (255, 0, 0)), (range(60, 68), True, (255, 0, 255)))  # fmt: skip


def landmark_picture(points: np.ndarray) -> np.ndarray:
    """(64, 64, 3) uint8: points (68, 2) pixels joined by lines; contour, brows, nose, eyes, lips in colours."""
    import cv2

    canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
    for row, closed, colour in _LINES:
        line = np.round(points[list(row)] * 16).astype(np.int32)
        cv2.polylines(canvas, [line], closed, colour, 1, cv2.LINE_AA, 4)
    return canvas


def _tone(palette: np.ndarray, value: float) -> np.ndarray:
    """(3,) of a palette, -1 its first colour and 1 its last."""
    place = (np.clip(value, -1, 1) + 1) / 2 * (len(palette) - 1)
    low = min(int(place), len(palette) - 2)
    return palette[low] + (palette[low + 1] - palette[low]) * (place - low)


def _hairiness(places: np.ndarray) -> np.ndarray:
    """(...,) above 0 where hair grows; places (..., 3) eye spans in the head's frame: a line from the forehead over the
    ears to the nape."""
    line = np.interp(places[..., 2], [-2.0, -1.35, -1.1, -0.7, -0.4, 0.0], [-1.1, -0.9, 0.25, 0.30, 0.62, 0.80])
    return places[..., 1] - line


@lru_cache(maxsize=1)
def _surface() -> tuple[np.ndarray, np.ndarray]:
    """The mean head's skin at 256 x 256: its texture over the plain skin's colour, and hair's share (256, 256, 1)."""
    rig = embedded_head()
    step = len(default_skin()) // _TEXTURE
    texture = default_skin().astype(np.float32).reshape(_TEXTURE, step, _TEXTURE, step, 3).mean((1, 3)) / SKIN
    seen = texels(rig, _TEXTURE)
    places = seen.spread(rig.neutral / EYE_SPAN, rig.triangles)
    hair = np.clip(_hairiness(places) * 8 + 0.5, 0, 1) * seen.cover
    return texture.astype(np.float32), hair[..., None].astype(np.float32)


def _skin(tone: np.ndarray, hair: np.ndarray) -> np.ndarray:
    texture, share = _surface()
    return np.clip(texture * (tone * (1 - share) + hair * share), 0, 255).astype(np.uint8)
