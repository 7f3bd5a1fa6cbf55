"""Light on a head as nine spherical harmonics by RGB (Ramamoorthi and Hanrahan 2001), in NumPy: found, and exchanged.

As DECA has it, light multiplies the colours that a file stores, without gamma. Normals are in the viewer's axes: x
right, y up, z towards the viewer.
"""

from __future__ import annotations

import numpy as np

_FLAT, _SLOPE = 1 / np.sqrt(4 * np.pi), 2 * np.pi / 3 * np.sqrt(3 / (4 * np.pi))
_CURVE = np.pi / 4 * np.sqrt(5 / (12 * np.pi))

FACTORS = np.array(
    [_FLAT, *[_SLOPE] * 3, *[3 * _CURVE] * 3, 1.5 * _CURVE, np.pi / 8 * np.sqrt(5 / (4 * np.pi))], np.float32
)
"""(9,) of the basis 1, x, y, z, xy, xz, yz, x2 - y2, 3 z2 - 1: how much of each a matt surface reflects."""

_RIDGE = 1e-3  # of the even light, by which the other eight are held back
_DARKEST = 0.05  # of light, that a colour is divided by
_MOST = 4.0  # times that a pixel is made brighter or darker


def harmonics(normals: np.ndarray) -> np.ndarray:
    """(..., 3) unit normals -> (..., 9), the basis times `FACTORS`."""
    x, y, z = np.moveaxis(np.asarray(normals, np.float64), -1, 0)
    basis = [np.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1]
    return np.stack(basis, -1) * FACTORS


def even_light(strength: float = 1.0) -> np.ndarray:
    """(9, 3): the same from everywhere; albedo comes out as `strength` times itself."""
    out = np.zeros((9, 3))
    out[0] = strength / FACTORS[0]
    return out


def from_direction(direction: np.ndarray, strength: float = 0.8, ambient: float = 0.4) -> np.ndarray:
    """(9, 3): white light mostly from a direction (3,), which needn't be of length 1, over an even one."""
    way = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    out = even_light(ambient)
    out[1:4] = strength * way[:, None] / FACTORS[1:4, None]
    return out


def fit_light(
    colours: np.ndarray, normals: np.ndarray, albedo: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """(9, 3): the light that makes colours (N, 3) of albedo (N, 3) or (3,) on normals (N, 3); ridge least squares.

    weights (N,): how much a point counts, all alike without.
    """
    basis = harmonics(normals)
    share = np.ones(len(basis)) if weights is None else np.asarray(weights, np.float64)
    albedo = np.broadcast_to(np.asarray(albedo, np.float64), np.shape(colours))
    out = np.zeros((9, 3))
    for channel in range(3):
        rows = basis * albedo[:, channel : channel + 1]
        normal = (rows * share[:, None]).T @ rows
        ridge = _RIDGE * max(float(normal[0, 0]), 1e-9) * np.r_[0, np.ones(8)]
        out[:, channel] = np.linalg.solve(
            normal + np.diag(ridge + 1e-9), (rows * share[:, None]).T @ colours[:, channel]
        )
    return out


def relit(
    picture: np.ndarray, normals: np.ndarray, cover: np.ndarray, before: np.ndarray, after: np.ndarray
) -> np.ndarray:
    """(H, W, 3) uint8: a picture (H, W, 3) uint8 of a head as if its light (9, 3) were another one.

    normals (H, W, 3), cover (H, W) bool: where the head is; its edge fades into the picture, which stays elsewhere.
    """
    import cv2

    basis = harmonics(normals)
    old, new = (np.maximum(basis @ light, _DARKEST) for light in (before, after))
    gain = np.clip(new / old, 1 / _MOST, _MOST)
    width = max(3, round(0.01 * max(cover.shape)))
    inside = cv2.distanceTransform(np.pad(cover, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    share = np.clip(inside / width, 0, 1)[..., None]
    return np.clip(picture * (1 + share * (gain - 1)) + 0.5, 0, 255).astype(np.uint8)
