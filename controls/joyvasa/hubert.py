"""HuBERT base (Hsu et al. 2021), with the published checkpoints' names: sound to features, 50 a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from studio.attention import attention
from studio.errors import WeightsError

KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
HEAD_WIDTH = 64


@dataclass(frozen=True)
class HubertSizes:
    """width of the transformer, its layers, inner width of its feed-forward; channels of the convolutions; kernel and
    groups of the positional convolution. The defaults are the base model's."""

    width: int = 768
    layers: int = 12
    inner: int = 3072
    channels: tuple[int, ...] = (512,) * 7
    position_kernel: int = 128
    position_groups: int = 16

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> HubertSizes:
        """The sizes that a state_dict has. Raises `WeightsError` for another family of encoders."""
        try:
            convolutions = [state[f"feature_extractor.conv_layers.{i}.conv.weight"] for i in range(len(KERNELS))]
            position = state[_position_name(state)]
            inner, width = state["encoder.layers.0.feed_forward.intermediate_dense.weight"].shape
        except KeyError as error:
            raise WeightsError(f"the speech encoder is no HuBERT base: it has no {error.args[0]}") from None
        if "feature_extractor.conv_layers.1.layer_norm.weight" in state:
            raise WeightsError("the speech encoder is a HuBERT large; JoyVASA takes the base family")
        layers = {key.split(".")[2] for key in state if key.startswith("encoder.layers.")}
        channels = tuple(int(weight.shape[0]) for weight in convolutions)
        return cls(width, len(layers), inner, channels, int(position.shape[2]), width // int(position.shape[1]))


def _position_name(state: Mapping[str, Tensor]) -> str:
    stem = "encoder.pos_conv_embed.conv."
    names = ("weight_v", "parametrizations.weight.original1", "weight")
    return next((stem + name for name in names if stem + name in state), stem + "weight_v")


class _FrontLayer(nn.Module):
    def __init__(self, channels: int, out: int, kernel: int, stride: int, first: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, out, kernel, stride, bias=False)
        if first:
            self.layer_norm = nn.GroupNorm(out, out)
        self.first = first

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return F.gelu(self.layer_norm(x) if self.first else x)


class _Front(nn.Module):
    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        before = (1, *channels[:-1])
        self.conv_layers = nn.ModuleList(
            _FrontLayer(a, b, k, s, i == 0)
            for i, (a, b, k, s) in enumerate(zip(before, channels, KERNELS, STRIDES, strict=True))
        )

    def forward(self, sound: Tensor) -> Tensor:
        x = sound[:, None]
        for layer in self.conv_layers:
            x = layer(x)
        return x.transpose(1, 2)


class _Projection(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(channels)
        self.projection = nn.Linear(channels, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(self.layer_norm(x))


class _WeightNormedConv1d(nn.Conv1d):
    """Loads weight norm (over the kernel's places) as `weight_g`/`weight_v` or as its newer names, folded."""

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *rest: object) -> None:
        for g, v in (("weight_g", "weight_v"), tuple(f"parametrizations.weight.original{i}" for i in (0, 1))):
            if prefix + g in state_dict and prefix + v in state_dict:
                size, direction = state_dict.pop(prefix + g), state_dict.pop(prefix + v)
                length = torch.linalg.vector_norm(direction, dim=(0, 1), keepdim=True)
                state_dict[f"{prefix}weight"] = direction * (size / length)
        super()._load_from_state_dict(state_dict, prefix, *rest)


class _Position(nn.Module):
    def __init__(self, sizes: HubertSizes) -> None:
        super().__init__()
        kernel = sizes.position_kernel
        self.conv = _WeightNormedConv1d(
            sizes.width, sizes.width, kernel, padding=kernel // 2, groups=sizes.position_groups
        )
        self.extra = 1 - kernel % 2

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv(x.transpose(1, 2))
        return F.gelu(out[..., : out.shape[-1] - self.extra]).transpose(1, 2)


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            setattr(self, name, nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part(x).unflatten(2, (-1, HEAD_WIDTH)).transpose(1, 2) for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.out_proj(attention(q, k, v).transpose(1, 2).flatten(2))


class _FeedForward(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(width, inner)
        self.output_dense = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.output_dense(F.gelu(self.intermediate_dense(x)))


class _Layer(nn.Module):
    def __init__(self, sizes: HubertSizes) -> None:
        super().__init__()
        self.attention = _Attention(sizes.width)
        self.layer_norm = nn.LayerNorm(sizes.width)
        self.feed_forward = _FeedForward(sizes.width, sizes.inner)
        self.final_layer_norm = nn.LayerNorm(sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer_norm(x + self.attention(x))
        return self.final_layer_norm(x + self.feed_forward(x))


class _Encoder(nn.Module):
    def __init__(self, sizes: HubertSizes) -> None:
        super().__init__()
        self.pos_conv_embed = _Position(sizes)
        self.layer_norm = nn.LayerNorm(sizes.width)
        self.layers = nn.ModuleList(_Layer(sizes) for _ in range(sizes.layers))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer_norm(x + self.pos_conv_embed(x))
        for layer in self.layers:
            x = layer(x)
        return x


class Hubert(nn.Module):
    """(B, samples) at 16 kHz, -1..1 -> (B, T, width): 320 samples a step, of which the first needs 400."""

    def __init__(self, sizes: HubertSizes = HubertSizes()) -> None:
        super().__init__()
        self.masked_spec_embed = nn.Parameter(torch.zeros(sizes.width))  # of the training only
        self.feature_extractor = _Front(sizes.channels)
        self.feature_projection = _Projection(sizes.channels[-1], sizes.width)
        self.encoder = _Encoder(sizes)

    def forward(self, sound: Tensor) -> Tensor:
        return self.encoder(self.feature_projection(self.feature_extractor(sound)))
