"""Warping: the feature volume follows the keypoints and becomes features of the picture to paint."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatars.liveportrait.appearance import CHANNELS, DEPTH
from avatars.liveportrait.blocks import ConvNorm2d, ConvNorm3d

KEYPOINTS = 21
_CANDIDATES = KEYPOINTS + 1  # one motion a keypoint, and none
_COMPRESSED = 4
_HEAT_VARIANCE = 0.01
_DOWN = (64, 128, 256, 512, 1024)
_UP = (512, 256, 128, 64, 32)


class DepthTapConv3d(nn.Conv3d):
    """A cubic convolution as one 2-D convolution with a channel for each tap in depth, whose pictures are shifted and
    added: the same sums, but a width that matrix units fill and no im2col of gigabytes."""

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, depth, height, width = x.shape
        out, _, taps, *_ = self.weight.shape
        flat = self.weight.permute(2, 0, 1, 3, 4).flatten(0, 1)  # (taps * out, channels, k, k)
        planes = x.transpose(1, 2).reshape(batch * depth, channels, height, width)
        planes = F.conv2d(planes, flat, padding=self.padding[1]).view(batch, depth, taps, out, height, width)
        total = self.bias.view(1, 1, out, 1, 1).repeat(batch, depth, 1, height, width)
        for tap in range(taps):
            shift = tap - taps // 2
            low, high = max(0, -shift), min(depth, depth - shift)
            if low < high:
                total[:, low:high] += planes[:, low + shift : high + shift, tap]
        return total.transpose(1, 2)


class _Encoder(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (channels, *_DOWN)
        self.down_blocks = nn.ModuleList(ConvNorm3d(a, b, "down") for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = [x]
        for block in self.down_blocks:
            levels.append(block(levels[-1]))
        return levels


class _Decoder(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        skips = (0, *_DOWN[-2::-1])
        before = (_DOWN[-1], *_UP[:-1])
        self.up_blocks = nn.ModuleList(
            ConvNorm3d(a + skip, b, "up") for a, skip, b in zip(before, skips, _UP, strict=True)
        )
        self.width = _UP[-1] + channels
        self.conv = nn.Conv3d(self.width, self.width, 3, padding=1)
        self.norm = nn.BatchNorm3d(self.width)

    def forward(self, levels: list[Tensor]) -> Tensor:
        x = levels.pop()
        for block in self.up_blocks:
            x = torch.cat([block(x), levels.pop()], 1)
        return F.relu(self.norm(self.conv(x)))


class _Hourglass(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encoder = _Encoder(channels)
        self.decoder = _Decoder(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


def identity_grid(depth: int, height: int, width: int, like: Tensor) -> Tensor:
    """(D, H, W, 3) x, y, z from -1 to 1, end voxels included, in the type and place of `like`."""
    axes = [torch.linspace(-1, 1, n, device=like.device, dtype=torch.float32) for n in (depth, height, width)]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([x, y, z], -1).to(like.dtype)


def sample(volume: Tensor, grid: Tensor) -> Tensor:
    """Trilinear, zero outside, in float32: half has too few bits for places in a picture.

    `align_corners=False` with a corner-aligned grid: so were the weights trained.
    """
    out = F.grid_sample(volume.float(), grid.float(), mode="bilinear", padding_mode="zeros", align_corners=False)
    return out.to(volume.dtype)


class DenseMotionNetwork(nn.Module):
    """Volume (B, 32, D, H, W) and keypoints (B, 21, 3) -> where each voxel comes from, and what is newly seen."""

    def __init__(self) -> None:
        super().__init__()
        channels = _CANDIDATES * (1 + _COMPRESSED)
        self.compress = nn.Conv3d(CHANNELS, _COMPRESSED, 1)
        self.norm = nn.BatchNorm3d(_COMPRESSED)
        self.hourglass = _Hourglass(channels)
        width = self.hourglass.decoder.width
        self.mask = DepthTapConv3d(width, _CANDIDATES, 7, padding=3)
        self.occlusion = nn.Conv2d(width * DEPTH, 1, 7, padding=3)

    def forward(self, volume: Tensor, kp_source: Tensor, kp_driving: Tensor) -> dict[str, Tensor]:
        """{"deformation": (B, D, H, W, 3), "mask": (B, 22, D, H, W), "occlusion_map": (B, 1, H, W)}."""
        batch, _, depth, height, width = volume.shape
        small = F.relu(self.norm(self.compress(volume)))
        # positions need more bits than float16 has: half a voxel of 64 is 2^-6, wanted to a hundredth of that
        grid = identity_grid(depth, height, width, kp_source.float())
        source, driving = (kp.float().view(batch, KEYPOINTS, 1, 1, 1, 3) for kp in (kp_source, kp_driving))
        moved = grid - driving + source
        flows = torch.cat([grid.expand(batch, 1, *grid.shape), moved], 1)  # (B, 22, D, H, W, 3)
        shape = (batch, _CANDIDATES, depth, height, width)
        each = small[:, None].expand(-1, _CANDIDATES, -1, -1, -1, -1).flatten(0, 1)
        moved_small = sample(each, flows.flatten(0, 1)).view(batch, _CANDIDATES, -1, *shape[2:])
        heat = _heat(grid, driving) - _heat(grid, source)
        heat = torch.cat([heat.new_zeros(batch, 1, *shape[2:]), heat], 1).to(volume.dtype)
        hidden = self.hourglass(torch.cat([heat[:, :, None], moved_small], 2).flatten(1, 2))
        mask = self.mask(hidden).float().softmax(1)
        deformation = torch.einsum("bkdhw,bkdhwc->bdhwc", mask, flows)
        occlusion = self.occlusion(hidden.flatten(1, 2)).sigmoid()
        return {"deformation": deformation, "mask": mask, "occlusion_map": occlusion}


def _heat(grid: Tensor, centre: Tensor) -> Tensor:
    return torch.exp(-0.5 / _HEAT_VARIANCE * (grid - centre).square().sum(-1))


class WarpingNetwork(nn.Module):
    """W of LivePortrait (section 3.1; face-vid2vid, Wang et al. 2021, without Jacobians).

    volume (B, 32, 16, H, W), H and W at least 32; kp_source, kp_driving (B, 21, 3). Returns {"out": (B, 256, H, W)}
    and what `DenseMotionNetwork` gives.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dense_motion_network = DenseMotionNetwork()
        self.third = ConvNorm2d(CHANNELS * DEPTH, 256, slope=0.01)
        self.fourth = nn.Conv2d(256, 256, 1)

    def forward(self, volume: Tensor, *, kp_source: Tensor, kp_driving: Tensor) -> dict[str, Tensor]:
        motion = self.dense_motion_network(volume, kp_source, kp_driving)
        warped = sample(volume, motion["deformation"]).flatten(1, 2)
        out = self.fourth(self.third(warped)) * motion["occlusion_map"]
        return {"out": out} | motion
