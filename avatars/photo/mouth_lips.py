"""The opening between the lips: its contour, how much of each pixel it covers, its height over the mouth's width."""

from __future__ import annotations

import numpy as np

from avatars.facemesh import LIPS_INNER


def mouth_hole(mesh_px: np.ndarray, shape: tuple[int, ...], edge_px: float = 1.1) -> np.ndarray:
    """Coverage (h, w) float32 of the opening between the inner lips, its contour a smooth closed curve.

    mesh_px (N >= 468, 2 or 3) posed landmarks in canvas pixels, shape (h, w) of the canvas. An opening thinner
    than a pixel fades out instead of leaving a dashed line."""
    alpha = np.zeros(shape[:2], np.float32)
    box, part = hole_box(np.asarray(mesh_px, np.float64)[LIPS_INNER, :2], shape, edge_px)
    if part is not None:
        alpha[box] = part
    return alpha


def hole_box(lips: np.ndarray, shape: tuple[int, ...], edge_px: float) -> tuple[tuple[slice, slice], np.ndarray | None]:
    """The same of lips (20, 2) for the mouth's own box alone: (slices of rows and columns, alpha or None)."""
    import cv2

    from avatars.photo.mouth_shader import coverage

    curve = closed_curve(lips, 6)
    low = np.maximum(np.floor(curve.min(0)).astype(int) - 3, 0)
    high = np.minimum(np.ceil(curve.max(0)).astype(int) + 4, [shape[1], shape[0]])
    box = (slice(low[1], high[1]), slice(low[0], high[0]))
    if (high <= low).any():
        return box, None
    part = coverage(curve - low, int(high[1] - low[1]), int(high[0] - low[0]), 4)
    return box, cv2.GaussianBlur(part, (0, 0), 0.45 * edge_px) if edge_px > 0 else part


def closed_curve(points: np.ndarray, between: int) -> np.ndarray:
    """(n * between, 2) Catmull-Rom curve through a closed loop (n, 2), sharp at both corners of the mouth: the first
    and the middle point."""
    half = len(points) // 2
    parts = []
    for run in (points[: half + 1], np.concatenate([points[half:], points[:1]])):
        p = np.concatenate([2 * run[:1] - run[1:2], run, 2 * run[-1:] - run[-2:-1]])
        t = (np.arange(between) / between)[:, None, None]
        a, b, c, d = p[:-3], p[1:-2], p[2:-1], p[3:]
        q = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        parts.append(q.transpose(1, 0, 2).reshape(-1, 2))
    return np.concatenate(parts)


def lip_heights(lips: np.ndarray, plane: np.ndarray, n: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """(2, n) height in mm of upper and lower lip (20, 2) over the mouth's width, and its (2,) ends in x; plane (8,) is
    the map from canvas pixel to mm."""
    curve = closed_curve(lips, 4)
    x = plane[0] * curve[:, 0] + plane[1] * curve[:, 1] + plane[2]
    y = plane[3] * curve[:, 0] + plane[4] * curve[:, 1] + plane[5]
    half = len(curve) // 2
    span = np.array([x.min(), x.max()])
    at = np.linspace(span[0], span[1], n)
    lower, upper = slice(0, half + 1), np.r_[half : len(curve), 0]
    out = []
    for part in (upper, lower):
        order = np.argsort(x[part], kind="stable")
        out.append(np.interp(at, x[part][order], y[part][order]))
    return np.stack(out), span
