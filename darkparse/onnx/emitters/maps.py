"""Over maps (N, C, H, W): pooling, normalizations, values moved between positions and channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from darkparse.onnx.context import EMITTERS, MODULES, EmitContext, emits
from darkparse.onnx.emitters.convolutional import IntOrPair, to_pair
from darkparse.onnx.emitters.joining import NEAREST
from darkparse.onnx.graph import Value

NORMS = (f"{MODULES}.BatchNorm", f"{MODULES}.RootEpsilonBatchNorm")

EMITTERS.update(dict.fromkeys(NORMS, lambda ctx, x, **_: ctx.norm(x, ctx.path)))
EMITTERS[f"{MODULES}.L2Norm"] = lambda ctx, x: x / ctx.op("Sqrt", ctx.op("ReduceSum", x * x, ctx.graph.ints(1)))
EMITTERS["torch.nn.AdaptiveAvgPool2d"] = lambda ctx, x, output_size: ctx.op("GlobalAveragePool", x)
EMITTERS[f"{MODULES}.AppendZeros"] = lambda ctx, x, count: ctx.pad(ctx.op("Flatten", x), (0, 0), (0, count))


@emits("torch.nn.MaxPool2d")
def _emit_max_pool(
    ctx: EmitContext, x: Value, *, kernel_size: int, stride: IntOrPair, padding: int, ceil_mode: bool = False
) -> Value:
    """What `ceil_mode` adds is one row and column behind the map."""
    return _pool(ctx, "MaxPool", x, kernel_size, stride, padding, padding + ceil_mode)


@emits("torch.nn.AvgPool2d")
def _emit_mean_pool(
    ctx: EmitContext, x: Value, *, kernel_size: int, stride: IntOrPair, padding: int, **_: Any
) -> Value:
    return _pool(ctx, "AveragePool", x, kernel_size, stride, padding, padding)


# maxpool_layer.c:82: padding is in total.
EMITTERS[f"{MODULES}.MaxPool2d"] = lambda ctx, x, size, stride, padding: _pool(
    ctx, "MaxPool", x, size, stride, int(padding / 2), padding - int(padding / 2)
)
EMITTERS[f"{MODULES}.AvgPool2d"] = lambda ctx, x, size, stride, padding: _pool(
    ctx, "AveragePool", x, size, stride, int(padding / 2), padding - int(padding / 2)
)


def _pool(ctx: EmitContext, kind: str, x: Value, size: int, stride: IntOrPair, before: int, after: int) -> Value:
    """The maximum, or the mean over what lies inside the map."""
    attributes = {"kernel_shape": to_pair(size), "strides": to_pair(stride)}
    if 0 <= before <= after < size:
        return ctx.op(kind, x, pads=(before, before, after, after), **attributes)
    # The operators take no padding as large as their window, and none below 0.
    padding = (0, 0, before, before), (0, 0, after, after)
    if kind == "MaxPool":
        return ctx.op(kind, ctx.pad(x, *padding, _get_lowest(ctx)), **attributes)
    shape = ctx.op("Concat", ctx.graph.ints(1, 1), ctx.op("Shape", x, start=2), axis=0)
    ones = ctx.op("Expand", ctx.graph.constant([[[[1.0]]]]), shape)
    total, count = (ctx.op(kind, ctx.pad(values, *padding), **attributes) for values in (x, ones))
    return total / count


def _get_lowest(ctx: EmitContext) -> float:
    return float(np.finfo(ctx.graph.floats).min)


@emits(f"{MODULES}.ChannelMaxPool")
def _emit_channel_max(ctx: EmitContext, x: Value, *, out_channels: int) -> Value:
    """The maximum over every `out_channels`-th channel (maxpool_layer.c:245)."""
    channels = ctx.node.context.input.c
    x = ctx.pad(x, (0,) * 4, (0, -channels % out_channels, 0, 0), _get_lowest(ctx))
    return ctx.op("Max", *ctx.split(x, (out_channels,) * -(-channels // out_channels)))


@emits(f"{MODULES}.LocalResponseNorm")
def _emit_local_response(ctx: EmitContext, x: Value, *, size: int, alpha: float, beta: float, kappa: float) -> Value:
    """The sums over neighbouring channels are a 1×1 convolution of the squares (normalization_layer.c)."""
    channel, half_size = np.arange(ctx.node.context.input.c), size // 2
    distance = channel - channel[:, None]
    window = ((-((size - 1) // 2) <= distance) & (distance <= half_size)).astype(np.float32)
    # Darknet moves one running sum along, which starts without channel size/2 and loses it all the same.
    window[:, half_size : half_size + 1] -= 1
    sums = ctx.op("Conv", x * x, ctx.graph.constant(window[..., None, None]))
    return x * ctx.op("Pow", kappa + alpha * sums, -float(beta))


@emits("torch.nn.Upsample")
def _emit_upsample(ctx: EmitContext, x: Value, *, scale_factor: int, **_: Any) -> Value:
    return ctx.op("Resize", x, None, ctx.graph.constant((1, 1, scale_factor, scale_factor), np.float32), **NEAREST)


@emits(f"{MODULES}.ScaledUpsample")
def _emit_scaled_upsample(ctx: EmitContext, x: Value, *, stride: int, scale: float) -> Value:
    """Repeated and scaled; with a negative stride blocks summed up and scaled (blas.c upsample_cpu)."""
    if stride > 0:
        return ctx.scale(_emit_upsample(ctx, x, scale_factor=stride), scale)
    return ctx.scale(_pool(ctx, "AveragePool", x, -stride, -stride, 0, 0), scale * stride**2)


def _space_to_depth(ctx: EmitContext, x: Value, stride: int) -> Value:
    """(N, C, H, W) to (N, C·s², H/s, W/s), the offset in the block the slow part of the channel (reorg_cpu, 0)."""
    return ctx.op("SpaceToDepth", x, blocksize=stride)


def _depth_to_space(ctx: EmitContext, x: Value, stride: int) -> Value:
    """The inverse (reorg_cpu, 1)."""
    return ctx.op("DepthToSpace", x, blocksize=stride)


def _view_as(ctx: EmitContext, x: Value, channels: int, reference: Value, up: int = 1, down: int = 1) -> Value:
    """The memory of x taken for a map of so many channels, ·up/down as wide as the layer's input, `reference`."""
    width = ctx.get_length(reference, 3, ctx.node.context.input.w)
    if isinstance(width, int):
        return ctx.reshape(x, 0, channels, -1, width * up // down)
    ints = ctx.graph.ints
    return ctx.reshape(x, 0, channels, -1, ctx.op("Div", ctx.op("Mul", width, ints(up)), ints(down)))


@emits(f"{MODULES}.Reorg")
def _emit_reorg(ctx: EmitContext, x: Value, *, stride: int, reverse: bool) -> Value:
    """reorg_cpu called with the input's sizes (pjreddie reorg_layer.c forward_reorg_layer)."""
    if reverse:
        return _depth_to_space(ctx, x, stride)
    channels = ctx.node.context.input.c
    widened = _view_as(ctx, x, channels // stride**2, x, up=stride)
    return _view_as(ctx, _space_to_depth(ctx, widened, stride), channels * stride**2, x, down=stride)


@emits(f"{MODULES}.Reorg3d")
def _emit_reorg3d(ctx: EmitContext, x: Value, *, stride: int, reverse: bool) -> Value:
    """reorg_cpu called with the output's sizes (AlexeyAB reorg_layer.c)."""
    if not reverse:
        return _space_to_depth(ctx, x, stride)
    channels = ctx.node.context.input.c // stride**2
    return _view_as(ctx, _depth_to_space(ctx, _view_as(ctx, x, channels, x, up=stride), stride), channels, x, up=stride)


@emits(f"{MODULES}.FlattenReorg")
def _emit_flatten_reorg(ctx: EmitContext, x: Value, *, stride: int, reverse: bool) -> Value:
    """The channels of each position side by side, or back (blas.c flatten)."""
    channels = ctx.node.context.input.c
    flat = ctx.reshape(x, 0, -1, channels) if reverse else ctx.reshape(x, 0, channels, -1)
    transposed = ctx.op("Transpose", flat, perm=(0, 2, 1))
    if reverse:
        return _view_as(ctx, transposed, channels // stride**2, x, up=stride)
    return _view_as(ctx, transposed, channels * stride**2, x, down=stride)


@emits(f"{MODULES}.CenterCrop")
def _emit_crop(ctx: EmitContext, x: Value, *, height: int, width: int, adjust: bool) -> Value:
    shape, ints = ctx.node.context.input, ctx.graph.ints
    top, left = (shape.h - height) // 2, (shape.w - width) // 2
    x = ctx.op("Slice", x, ints(top, left), ints(top + height, left + width), ints(2, 3))
    return x * 2.0 - 1.0 if adjust else x
