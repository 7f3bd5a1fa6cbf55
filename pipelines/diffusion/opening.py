"""Checkpoint folders and files: which family they are, opened by the right pipeline, refused with a reason."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from studio.errors import UsageError, WeightsError

SD, XL = "Stable Diffusion 1.5", "SDXL"

PIPELINES = ("text", "image", "inpaint")
"""What a pipeline begins with: noise, a picture, a picture with a mask."""


def family_of(path: str | os.PathLike[str]) -> str:
    """The family of a checkpoint folder or single file: "Stable Diffusion 1.5", "SDXL", or another's name.

    Reads no weights of a folder. Raises WeightsError for what is no checkpoint of a pipeline.
    """
    path = Path(path).expanduser()
    if path.is_file():
        return _family_of_file(path)
    index = path / "model_index.json"
    if not index.is_file():
        raise WeightsError(f"{path}: {_not_a_pipeline(path)}")
    try:
        parts = json.loads(index.read_text("utf-8"))
    except ValueError as error:
        raise WeightsError(f"{index}: damaged ({error})") from error
    if "unet" not in parts:
        return str(parts.get("_class_name", "another pipeline"))
    return XL if parts.get("text_encoder_2") else SD


def check_folder(path: str | os.PathLike[str], family: str, name: str) -> str:
    """The path, as a string, if it is a folder of this family or an address on the Hugging Face hub. WeightsError."""
    place = Path(path).expanduser()
    if place.is_file():
        raise WeightsError(f"{place}: a file; open it with {name}.from_single_file")
    if not place.is_dir():
        text = os.fspath(path)
        if text.count("/") == 1 and not text.startswith((".", "/", "~")):
            return text  # an address on the hub
        raise WeightsError(f"{place}: there is no such folder")
    found = family_of(place)
    if found != family:
        other = {SD: "PortraitPipeline", XL: "PortraitXLPipeline"}.get(found)
        hint = f"open it with {other} or its like" if other else f"{SD} and {XL} are known here"
        raise WeightsError(f"{place}: {found}, but {name} is for {family}; {hint}")
    return str(place)


def check_single_file(path: str | os.PathLike[str], family: str, name: str) -> str:
    """The path, as a string, if it is one file with a whole pipeline of this family. Raises WeightsError."""
    place = Path(path).expanduser()
    if place.is_dir():
        raise WeightsError(f"{place}: a folder; open it with {name}.from_pretrained")
    if not place.is_file():
        raise WeightsError(f"{place}: there is no such file")
    found = _family_of_file(place)
    if found != family:
        other = "PortraitXLPipeline" if found == XL else "PortraitPipeline"
        raise WeightsError(f"{place}: {found}, but {name} is for {family}; open it with {other}")
    return str(place)


def open_pipeline(path: str | os.PathLike[str], kind: str = "text", **options: Any) -> Any:
    """The portrait pipeline of a checkpoint's family: `kind` is "text", "image" or "inpaint".

    path  a folder, or a single file (then config=FOLDER of the family keeps it offline).
    Raises WeightsError for what is no such checkpoint, UsageError.
    """
    if kind not in PIPELINES:
        raise UsageError(f"kind={kind!r}: choose one of {', '.join(PIPELINES)}")
    place = Path(path).expanduser()
    if not place.exists():
        raise WeightsError(f"{place}: there is no such folder or file")
    family = family_of(place)
    from pipelines.diffusion.families import KINDS

    if family not in KINDS:
        raise WeightsError(f"{place}: {family}; {SD} and {XL} are known here")
    made = KINDS[family][PIPELINES.index(kind)]
    return made.from_single_file(place, **options) if place.is_file() else made.from_pretrained(place, **options)


def open_controlnet(path: str | os.PathLike[str], *, dtype: Any = None) -> Any:
    """A ControlNet of a folder with config.json and weights, or a single file. Raises WeightsError for another."""
    from diffusers import ControlNetModel

    place = Path(path).expanduser()
    options = typed(dtype)
    if place.is_file():
        return ControlNetModel.from_single_file(str(place), **options)
    config = place / "config.json"
    if not config.is_file():
        raise WeightsError(f"{place}: no ControlNet (config.json is missing)")
    kind = json.loads(config.read_text("utf-8")).get("_class_name")
    if kind != "ControlNetModel":
        raise WeightsError(f"{place}: {kind or 'another model'}, not a ControlNet")
    return ControlNetModel.from_pretrained(str(place), **options)


def typed(dtype: Any) -> dict[str, Any]:
    """How diffusers' loading functions are told a type, whose argument has another name since 0.41; empty for None."""
    from diffusers.utils import deprecation_utils

    name = "dtype" if hasattr(deprecation_utils, "_TORCH_DTYPE_DEPRECATION_MESSAGE") else "torch_dtype"
    return {} if dtype is None else {name: dtype}


def opened_controlnets(given: Any, *, dtype: Any = None) -> Any:
    """A ControlNet or several as one component; paths are opened."""
    if isinstance(given, str | os.PathLike):
        return open_controlnet(given, dtype=dtype)
    if isinstance(given, list | tuple):
        from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel

        nets = [opened_controlnets(one, dtype=dtype) for one in given]
        return MultiControlNetModel(nets) if len(nets) > 1 else (nets[0] if nets else None)
    return given


def check_controlnets(net: Any, unet: Any) -> None:
    """Raises WeightsError for a ControlNet of another family than the UNet."""
    from controls.identity.adapter import family

    for one in [] if net is None or unet is None else getattr(net, "nets", [net]):
        theirs, ours = (_width(m.config.cross_attention_dim) for m in (one, unet))
        if theirs != ours:
            raise WeightsError(f"a ControlNet for {family(theirs)}, but this pipeline is {family(ours)}")


def _width(value: Any) -> int:
    return value if isinstance(value, int) else value[0]


def _not_a_pipeline(path: Path) -> str:
    if not path.is_dir():
        return "there is no such folder"
    if (path / "config.json").is_file():
        kind = json.loads((path / "config.json").read_text("utf-8")).get("_class_name", "a model")
        return f"one part of a pipeline ({kind}), not a whole one; give the folder with model_index.json"
    return "no pipeline: model_index.json is missing. Give a folder as diffusers saves it"


def _family_of_file(path: Path) -> str:
    """By the keys of a single checkpoint file."""
    keys = set(_keys(path))
    if any(key.startswith("conditioner.embedders.1") for key in keys):
        return XL
    if any(key.startswith(("cond_stage_model.transformer.", "model.diffusion_model.")) for key in keys):
        wide = any(key.startswith("cond_stage_model.model.") for key in keys)
        return "Stable Diffusion 2" if wide else SD
    if any("lora" in key for key in keys):
        raise WeightsError(f"{path}: a LoRA, not a whole pipeline; load it with load_lora_weights (--lora)")
    some = ", ".join(sorted(keys)[:3])
    raise WeightsError(f"{path}: no checkpoint of a whole pipeline (it has {some or 'no arrays'})")


def _keys(path: Path) -> list[str]:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "np") as file:
                return list(file.keys())
        except SafetensorError as error:
            raise WeightsError(f"{path}: damaged ({error})") from error
    from studio.weights import state_dict

    return list(state_dict(path))
