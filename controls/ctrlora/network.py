"""CtrLoRA's control network: an encoder that all conditions share, and what each condition changes in it."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path

import numpy as np
import torch
from diffusers import ControlNetModel
from torch import Tensor, nn

from controls.ctrlora.weights import Condition, base_arrays
from studio.attention.processor import StudioAttnProcessor
from studio.errors import UsageError, WeightsError
from studio.weights import load_folded, locate, model, state_dict

HEADS = 8
"""Attention heads of Stable Diffusion 1.5, at every width."""

_ACTIVE: ContextVar[nn.ModuleList] = ContextVar("ctrlora_condition")
"""Layers of the condition that this thread or task computes: two threads may use one network at once."""

_OWN = re.compile(r".+\.attentions\.\d\.(norm|transformer_blocks\.0\.norm\d)|controlnet_(down_blocks\.\d+|mid_block)")


class _Adapted(nn.Linear):
    """A Linear layer with the active condition's LoRA on it."""

    number: int

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + _ACTIVE.get()[self.number](x)


class _Replaced(nn.Module):
    """Where each condition has a zero convolution or a norm of its own."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: Tensor) -> Tensor:
        return _ACTIVE.get()[self.number](x)


class _NoHint(nn.Module):
    """In place of the hint block: adds nothing."""

    def forward(self, x: Tensor | None) -> float:
        return 0.0


class ControlNetwork(nn.Module):
    """The control network of CtrLoRA (Xu et al., ICLR 2025, section 3) for Stable Diffusion 1.5.

        network = ControlNetwork.from_pretrained("ctrlora_sd15_basecn700k.ckpt")     # or a folder that has it
        network.add("lineart", Condition.open("ctrlora_sd15_basecn700k_lineart_rank128_1kimgs_1ksteps.ckpt"))
        residuals = network("lineart", latent, timestep, text)

    It sees the condition's latent (`controls.ctrlora.encoding`), the timestep and the text; not the noisy latent. A
    call names its condition and no weights are merged, so changing conditions costs nothing and is exact. `to` moves
    and casts the conditions too.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], *, what: str = "base") -> None:
        """arrays: the shared weights by diffusers' names (`base_arrays`). Raises WeightsError where they don't fit."""
        super().__init__()
        with torch.device("meta"):
            self.net = _unconditioned(arrays, what)
        self.net.set_attn_processor(StudioAttnProcessor())
        self.net.controlnet_cond_embedding = _NoHint()
        self._patterns: dict[str, nn.Module] = {}
        for name, layer in list(self.net.named_modules()):
            if isinstance(layer, nn.Linear) or _OWN.fullmatch(name):
                self._prepare(name, layer)
        floats = {key: np.asarray(value, np.float32) for key, value in arrays.items()}
        load_folded(self.net, floats, what=what)
        self.kept = nn.ModuleDict()
        self._places: dict[str, str] = {}
        self.requires_grad_(False).eval()

    def _prepare(self, name: str, layer: nn.Module) -> None:
        number = len(self._patterns)
        self._patterns[name] = layer
        if isinstance(layer, nn.Linear):
            new: nn.Module = _Adapted(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
            new.number = number
        else:
            new = _Replaced(number)
        self.net.set_submodule(name, new)

    @classmethod
    def of(cls, tree: Mapping[str, np.ndarray], *, what: str = "base") -> ControlNetwork:
        """From a base's flat checkpoint by its published keys, or from one that holds a base among others."""
        return cls(base_arrays(tree, what=what), what=what)

    @classmethod
    def from_pretrained(
        cls, base: str | Path | None = None, conditions: Mapping[str, str | Path] | None = None
    ) -> ControlNetwork:
        """From published files: the base, and {name: file} of conditions.

        base is a file or a folder that has it; None looks where published models lie (`studio.weights.find`).
        Raises WeightsError for a missing file, saying where to get it, and for other models' files.
        """
        path = locate(model("ctrlora"), given=base)
        network = cls.of(state_dict(path), what=str(path))
        for name, file in (conditions or {}).items():
            network.add(name, Condition.open(file), what=str(file))
        return network

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions that it has, in the order in which they came."""
        return tuple(self._places)

    def add(self, name: str, condition: Condition, *, what: str | None = None) -> None:
        """Takes a condition under a name of yours; one that had the name goes.

        Raises WeightsError where it was made for a network of another size.
        """
        given = {layer: {"0.weight": down, "1.weight": up} for layer, (down, up) in condition.pairs.items()}
        given |= {layer: dict(arrays) for layer, arrays in condition.layers.items()}
        with torch.device("meta"):
            layers = nn.ModuleList(_made(pattern, condition.rank) for pattern in self._patterns.values())
        wanted = {layer: _shapes(made.state_dict()) for layer, made in zip(self._patterns, layers, strict=True)}
        wrong = [k for k in (*wanted, *(k for k in given if k not in wanted)) if wanted.get(k) != _shapes(given.get(k))]
        if wrong:
            told = "; ".join(f"{k}: {_shapes(given.get(k))} instead of {wanted.get(k)}" for k in wrong[:3])
            raise WeightsError(f"{what or name}: not a condition of this base ({len(wrong)} layers differ: {told})")
        arrays = {
            f"{number}.{leaf}": np.asarray(value, np.float32)
            for number, layer in enumerate(self._patterns)
            for leaf, value in given[layer].items()
        }
        like = self.net.conv_in.weight
        load_folded(layers, arrays, what=what or name).requires_grad_(False).to(like.device, like.dtype)
        self.remove(name, missing_ok=True)
        place = f"c{max((int(k[1:]) for k in self.kept), default=-1) + 1}"
        self.kept[place] = layers
        self._places[name] = place

    def remove(self, name: str, *, missing_ok: bool = False) -> None:
        """Forgets a condition and frees its memory. Raises UsageError where there is none of the name."""
        if missing_ok and name not in self._places:
            return
        self._of(name)
        del self.kept[self._places.pop(name)]

    def layers_of(self, name: str) -> dict[str, nn.Module]:
        """{layer by diffusers' name: what a condition has there}: a LoRA (down, up), a zero convolution or a norm.
        Raises UsageError for an unknown condition.
        """
        return dict(zip(self._patterns, self._of(name), strict=True))

    def _of(self, name: str) -> nn.ModuleList:
        if name not in self._places:
            raise UsageError(f"no condition {name!r}; there are {', '.join(self._places) or 'none yet'}")
        return self.kept[self._places[name]]  # type: ignore[return-value]

    def forward(self, condition: str, latent: Tensor, timestep: Tensor | float, text: Tensor) -> tuple[Tensor, ...]:
        """13 residuals, from the finest to the middle one, (B, C, h, w) each: of the condition alone, at strength 1.

        latent    (b, 4, H/8, W/8), the encoded condition; repeated where B is a multiple of b (guidance).
        timestep  0..999: one number, or (B,).
        text      (B, T, D), the prompt's embedding as the UNet gets it.

        Raises UsageError for an unknown condition and for shapes that don't fit.
        """
        layers = self._of(condition)
        like = self.net.conv_in.weight
        if latent.ndim != 4 or latent.shape[1] != like.shape[1] or text.ndim != 3 or text.shape[0] % latent.shape[0]:
            raise UsageError(
                f"latent {tuple(latent.shape)} and text {tuple(text.shape)}: (b, {like.shape[1]}, h, w) and "
                "(B, T, D) are needed, B a multiple of b"
            )
        latent = latent.to(like).repeat(text.shape[0] // latent.shape[0], 1, 1, 1)
        token = _ACTIVE.set(layers)
        try:
            down, mid = self.net(latent, timestep, text.to(like), None, return_dict=False)
        finally:
            _ACTIVE.reset(token)
        return (*down, mid)


def _unconditioned(arrays: Mapping[str, np.ndarray], what: str) -> ControlNetModel:
    """diffusers' ControlNet of the size that the weights have."""
    widths, crossed = [], []
    while (key := f"down_blocks.{len(widths)}.resnets.0.conv1.weight") in arrays:
        crossed.append(f"down_blocks.{len(widths)}.attentions.0.proj_in.weight" in arrays)
        widths.append(arrays[key].shape[0])
    context = {value.shape[-1] for key, value in arrays.items() if key.endswith("attn2.to_k.weight")}
    if not widths or len(context) != 1:
        raise WeightsError(f"{what}: not the encoder of Stable Diffusion 1.5 ({len(widths)} levels)")
    return ControlNetModel(
        in_channels=arrays["conv_in.weight"].shape[1],
        down_block_types=tuple("CrossAttnDownBlock2D" if cross else "DownBlock2D" for cross in crossed),
        block_out_channels=tuple(widths),
        cross_attention_dim=context.pop(),
        attention_head_dim=HEADS,
    )


def _made(pattern: nn.Module, rank: int) -> nn.Module:
    """A condition's part of one layer: a LoRA pair, or a layer like the pattern."""
    if not isinstance(pattern, nn.Linear):
        return copy.deepcopy(pattern)
    return nn.Sequential(nn.Linear(pattern.in_features, rank, False), nn.Linear(rank, pattern.out_features, False))


def _shapes(arrays: Mapping[str, np.ndarray | Tensor] | None) -> dict[str, tuple[int, ...]] | None:
    return None if arrays is None else {key: tuple(value.shape) for key, value in sorted(arrays.items())}
