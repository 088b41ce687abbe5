"""Convolutions that torch does not have: shared weights, XNOR, locally connected; and the blur after a convolution.

Maps are (N, C, H, W).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SharedConvolution(nn.Module):
    """A convolution and batch norm with the weights of another layer (`share_index`)."""

    def __init__(self, stride: tuple[int, int], padding: int, dilation: int, groups: int) -> None:
        super().__init__()
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def forward(self, x: Tensor, owner: nn.Module) -> Tensor:
        """Convolve `x` with the `conv` of the layer `owner`, then apply its `norm` if it has one."""
        conv = owner.conv
        x = F.conv2d(x, conv.weight, conv.bias, self.stride, self.padding, self.dilation, self.groups)  # type: ignore[arg-type, union-attr]
        norm: nn.Module | None = getattr(owner, "norm", None)
        out: Tensor = x if norm is None else norm(x)
        return out

    def extra_repr(self) -> str:
        return f"stride={self.stride}, padding={self.padding}, dilation={self.dilation}, groups={self.groups}"


class XnorConv2d(nn.Conv2d):
    """An XNOR convolution: signs of inputs with signs of weights, scaled by the mean magnitude of each filter.

    See convolutional_layer.c, binarize_weights. `pad_value` is the value of the padding: AlexeyAB's bit path pads with
    0 bits, which count as -1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: tuple[int, int],
        padding: int,
        dilation: int,
        groups: int,
        bias: bool,
        pad_value: float,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias)
        self.margin = padding
        self.pad_value = pad_value

    def forward(self, x: Tensor) -> Tensor:
        signs = F.pad(_signs(x), (self.margin,) * 4, value=self.pad_value)
        # Sums of signs are integers, so a sum of 0 is exactly 0 in any order of summation.
        sums = F.conv2d(signs, _signs(self.weight), None, self.stride, 0, self.dilation, self.groups)
        out = sums * self.weight.abs().mean((1, 2, 3)).view(-1, 1, 1)
        return out if self.bias is None else out + self.bias.view(-1, 1, 1)


def _signs(x: Tensor) -> Tensor:
    """Return 1 where x is above 0, else -1; gradients pass through unchanged."""
    signs = torch.where(x > 0, 1.0, -1.0).to(x.dtype)
    return x + (signs - x).detach() if x.requires_grad else signs


class Blur(nn.Module):
    """A 3×3 blur [1 2 1]²/16 with one pixel of padding, or a 2×2 mean without padding (convolutional_layer.c:800).

    The 3×3 blur is computed as a 2×2 mean of 2×2 means.
    """

    def __init__(self, channels: int, size: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.channels, self.size, self.stride = channels, size, stride

    def forward(self, x: Tensor) -> Tensor:
        if self.size == 3:
            x = F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 2, 1)
        return F.avg_pool2d(x, 2, self.stride)

    def extra_repr(self) -> str:
        return f"size={self.size}, stride={self.stride}"


class LocallyConnected2d(nn.Module):
    """A convolution with separate weights at every position (local_layer.c).

    `weight` is (positions, filters, channels·size²); `bias` is (filters, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        output_size: tuple[int, int],
        kernel_size: int,
        stride: int,
        padding: int,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        positions = output_size[0] * output_size[1]
        self.weight = nn.Parameter(torch.empty(positions, out_channels, in_channels * kernel_size**2))
        self.bias = nn.Parameter(torch.empty(out_channels, *output_size))

    def forward(self, x: Tensor) -> Tensor:
        patches = F.unfold(x, self.kernel_size, padding=self.padding, stride=self.stride)
        products = torch.bmm(self.weight, patches.permute(2, 1, 0))
        return products.permute(2, 1, 0).reshape(x.shape[0], *self.bias.shape) + self.bias

    def extra_repr(self) -> str:
        positions, filters, taps = self.weight.shape
        return f"{taps}→{filters} at {positions} positions, stride={self.stride}, padding={self.padding}"
