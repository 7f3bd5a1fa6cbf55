"""Where FLAME's surface is what other heads call by number: FaceMesh's points, eye corners, the eyeballs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatars.facemesh import MEAN, POINTS_68
from avatars.flame.asset import Embedding, FlameAsset
from avatars.flame.numpy_layer import points_on
from avatars.transfer import similarity
from studio.errors import UsageError

_ALIKE = 0.2
"""Eye spans (root mean square) that FaceMesh's mean face may lie off an embedding of its points, after a similarity."""

_OUTER_CORNERS = (19, 28)
"""Of the 51 inner landmarks: the right and the left eye's outer corner."""


def person_of(asset: FlameAsset, shape: np.ndarray | None) -> FlameAsset:
    """The asset with a person's neutral head as its template: identity coefficients (up to 300,)."""
    if shape is None:
        return asset
    shape = np.asarray(shape, np.float64).reshape(-1)
    if len(shape) > 300 or not np.isfinite(shape).all():
        raise UsageError(f"shape {shape.shape}: up to 300 finite coefficients expected")
    return replace(asset, template=asset.template + asset.shapedirs[:, :, : len(shape)] @ shape)


def facemesh_landmarks(asset: FlameAsset) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) points on the neutral head, metres, and (N,) which of FaceMesh's 468 they are.

    The 17 contour points of a frontal head come from the 68 landmarks; those inside the face from SMIRK's embedding of
    MediaPipe's points where it is there and lies like a face, else from the 51 inner ones. Raises UsageError for an
    asset without landmarks.
    """
    inner = _static(asset)
    points, numbers = inner, POINTS_68[17:]
    if asset.mediapipe is not None and asset.mediapipe_points is not None and asset.mediapipe_points.max() < 468:
        more = points_on(asset, asset.template[None], asset.mediapipe)[0]
        mean = MEAN[asset.mediapipe_points].astype(np.float64)
        onto = similarity(mean, more)
        if np.sqrt(((onto(mean) - more) ** 2).sum(1).mean()) < _ALIKE * onto.scale:
            points, numbers = more, asset.mediapipe_points
    if asset.dynamic is not None:
        frontal = Embedding(asset.dynamic.triangles[:1], asset.dynamic.barycentric[:1])
        contour = points_on(asset, asset.template[None], frontal)[0]
        new = ~np.isin(POINTS_68[:17], numbers)
        points, numbers = np.r_[contour[new], points], np.r_[POINTS_68[:17][new], numbers]
    return points, numbers


def origin(asset: FlameAsset) -> np.ndarray:
    """(3,) metres: the middle between the outer eye corners, where a `Rig` has its origin."""
    return _static(asset)[list(_OUTER_CORNERS)].mean(0)


def eyeballs(asset: FlameAsset) -> np.ndarray:
    """(V,) bool: vertices that turn with an eye."""
    return asset.weights[:, 3:].sum(1) > 0.5


def _static(asset: FlameAsset) -> np.ndarray:
    if asset.static is None:
        raise UsageError(
            "this FLAME has no landmarks, so that nobody knows where its eyes are; put landmark_embedding.npy (DECA's) "
            "or flame_static_embedding.pkl (smplx's) beside it"
        )
    return points_on(asset, asset.template[None], asset.static)[0]
