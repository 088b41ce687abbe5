"""Pooling with Darknet's total padding, where torch's modules do not support it (see darkparse.layers.pooling).

Maps are (N, C, H, W).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MaxPool2d(nn.Module):
    """Maximum over a window, with `padding` pixels in total, half of them before the map (maxpool_layer.c:82)."""

    def __init__(self, size: int, stride: tuple[int, int], padding: int) -> None:
        super().__init__()
        self.size, self.stride, self.padding = size, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(pad_in_total(x, self.padding, torch.finfo(x.dtype).min), self.size, self.stride)

    def extra_repr(self) -> str:
        return f"size={self.size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(nn.Module):
    """Mean over the part of a window that lies inside the map; padding as in MaxPool2d."""

    def __init__(self, size: int, stride: tuple[int, int], padding: int) -> None:
        super().__init__()
        self.size, self.stride, self.padding = size, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        inside = torch.ones_like(x[:1, :1])
        total, count = (F.avg_pool2d(pad_in_total(t, self.padding, 0.0), self.size, self.stride) for t in (x, inside))
        return total / count

    def extra_repr(self) -> str:
        return f"size={self.size}, stride={self.stride}, padding={self.padding}"


def pad_in_total(x: Tensor, padding: int, value: float) -> Tensor:
    """Pad a map by `padding` rows and columns in total, half of them before it (rounded towards 0, as in C)."""
    before = int(padding / 2)
    after = padding - before
    return F.pad(x, (before, after, before, after), value=value)


class ChannelMaxPool(nn.Module):
    """Maximum over every `out_channels`-th channel (maxpool_layer.c:245)."""

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels

    def forward(self, x: Tensor) -> Tensor:
        missing = -x.shape[1] % self.out_channels
        if missing:
            x = F.pad(x, (0, 0, 0, 0, 0, missing), value=torch.finfo(x.dtype).min)
        n, c, h, w = x.shape
        return x.reshape(n, c // self.out_channels, self.out_channels, h, w).amax(1)

    def extra_repr(self) -> str:
        return str(self.out_channels)
