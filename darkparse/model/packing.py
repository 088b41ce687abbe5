"""Convolutions in oneDNN's own layout with their activation in the same pass, for inference in float32 on the CPU."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from darkparse.layers.activations import ACTIVATIONS
from darkparse.model.darknet import Darknet, Stage


def can_pack(model: Darknet) -> bool:
    """Whether the model is where oneDNN's kernels work, and torch has them."""
    has_kernels = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    like = next(model.parameters(), None)
    return has_kernels and like is not None and like.device.type == "cpu" and like.dtype == torch.float32


def pack(model: Darknet) -> Darknet:
    """A copy for inference only: convolutional layers compute faster, all else is shared with the model.

    Weights are laid out once instead of at each call, and an activation that follows its convolution directly (see
    `fuse`) is applied while the values are still in the caches. Its maps are best (N, C, H, W) in channels-last order.
    The copy can be neither trained, moved, saved as weights nor exported; changes of the model's weights do not reach
    it.
    """
    shared = {id(thing): thing for thing in (*model.parameters(), *model.buffers(), model.network)}
    packed = copy.deepcopy(model, shared)
    owners = {node.shares for node in model.network.nodes}
    for node, stage in zip(model.network.nodes, packed.layers, strict=True):
        conv = stage._modules.get("conv")
        if type(conv) is nn.Conv2d and node.index not in owners:
            assert isinstance(stage, Stage)
            shape = node.in_shapes[0]
            stage.conv = PackedConvolution(conv, _merged(stage), (1, shape.c, shape.h, shape.w))
    return packed


def _merged(stage: Stage) -> tuple[str, list[float]]:
    """oneDNN's name and numbers for the activation right behind the convolution, which is taken out of the stage."""
    name, activation = ([*stage.named_children(), ("", None)])[1]
    rows = (row for row in ACTIVATIONS.values() if type(activation) is getattr(nn, row.module, None))
    row = next(rows, None)
    if row is None or not row.packed:
        return "none", []
    delattr(stage, name)
    return row.packed, [getattr(activation, key) for key in row.settings]


class PackedConvolution(nn.Module):
    """A convolution and its activation.

    Args:
        conv: the convolution, in float32 on the CPU.
        activation: oneDNN's name and numbers for what follows it.
        input_shape: (N, C, H, W) that the weights are laid out for; others work too.
    """

    def __init__(self, conv: nn.Conv2d, activation: tuple[str, list[float]], input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self._made_of = (conv, activation, input_shape)
        assert isinstance(conv.padding, tuple)
        self._geometry: tuple[Any, ...] = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        self._activation, self._numbers = activation
        self._bias = None if conv.bias is None else conv.bias.detach().clone()
        with torch.inference_mode():
            self._weight: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
                conv.weight, *self._geometry, list(input_shape)
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied and pickled as what it is made of: oneDNN's layout is one machine's own."""
        return PackedConvolution, self._made_of

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, filters, H, W)."""
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self._weight, self._bias, *self._geometry, self._activation, self._numbers, ""
        )
        return out
