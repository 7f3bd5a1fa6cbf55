"""What a call needs, checked before anything is computed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from controls.identity.adapter import family
from controls.identity.expression import WIDTH
from controls.identity.faceid import FaceId, FaceIdPlusProjection
from pipelines.diffusion.region import mask_values
from pipelines.diffusion.text import check_length
from studio.errors import UsageError, WeightsError


def check_call(pipe: Any, arguments: Mapping[str, Any], wishes: Any) -> None:
    """Raises UsageError for wishes that this pipeline can't fulfil."""
    for kind, some in (("concept", wishes.concepts), ("region", wishes.regions)):
        check_length(pipe, [one.prompt for one in some or ()], f"the prompt of a {kind}")
    _check_control(pipe, wishes)
    _check_faces(pipe, arguments, wishes)
    if wishes.conditions:
        if pipe.ctrlora is None:
            raise UsageError("conditions, but no CtrLoRA: pipe.load_ctrlora(BASE, {name: FILE}) first")
        rows = list(wishes.conditions) if isinstance(wishes.conditions, dict) else [c[0] for c in wishes.conditions]
        for name in rows:
            if name not in pipe.ctrlora.conditions:
                have = ", ".join(pipe.ctrlora.conditions) or "none yet"
                raise UsageError(f"no CtrLoRA condition {name!r}; loaded are {have}")
    if wishes.concepts and float(arguments.get("guidance_scale", 7.5)) <= 1:
        raise UsageError("concepts need guidance: guidance_scale above 1")
    loaded = set(getattr(pipe.unet, "peft_config", {}))
    for region in wishes.regions or ():
        region.at((8, 8))
        if region.identity is not None and pipe.adapter is None:
            raise UsageError("a region's identity, but no adapter that knows faces: pipe.load_identity(FILE) first")
        if missing := set(region.loras or ()) - loaded:
            raise UsageError(f"no LoRA {', '.join(sorted(missing))}; loaded are {', '.join(sorted(loaded)) or 'none'}")


def _check_control(pipe: Any, wishes: Any) -> None:
    net = pipe.controlnet
    nets = [] if net is None else list(getattr(net, "nets", [net]))
    if wishes.control_image is None:
        return
    if not nets:
        raise UsageError("a control_image, but no ControlNet: give controlnet=FOLDER to from_pretrained")
    if len(nets) > 1 and (not isinstance(wishes.control_image, list | tuple) or len(wishes.control_image) != len(nets)):
        given = len(wishes.control_image) if isinstance(wishes.control_image, list | tuple) else 1
        raise UsageError(f"{given} control pictures for {len(nets)} ControlNets: give a list with one for each")
    starts, ends = (wishes.each(name, len(nets)) for name in ("control_guidance_start", "control_guidance_end"))
    wishes.each("controlnet_conditioning_scale", len(nets))
    for start, end in zip(starts, ends):
        if not 0 <= start < end <= 1:
            raise UsageError(f"a ControlNet from {start:g} to {end:g} of the steps: 0 to 1, in this order")


def _check_faces(pipe: Any, arguments: Mapping[str, Any], wishes: Any) -> None:
    if wishes.identity_mask is not None:
        mask_values(wishes.identity_mask, "identity_mask")
    if wishes.embeds is not None:
        if pipe.adapter is None and pipe.prompter is None:
            raise UsageError("an identity, but no adapter that knows faces: pipe.load_identity(FILE) first")
        if pipe.prompter is not None and (arguments.get("prompt") or arguments.get("prompt_embeds") is not None):
            raise UsageError("Arc2Face sees the face alone: leave the prompt out")
        plus = isinstance(pipe.adapter, FaceId) and isinstance(pipe.adapter.projection, FaceIdPlusProjection)
        if plus and wishes.looks is None:
            raise UsageError("FaceID-Plus also looks at the photo: give identity=PHOTO, not numbers alone")
    if wishes.expression is not None:
        if pipe.mimic is None:
            raise UsageError("an expression, but no Expression Adapter: pipe.load_identity(exp_adapter.bin) first")
        if np.shape(wishes.expression)[-1:] != (WIDTH,):
            raise UsageError(f"an expression has {WIDTH} numbers, as controls.identity.expression makes them")


def size_of(pipe: Any, arguments: Mapping[str, Any], wishes: Any) -> dict[str, Any]:
    """{height, width} that follow from the control picture where neither was asked for; checks its proportions.

    Raises UsageError where a control picture would be squeezed by more than 2 %, or the mask of an inpainting.
    """
    if arguments.get("mask_image") is not None:
        picture, mask = shape_of(arguments.get("image")), shape_of(arguments["mask_image"])
        if picture and mask:
            _same_shape("mask_image", mask, "image", picture)
    if wishes.control_image is None:
        return {}
    first = wishes.control_image
    several = len(getattr(pipe.controlnet, "nets", [0])) > 1
    shapes = [s for one in (first if several else [first]) if (s := shape_of(one))]
    for other in shapes[1:]:
        _same_shape("a control picture", other, "the first", shapes[0])
    height, width = arguments.get("height"), arguments.get("width")
    source = shape_of(arguments.get("image"))
    if height and width:
        whole, name = (height, width), "the picture asked for"
    elif source:
        whole, name = source, "image"
    else:
        step = pipe.vae_scale_factor
        if not shapes:
            return {}
        return {"height": shapes[0][0] // step * step, "width": shapes[0][1] // step * step}
    for shape in shapes:
        _same_shape("the control picture", shape, name, whole)
    return {}


def _same_shape(what: str, one: tuple[int, int], name: str, other: tuple[int, int]) -> None:
    if abs(one[0] * other[1] / (one[1] * other[0]) - 1) > 0.02:
        raise UsageError(
            f"{what} is {one[1]}x{one[0]} and {name} {other[1]}x{other[0]}: crop one to the other's proportions"
        )


def shape_of(picture: Any) -> tuple[int, int] | None:
    """(height, width) of a picture, or of the first of several; None where it can't be told."""
    if isinstance(picture, list | tuple):
        return shape_of(picture[0]) if picture else None
    if hasattr(picture, "getbands"):
        return picture.size[1], picture.size[0]
    shape = getattr(picture, "shape", None)
    if shape is None or len(shape) not in (2, 3, 4):
        return None
    if len(shape) == 2:
        return int(shape[0]), int(shape[1])
    first = not isinstance(picture, np.ndarray)  # tensors are (…, C, H, W), arrays (…, H, W, C)
    return (int(shape[-2]), int(shape[-1])) if first else (int(shape[-3]), int(shape[-2]))


_DOWN = ("lora_A.weight", "lora_A.default.weight", "lora_down.weight", "lora.down.weight", "lora_layer.down.weight")


def check_lora(source: Any, unet: Any, options: Mapping[str, Any]) -> None:
    """Raises WeightsError for a LoRA whose cross attention is of another width than the UNet's, for a file that is
    none, and for one that is missing. What can't be looked into (an address on the hub) is left to diffusers."""
    arrays: Mapping[str, Any]
    if isinstance(source, Mapping):
        arrays = source
    else:
        path = Path(os.fspath(source))
        if path.is_dir():
            named = options.get("weight_name")
            found = [path / named] if named else sorted(path.glob("*.safetensors"))
            if len(found) != 1 or not found[0].is_file():
                raise WeightsError(f"{path}: {len(found)} files that may be a LoRA; give the file itself")
            path = found[0]
        if not path.is_file():
            if path.suffix or path.is_absolute():
                raise WeightsError(f"{path}: there is no such file")
            return
        from studio.weights import state_dict

        arrays = state_dict(path)
    down = [(k, np.shape(v)) for k, v in arrays.items() if "lora" in k.lower()]
    if not down:
        some = ", ".join(list(arrays)[:3])
        raise WeightsError(f"{source if not isinstance(source, Mapping) else 'the LoRA'}: no LoRA (it has {some})")
    into = ("attn2.to_k", "attn2_to_k")
    widths = {
        shape[1] for key, shape in down if any(word in key for word in into) and key.endswith(_DOWN) and len(shape) >= 2
    }
    own = unet.config.cross_attention_dim
    own = own if isinstance(own, int) else own[0]
    if widths and widths != {own}:
        name = "the LoRA" if isinstance(source, Mapping) else str(source)
        other = " and ".join(family(width) for width in sorted(widths))
        raise WeightsError(f"{name}: made for {other}, but this pipeline is {family(own)}")
