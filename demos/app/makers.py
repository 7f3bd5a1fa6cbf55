"""Diffusion models that a user may choose: the package's miniature, and checkpoints that lie in the models' folder.

They go by the names of their folders there; no other place on the disk can be named.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.errors import UsageError, WeightsError

MINIATURE = "miniature"
NONE = "none"
ADAPTERS = (
    (NONE, NONE),
    ("IP-Adapter FaceID", "faceid"),
    ("InstantID", "instantid"),
    ("Arc2Face", "arc2face"),
)
TURN = threading.Lock()
"""A diffusion pipeline makes one picture at a time."""


def checkpoints() -> dict[str, Path]:
    """Folders with a whole pipeline, as diffusers saves it, by name."""
    return dict(_folders("model_index.json", "StableDiffusion"))


def control_networks() -> dict[str, Path]:
    """Folders with a ControlNet, by name."""
    return dict(_folders("config.json", "ControlNetModel"))


def maker(model: str, control: str = NONE, condition: str = "normals", adapter: str = NONE) -> Any:
    """A `GenerationPipeline`, kept until another is asked for. WeightsError, MissingExtraError, UsageError say what to
    do."""
    from studio.errors import require

    require("torch", extra="models")
    require("diffusers", extra="models")
    if model == MINIATURE:
        return _miniature()
    if model not in checkpoints():
        from studio.weights import models_folder

        raise WeightsError(
            f"there is no model {model!r}: put a checkpoint of Stable Diffusion 1.5 or SDXL, a folder as diffusers "
            f"saves it, into {models_folder()}/"
        )
    if control != NONE and control not in control_networks():
        raise UsageError(f"no ControlNet {control!r}; there are {', '.join(control_networks()) or 'none'}")
    if adapter not in [name for _, name in ADAPTERS]:
        raise UsageError(f"identity adapter {adapter!r}: choose one of {', '.join(name for _, name in ADAPTERS)}")
    return _maker(checkpoints()[model], control_networks().get(control), condition, adapter)


@lru_cache(maxsize=1)
def _miniature() -> Any:
    from demos.cli.miniature import open_maker

    return open_maker()


@lru_cache(maxsize=1)
def _maker(model: Path, control: Path | None, condition: str, adapter: str) -> Any:
    import torch

    from pipelines.generate import GenerationPipeline

    device = "cuda" if torch.cuda.is_available() else "cpu"
    made = GenerationPipeline.from_pretrained(model, controlnet=control, condition=condition, device=device)
    if adapter != NONE:
        made.pipe.load_identity(kind=adapter)
    return made


def _folders(index: str, kind: str) -> Iterator[tuple[str, Path]]:
    from studio.weights import models_folder

    for depth in ("*", "*/*"):
        for path in sorted(models_folder().glob(f"{depth}/{index}")):
            try:
                name = str(json.loads(path.read_text("utf-8")).get("_class_name", ""))
            except (OSError, ValueError, AttributeError):
                continue
            inside = index != "model_index.json" and (path.parent.parent / "model_index.json").is_file()
            if name.startswith(kind) and not inside:
                yield path.parent.relative_to(models_folder()).as_posix(), path.parent
