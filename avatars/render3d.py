"""A rig's frame as a picture: textured, lit by a key light, a fill and the sky, smooth at the edges.

`RigRenderer` prepares a rig once and draws it from vertices and a camera, about 60 frames a second at 512 x 512 on two
cores. Light is computed in linear space with a Lambert term that wraps round the form a little, as skin's does, and a
Blinn-Phong highlight whose width follows the material's roughness.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from avatars.raster import Backend, rasterise
from avatars.rig import Rig
from avatars.shade3d import Camera, Cutout, Fragments, texel, vertex_normals
from studio.motion import FaceMotion, blocks

BACKGROUND = (72, 76, 82)


@dataclass(frozen=True)
class Light:
    """direction (3,) towards the light in the camera's frame (unit); colour (3,) linear; wrap 0..1 round the form."""

    direction: tuple[float, float, float]
    colour: tuple[float, float, float]
    wrap: float = 0.25


STUDIO = (
    Light((-0.45, 0.50, 0.74), (0.66, 0.63, 0.60), 0.3),
    Light((0.75, 0.10, 0.65), (0.20, 0.21, 0.23), 0.4),
    Light((0.30, 0.60, -0.74), (0.16, 0.17, 0.19), 0.2),
)
SKY, GROUND = (0.26, 0.27, 0.29), (0.14, 0.12, 0.11)
"""Light from everywhere: from above, from below."""


class RigRenderer:
    """A rig in front of a camera.

        draw = RigRenderer(rig, (512, 512))
        picture = draw.render(weights)  # (512, 512, 3) uint8

    size (width, height) pixels; background RGB, or None for pictures (H, W, 4) with straight alpha; samples: 2 draws
    2 x 2 samples for each pixel, 1 is for speed; flat shows textures alone; backend draws (`avatars.raster.rasterise`).
    Threads may share one.
    """

    def __init__(
        self,
        rig: Rig,
        size: tuple[int, int] = (512, 512),
        *,
        background: tuple[int, int, int] | None = BACKGROUND,
        lights: tuple[Light, ...] = STUDIO,
        samples: int = 2,
        flat: bool = False,
        backend: Backend = "auto",
    ) -> None:
        self.rig, self.size, self.background, self.samples = rig, size, background, samples
        self.backend = backend
        self.triangles = np.ascontiguousarray(rig.triangles)
        self.material = rig.material_of[rig.triangle_polygon].astype(np.int32)
        self.two_sided = np.array([m.double_sided for m in rig.materials])[self.material]
        uv = rig.uv[rig.uv_triangles] if len(rig.uv) else np.zeros((*self.triangles.shape, 2))
        self.uv = np.ascontiguousarray(uv, np.float32)
        self.atlas, self.places = _atlas(rig)
        self.cutout = _cutout(rig, self.material, self.uv, samples)
        self.factors = np.array([[*m.colour[:3], m.roughness] for m in rig.materials], np.float32)
        self.lights = np.array([[*_unit(light.direction), *light.colour, light.wrap] for light in lights], np.float32)
        self.sky = np.array([SKY, GROUND], np.float32)
        if flat:
            self.lights, self.sky = np.zeros((0, 7), np.float32), np.ones((2, 3), np.float32)
        low, high = rig.neutral.min(0), rig.neutral.max(0)
        self._middle = tuple((low + high) / 2)
        self._height = 1.12 * float(high[1] - low[1])
        self.camera = self.view()

    def view(self, yaw: float = 0.0, pitch: float = 0.0) -> Camera:
        """A camera that sees the whole head, round it by yaw and above it by pitch (radians)."""
        return Camera.portrait(self.size, self._height, 4 * self._height, self._middle, yaw, pitch)

    def render(
        self, weights: np.ndarray, head: np.ndarray | None = None, yaw: float = 0.0, pitch: float = 0.0
    ) -> np.ndarray:
        """One picture: ARKit weights (52,), head (6,) as in `FaceMotion`, seen from yaw, pitch (radians)."""
        return self.draw(self.rig.vertices(weights, head), self.view(yaw, pitch))

    def frames(self, motion: FaceMotion | Iterable[FaceMotion]) -> Iterator[np.ndarray]:
        """A picture for each frame of a motion."""
        for block in blocks(motion):
            for weights, head in zip(block.weights, block.head, strict=True):
                yield self.render(weights, head)

    def turntable(self, frames: int, weights: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """The head once round, in so many frames."""
        points = self.rig.vertices(np.zeros(52, np.float32) if weights is None else weights)
        for k in range(frames):
            yield self.draw(points, self.view(-2 * np.pi * k / frames))

    def fragments(self, vertices: np.ndarray, camera: Camera) -> Fragments:
        """What each pixel shows; `rig.triangles` are meant."""
        pixels = camera.project(vertices)
        how = {"two_sided": self.two_sided, "cutout": self.cutout, "backend": self.backend}
        return rasterise(pixels, self.triangles, camera.size, **how)

    def draw(self, vertices: np.ndarray, camera: Camera | None = None) -> np.ndarray:
        """The picture of posed vertices (V, 3) metres, by `camera` or the renderer's own."""
        camera = camera or self.camera
        view = camera.scaled(self.samples)
        seen = self.fragments(vertices, view)
        normals = vertex_normals(vertices, self.triangles) @ view.rotation.T.astype(np.float32)
        width, height = camera.size
        out = np.empty((height, width, 4), np.uint8)
        _shade(
            seen.index,
            seen.bary,
            seen.near,
            self.triangles,
            view.to_camera(vertices).astype(np.float32),
            normals,
            self.uv,
            self.material,
            self.factors,
            self.atlas,
            self.places,
            _DECODE,
            self.lights,
            self.sky,
            self.samples,
            _ENCODE,
            np.array(self.background or (-1, -1, -1), np.float32),
            out,
        )
        return out if self.background is None else np.ascontiguousarray(out[..., :3])


_LEVEL = np.arange(4096) / 4095
_ENCODE = 255 * np.where(_LEVEL <= 0.0031308, 12.92 * _LEVEL, 1.055 * _LEVEL ** (1 / 2.4) - 0.055).astype(np.float32)
"""Linear light in 4096 steps -> sRGB 0..255."""
_SHADES = np.arange(256) / 255
_DECODE = np.where(_SHADES <= 0.04045, _SHADES / 12.92, ((_SHADES + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""sRGB 0..255 -> linear light."""


def _unit(direction: tuple[float, float, float]) -> np.ndarray:
    return np.asarray(direction) / np.linalg.norm(direction)


def _atlas(rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """All textures behind each other (N, 3) uint8 sRGB, and (M, 3) of each material: start, height, width."""
    texels, places, start = [], [], 0
    known: dict[int, tuple[int, int, int]] = {}
    for material in rig.materials:
        texture = material.texture if material.texture is not None else np.full((1, 1, 3), 255, np.uint8)
        if material.texture is None or id(texture) not in known:
            texels.append(texture[..., :3].reshape(-1, 3))
            known[id(texture)] = (start, *texture.shape[:2])
            start += len(texels[-1])
        places.append(known[id(texture)])
    return np.concatenate(texels), np.array(places, np.int64)


def _cutout(rig: Rig, material: np.ndarray, uv: np.ndarray, samples: int) -> Cutout | None:
    """Where the rig's blended and cut-out materials (material (F,) of each triangle) let through what lies behind."""
    thin = np.array([m.blend or m.cutoff > 0 for m in rig.materials])
    if not thin.any():
        return None
    texels, places, start = [np.zeros(0, np.uint8)], [], 0
    for m, through in zip(rig.materials, thin, strict=True):
        alpha = through and m.texture is not None and m.texture.shape[2] == 4
        size = m.texture.shape[:2] if alpha else (0, 0)
        if alpha:
            texels.append(m.texture[..., 3].ravel())
        places.append((start, *size))
        start += size[0] * size[1]
    factors = np.array([(m.colour[3], 0.0 if m.blend else m.cutoff) for m in rig.materials], np.float32)
    layer = np.where(thin[material], material, -1).astype(np.int32)
    return Cutout(layer, uv, np.concatenate(texels), np.array(places, np.int64), factors, samples)


@njit(cache=True, nogil=True, fastmath=True, parallel=True)
def _shade(
    index,
    bary,
    near,
    triangles,
    places,
    normals,
    uv,
    material,
    factors,
    atlas,
    where,
    decode,
    lights,
    sky,
    samples,
    encode,
    background,
    out,
):
    height, width = out.shape[:2]
    whole = samples * samples
    for y in prange(height):
        for x in range(width):
            red, green, blue, hits = 0.0, 0.0, 0.0, 0
            last, last_near, lr, lg, lb = -1, 0.0, 0.0, 0.0, 0.0
            out_r, out_g, out_b = 0.0, 0.0, 0.0
            for j in range(samples):
                for i in range(samples):
                    yy, xx = y * samples + j, x * samples + i
                    t = index[yy, xx]
                    if t < 0:
                        continue
                    hits += 1
                    m = material[t]
                    if m == last and abs(near[yy, xx] - last_near) < 0.004 * last_near:
                        red, green, blue = red + out_r, green + out_g, blue + out_b
                        continue  # the same surface: light and texture hardly differ within a pixel
                    last, last_near = m, near[yy, xx]
                    a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                    u, v, s = bary[yy, xx, 0], bary[yy, xx, 1], bary[yy, xx, 2]
                    nx = u * normals[a, 0] + v * normals[b, 0] + s * normals[c, 0]
                    ny = u * normals[a, 1] + v * normals[b, 1] + s * normals[c, 1]
                    nz = u * normals[a, 2] + v * normals[b, 2] + s * normals[c, 2]
                    px = u * places[a, 0] + v * places[b, 0] + s * places[c, 0]
                    py = u * places[a, 1] + v * places[b, 1] + s * places[c, 1]
                    pz = u * places[a, 2] + v * places[b, 2] + s * places[c, 2]
                    n = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
                    d = -1.0 / np.sqrt(px * px + py * py + pz * pz + 1e-12)
                    nx, ny, nz, px, py, pz = nx * n, ny * n, nz * n, px * d, py * d, pz * d
                    if nx * px + ny * py + nz * pz < 0.0 and nz < -0.2:  # the back of a sheet with two sides
                        nx, ny, nz = -nx, -ny, -nz
                    tu = u * uv[t, 0, 0] + v * uv[t, 1, 0] + s * uv[t, 2, 0]
                    tv = u * uv[t, 0, 1] + v * uv[t, 1, 1] + s * uv[t, 2, 1]
                    start, th, tw = where[m, 0], where[m, 1], where[m, 2]
                    fx, fy = texel(tu, tw), texel(1.0 - tv, th)
                    ix, iy = min(int(fx), max(tw - 2, 0)), min(int(fy), max(th - 2, 0))
                    jx, jy = min(ix + 1, tw - 1), min(iy + 1, th - 1)
                    fx, fy = fx - ix, fy - iy
                    k00, k01 = start + iy * tw + ix, start + iy * tw + jx
                    k10, k11 = start + jy * tw + ix, start + jy * tw + jx
                    w00, w01, w10, w11 = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
                    base_r = base_g = base_b = 0.0
                    for k, w in ((k00, w00), (k01, w01), (k10, w10), (k11, w11)):
                        base_r += w * decode[atlas[k, 0]]
                        base_g += w * decode[atlas[k, 1]]
                        base_b += w * decode[atlas[k, 2]]
                    base_r, base_g, base_b = base_r * factors[m, 0], base_g * factors[m, 1], base_b * factors[m, 2]
                    up = 0.5 + 0.5 * ny
                    lr = up * sky[0, 0] + (1 - up) * sky[1, 0]
                    lg = up * sky[0, 1] + (1 - up) * sky[1, 1]
                    lb = up * sky[0, 2] + (1 - up) * sky[1, 2]
                    shine_r, shine_g, shine_b = 0.0, 0.0, 0.0
                    rough = factors[m, 3]
                    power = 2.0 / (rough**4 + 1e-3)
                    for k in range(len(lights)):
                        lx, ly, lz, wrap = lights[k, 0], lights[k, 1], lights[k, 2], lights[k, 6]
                        cosine = nx * lx + ny * ly + nz * lz
                        soft = max((cosine + wrap) / (1.0 + wrap), 0.0)
                        lr += soft * lights[k, 3]
                        lg += soft * lights[k, 4]
                        lb += soft * lights[k, 5]
                        if cosine > 0:
                            hx, hy, hz = lx + px, ly + py, lz + pz
                            h = (nx * hx + ny * hy + nz * hz) / np.sqrt(hx * hx + hy * hy + hz * hz + 1e-9)
                            if h > 0.75:
                                glow = 0.04 * (power + 8.0) / 25.0 * h**power * cosine
                                shine_r += glow * lights[k, 3]
                                shine_g += glow * lights[k, 4]
                                shine_b += glow * lights[k, 5]
                    out_r = min(base_r * lr + shine_r, 1.0)
                    out_g = min(base_g * lg + shine_g, 1.0)
                    out_b = min(base_b * lb + shine_b, 1.0)
                    red, green, blue = red + out_r, green + out_g, blue + out_b
            if hits == 0:
                for c in range(3):
                    out[y, x, c] = np.uint8(max(background[c], 0.0))
                out[y, x, 3] = 0 if background[0] < 0 else 255
                continue
            share = hits / whole
            colour = (red / hits, green / hits, blue / hits)
            for c in range(3):
                value = encode[int(colour[c] * 4095.0 + 0.5)]
                if background[0] >= 0:
                    value = share * value + (1 - share) * background[c]
                out[y, x, c] = np.uint8(value + 0.5)
            out[y, x, 3] = 255 if background[0] >= 0 else np.uint8(255 * share + 0.5)
