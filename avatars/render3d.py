"""Pictures of a rig: textured and lit, from any side, with or without a background."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from avatars.rig import Rig
from avatars.shade3d import Camera, Fragments, rasterise, vertex_normals
from studio.motion import FaceMotion, blocks, rotation_matrix

TURN_ABOUT = np.array([0.0, -0.045, -0.07])
"""Metres: the middle of a head, about which a turntable turns."""


@dataclass(frozen=True)
class Look:
    """light    direction that light comes from, camera's frame.
    ambient   share of light that comes from everywhere.
    background  RGB behind the head, None for a transparent one.
    """

    light: tuple[float, float, float] = (0.35, 0.5, 0.85)
    ambient: float = 0.45
    background: tuple[int, int, int] | None = (72, 76, 82)


class RigRenderer:
    """A rig in front of a camera.

    size (width, height) pixels; `render` gives (H, W, 3) uint8 RGB, (H, W, 4) where the look has no background.
    """

    def __init__(self, rig: Rig, size: tuple[int, int] = (512, 512), look: Look = Look()) -> None:
        self.rig, self.size, self.look = rig, size, look
        low, high = rig.neutral.min(0), rig.neutral.max(0)
        tall = float(high[1] - low[1])
        self.camera = Camera.portrait(size, 1.08 * tall, y=float((high[1] + low[1]) / 2))
        self._uv = rig.uv[rig.uv_triangles]
        self._material = rig.material_of[rig.triangle_polygon]

    def render(
        self, weights: np.ndarray, head: np.ndarray | None = None, yaw: float = 0.0, pitch: float = 0.0
    ) -> np.ndarray:
        """One picture: ARKit weights (52,), head (6,) as in `FaceMotion`; the whole turned by yaw, pitch (radians)."""
        points = self.rig.vertices(weights, head)
        if yaw or pitch:
            points = (points - TURN_ABOUT) @ rotation_matrix(yaw, pitch, 0.0).T + TURN_ABOUT
        return self.draw(points)

    def draw(self, points: np.ndarray) -> np.ndarray:
        """The picture of posed vertices (V, 3)."""
        fragments = rasterise(self.camera.project(points), self.rig.triangles, self.size)
        return self.shade(fragments, vertex_normals(points, self.rig.triangles))

    def shade(self, fragments: Fragments, normals: np.ndarray) -> np.ndarray:
        """Colours of the fragments under the look's light."""
        import cv2

        look, cover = self.look, fragments.cover
        light = np.array(look.light) / np.linalg.norm(look.light)
        normal = fragments.spread(normals, self.rig.triangles)
        lit = np.clip(normal @ light, 0, 1) * (1 - look.ambient) + look.ambient * (0.75 + 0.25 * normal[..., 1])
        index = np.maximum(fragments.index, 0)
        uv = np.einsum("hwk,hwkc->hwc", fragments.bary, self._uv[index]).astype(np.float32)
        kind = np.where(cover, self._material[index], 255)
        colour = np.zeros((*cover.shape, 3), np.float32)
        for number, material in enumerate(self.rig.materials):
            where = kind == number
            if not where.any():
                continue
            if material.texture is None:
                colour[where] = 255 * np.array(material.colour[:3]) ** (1 / 2.2)
                continue
            height, width = material.texture.shape[:2]
            x, y = uv[..., 0] * width - 0.5, (1 - uv[..., 1]) * height - 0.5
            seen = cv2.remap(material.texture[..., :3], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            colour[where] = seen[where]
        out = np.clip(colour * (lit * 1.12)[..., None], 0, 255)
        if look.background is None:
            return np.dstack([out, np.where(cover, 255, 0)]).astype(np.uint8)
        return np.where(cover[..., None], out, np.array(look.background, np.float32)).astype(np.uint8)

    def frames(self, motion: FaceMotion | Iterable[FaceMotion]) -> Iterator[np.ndarray]:
        """A picture for each frame of a motion."""
        for block in blocks(motion):
            for weights, head in zip(block.weights, block.head, strict=True):
                yield self.render(weights, head)

    def turntable(self, frames: int, weights: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """The head once round, in so many frames."""
        still = np.zeros(52, np.float32) if weights is None else weights
        points = self.rig.vertices(still)
        for k in range(frames):
            turn = rotation_matrix(2 * np.pi * k / frames, 0.0, 0.0)
            yield self.draw((points - TURN_ABOUT) @ turn.T + TURN_ABOUT)
