"""Triangles drawn with depth: which triangle each pixel shows and where on it, then values, depth and normals.

Camera's frame: x right, y up, z towards the viewer, metres; what is seen has z below 0. The image's rows run down.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit, prange


@dataclass(frozen=True)
class Camera:
    """A pinhole: pixel = centre + focal * (x, -y) / -z of rotation @ point + translation.

    size (width, height) pixels; focal in pixels; centre (x, y) pixels of the optical axis; rotation (3, 3) and
    translation (3,) metres take the rig's frame to the camera's.
    """

    size: tuple[int, int]
    focal: float
    centre: tuple[float, float]
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    translation: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.0, -1.1]))

    @classmethod
    def portrait(
        cls,
        size: tuple[int, int],
        height: float = 0.40,
        distance: float = 1.1,
        target: tuple[float, float, float] = (0.0, -0.03, -0.06),
        yaw: float = 0.0,
        pitch: float = 0.0,
    ) -> Camera:
        """One that shows `height` metres round `target`, from `distance` metres; yaw > 0 (radians) goes round towards
        the subject's left, pitch > 0 above."""
        cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
        turn = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]]) @ np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        shift = np.array([0.0, 0.0, -distance]) - turn @ np.asarray(target)
        return cls(size, size[1] / height * distance, (size[0] / 2, size[1] / 2), turn, shift)

    def scaled(self, factor: float) -> Camera:
        """The same view in a picture `factor` times as large."""
        size = (round(self.size[0] * factor), round(self.size[1] * factor))
        centre = (self.centre[0] * factor, self.centre[1] * factor)
        return Camera(size, self.focal * factor, centre, self.rotation, self.translation)

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) metres in the rig's frame -> the camera's frame."""
        return points @ self.rotation.T + self.translation

    def project(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) metres -> (N, 3) float64: x, y in pixels, and 1 / distance along the axis (0 behind the camera)."""
        seen = self.to_camera(np.asarray(points, np.float64))
        near = np.where(seen[:, 2] < -1e-3, 1 / np.minimum(seen[:, 2], -1e-3) * -1, 0.0)
        scale = self.focal * near
        return np.stack([self.centre[0] + scale * seen[:, 0], self.centre[1] - scale * seen[:, 1], near], 1)

    @property
    def eye(self) -> np.ndarray:
        """(3,) where the camera stands, in the rig's frame."""
        return -self.rotation.T @ self.translation


@njit(cache=True, nogil=True, fastmath=True)
def _facing(pixels, triangles, keep, two_sided, height, found, area, rows):
    """Numbers of the triangles that may show, their areas (rows run down: what faces us is wound clockwise) and the
    rows that they reach; returns how many."""
    count = 0
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if not keep[t] or pixels[a, 2] <= 0.0 or pixels[b, 2] <= 0.0 or pixels[c, 2] <= 0.0:
            continue
        size = (pixels[b, 0] - pixels[a, 0]) * (pixels[c, 1] - pixels[a, 1])
        size -= (pixels[b, 1] - pixels[a, 1]) * (pixels[c, 0] - pixels[a, 0])
        if size > -1e-12 and not (two_sided[t] and size > 1e-12):
            continue
        y0 = max(int(np.ceil(min(pixels[a, 1], pixels[b, 1], pixels[c, 1]) - 0.5)), 0)
        y1 = min(int(np.floor(max(pixels[a, 1], pixels[b, 1], pixels[c, 1]) - 0.5)), height - 1)
        if y0 > y1:
            continue
        found[count], area[count], rows[count, 0], rows[count, 1] = t, size, y0, y1
        count += 1
    return count


@dataclass(frozen=True)
class Cutout:
    """Surfaces with holes: where alpha falls below a sample's threshold nothing is drawn, so that neighbouring samples
    together show the share that alpha says (alpha to coverage), in any order of drawing.

    layer     (F,) int32: the alpha picture of a triangle, -1 for those without holes.
    uv        (F, 3, 2) float32, v up.
    texels    (N,) uint8: all alpha pictures behind each other; places (M, 3) int64 of each: start, height, width.
    factors   (M, 2) float32: what multiplies alpha; 0, or the one threshold for all samples.
    samples   samples across a pixel.
    """

    layer: np.ndarray
    uv: np.ndarray
    texels: np.ndarray
    places: np.ndarray
    factors: np.ndarray
    samples: int = 1


_WHOLE = Cutout(
    np.zeros(0, np.int32),
    np.zeros((0, 3, 2), np.float32),
    np.zeros(0, np.uint8),
    np.zeros((0, 3), np.int64),
    np.zeros((0, 2), np.float32),
)


@njit(cache=True, nogil=True, fastmath=True)
def _hole(t, u, v, s, x, y, uv, texels, place, factor, cut, samples):
    """Whether a sample of triangle t falls through."""
    tu = u * uv[t, 0, 0] + v * uv[t, 1, 0] + s * uv[t, 2, 0]
    tv = u * uv[t, 0, 1] + v * uv[t, 1, 1] + s * uv[t, 2, 1]
    alpha = factor
    if place[1] > 0:
        fx, fy = texel(tu, place[2]), texel(1.0 - tv, place[1])
        ix, iy = int(fx), int(fy)
        jx, jy = min(ix + 1, place[2] - 1), min(iy + 1, place[1] - 1)
        fx, fy = fx - ix, fy - iy
        top, low = place[0] + iy * place[2], place[0] + jy * place[2]
        upper = texels[top + ix] * (1 - fx) + texels[top + jx] * fx
        lower = texels[low + ix] * (1 - fx) + texels[low + jx] * fx
        alpha = factor * (upper * (1 - fy) + lower * fy) / 255.0
    if cut > 0:
        return alpha < cut
    return alpha < ((y % samples) * samples + x % samples + 0.5) / (samples * samples)


@njit(cache=True, nogil=True, fastmath=True)
def texel(place, count):
    """Where a texture coordinate lies among `count` texels: 0..count - 1. Beyond its picture, the picture repeats."""
    if place < -0.001 or place > 1.001:
        place -= np.floor(place)
    return min(max(place * count - 0.5, 0.0), count - 1.0)


@njit(cache=True, nogil=True, fastmath=True)
def _fill(
    pixels, triangles, found, area, rows, first, last, index, bary, near, layer, uv, texels, places, factors, samples
):
    """Draws into the rows first..last-1."""
    w = index.shape[1]
    cutting = len(layer) > 0
    for y in range(first, last):
        for x in range(w):
            index[y, x] = -1
            near[y, x] = 0.0
    for k in range(len(found)):
        y0, y1 = max(rows[k, 0], first), min(rows[k, 1], last - 1)
        if y0 > y1:
            continue
        t = found[k]
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, aw = pixels[a, 0], pixels[a, 1], pixels[a, 2]
        bx, by, bw = pixels[b, 0], pixels[b, 1], pixels[b, 2]
        cx, cy, cw = pixels[c, 0], pixels[c, 1], pixels[c, 2]
        x0, x1 = max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0), min(int(np.floor(max(ax, bx, cx) - 0.5)), w - 1)
        inverse = 1.0 / area[k]
        u_step, v_step = (by - cy) * inverse, (cy - ay) * inverse
        for y in range(y0, y1 + 1):
            py, px = y + 0.5, x0 + 0.5
            u = ((bx - px) * (cy - py) - (by - py) * (cx - px)) * inverse
            v = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) * inverse
            for x in range(x0, x1 + 1):
                s = 1.0 - u - v
                if u >= -1e-6 and v >= -1e-6 and s >= -1e-6:
                    n = u * aw + v * bw + s * cw
                    if n > near[y, x]:
                        pu, pv, ps = u * aw / n, v * bw / n, s * cw / n
                        m = layer[t] if cutting else -1
                        if m < 0 or not _hole(
                            t, pu, pv, ps, x, y, uv, texels, places[m], factors[m, 0], factors[m, 1], samples
                        ):
                            near[y, x] = n
                            index[y, x] = t
                            bary[y, x, 0], bary[y, x, 1], bary[y, x, 2] = pu, pv, ps
                u += u_step
                v += v_step


@njit(cache=True, nogil=True, fastmath=True, parallel=True)
def _fill_bands(
    pixels, triangles, found, area, rows, bands, index, bary, near, layer, uv, texels, places, factors, samples
):
    h = len(index)
    for k in prange(bands):
        low, high = h * k // bands, h * (k + 1) // bands
        _fill(
            pixels,
            triangles,
            found,
            area,
            rows,
            low,
            high,
            index,
            bary,
            near,
            layer,
            uv,
            texels,
            places,
            factors,
            samples,
        )


@dataclass(frozen=True)
class Fragments:
    """index (H, W) int32, the triangle that a pixel shows, -1 for none; bary (H, W, 3) float32, true to perspective,
    undefined where nothing is; near (H, W) float32 1 / distance along the camera's axis, 0 where nothing is."""

    index: np.ndarray
    bary: np.ndarray
    near: np.ndarray

    @property
    def cover(self) -> np.ndarray:
        """(H, W) bool: where something is."""
        return self.index >= 0

    @property
    def depth(self) -> np.ndarray:
        """(H, W) float32 metres along the camera's axis; inf where nothing is."""
        return np.divide(1.0, self.near, out=np.full_like(self.near, np.inf), where=self.near > 0)

    def spread(self, values: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """(N, C) values at vertices -> (H, W, C) float32, 0 where nothing is."""
        out = np.zeros((*self.index.shape, values.shape[1]), np.float32)
        _spread(self.index, self.bary, triangles, np.ascontiguousarray(values, np.float32), out)
        return out


@njit(cache=True, nogil=True, fastmath=True)
def _spread(index, bary, triangles, values, out):
    h, w = index.shape
    for y in range(h):
        for x in range(w):
            t = index[y, x]
            if t >= 0:
                for c in range(out.shape[2]):
                    out[y, x, c] = (
                        bary[y, x, 0] * values[triangles[t, 0], c]
                        + bary[y, x, 1] * values[triangles[t, 1], c]
                        + bary[y, x, 2] * values[triangles[t, 2], c]
                    )


def rasterise(
    pixels: np.ndarray,
    triangles: np.ndarray,
    size: tuple[int, int],
    keep: np.ndarray | None = None,
    two_sided: np.ndarray | None = None,
    cutout: Cutout | None = None,
) -> Fragments:
    """Draws triangles (F, 3) of pixels (N, 3: x, y, 1 / distance) into a picture of size (width, height).

    Those that face away are left out unless `two_sided` (F,) says otherwise, and those that `keep` (F,) leaves out;
    `cutout` makes holes.
    Deterministic, whatever the number of threads.
    """
    width, height = size
    count = len(triangles)
    index = np.empty((height, width), np.int32)
    bary = np.empty((height, width, 3), np.float32)
    near = np.empty((height, width), np.float32)
    flag = lambda mask, other: np.full(count, other) if mask is None else np.ascontiguousarray(mask, np.bool_)
    pixels = np.ascontiguousarray(pixels, np.float64)
    triangles = np.ascontiguousarray(triangles, np.int32)
    found, area, rows = np.empty(count, np.int32), np.empty(count), np.empty((count, 2), np.int32)
    kept = _facing(pixels, triangles, flag(keep, True), flag(two_sided, False), height, found, area, rows)
    c = cutout or _WHOLE
    holes = (c.layer, c.uv, c.texels, c.places, c.factors, c.samples)
    _fill_bands(pixels, triangles, found[:kept], area[:kept], rows[:kept], 4, index, bary, near, *holes)
    return Fragments(index, bary, near)


def vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(N, 3) float32 unit normals, weighted by area."""
    out = np.zeros((len(points), 3))
    _add_normals(np.asarray(points, np.float64), np.ascontiguousarray(triangles, np.int32), out)
    return (out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)).astype(np.float32)


@njit(cache=True, nogil=True)
def _add_normals(points, triangles, out):
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for k in range(3):
            i = triangles[t, k]
            out[i, 0] += x
            out[i, 1] += y
            out[i, 2] += z
