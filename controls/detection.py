"""Finds faces in a still picture, and landmarks inside a region of it.

The detectors see the whole picture first. Where they find nothing, or where what they find is small, overlapping
tiles show them the picture larger. Every candidate is then looked at by the landmark network, which knows
a face better than the detectors do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatars import facenets

ROI_MARGIN = 1.5
"""Side of the region that the landmark network looks at, as a multiple of the longer side of the face's box. It was
trained so; its landmarks drift with other framings."""


@dataclass(frozen=True)
class Region:
    """A square part of a picture, possibly turned: centre x, y and side in pixels, angle in radians (clockwise)."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def matrix(self, size: int) -> np.ndarray:
        """(2, 3) affine from pixels of the picture to those of a crop of side `size`; pixel centres are whole numbers
        plus a half, as landmarks count them."""
        k = size / self.side
        c, s = k * np.cos(self.angle), k * np.sin(self.angle)
        return np.array([[c, s, size / 2 - c * self.x - s * self.y], [-s, c, size / 2 + s * self.x - c * self.y]])

    @classmethod
    def of(cls, landmarks: np.ndarray) -> Region:
        """The region in which the landmark network should see this face."""
        dx, dy = landmarks[263, :2] - landmarks[33, :2]
        angle = float(np.arctan2(dy, dx))
        c, s = np.cos(angle), np.sin(angle)
        turned = landmarks[:468, :2] @ np.array([[c, -s], [s, c]])
        low, high = turned.min(0), turned.max(0)
        x, y = np.array([[c, -s], [s, c]]) @ ((low + high) / 2)
        return cls(float(x), float(y), float(ROI_MARGIN * (high - low).max()), angle)

    def near(self, other: Region, tolerance: float = 0.05) -> bool:
        """Whether two regions show the same, within a part of their side and so many radians."""
        reach = tolerance * self.side
        return (
            abs(self.x - other.x) < reach
            and abs(self.y - other.y) < reach
            and abs(self.side - other.side) < 2 * reach
            and abs(np.angle(np.exp(1j * (self.angle - other.angle)))) < tolerance
        )


@dataclass(frozen=True)
class Candidate:
    """A face as a detector sees it: x0, y0, x1, y1 in pixels, score 0..1 and where to look for its landmarks."""

    box: np.ndarray
    score: float
    region: Region


def crop(image: np.ndarray, region: Region, size: int) -> np.ndarray:
    """(size, size, 3) uint8: the region of the picture, free of aliasing; black beyond the border."""
    cv2 = facenets.load_cv2()
    matrix = region.matrix(size)
    shrink = int(region.side / size)
    if shrink >= 2:  # average first, else the warp would skip pixels
        reach = region.side * 0.75
        h, w = image.shape[:2]
        x0, y0 = max(0, int(region.x - reach)), max(0, int(region.y - reach))
        x1, y1 = min(w, int(region.x + reach) + 1), min(h, int(region.y + reach) + 1)
        if x1 - x0 < 2 * shrink or y1 - y0 < 2 * shrink:
            return np.zeros((size, size, 3), np.uint8)
        cols, rows = (x1 - x0) // shrink, (y1 - y0) // shrink
        part = image[y0 : y0 + rows * shrink, x0 : x0 + cols * shrink]
        image = cv2.resize(part, (cols, rows), interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.array([[shrink, 0, x0], [0, shrink, y0], [0, 0, 1.0]])
    matrix = matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5  # OpenCV counts pixel centres as whole numbers
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)


def landmarks_in(image: np.ndarray, region: Region) -> tuple[np.ndarray, float]:
    """Landmarks (478, 3) float32 in pixels of the picture, and the probability that the region shows a face."""
    size = facenets.MESH_SIZE
    points, score = facenets.mesh(crop(image, region, size))
    matrix = region.matrix(size)
    out = np.empty_like(points)
    out[:, :2] = (points[:, :2] - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    out[:, 2] = points[:, 2] * (region.side / size)
    return out, score


def refine(image: np.ndarray, region: Region, passes: int = 4) -> tuple[np.ndarray, float]:
    """Landmarks of a still and their score: the network looks again until its region and the face it sees agree."""
    points, score = landmarks_in(image, region)
    for _ in range(passes - 1):
        wanted = Region.of(points)
        if wanted.near(region, 0.01) or score < 0.05:
            break
        region = wanted
        points, score = landmarks_in(image, region)
    return points, score


def detect(image: np.ndarray, least: float = 0.0, thorough: bool = True) -> list[Candidate]:
    """Candidates, best first and without doubles. thorough: look at tiles as well, so that small faces are found."""
    h, w = image.shape[:2]
    whole = Region(w / 2, h / 2, float(max(w, h)))
    found = _look(image, whole, "far") + _look(image, whole, "near")
    if thorough:
        for parts in (2, 4):
            if max(w, h) / parts < 96:
                break
            good = [c for c in found if c.score > 0.6]
            if parts == 4 and good and min(c.box[2] - c.box[0] for c in good) > max(w, h) / 8:
                break  # everybody in the picture is large: nobody is hidden in a finer grid
            for tile in _tiles(w, h, parts):
                found += [c for c in _look(image, tile, "far") if not _cut(c, tile, w, h)]
    return [c for c in _distinct(found) if c.score >= least]


def _look(image: np.ndarray, part: Region, reach: str) -> list[Candidate]:
    size = 192 if reach == "far" else 128
    rows, scores = facenets.detect(crop(image, part, size), reach)
    out = []
    for row, score in zip(rows, scores):
        centre = np.array([part.x, part.y]) + (row[:2] - 0.5) * part.side
        extent = row[2:4] * part.side
        eyes = row[4:8].reshape(2, 2)
        angle = float(np.arctan2(*(eyes[1] - eyes[0])[::-1]))
        side = 1.5 * float(extent.max())
        out.append(
            Candidate(
                np.concatenate([centre - extent / 2, centre + extent / 2]),
                float(score),
                Region(float(centre[0]), float(centre[1]), side, angle),
            )
        )
    return out


def _tiles(w: int, h: int, parts: int) -> list[Region]:
    """Squares of 1 / parts of the longer side that cover the picture and overlap by half."""
    side = max(w, h) / parts
    counts = [max(1, int(np.ceil(2 * n / side)) - 1) for n in (w, h)]
    places = [np.linspace(side / 2, max(side / 2, n - side / 2), count) for n, count in zip((w, h), counts)]
    return [Region(float(x), float(y), side) for y in places[1] for x in places[0]]


def _cut(found: Candidate, tile: Region, w: int, h: int) -> bool:
    """Whether a face touches a border of its tile that is no border of the picture: another tile shows it whole."""
    x0, y0, x1, y1 = found.box
    half, slack = tile.side / 2, 0.02 * tile.side
    return bool(
        (x0 < tile.x - half + slack and tile.x - half > 1)
        or (y0 < tile.y - half + slack and tile.y - half > 1)
        or (x1 > tile.x + half - slack and tile.x + half < w - 1)
        or (y1 > tile.y + half - slack and tile.y + half < h - 1)
    )


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Common area of two boxes x0, y0, x1, y1 as a part of the smaller one."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = np.prod(np.maximum(high - low, 0))
    return float(common / max(1e-9, min(np.prod(a[2:] - a[:2]), np.prod(b[2:] - b[:2]))))


def _distinct(found: list[Candidate]) -> list[Candidate]:
    kept: list[Candidate] = []
    for one in sorted(found, key=lambda c: -c.score):
        if all(overlap(one.box, other.box) < 0.4 for other in kept):
            kept.append(one)
    return kept


__all__ = ["Candidate", "Region", "crop", "detect", "landmarks_in", "overlap", "refine"]
