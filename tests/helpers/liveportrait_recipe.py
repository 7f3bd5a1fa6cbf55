"""LivePortrait's and JoyVASA's networks with weights by recipe, and the vectors that go with them.

Folder and seed come from the environment as in `conformance`.
"""

from __future__ import annotations

import importlib.util
import json
import os
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conformance import SEED


def place(shared: Path) -> Path:
    """The vectors' folder."""
    found = Path(os.environ.get("FACE_STUDIO_CONFORMANCE") or shared / "conformance")
    if not (found / "fill_weights.py").is_file():
        pytest.skip(f"no conformance vectors at {found} (FACE_STUDIO_CONFORMANCE names another place)")
    return found


@cache
def recipe(shared: Path) -> ModuleType:
    """The module that fills weights by name."""
    spec = importlib.util.spec_from_file_location("fill_weights", place(shared) / "fill_weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def manifest(shared: Path, system: str) -> dict[str, Any]:
    """What the vectors' manifest says."""
    return json.loads((place(shared) / system / "manifest.json").read_text())


@cache
def vectors(shared: Path, system: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(inputs, expected)."""
    from safetensors.numpy import load_file

    folder = place(shared) / system
    return load_file(folder / "inputs.safetensors"), load_file(folder / "expected.safetensors")


def state(shared: Path, system: str, part: str) -> dict[str, Any]:
    """The state_dict of a part, as tensors."""
    import torch

    filled = recipe(shared).state_dict_from_manifest(place(shared) / system / "manifest.json", part, SEED)
    inputs = vectors(shared, system)[0]
    for entry in manifest(shared, system)["parts"][part]["state_dict"]:
        if "stored_key" in entry:
            filled[entry["key"]] = inputs[entry["stored_key"]]
    return {key: torch.from_numpy(np.ascontiguousarray(value)).reshape(value.shape) for key, value in filled.items()}


def strided(array: np.ndarray, view: str) -> np.ndarray:
    """The part of an array that the vectors keep, as the manifest's slices say."""
    return array[
        tuple(slice(*(int(p) if p.strip() else None for p in s.split(":"))) for s in view.strip("[]").split(","))
    ]
