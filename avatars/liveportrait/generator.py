"""Generator: warped features become a picture of 512x512."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from avatars.liveportrait.blocks import SpectralConv2d, convolved_repeats

_CONDITION = 256
_HIDDEN = 128


class Spade(nn.Module):
    """Spatially adaptive norm (Park et al. 2019): x (B, C, H, W), condition (B, 256, h, w), at most as large."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(_CONDITION, _HIDDEN, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(_HIDDEN, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(_HIDDEN, channels, 3, padding=1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        factor, odd = divmod(x.shape[3], condition.shape[3])
        if factor > 1 and not odd and x.device.type == "cpu":
            hidden = F.relu(convolved_repeats(condition, self.mlp_shared[0], factor))
        else:  # one large convolution keeps a GPU busier than nine small ones
            hidden = self.mlp_shared(F.interpolate(condition, size=x.shape[2:], mode="nearest"))
        # in float32: the variance of a whole picture passes the largest float16
        normed = F.instance_norm(x.float(), eps=1e-5).to(x.dtype)
        return normed * (1 + self.mlp_gamma(hidden)) + self.mlp_beta(hidden)


class SpadeBlock(nn.Module):
    """Two SPADE-normed convolutions beside a shortcut. (B, C, H, W) -> (B, D, H, W)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        middle = min(channels, out)
        self.conv_0 = SpectralConv2d(channels, middle, 3, padding=1)
        self.conv_1 = SpectralConv2d(middle, out, 3, padding=1)
        self.norm_0 = Spade(channels)
        self.norm_1 = Spade(middle)
        self.shortcut = channels != out
        if self.shortcut:
            self.conv_s = SpectralConv2d(channels, out, 1, bias=False)
            self.norm_s = Spade(channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        aside = self.conv_s(self.norm_s(x, condition)) if self.shortcut else x
        out = self.conv_0(F.leaky_relu(self.norm_0(x, condition), 0.2))
        return aside + self.conv_1(F.leaky_relu(self.norm_1(out, condition), 0.2))


class SpadeGenerator(nn.Module):
    """G of LivePortrait (section 3.1): (B, 256, H, W) -> (B, 3, 8 H, 8 W) RGB in 0..1; H = W = 64 in use."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Conv2d(_CONDITION, 512, 3, padding=1)
        for i in range(6):
            setattr(self, f"G_middle_{i}", SpadeBlock(512, 512))
        self.up_0 = SpadeBlock(512, 256)
        self.up_1 = SpadeBlock(256, 64)
        self.conv_img = nn.Sequential(nn.Conv2d(64, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, feature: Tensor) -> Tensor:
        x = self.fc(feature)
        for i in range(6):
            x = getattr(self, f"G_middle_{i}")(x, feature)
        x = self.up_0(F.interpolate(x, scale_factor=2), feature)
        x = self.up_1(F.interpolate(x, scale_factor=2), feature)
        return self.conv_img(F.leaky_relu(x, 0.2)).sigmoid()
