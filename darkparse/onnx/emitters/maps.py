"""Emitters for pooling and normalization of maps (N, C, H, W)."""

from __future__ import annotations

from dataclasses import dataclass

from darkparse.onnx.context import MODULES, EmitContext, NoParams, emits
from darkparse.onnx.elements import ELEMENTS
from darkparse.onnx.emitters.convolutional import IntOrPair, to_pair
from darkparse.onnx.graph import Value


@dataclass(frozen=True, slots=True)
class NormParams:
    """Arguments of `BatchNorm` and `RootEpsilonBatchNorm`."""

    num_features: int
    eps: float
    momentum: float


@dataclass(frozen=True, slots=True)
class AdaptivePoolParams:
    """Arguments of `AdaptiveAvgPool2d`."""

    output_size: int


@dataclass(frozen=True, slots=True)
class TorchMaxPoolParams:
    """Arguments of torch's `MaxPool2d`."""

    kernel_size: int
    stride: IntOrPair
    padding: int
    ceil_mode: bool = False


@dataclass(frozen=True, slots=True)
class TorchMeanPoolParams:
    """Arguments of torch's `AvgPool2d`."""

    kernel_size: int
    stride: IntOrPair
    padding: int
    count_include_pad: bool


@dataclass(frozen=True, slots=True)
class PoolParams:
    """Arguments of `MaxPool2d` and `AvgPool2d` of `darkparse.model.modules`."""

    size: int
    stride: IntOrPair
    padding: int
    """Total padding before and after the map (maxpool_layer.c:82)."""


@dataclass(frozen=True, slots=True)
class ChannelMaxParams:
    """Arguments of `ChannelMaxPool`."""

    out_channels: int


@dataclass(frozen=True, slots=True)
class LocalResponseParams:
    """Arguments of `LocalResponseNorm`."""

    size: int
    alpha: float
    beta: float
    kappa: float


@emits(f"{MODULES}.BatchNorm", f"{MODULES}.RootEpsilonBatchNorm", params=NormParams)
def _emit_norm(ctx: EmitContext, params: NormParams, x: Value) -> Value:
    return ctx.norm(x, ctx.path)


@emits(f"{MODULES}.L2Norm", params=NoParams)
def _emit_l2_norm(ctx: EmitContext, _: NoParams, x: Value) -> Value:
    return x / ctx.op("Sqrt", ctx.op("ReduceSum", x * x, ctx.graph.ints(1)))


@emits("torch.nn.AdaptiveAvgPool2d", params=AdaptivePoolParams)
def _emit_global_pool(ctx: EmitContext, params: AdaptivePoolParams, x: Value) -> Value:
    return ctx.op("GlobalAveragePool", x)


@emits("torch.nn.MaxPool2d", params=TorchMaxPoolParams)
def _emit_torch_max_pool(ctx: EmitContext, params: TorchMaxPoolParams, x: Value) -> Value:
    """Add max pooling; `ceil_mode` adds one row and one column of padding after the map."""
    behind = params.padding + params.ceil_mode
    return pool(ctx, "MaxPool", x, params.kernel_size, params.stride, params.padding, behind)


@emits("torch.nn.AvgPool2d", params=TorchMeanPoolParams)
def _emit_torch_mean_pool(ctx: EmitContext, params: TorchMeanPoolParams, x: Value) -> Value:
    return pool(ctx, "AveragePool", x, params.kernel_size, params.stride, params.padding, params.padding)


@emits(f"{MODULES}.MaxPool2d", params=PoolParams)
def _emit_max_pool(ctx: EmitContext, params: PoolParams, x: Value) -> Value:
    before = int(params.padding / 2)
    return pool(ctx, "MaxPool", x, params.size, params.stride, before, params.padding - before)


@emits(f"{MODULES}.AvgPool2d", params=PoolParams)
def _emit_mean_pool(ctx: EmitContext, params: PoolParams, x: Value) -> Value:
    before = int(params.padding / 2)
    return pool(ctx, "AveragePool", x, params.size, params.stride, before, params.padding - before)


def pool(ctx: EmitContext, kind: str, x: Value, size: int, stride: IntOrPair, before: int, after: int) -> Value:
    """Add pooling; means exclude padding.

    Args:
        ctx: Context of the module.
        kind: `MaxPool` or `AveragePool`.
        x: Map (N, C, H, W).
        size: Side of the window.
        stride: Stride, or strides of height and width.
        before: Padding before the map.
        after: Padding after the map.
    """
    attributes = {"kernel_shape": to_pair(size), "strides": to_pair(stride)}
    ends = _drop_unreached(ctx, size, to_pair(stride), before, after)
    if 0 <= before < size and all(0 <= end < size for end in ends):
        pads = (before, before, *ends)
        return ctx.op(kind, x, pads=pads if any(pads) else None, **attributes)
    # The operators support neither padding as large as the window nor negative padding.
    padding = (0, 0, before, before), (0, 0, *ends)
    if kind == "MaxPool":
        return ctx.op(kind, ctx.pad(x, *padding, _get_lowest(ctx)), **attributes)
    shape = ctx.op("Concat", ctx.graph.ints(1, 1), ctx.op("Shape", x, start=2), axis=0)
    ones = ctx.op("Expand", ctx.graph.constant([[[[1.0]]]]), shape)
    total, count = (ctx.op(kind, ctx.pad(values, *padding), **attributes) for values in (x, ones))
    return total / count


def _drop_unreached(ctx: EmitContext, size: int, strides: tuple[int, int], before: int, after: int) -> tuple[int, ...]:
    """Return the padding behind rows and columns without what lies behind the last window; as it is if unknown."""
    shape = ctx.fixed_input
    if shape is None or after <= 0:
        return after, after
    sides = zip((shape.h, shape.w), strides, strict=True)
    return tuple(max(after - (length + before + after - size) % stride, 0) for length, stride in sides)


def _get_lowest(ctx: EmitContext) -> float:
    return -ELEMENTS[ctx.graph.floats].largest


@emits(f"{MODULES}.ChannelMaxPool", params=ChannelMaxParams)
def _emit_channel_max(ctx: EmitContext, params: ChannelMaxParams, x: Value) -> Value:
    """Add the maximum over every `out_channels`-th channel (maxpool_layer.c:245)."""
    channels, out_channels = ctx.node.context.input.c, params.out_channels
    x = ctx.pad(x, (0,) * 4, (0, -channels % out_channels, 0, 0), _get_lowest(ctx))
    return ctx.op("Max", *ctx.split(x, (out_channels,) * -(-channels // out_channels)))


@emits(f"{MODULES}.LocalResponseNorm", params=LocalResponseParams)
def _emit_local_response(ctx: EmitContext, params: LocalResponseParams, x: Value) -> Value:
    """Add local response normalization with a 1×1 convolution for the sums over channels (normalization_layer.c)."""
    channels, half_size, behind = ctx.node.context.input.c, params.size // 2, (params.size - 1) // 2
    # Darknet's running sum starts without channel size/2 but later subtracts it.
    window = [
        float(-behind <= other - channel <= half_size) - (other == half_size)
        for channel in range(channels)
        for other in range(channels)
    ]
    sums = ctx.op("Conv", x * x, ctx.graph.constant(window, shape=(channels, channels, 1, 1)))
    return x * ctx.op("Pow", params.kappa + params.alpha * sums, -float(params.beta))
