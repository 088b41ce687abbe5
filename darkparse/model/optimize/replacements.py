"""Modules that compute the same values as those of `darkparse.load` in less time, for inference only."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkparse.model.activations import Mish, is_traced
from darkparse.model.heads import YoloHead

MIN_SEPARABLE_SIZE = 5
"""Side of the smallest window that two passes compute in less time than one."""


class SeparableMaxPool2d(nn.Module):
    """Maximum over k rows, then over k columns, (N, C, H, W): 2·k comparisons per value instead of k²."""

    def __init__(self, size: int, stride: tuple[int, int], padding: int) -> None:
        super().__init__()
        self.size, self.stride, self.padding = size, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        k, (stride_y, stride_x), padding = self.size, self.stride, self.padding
        rows = F.max_pool2d(x, (k, 1), (stride_y, 1), (padding, 0))
        return F.max_pool2d(rows, (1, k), (1, stride_x), (0, padding))

    def extra_repr(self) -> str:
        return f"size={self.size}, stride={self.stride}, padding={self.padding}"


class ContiguousYoloHead(YoloHead):
    """A YOLO head that applies the logistic function to all channels at once and then restores the sizes.

    Most channels need it, and a pass over all of them is faster than one over a part and a concatenation.
    """

    def forward(self, x: Tensor) -> Tensor:
        if is_traced() or not self.logistic:
            return super().forward(x)
        out = torch.sigmoid(x)
        center, size = out.unflatten(1, (self.anchors, -1)).split((2, 2, 1 + self.classes), 2)[:2]
        size.copy_(x.unflatten(1, (self.anchors, -1))[:, :, 2:4])
        if self.scale_x_y != 1:
            center.mul_(self.scale_x_y).sub_(0.5 * (self.scale_x_y - 1))
        return out


def _replace_mish(module: nn.Module) -> nn.Module:
    return Mish()


def _replace_head(module: nn.Module) -> nn.Module:
    assert isinstance(module, YoloHead)
    return ContiguousYoloHead(module.anchors, module.classes, module.scale_x_y, module.logistic)


def _replace_pool(module: nn.Module) -> nn.Module:
    assert isinstance(module, nn.MaxPool2d)
    size, stride, padding = module.kernel_size, module.stride, module.padding
    if module.ceil_mode or not isinstance(size, int) or not isinstance(padding, int) or size < MIN_SEPARABLE_SIZE:
        return module
    return SeparableMaxPool2d(size, stride if isinstance(stride, tuple) else (stride, stride), padding)


REPLACEMENTS: dict[type[nn.Module], Callable[[nn.Module], nn.Module]] = {
    nn.Mish: _replace_mish,
    nn.MaxPool2d: _replace_pool,
    YoloHead: _replace_head,
}


def replace_modules(layer: nn.Module) -> None:
    """Replace the modules of a layer for which there is a faster one, in place."""
    for name, module in layer.named_children():
        if type(module) in REPLACEMENTS:
            setattr(layer, name, REPLACEMENTS[type(module)](module))
