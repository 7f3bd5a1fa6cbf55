"""Embeddings of a face recogniser: several photos made one, at the length that an adapter knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studio.errors import UsageError

WIDTH = 512
"""Numbers of an ArcFace embedding."""


def unit(embeddings: np.ndarray) -> np.ndarray:
    """Embeddings (..., 512) at length 1, float32, as FaceID and Arc2Face take them. Raises UsageError for zeros."""
    embeddings = checked(embeddings)
    length = np.linalg.norm(embeddings, axis=-1, keepdims=True)
    if not (length > 0).all():
        raise UsageError("an identity embedding of zeros: no face was recognised in that photo")
    return embeddings / length


def combined(embeddings: Sequence[np.ndarray] | np.ndarray, *, normalise: bool) -> np.ndarray:
    """One embedding (512,) float32 of a person's photos (N, 512).

    normalise  True (FaceID, Arc2Face): each at length 1, then their mean at length 1 again, so that no photo weighs
               more; False (InstantID, which takes the recogniser's own numbers): the plain mean.
    Raises UsageError for no photo, another width, numbers that aren't finite, or zeros where lengths matter.
    """
    rows = checked(np.asarray(embeddings, np.float32))
    rows = rows.reshape(-1, WIDTH)
    if not normalise:
        return rows.mean(0)
    return unit(unit(rows).mean(0))


def checked(embeddings: np.ndarray) -> np.ndarray:
    """The same as float32 (..., 512). Raises UsageError for another width, none, or numbers that aren't finite."""
    embeddings = np.asarray(embeddings, np.float32)
    if embeddings.ndim == 0 or embeddings.shape[-1] != WIDTH or embeddings.size == 0:
        raise UsageError(f"identity embeddings {embeddings.shape}: (..., {WIDTH}) expected")
    if not np.isfinite(embeddings).all():
        raise UsageError("an identity embedding has numbers that aren't finite")
    return embeddings
