"""Upsampling, cropping, and moving values between positions and channels. Maps are (N, C, H, W)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ScaledUpsample(nn.Module):
    """Scaled nearest upsampling; with a negative stride, the scaled sum of each block (blas.c upsample_cpu)."""

    def __init__(self, stride: int, scale: float) -> None:
        super().__init__()
        self.stride, self.scale = stride, scale

    def forward(self, x: Tensor) -> Tensor:
        if self.stride > 0:
            return F.interpolate(x, scale_factor=float(self.stride), mode="nearest") * self.scale
        return F.avg_pool2d(x, -self.stride, divisor_override=1) * self.scale

    def extra_repr(self) -> str:
        return f"stride={self.stride}, scale={self.scale:g}"


def gather_blocks(x: Tensor, stride: int) -> Tensor:
    """Move blocks to channels, (N, C, H, W) to (N, C·s², H/s, W/s) (blas.c reorg_cpu, forward=0).

    The offset in the block becomes the slow part of the channel.
    """
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // stride, stride, w // stride, stride)
    return blocks.permute(0, 3, 5, 1, 2, 4).reshape(n, c * stride**2, h // stride, w // stride)


def scatter_blocks(x: Tensor, stride: int) -> Tensor:
    """Invert gather_blocks, (N, C, H, W) to (N, C/s², H·s, W·s) (blas.c reorg_cpu, forward=1)."""
    n, c, h, w = x.shape
    blocks = x.reshape(n, stride, stride, c // stride**2, h, w)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(n, c // stride**2, h * stride, w * stride)


class Reorg(nn.Module):
    """Darknet's `[reorg]`, which calls reorg_cpu with the input's sizes (pjreddie reorg_layer.c forward_reorg_layer).

    The map (C, H, W) is read as (C/s², H·s, W·s), gathered to (C, H, W), and reshaped to (C·s², H/s, W/s).
    """

    def __init__(self, stride: int, reverse: bool) -> None:
        super().__init__()
        self.stride, self.reverse = stride, reverse

    def forward(self, x: Tensor) -> Tensor:
        (n, c, h, w), s = x.shape, self.stride
        if self.reverse:
            return scatter_blocks(x, s)
        return gather_blocks(x.reshape(n, c // s**2, h * s, w * s), s).reshape(n, c * s**2, h // s, w // s)

    def extra_repr(self) -> str:
        return f"stride={self.stride}{', reverse' if self.reverse else ''}"


class Reorg3d(Reorg):
    """AlexeyAB's `[reorg3d]`, which calls reorg_cpu with the output's sizes (reorg_layer.c forward_reorg_layer)."""

    def forward(self, x: Tensor) -> Tensor:
        (n, c, h, w), s = x.shape, self.stride
        if not self.reverse:
            return gather_blocks(x, s)
        return scatter_blocks(x.reshape(n, c // s**2, h * s, w * s), s).reshape(n, c // s**2, h * s, w * s)


class FlattenReorg(Reorg):
    """`[reorg] flatten=1`: channels moved to the last axis, or back with `reverse` (blas.c flatten)."""

    def forward(self, x: Tensor) -> Tensor:
        (n, c, h, w), s = x.shape, self.stride
        if self.reverse:
            return x.reshape(n, h * w, c).transpose(1, 2).reshape(n, c // s**2, h * s, w * s)
        return x.reshape(n, c, h * w).transpose(1, 2).reshape(n, c * s**2, h // s, w // s)


class AppendZeros(nn.Module):
    """Values as a vector with `count` zeros appended (`[reorg] extra`)."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x.flatten(1), (0, self.count))


class CenterCrop(nn.Module):
    """Center of a map, scaled from 0…1 to -1…1 if `adjust` (crop_layer.c forward_crop_layer)."""

    def __init__(self, height: int, width: int, adjust: bool) -> None:
        super().__init__()
        self.height, self.width, self.adjust = height, width, adjust

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] < self.height or x.shape[3] < self.width:
            raise ValueError(
                f"input is smaller than the crop, got {x.shape[2]}×{x.shape[3]}; expected at least "
                f"{self.height}×{self.width}"
            )
        top, left = (x.shape[2] - self.height) // 2, (x.shape[3] - self.width) // 2
        x = x[:, :, top : top + self.height, left : left + self.width]
        return x * 2 - 1 if self.adjust else x.clone()

    def extra_repr(self) -> str:
        return f"{self.height}×{self.width}, adjust={self.adjust}"
