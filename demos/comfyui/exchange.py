"""ComfyUI's values and ours: pictures, sound, progress, and where files go."""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from studio.errors import UsageError, require
from studio.progress import Progress


def pictures(images: Any) -> list[np.ndarray]:
    """IMAGE, a tensor (B, H, W, 3 or 4) of 0..1, as uint8 arrays (H, W, 3 or 4)."""
    values = np.asarray(images.detach().cpu(), np.float32)
    if values.ndim != 4 or values.shape[3] not in (3, 4):
        raise UsageError(f"an IMAGE is (B, H, W, 3 or 4), got {values.shape}")
    return list(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))


def images(frames: Iterable[np.ndarray]) -> Any:
    """uint8 arrays (H, W, C) of one size as IMAGE."""
    import torch

    return torch.stack([torch.from_numpy(np.ascontiguousarray(frame)).float() / 255 for frame in frames])


def sound(audio: dict[str, Any]) -> Any:
    """AUDIO, {"waveform": tensor (B, C, T), "sample_rate": Hz}, as `studio.media.Audio`; the first of a batch."""
    from studio.media import Audio

    waveform = np.asarray(audio["waveform"].detach().cpu(), np.float32)
    if waveform.ndim != 3:
        raise UsageError(f"an AUDIO's waveform is (B, C, T), got {waveform.shape}")
    return Audio.from_array(waveform[0].T, int(audio["sample_rate"]))


def settings(text: str, option: str) -> dict[str, Any] | None:
    """`smile=0.8 jawOpen=0.2` as a dict; None where nothing is written."""
    from demos.cli.options import pairs

    return pairs(re.split(r"[\s,]+", text.strip()), option) if text.strip() else None


@lru_cache(maxsize=1)
def maker(model: str, controlnet: str, adapter: str) -> Any:
    """A `GenerationPipeline` of these places, kept for the next run of the graph; without a model the miniature."""
    require("diffusers", extra="models")
    if not model:
        from demos.cli.miniature import open_maker

        return open_maker()
    import torch

    from pipelines.generate import GenerationPipeline

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return GenerationPipeline.from_pretrained(
        model, controlnet=controlnet or None, identity=adapter or None, device=device
    )


def face_number(number: int) -> int | str:
    """1 is the largest face, 0 means all; pipelines count from 0."""
    return "all" if number == 0 else number - 1


def reporter() -> Callable[[Progress], None] | None:
    """ComfyUI's progress bar, which also stops the work when the user does; None outside ComfyUI."""
    try:
        utils = importlib.import_module("comfy.utils")
        management = importlib.import_module("comfy.model_management")
    except ModuleNotFoundError:
        return None
    bar = None

    def tell(event: Progress) -> None:
        nonlocal bar
        management.throw_exception_if_processing_interrupted()
        if event.total:
            bar = bar or utils.ProgressBar(event.total)
            bar.update_absolute(min(event.done, event.total), event.total)

    return tell


def new_file(prefix: str, ending: str) -> Path:
    """A path for a result that is not there yet, in ComfyUI's output folder."""
    try:
        folder = Path(importlib.import_module("folder_paths").get_output_directory())
    except ModuleNotFoundError:
        folder = Path(tempfile.gettempdir()) / "face-studio-output"
    name = re.sub(r"[^\w.-]+", "_", Path(prefix).name).strip("._") or "face"
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while (path := folder / f"{name}_{number:05d}{ending}").exists():
        number += 1
    return path
