"""A module that is as fast as torch can be on its device, for inference."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import torch
from torch import nn

from darkparse.model.activations import Mish
from darkparse.model.darknet import Darknet, check_dtype, require_weights
from darkparse.model.optimize.fusion import fold, shallow_copy
from darkparse.model.optimize.packing import PackedConvolution, can_fuse, can_pack
from darkparse.network import Node


def optimize(model: nn.Module, *, dtype: torch.dtype | None = None, winograd: bool = True) -> Darknet:
    """A copy for inference that runs faster: same call, same outputs up to rounding.

    Batch norm is part of the weights (see `fuse`), maps are in channels-last order and, on the CPU, each convolution
    has its weights in oneDNN's layout and its activation in the same pass, in float32 and where the processor
    computes in them in bfloat16 and float16 too. It takes any input size; the first call of each size lays the weights
    out anew. It can be moved, copied and pickled, but not trained. Layers that nothing was changed in share their
    memory with the model.

    Args:
        model: a Darknet module, or one compiled or wrapped for parallel use, which the copy is not.
        dtype: of the copy, by default the model's.
        winograd: compute 3×3 convolutions of 64 channels to 128 and more, either way, on maps of 20 to 80 rows and
            columns by Winograd's F(4, 3), in two thirds of the time; their weights then take four times the memory, and
            come back from it to within a rounding.

    Returns:
        The copy, in eval mode.

    Raises:
        NoWeightsError: the module has no weights yet.
        WeightsError: this is no module of darkparse.
        DarkparseError: the dtype is none of floating point.

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
    """The same; without `folds`, which `compare` needs, batch norm stays as it stands.

    It goes layer by layer, so that beside the model and the copy there is never more than one layer's weights;
    `after_each` layer the model's are not used again.
    """
    optimized = shallow_copy(model, chain(model.parameters(), model.buffers()))
    shared_owners = {node.shared_with for node in model.network.nodes}
    for node, layer in zip(model.network.nodes, optimized.layers, strict=True):
        if folds:
            fold(layer)
        if dtype is not None:
            layer.to(dtype)
        for name, module in layer.named_children():
            if type(module) is nn.Mish:
                setattr(layer, name, Mish())
        if node.index in shared_owners or not _pack(node, layer, winograd):
            layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        after_each()
    return optimized


def _pack(node: Node, layer: nn.Module, tiles: bool) -> bool:
    """Put a packed convolution in the place of a layer's convolution and of the activation that it takes in."""
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
    """Whether there is nothing left to optimize."""
    return any(isinstance(module, PackedConvolution) for module in model.modules())
