"""What a CtrLoRA base and a condition file hold, and how each is told from other families' files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from controls.ctrlora.keys import CONTROL, UNET, diffusers_key, linear_order, part
from studio.errors import WeightsError
from studio.weights import state_dict

_OWN = ("zero_convs", "middle_block_out", "norm")
_TASK = f"{CONTROL}loras_dict."


def _conditions_own(key: str) -> bool:
    """Whether a key belongs to a condition: its LoRA, zero convolutions, and the transformers' norms."""
    return key.startswith(_TASK) or "lora_layer" in key or any(word in key for word in _OWN)


def base_arrays(tree: Mapping[str, np.ndarray], *, what: str = "base") -> dict[str, np.ndarray]:
    """What all conditions share, of a base's flat checkpoint, by diffusers' names.

    Zero convolutions, transformers' norms and left-over LoRAs of the checkpoint are passed over: they are each
    condition's own. Raises WeightsError for another family's file.
    """
    if f"{CONTROL}input_blocks.0.0.weight" not in tree or any("input_hint_block" in key for key in tree):
        raise WeightsError(f"{what}: {_family(tree)}, not a CtrLoRA base")
    return part({key: value for key, value in tree.items() if not _conditions_own(key)}, CONTROL)


@dataclass(frozen=True)
class Condition:
    """One condition's weights (Xu et al. 2025, section 3).

    pairs   {Linear layer: (down (rank, in), up (out, rank))}; the layer gives `W x + b + up down x`.
    layers  {layer: {"weight", "bias"}}: its own zero convolutions and transformers' norms.

    Layers go by diffusers' names.
    """

    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]]
    layers: Mapping[str, Mapping[str, np.ndarray]]

    @property
    def rank(self) -> int:
        """Of the LoRA, as its matrices have it."""
        return next(iter(self.pairs.values()))[0].shape[0]

    @classmethod
    def open(cls, path: str | Path, task: str | None = None) -> Condition:
        """From a published file, .ckpt or .safetensors. Raises WeightsError; see `of`."""
        return cls.of(state_dict(path), task=task, what=str(path))

    @classmethod
    def of(cls, tree: Mapping[str, np.ndarray], *, task: str | None = None, what: str = "condition") -> Condition:
        """From a flat checkpoint by its published keys; what it holds besides (a base, a UNet) is passed over.

        task picks one condition of a pretraining checkpoint, such as "canny"; its zero convolutions and norms are
        the base's. Raises WeightsError for another family's file, an unknown task, half a pair, or mixed ranks.
        """
        own = {k: v for k, v in tree.items() if k.startswith(CONTROL) and _conditions_own(k)}
        if task is not None:
            own = _of_task(tree, own, task, what)
        own = {key: value for key, value in own.items() if not key.startswith(_TASK)}
        halves: dict[str, dict[str, np.ndarray]] = {"A": {}, "B": {}}
        layers: dict[str, dict[str, np.ndarray]] = {}
        for key, value in own.items():
            name = diffusers_key(key)
            if match := re.fullmatch(r"(.+)\.lora_([AB])\.weight", name):
                halves[match[2]][match[1]] = value
            else:
                layer, _, leaf = name.rpartition(".")
                layers.setdefault(layer, {})[leaf] = value
        if not halves["A"] or not layers:
            raise WeightsError(f"{what}: {_family(tree)}, not a CtrLoRA condition")
        if odd := sorted(halves["A"].keys() ^ halves["B"].keys()):
            raise WeightsError(f"{what}: half of a LoRA pair is missing: {', '.join(odd[:5])}")
        pairs = {layer: (down, halves["B"][layer]) for layer, down in halves["A"].items()}
        ranks = {n for down, up in pairs.values() for n in (down.shape[0], up.shape[-1])}
        if len(ranks) != 1:
            raise WeightsError(f"{what}: its LoRA mixes the ranks {', '.join(map(str, sorted(ranks)))}")
        return cls(pairs, layers)


def _of_task(
    tree: Mapping[str, np.ndarray], own: Mapping[str, np.ndarray], task: str, what: str
) -> dict[str, np.ndarray]:
    """A pretraining checkpoint's keys of one task, as a condition file has them."""
    tasks = sorted({key[len(_TASK) :].partition(".")[0] for key in own if key.startswith(_TASK)})
    if task not in tasks:
        raise WeightsError(f"{what}: no condition {task!r} inside; it has {', '.join(tasks) or 'none by name'}")
    out = {key: value for key, value in own.items() if "lora" not in key}
    for number, layer in enumerate(linear_order(tree)):
        for half in ("down.weight", "up.weight"):
            key = f"{_TASK}{task}.{number}.{half}"
            if key not in tree:
                raise WeightsError(f"{what}: {key} is missing")
            out[f"{CONTROL}{layer}.lora_layer.{half}"] = tree[key]
    return out


def _family(tree: Mapping[str, np.ndarray]) -> str:
    """What a checkpoint seems to be, for a message."""
    keys = list(tree)
    if any("input_hint_block" in key or "controlnet_cond_embedding" in key for key in keys):
        return "an ordinary ControlNet (it has a hint block)"
    control = [key for key in keys if key.startswith(CONTROL)]
    if any("lora_layer" in key for key in control):
        return "a CtrLoRA condition file"
    if any(key.startswith(_TASK) for key in control):
        return "a CtrLoRA pretraining checkpoint (name one of its tasks)"
    if control:
        return "a CtrLoRA base"
    if any(key.startswith(UNET) for key in keys):
        return "a Stable Diffusion checkpoint without a control network"
    if any("lora" in key for key in keys):
        return "a LoRA of another network"
    return f"another model's checkpoint (it has {', '.join(keys[:3]) or 'no arrays'})"
