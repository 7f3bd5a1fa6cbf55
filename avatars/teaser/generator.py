"""TEASER's renderer: SMIRK's U-Net, whose levels are steered by tokens and shown a picture that is made of them."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from avatars.smirk.generator import LEVELS, WIDTH, UNet
from avatars.teaser.encoder import TOKEN
from studio.errors import UsageError
from studio.weights import load_published

_TOKEN_OF = {"encoder1": 3, "encoder2": 2, "encoder3": 1, "encoder4": 0, "bottleneck": 0}
_TOKEN_OF |= {f"decoder{k}": 4 - k for k in LEVELS}
"""Which token steers which level."""

_HIDDEN = 128
_COARSEST = 14


class AdaIN(nn.Module):
    """Adaptive instance norm (Huang and Belongie 2017): x (B, C, H, W) with mean and size from a token (B, 256)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Linear(TOKEN, _HIDDEN), nn.ReLU())
        self.mlp_gamma = nn.Linear(_HIDDEN, width)
        self.mlp_beta = nn.Linear(_HIDDEN, width)

    def forward(self, x: Tensor, token: Tensor) -> Tensor:
        hidden = self.mlp_shared(token)
        gamma, beta = self.mlp_gamma(hidden), self.mlp_beta(hidden)
        return F.instance_norm(x) * (1 + gamma[..., None, None]) + beta[..., None, None]


class TokenBlock(nn.Module):
    """Twice convolution, norm, adaptive norm, ReLU: (B, before, H, W) -> (B, after, H, W)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.adain1 = AdaIN(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.adain2 = AdaIN(after)

    def forward(self, x: Tensor, token: Tensor) -> Tensor:
        x = F.relu(self.adain1(self.norm1(self.conv1(x)), token))
        return F.relu(self.adain2(self.norm2(self.conv2(x)), token))


def _doubled(before: int, after: int) -> list[nn.Module]:
    return [
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Conv2d(before, after, 3, padding=1),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    ]


class TokenDecoder(nn.Module):
    """Tokens (B, 4, 256) -> four maps, (B, 256, 28, 28) to (B, 32, 224, 224), each of twice the side."""

    def __init__(self) -> None:
        super().__init__()
        widths = [WIDTH * 2**k for k in (3, 2, 1, 0)]
        first = [nn.Linear(4 * TOKEN, widths[0] * _COARSEST**2), nn.Unflatten(1, (widths[0], _COARSEST, _COARSEST))]
        self.decoder_1 = nn.Sequential(*first, *_doubled(widths[0], widths[0]))
        self.decoder_2 = nn.Sequential(*_doubled(widths[0], widths[1]))
        self.decoder_3 = nn.Sequential(*_doubled(widths[1], widths[2]))
        last = [nn.Conv2d(widths[3], widths[3], 3, padding=1), nn.Tanh()]
        self.decoder_4 = nn.Sequential(*_doubled(widths[2], widths[3]), *last)

    def forward(self, tokens: Tensor) -> list[Tensor]:
        x = tokens.flip(1).flatten(1)
        maps = []
        for k in LEVELS:
            x = getattr(self, f"decoder_{k}")(x)
            maps.append(x)
        return maps


class TeaserGenerator(UNet):
    """Rendered shape and masked picture (B, 6, 224, 224), 0..1, and tokens (B, 4, 256) -> the face (B, 3, 224, 224).

    Weights: "teaser_generator." of the checkpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self.token_decoder = TokenDecoder()
        for k in LEVELS:
            width = WIDTH * 2 ** (k - 1)
            self.add_module(f"token_zero_conv_{k}", nn.Conv2d(width, width, 1))

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None) -> TeaserGenerator:
        """From TEASER.pt, as `TeaserEncoder.from_pretrained`."""
        return load_published(cls(), "teaser", path, prefix="teaser_generator.")  # type: ignore[return-value]

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:  # type: ignore[override]
        if tokens.shape != (len(x), 4, TOKEN):
            raise UsageError(f"tokens {tuple(tokens.shape)}: ({len(x)}, 4, {TOKEN}) expected")
        side = 16 * _COARSEST
        if x.shape[2:] != (side, side):
            raise UsageError(f"pictures {tuple(x.shape)}: (B, 6, {side}, {side}) expected")
        return super().forward(x, (tokens, self.token_decoder(tokens)))

    def _block(self, before: int, after: int, name: str) -> nn.Module:
        return TokenBlock(before, after)

    def _through(self, name: str, x: Tensor, context: tuple[Tensor, list[Tensor]]) -> Tensor:
        tokens, maps = context
        out = getattr(self, name)(x, tokens[:, _TOKEN_OF[name]])
        if not name.startswith("decoder"):
            return out
        level = int(name.removeprefix("decoder"))
        return out + getattr(self, f"token_zero_conv_{level}")(maps[4 - level])
