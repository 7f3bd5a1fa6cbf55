"""The miniature's CtrLoRA (Xu et al. 2025): one control network, and for normals and for landmarks a LoRA each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from controls.ctrlora.encoding import encode_condition
from controls.ctrlora.keys import published_key
from controls.ctrlora.network import ControlNetwork
from controls.ctrlora.weights import Condition
from demos.miniature import training
from demos.miniature.album import Album
from demos.miniature.control import guided, new_controlnet
from demos.miniature.diffusion import Lessons, Miniature
from demos.miniature.muon import optimisers
from demos.miniature.opening import CONDITION, CTRLORA
from demos.miniature.pictures import landmark_picture
from demos.miniature.training import Workers

RANK = 8
CONDITIONS = ("normals", "landmarks")

_OWN = re.compile(r".+\.attentions\.\d\.(norm|transformer_blocks\.0\.norm\d)|controlnet_(down_blocks\.\d+|mid_block)")
"""Layers that each condition has of its own: the transformers' norms and the zero convolutions."""


def new_network(unet: Any, seed: int = 0) -> ControlNetwork:
    """Begun as the UNet's encoder, with a fresh condition for each of `CONDITIONS`; open for training."""
    plain, pick = new_controlnet(unet), np.random.default_rng(seed)
    state = {k: v.numpy() for k, v in plain.state_dict().items() if not k.startswith("controlnet_cond_embedding.")}
    own = {name for name, _ in plain.named_modules() if _OWN.fullmatch(name)}
    shared = {key: value for key, value in state.items() if key.rpartition(".")[0] not in own}
    made = ControlNetwork(shared, what="a new base")
    linear = [(n, m) for n, m in plain.named_modules() if isinstance(m, nn.Linear)]
    for name in CONDITIONS:
        pairs = {
            layer: (
                pick.normal(0, 1 / RANK, (RANK, module.in_features)).astype(np.float32),
                np.zeros((module.out_features, RANK), np.float32),
            )
            for layer, module in linear
        }
        layers = {layer: {leaf: state[f"{layer}.{leaf}"] for leaf in ("weight", "bias")} for layer in sorted(own)}
        made.add(name, Condition(pairs, layers))
    return made.requires_grad_(True).train()


def published(network: ControlNetwork) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """The base, and each condition, by the keys that published files have."""
    prefix = "net."
    base = {k[len(prefix) :]: v for k, v in network.state_dict().items() if k.startswith(prefix)}
    conditions = {}
    for name in network.conditions:
        own = {}
        for layer, module in network.layers_of(name).items():
            for key, value in module.state_dict().items():
                if isinstance(module, nn.Sequential):
                    key = {"0.weight": "lora_A.weight", "1.weight": "lora_B.weight"}[key]
                own[published_key(f"{layer}.{key}")] = value
        conditions[name] = own
    return {published_key(key): value for key, value in base.items()}, conditions


def encoded(vae: Any, pictures: np.ndarray) -> Tensor:
    """(N, 4, 16, 16) of condition pictures (N, 64, 64, 3) uint8, as CtrLoRA's network sees them."""
    return torch.cat([encode_condition(vae, pictures[k : k + 64]) for k in range(0, len(pictures), 64)])


def train_ctrlora(
    base: Miniature,
    vae: Any,
    lessons: Lessons,
    album: Album,
    file: Path,
    *,
    minutes: float,
    start: Path | None = None,
    seed: int = 0,
    report=print,
) -> ControlNetwork:
    """Trains base and conditions together for so long, a checkpoint beside; returns the average of the weights.

    start  folder of a miniature whose CtrLoRA to go on from.
    """
    torch.manual_seed(seed)
    workers = Workers()
    base.requires_grad_(False).eval()
    shown = {
        "normals": encoded(vae, album.normals),
        "landmarks": encoded(vae, np.stack([landmark_picture(points) for points in album.points])),
    }
    net = new_network(base.unet)
    if start is not None:
        files = {name: start / CONDITION.format(name) for name in CONDITIONS}
        net = ControlNetwork.from_pretrained(start / CTRLORA, files).float().requires_grad_(True).train()

    def residuals(step: int, rows: np.ndarray, noisy: Tensor, timestep: Tensor, text: Tensor) -> tuple[Any, Tensor]:
        name = CONDITIONS[step % len(CONDITIONS)]
        *down, middle = net(name, shown[name][rows], timestep, text)
        return down, middle

    return training.train(
        net,
        guided(base, lessons, residuals, workers, seed),
        optimisers(net, 1.5e-3),
        file,
        name="ctrlora",
        workers=workers,
        minutes=minutes,
        keep=0.99,
        report=report,
    )
