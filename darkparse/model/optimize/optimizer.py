"""Optimize a module for inference on its device."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import torch
from torch import nn

from darkparse.model.darknet import Darknet, check_dtype, require_weights
from darkparse.model.optimize.fusion import fold, shallow_copy
from darkparse.model.optimize.half_precision import HALF_DTYPES, convert_input, find_float32_layers
from darkparse.model.optimize.packing import PackedConvolution, can_fuse, can_pack
from darkparse.model.optimize.replacements import replace_modules
from darkparse.network import Node


def optimize(model: nn.Module, *, dtype: torch.dtype | None = None, winograd: bool = True) -> Darknet:
    """Return a faster copy for inference, with the same call and the same outputs up to rounding.

    Batch norm is folded (see `fuse`) and maps are in channels-last order. On the CPU, each convolution stores its
    weights in oneDNN's layout and applies its activation in the same pass: in float32, and in bfloat16 and float16
    where the processor supports them. The copy accepts any input size; a call with another size than the last reorders
    the weights. It can be moved, copied and pickled, but not trained. Unchanged layers share memory with the model.

    Args:
        model: A Darknet module, possibly compiled or wrapped for parallel use; the copy is unwrapped.
        dtype: Dtype of the copy and its input; by default the model's. In bfloat16 and float16, the last convolutions
            and the heads compute in float32, so that their outputs are not rounded to a few bits.
        winograd: Compute 3×3 convolutions by Winograd's F(4, 3) if they have at least 64 input and output channels,
            a product of both of at least 64 · 128, and maps of 20 to 80 rows and columns. They take two thirds of the
            time and four times the memory for weights; the weights are restored up to rounding.

    Returns:
        The copy, in eval mode.

    Raises:
        NoWeightsError: The module has no weights yet.
        WeightsError: The module was not built by darkparse.
        DarkparseError: The dtype is not a floating point type.

    >>> fast = darkparse.optimize(darkparse.load("yolov3-tiny", size=64))
    >>> fast.layers[0]
    Stage(
      (conv): PackedConvolution(
        3, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)
        (activation): LeakyReLU(negative_slope=0.1, inplace=True)
      )
    )
    """
    check_dtype(dtype)
    return make_optimized(require_weights(model, "optimizing"), dtype=dtype, winograd=winograd)


@torch.no_grad()
def make_optimized(
    model: Darknet,
    *,
    dtype: torch.dtype | None = None,
    winograd: bool = True,
    folds: bool = True,
    after_each: Callable[[], None] = lambda: None,
) -> Darknet:
    """Return a faster copy of an unwrapped model that has weights; see `optimize`.

    Layers are optimized one by one, so that besides the model and the copy only one layer's weights are in memory.

    Args:
        model: The model.
        dtype: Dtype of the copy and its input; by default the model's.
        winograd: Use Winograd's algorithm where it is faster.
        folds: Fold batch norm; `compare` needs it separate.
        after_each: Called after each layer, when the model's weights of this layer are not read again.
    """
    optimized = shallow_copy(model, chain(model.parameters(), model.buffers()))
    shared_owners = {node.shared_with for node in model.network.nodes}
    dtype = dtype or next((parameter.dtype for parameter in model.parameters()), torch.float32)
    float32_layers = find_float32_layers(model.network) if dtype in HALF_DTYPES else frozenset()
    for node, layer in zip(model.network.nodes, optimized.layers, strict=True):
        if folds:
            fold(layer)
        is_float32 = node.index in float32_layers
        layer.to(torch.float32 if is_float32 else dtype)
        replace_modules(layer)
        if node.index in shared_owners or not _pack(node, layer, winograd):
            layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if is_float32 and len(node.inputs) < 2:
            convert_input(layer)
        after_each()
    return optimized


def _pack(node: Node, layer: nn.Module, tiles: bool) -> bool:
    """Replace a layer's convolution, and its activation if it can be fused, by a packed convolution.

    Returns:
        Whether the weights are packed.
    """
    conv = layer._modules.get("conv")
    if type(conv) is not nn.Conv2d or not can_pack(conv.weight):
        return False
    name, activation = [*layer.named_children(), ("", None)][1]
    if can_fuse(activation):
        delattr(layer, name)
    else:
        activation = None
    packed = PackedConvolution(conv, activation, tiles=tiles)
    layer.conv = packed
    return packed.lay_out((1, *node.in_shapes[0]))


def is_optimized(model: nn.Module) -> bool:
    """Return whether a module has packed convolutions, as `optimize` makes them."""
    return any(isinstance(module, PackedConvolution) for module in model.modules())
