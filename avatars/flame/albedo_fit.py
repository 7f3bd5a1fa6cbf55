"""Albedo (of FLAME's texture space) and light that together make what a photo shows: from both follows the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from avatars.flame.lighting import even_light, fit_light, harmonics
from avatars.head.photo import pulled

if TYPE_CHECKING:
    from avatars.deca.albedo import AlbedoModel

_ROUNDS = 6
_NOISE = 0.02
"""Of colours (0..1), by which a photo's texel may be off: coefficients are standard deviations against it."""


@dataclass(frozen=True)
class AlbedoFit:
    """coefficients (K,), standard deviations; light (9, 3) as in `avatars.flame.lighting`; albedo (S, S, 3) float32,
    0..1: the colours without light."""

    coefficients: np.ndarray
    light: np.ndarray
    albedo: np.ndarray

    def shaded(self, normals: np.ndarray) -> np.ndarray:
        """(S, S, 3) float32, 0..1: the albedo under its light on normals (S, S, 3)."""
        return np.clip(self.albedo * (harmonics(normals) @ self.light), 0, 1).astype(np.float32)


def fit_albedo(model: AlbedoModel, colours: np.ndarray, trust: np.ndarray, normals: np.ndarray) -> AlbedoFit:
    """Coefficients and light of a photo's texels, by Gauss-Newton from the mean; coefficients are held by their prior.

    colours (256, 256, 3), 0..1, in FLAME's texture space; trust (256, 256), 0..1: how well the photo shows a texel;
    normals (256, 256, 3) in the viewer's axes.
    """
    seen = trust > 0.05
    mean = model.mean.numpy().reshape(3, *trust.shape).transpose(1, 2, 0)
    basis = model.basis.numpy().reshape(model.components, 3, *trust.shape).transpose(2, 3, 1, 0)
    found, light = np.zeros(model.components), even_light()
    if seen.any():
        given = (mean[seen], basis[seen].astype(np.float64), harmonics(normals[seen]))
        light = fit_light(colours[seen], normals[seen], mean[seen], trust[seen])
        for _ in range(_ROUNDS):
            found, light = _step(*given, colours[seen], trust[seen], found, light)
    albedo = np.clip(mean + basis @ found, 0, 1).astype(np.float32)
    return AlbedoFit(found, light, albedo)


def _step(
    mean: np.ndarray,
    own: np.ndarray,
    shape: np.ndarray,
    colours: np.ndarray,
    share: np.ndarray,
    found: np.ndarray,
    light: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """A Gauss-Newton step of both: coefficients (K,) and light (9, 3), for N texels with mean (N, 3), own (N, 3, K),
    harmonics (N, 9), colours (N, 3) and weights (N,).
    """
    count = len(found)
    albedo, shade = mean + own @ found, shape @ light
    normal, pull = np.zeros((count + 27, count + 27)), np.zeros(count + 27)
    for channel in range(3):
        columns = np.r_[np.arange(count), count + channel + 3 * np.arange(9)]
        rows = np.c_[own[:, channel] * shade[:, channel, None], shape * albedo[:, channel, None]]
        weighted = rows * share[:, None]
        normal[np.ix_(columns, columns)] += weighted.T @ rows
        pull[columns] += weighted.T @ (colours[:, channel] - albedo[:, channel] * shade[:, channel])
    prior = np.r_[np.full(count, _NOISE**2), np.full(27, 1e-6)]
    pull -= prior * np.r_[found, np.zeros(27)]
    change = np.linalg.solve(normal + np.diag(prior), pull)
    return found + change[:count], light + change[count:].reshape(9, 3)


def filled_by(model: AlbedoModel, colours: np.ndarray, trust: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """(S, S, 3) float32, 0..255: what a photo's texels (S, S, 3), 0..255, would be where it doesn't show them.

    Meets the photo's colours at their edges: what albedo and light miss there is carried on. trust, normals as in
    `fit_albedo`, of any side S.
    """
    import cv2

    def small(part: np.ndarray) -> np.ndarray:
        return cv2.resize(np.asarray(part, np.float32), (256, 256), interpolation=cv2.INTER_AREA)

    colours, share, turned = np.asarray(colours, np.float32), small(trust), small(normals)
    known = small(colours * trust[..., None]) / np.maximum(share, 1e-4)[..., None]
    turned = turned / np.maximum(np.linalg.norm(turned, axis=2, keepdims=True), 1e-6)
    fit = fit_albedo(model, known / 255, share, turned)
    made = cv2.resize(255 * fit.shaded(turned), trust.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return made + pulled(colours - made, np.asarray(trust, np.float32))
