"""Vectors of published systems: networks filled by recipe, inputs and outputs read, differences judged.

The folder is FACE_STUDIO_CONFORMANCE, or ../shared/conformance beside the checkout; the weights' seed is
FACE_STUDIO_CONFORMANCE_SEED, or 0. Without the folder a test skips and says why; a vector that is missing or
differs fails.
"""

from __future__ import annotations

import fnmatch
import importlib.util
import itertools
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from studio.weights import open_weights

FOLDER = Path(os.environ.get("FACE_STUDIO_CONFORMANCE") or Path(__file__).resolve().parents[3] / "shared/conformance")
SEED = int(os.environ.get("FACE_STUDIO_CONFORMANCE_SEED") or 0)


def recipe(name: str = "fill_weights") -> ModuleType:
    """A module of the folder: `fill_weights`, `flame_synthetic`."""
    path = FOLDER / f"{name}.py"
    if not path.is_file():
        pytest.skip(f"no conformance vectors at {FOLDER} (FACE_STUDIO_CONFORMANCE names another place)")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


class Vectors:
    """One system's vectors: `inputs` and `expected` by name, `manifest` as read, `arrays(part)` its weights."""

    def __init__(self, system: str) -> None:
        self.fill = recipe()
        self.folder = FOLDER / system
        if not self.folder.is_dir():
            pytest.skip(f"no conformance vectors at {self.folder} (FACE_STUDIO_CONFORMANCE names another place)")
        self.manifest: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        self.inputs: dict[str, np.ndarray] = open_weights(self.folder / "inputs.safetensors")
        self.expected: dict[str, np.ndarray] = open_weights(self.folder / "expected.safetensors")

    def arrays(self, part: str, prefix: str = "", later: int = 0) -> dict[str, np.ndarray]:
        """Weights of a part by the recipe, `later` seeds on; keys that begin with `prefix`, without it."""
        drawn = self.fill.state_dict_from_manifest(self.folder / "manifest.json", part, SEED + later)
        return {key[len(prefix) :]: value for key, value in drawn.items() if key.startswith(prefix)}

    def keys(self, part: str) -> dict[str, tuple[int, ...]]:
        """{key: shape} of a part's whole state dict, constructor entries too."""
        return {e["key"]: tuple(e["shape"]) for e in self.manifest["parts"][part]["state_dict"]}

    def view(self, name: str) -> str | None:
        """How the manifest says that an expected array was cut from the full output. It names several arrays by
        "a and b", by alternatives "a|b.c" for one component, or by "a.*".
        """
        for several, view in self.manifest.get("expected_views", {}).items():
            for pattern in several.split(" and "):
                parts = [part.split("|") for part in pattern.split(".")]
                if any(fnmatch.fnmatchcase(name, ".".join(way)) for way in itertools.product(*parts)):
                    return view
        return None

    def check(self, name: str, got: Any, tolerance: float) -> None:
        """Fails where `got` differs from the expected array by more than `tolerance` anywhere.

        `got` is the full output: the manifest's view is taken of it first, unless the shape is already the expected.
        """
        wanted = self.expected[name]
        got = np.asarray(got.detach().cpu() if hasattr(got, "detach") else got)
        view = self.view(name)
        if view and got.shape != wanted.shape:
            got = _view(got, view)
        assert got.shape == wanted.shape, f"{name}: shape {got.shape}, {wanted.shape} expected (view {view})"
        difference = np.abs(got.astype(np.float64) - wanted.astype(np.float64)).max() if got.size else 0.0
        assert difference <= tolerance, f"{name}: off by {difference:.3g}, {tolerance:g} allowed"


def _view(array: np.ndarray, text: str) -> np.ndarray:
    """The part of an array that a view such as "[:, ::2, :1]" names; words after the bracket are a remark."""
    parts = text[text.index("[") + 1 : text.index("]")].split(",")
    chosen: list[Any] = []
    for part in (part.strip() for part in parts):
        numbers = [int(n) if n.strip() else None for n in part.split(":")] if part != "..." else []
        chosen.append(... if part == "..." else slice(*numbers) if ":" in part else numbers[0])
    return array[tuple(chosen)]
