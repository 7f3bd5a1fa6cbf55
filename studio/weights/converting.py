"""A published checkpoint as one flat .safetensors: quick to open, no pickle, its terms written into it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from studio.errors import UsageError, WeightsError
from studio.weights.loading import save_weights
from studio.weights.models import MODELS
from studio.weights.opening import open_weights
from studio.weights.published import PublishedModel


def flattened(tree: Any, before: str = "") -> dict[str, np.ndarray]:
    """{key: array} of nested dicts and lists, keys joined by dots; what is no array or number is left out."""
    if isinstance(tree, np.ndarray | np.generic):
        array = np.asarray(tree)
        return {before: array} if before and array.dtype.kind in "fiub" else {}
    if isinstance(tree, Mapping):
        items = [(str(key), value) for key, value in tree.items()]
    elif isinstance(tree, list | tuple):
        items = [(str(k), value) for k, value in enumerate(tree)]
    else:
        return {}
    out: dict[str, np.ndarray] = {}
    for key, value in items:
        out |= flattened(value, f"{before}.{key}" if before else key)
    return out


def recognised(tree: Any) -> PublishedModel | None:
    """Which published model a checkpoint is, by the names of its parts; None for one that is not known."""
    if not isinstance(tree, Mapping):
        return None
    keys = [str(key).removeprefix("module.") for key in tree]
    for model in MODELS.values():
        parts = [part.rstrip(".") for part, _ in model.keys]
        if parts and any(key == parts[0] or key.startswith(f"{parts[0]}.") for key in keys):
            return model
    if {"v_template", "f", "shapedirs", "lmk_faces_idx"} <= set(keys):
        return MODELS["smplx"]
    if {"v_template", "f", "shapedirs"} <= set(keys) or {"template", "shapedirs", "regressor"} <= set(keys):
        return MODELS["flame"]
    return None


def convert(source: str | Path, target: str | Path) -> tuple[PublishedModel | None, int]:
    """Writes a checkpoint's arrays as .safetensors; returns the model, where it is known, and how many there are.

    Of a known model only its networks are kept: no optimiser, and not FLAME's arrays that MICA's checkpoint carries
    along. Loaders read the result in the original's place. FLAME's own file is converted by
    `avatars.flame.asset.save_flame`. Raises UsageError for another ending than .safetensors, WeightsError for a file
    without arrays.
    """
    if Path(target).suffix != ".safetensors":
        raise UsageError(f"{target}: a converted checkpoint ends in .safetensors")
    tree = open_weights(source)
    model = recognised(tree)
    arrays = {key.removeprefix("module."): value for key, value in flattened(tree).items()}
    if model is not None and model.keys:
        parts = tuple(f"{part.rstrip('.')}." for part, _ in model.keys)
        arrays = {key: value for key, value in arrays.items() if key.startswith(parts)}
        arrays = {key: value for key, value in arrays.items() if not key.startswith("flameModel.generator.")}
    if not arrays:
        raise WeightsError(f"{source}: holds no arrays")
    metadata = {"source": Path(source).name}
    if model is not None:
        metadata |= {"model": model.name, "authors": model.authors, "licence": model.licence, "page": model.page}
    save_weights(target, arrays, metadata)
    return model, len(arrays)
