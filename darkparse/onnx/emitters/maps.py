"""Over maps (N, C, H, W): pooling, normalizations, values moved between positions and channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from darkparse.onnx.context import EMITTERS, MODULES, EmitContext, emits
from darkparse.onnx.emitters.convolutional import Two, both
from darkparse.onnx.emitters.joining import NEAREST
from darkparse.onnx.graph import Value

NORMS = (f"{MODULES}.BatchNorm", f"{MODULES}.RootEpsilonBatchNorm")

EMITTERS.update(dict.fromkeys(NORMS, lambda at, x, **_: at.norm(x, at.path)))
EMITTERS[f"{MODULES}.L2Norm"] = lambda at, x: x / at.op("Sqrt", at.op("ReduceSum", x * x, at.graph.ints(1)))
EMITTERS["torch.nn.AdaptiveAvgPool2d"] = lambda at, x, output_size: at.op("GlobalAveragePool", x)
EMITTERS[f"{MODULES}.AppendZeros"] = lambda at, x, count: at.pad(at.op("Flatten", x), (0, 0), (0, count))


@emits("torch.nn.MaxPool2d")
def _max_pool(
    at: EmitContext, x: Value, *, kernel_size: int, stride: Two, padding: int, ceil_mode: bool = False
) -> Value:
    """What `ceil_mode` adds is one row and column behind the map."""
    return _pool(at, "MaxPool", x, kernel_size, stride, padding, padding + ceil_mode)


@emits("torch.nn.AvgPool2d")
def _mean_pool(at: EmitContext, x: Value, *, kernel_size: int, stride: Two, padding: int, **_: Any) -> Value:
    return _pool(at, "AveragePool", x, kernel_size, stride, padding, padding)


# maxpool_layer.c:82: padding is in total.
EMITTERS[f"{MODULES}.MaxPool2d"] = lambda at, x, size, stride, padding: _pool(
    at, "MaxPool", x, size, stride, int(padding / 2), padding - int(padding / 2)
)
EMITTERS[f"{MODULES}.AvgPool2d"] = lambda at, x, size, stride, padding: _pool(
    at, "AveragePool", x, size, stride, int(padding / 2), padding - int(padding / 2)
)


def _pool(at: EmitContext, kind: str, x: Value, size: int, stride: Two, before: int, after: int) -> Value:
    """The maximum, or the mean over what lies inside the map."""
    how = {"kernel_shape": both(size), "strides": both(stride)}
    if 0 <= before <= after < size:
        return at.op(kind, x, pads=(before, before, after, after), **how)
    # The operators take no padding as large as their window, and none below 0.
    margins = (0, 0, before, before), (0, 0, after, after)
    if kind == "MaxPool":
        return at.op(kind, at.pad(x, *margins, _lowest(at)), **how)
    shape = at.op("Concat", at.graph.ints(1, 1), at.op("Shape", x, start=2), axis=0)
    inside = at.op("Expand", at.graph.constant([[[[1.0]]]]), shape)
    total, count = (at.op(kind, at.pad(values, *margins), **how) for values in (x, inside))
    return total / count


def _lowest(at: EmitContext) -> float:
    return float(np.finfo(at.graph.floats).min)


@emits(f"{MODULES}.ChannelMaxPool")
def _channel_max(at: EmitContext, x: Value, *, out_channels: int) -> Value:
    """The maximum over every `out_channels`-th channel (maxpool_layer.c:245)."""
    channels = at.node.context.input.c
    x = at.pad(x, (0,) * 4, (0, -channels % out_channels, 0, 0), _lowest(at))
    return at.op("Max", *at.split(x, (out_channels,) * -(-channels // out_channels)))


@emits(f"{MODULES}.LocalResponseNorm")
def _local_response(at: EmitContext, x: Value, *, size: int, alpha: float, beta: float, kappa: float) -> Value:
    """The sums over neighbouring channels are a 1×1 convolution of the squares (normalization_layer.c)."""
    place, ahead = np.arange(at.node.context.input.c), size // 2
    distance = place - place[:, None]
    window = ((-((size - 1) // 2) <= distance) & (distance <= ahead)).astype(np.float32)
    # Darknet moves one running sum along, which starts without channel size/2 and loses it all the same.
    window[:, ahead : ahead + 1] -= 1
    sums = at.op("Conv", x * x, at.graph.constant(window[..., None, None]))
    return x * at.op("Pow", kappa + alpha * sums, -float(beta))


@emits("torch.nn.Upsample")
def _upsample(at: EmitContext, x: Value, *, scale_factor: int, **_: Any) -> Value:
    return at.op("Resize", x, None, at.graph.constant((1, 1, scale_factor, scale_factor), np.float32), **NEAREST)


@emits(f"{MODULES}.ScaledUpsample")
def _scaled_upsample(at: EmitContext, x: Value, *, stride: int, scale: float) -> Value:
    """Repeated and scaled; with a negative stride blocks summed up and scaled (blas.c upsample_cpu)."""
    if stride > 0:
        return at.times(_upsample(at, x, scale_factor=stride), scale)
    return at.times(_pool(at, "AveragePool", x, -stride, -stride, 0, 0), scale * stride**2)


def _gather(at: EmitContext, x: Value, stride: int) -> Value:
    """(N, C, H, W) to (N, C·s², H/s, W/s), the offset in the block the slow part of the channel (reorg_cpu, 0)."""
    return at.op("SpaceToDepth", x, blocksize=stride)


def _scatter(at: EmitContext, x: Value, stride: int) -> Value:
    """The inverse (reorg_cpu, 1)."""
    return at.op("DepthToSpace", x, blocksize=stride)


def _taken_for(at: EmitContext, x: Value, channels: int, like: Value, up: int = 1, down: int = 1) -> Value:
    """The memory of x taken for a map of so many channels, ·up/down as wide as the layer's input, `like`."""
    width = at.length(like, 3, at.node.context.input.w)
    if isinstance(width, int):
        return at.reshape(x, 0, channels, -1, width * up // down)
    ints = at.graph.ints
    return at.reshape(x, 0, channels, -1, at.op("Div", at.op("Mul", width, ints(up)), ints(down)))


@emits(f"{MODULES}.Reorg")
def _reorg(at: EmitContext, x: Value, *, stride: int, reverse: bool) -> Value:
    """reorg_cpu called with the input's sizes (pjreddie reorg_layer.c forward_reorg_layer)."""
    if reverse:
        return _scatter(at, x, stride)
    channels = at.node.context.input.c
    wide = _taken_for(at, x, channels // stride**2, x, up=stride)
    return _taken_for(at, _gather(at, wide, stride), channels * stride**2, x, down=stride)


@emits(f"{MODULES}.Reorg3d")
def _reorg3d(at: EmitContext, x: Value, *, stride: int, reverse: bool) -> Value:
    """reorg_cpu called with the output's sizes (AlexeyAB reorg_layer.c)."""
    if not reverse:
        return _gather(at, x, stride)
    channels = at.node.context.input.c // stride**2
    return _taken_for(at, _scatter(at, _taken_for(at, x, channels, x, up=stride), stride), channels, x, up=stride)


@emits(f"{MODULES}.FlattenReorg")
def _flatten_reorg(at: EmitContext, x: Value, *, stride: int, reverse: bool) -> Value:
    """The channels of each position side by side, or back (blas.c flatten)."""
    channels = at.node.context.input.c
    flat = at.reshape(x, 0, -1, channels) if reverse else at.reshape(x, 0, channels, -1)
    turned = at.op("Transpose", flat, perm=(0, 2, 1))
    if reverse:
        return _taken_for(at, turned, channels // stride**2, x, up=stride)
    return _taken_for(at, turned, channels * stride**2, x, down=stride)


@emits(f"{MODULES}.CenterCrop")
def _crop(at: EmitContext, x: Value, *, height: int, width: int, adjust: bool) -> Value:
    shape, ints = at.node.context.input, at.graph.ints
    top, left = (shape.h - height) // 2, (shape.w - width) // 2
    x = at.op("Slice", x, ints(top, left), ints(top + height, left + width), ints(2, 3))
    return x * 2.0 - 1.0 if adjust else x
