"""Values moved between positions and channels. Maps are (N, C, H, W)."""

from __future__ import annotations

import numpy as np

from darkparse.export.onnx.emitters.convolutional import both
from darkparse.export.onnx.emitters.joining import NEAREST
from darkparse.export.onnx.graph import Value
from darkparse.export.onnx.place import Place, emits

MODULES = "darkparse.model.modules"


@emits("torch.nn.Upsample")
def upsample(at: Place, x: Value, scale_factor: int, mode: str) -> Value:
    """Every value repeated."""
    return at.op("Resize", x, None, at.graph.constant((1, 1, scale_factor, scale_factor), np.float32), **NEAREST)


@emits(f"{MODULES}.ScaledUpsample")
def scaled_upsample(at: Place, x: Value, stride: int, scale: float) -> Value:
    """Repeated and scaled; with a negative stride blocks summed up and scaled (blas.c upsample_cpu)."""
    if stride > 0:
        return upsample(at, x, stride, "nearest") * float(scale)
    window = both(-stride)
    return at.op("AveragePool", x, kernel_shape=window, strides=window) * float(scale * stride**2)


def gather_blocks(at: Place, x: Value, stride: int) -> Value:
    """(N, C, H, W) to (N, C·s², H/s, W/s), the offset in the block the slow part of the channel."""
    return at.op("SpaceToDepth", x, blocksize=stride)


def scatter_blocks(at: Place, x: Value, stride: int) -> Value:
    """The inverse of gather_blocks."""
    return at.op("DepthToSpace", x, blocksize=stride)


def _taken_for(at: Place, x: Value, channels: int, like: Value, up: int = 1, down: int = 1) -> Value:
    """The memory of x taken for a map of so many channels, ·up/down as wide as the layer's input, `like`."""
    width: int | Value = at.length(like, 3, at.node.site.input.w)
    if isinstance(width, int):
        return at.reshape(x, 0, channels, -1, width * up // down)
    width = at.op("Mul", width, at.graph.ints(up)) if up > 1 else at.op("Div", width, at.graph.ints(down))
    return at.reshape(x, 0, channels, -1, width)


@emits(f"{MODULES}.Reorg")
def reorg(at: Place, x: Value, stride: int, reverse: bool) -> Value:
    """reorg_cpu called with the input's sizes (pjreddie reorg_layer.c forward_reorg_layer)."""
    if reverse:
        return scatter_blocks(at, x, stride)
    channels = at.node.site.input.c
    wide = _taken_for(at, x, channels // stride**2, x, up=stride)
    return _taken_for(at, gather_blocks(at, wide, stride), channels * stride**2, x, down=stride)


@emits(f"{MODULES}.Reorg3d")
def reorg3d(at: Place, x: Value, stride: int, reverse: bool) -> Value:
    """reorg_cpu called with the output's sizes (AlexeyAB reorg_layer.c)."""
    if not reverse:
        return gather_blocks(at, x, stride)
    channels = at.node.site.input.c // stride**2
    wide = scatter_blocks(at, _taken_for(at, x, channels, x, up=stride), stride)
    return _taken_for(at, wide, channels, x, up=stride)


@emits(f"{MODULES}.FlattenReorg")
def flatten_reorg(at: Place, x: Value, stride: int, reverse: bool) -> Value:
    """The channels of each position side by side, or back (blas.c flatten)."""
    channels = at.node.site.input.c
    flat = at.reshape(x, 0, -1, channels) if reverse else at.reshape(x, 0, channels, -1)
    turned = at.op("Transpose", flat, perm=(0, 2, 1))
    if reverse:
        return _taken_for(at, turned, channels // stride**2, x, up=stride)
    return _taken_for(at, turned, channels * stride**2, x, down=stride)


@emits(f"{MODULES}.AppendZeros")
def append_zeros(at: Place, x: Value, count: int) -> Value:
    """As a vector with zeros behind."""
    return at.pad(at.op("Flatten", x), (0, 0), (0, count))


@emits(f"{MODULES}.CenterCrop")
def crop(at: Place, x: Value, height: int, width: int, adjust: bool) -> Value:
    """The centre of a map, scaled from 0…1 to -1…1 if `adjust`."""
    shape, ints = at.node.site.input, at.graph.ints
    top, left = (shape.h - height) // 2, (shape.w - width) // 2
    x = at.op("Slice", x, ints(top, left), ints(top + height, left + width), ints(2, 3))
    return x * 2.0 - 1.0 if adjust else x
