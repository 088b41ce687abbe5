"""Emitters that repeat, crop or rearrange the values of maps (N, C, H, W)."""

from __future__ import annotations

from dataclasses import dataclass

from darkparse.onnx.context import MODULES, EmitContext, emits
from darkparse.onnx.emitters.joining import NEAREST
from darkparse.onnx.emitters.maps import pool
from darkparse.onnx.graph import Value


@dataclass(frozen=True, slots=True)
class AppendParams:
    """Arguments of `AppendZeros`."""

    count: int


@dataclass(frozen=True, slots=True)
class UpsampleParams:
    """Arguments of `Upsample`."""

    scale_factor: int
    mode: str


@dataclass(frozen=True, slots=True)
class ScaledUpsampleParams:
    """Arguments of `ScaledUpsample`."""

    stride: int
    scale: float


@dataclass(frozen=True, slots=True)
class ReorgParams:
    """Arguments of `Reorg`, `Reorg3d` and `FlattenReorg`."""

    stride: int
    reverse: bool


@dataclass(frozen=True, slots=True)
class CropParams:
    """Arguments of `CenterCrop`."""

    height: int
    width: int
    adjust: bool


@emits(f"{MODULES}.AppendZeros", params=AppendParams)
def _emit_append_zeros(ctx: EmitContext, params: AppendParams, x: Value) -> Value:
    return ctx.pad(ctx.op("Flatten", x), (0, 0), (0, params.count))


@emits("torch.nn.Upsample", params=UpsampleParams)
def _emit_upsample(ctx: EmitContext, params: UpsampleParams, x: Value) -> Value:
    return _repeat(ctx, x, params.scale_factor)


@emits(f"{MODULES}.ScaledUpsample", params=ScaledUpsampleParams)
def _emit_scaled_upsample(ctx: EmitContext, params: ScaledUpsampleParams, x: Value) -> Value:
    """Repeat and scale values; with a negative stride, sum blocks and scale the sums (blas.c, upsample_cpu)."""
    stride, scale = params.stride, params.scale
    if stride > 0:
        return ctx.scale(_repeat(ctx, x, stride), scale)
    return ctx.scale(pool(ctx, "AveragePool", x, -stride, -stride, 0, 0), scale * stride**2)


def _repeat(ctx: EmitContext, x: Value, times: int) -> Value:
    """Repeat every value along height and width."""
    return ctx.op("Resize", x, None, ctx.graph.constant((1, 1, times, times), "float32"), **NEAREST)


def _space_to_depth(ctx: EmitContext, x: Value, stride: int) -> Value:
    """Convert (N, C, H, W) to (N, C·s², H/s, W/s) like reorg_cpu with forward=0.

    The offset within the block is the slowest-varying part of the channel index.
    """
    return ctx.op("SpaceToDepth", x, blocksize=stride)


def _depth_to_space(ctx: EmitContext, x: Value, stride: int) -> Value:
    """Invert `_space_to_depth`, like reorg_cpu with forward=1."""
    return ctx.op("DepthToSpace", x, blocksize=stride)


def _view_as(ctx: EmitContext, x: Value, channels: int, reference: Value, up: int = 1, down: int = 1) -> Value:
    """Reinterpret the memory of x as a map with other dimensions.

    Args:
        ctx: Context of the module.
        x: Value to reshape.
        channels: Number of channels of the result.
        reference: Input of the layer.
        up: Factor of the result's width relative to the input.
        down: Divisor of the result's width relative to the input.
    """
    width = ctx.get_length(reference, 3, ctx.node.context.input.w)
    if isinstance(width, int):
        return ctx.reshape(x, 0, channels, -1, width * up // down)
    ints = ctx.graph.ints
    return ctx.reshape(x, 0, channels, -1, ctx.op("Div", ctx.op("Mul", width, ints(up)), ints(down)))


@emits(f"{MODULES}.Reorg", params=ReorgParams)
def _emit_reorg(ctx: EmitContext, params: ReorgParams, x: Value) -> Value:
    """Add reorg_cpu with the sizes of the input (pjreddie reorg_layer.c, forward_reorg_layer)."""
    if params.reverse:
        return _depth_to_space(ctx, x, params.stride)
    channels = ctx.node.context.input.c
    widened = _view_as(ctx, x, channels // params.stride**2, x, up=params.stride)
    moved = _space_to_depth(ctx, widened, params.stride)
    return _view_as(ctx, moved, channels * params.stride**2, x, down=params.stride)


@emits(f"{MODULES}.Reorg3d", params=ReorgParams)
def _emit_reorg3d(ctx: EmitContext, params: ReorgParams, x: Value) -> Value:
    """Add reorg_cpu with the sizes of the output (AlexeyAB reorg_layer.c)."""
    if not params.reverse:
        return _space_to_depth(ctx, x, params.stride)
    channels = ctx.node.context.input.c // params.stride**2
    moved = _depth_to_space(ctx, _view_as(ctx, x, channels, x, up=params.stride), params.stride)
    return _view_as(ctx, moved, channels, x, up=params.stride)


@emits(f"{MODULES}.FlattenReorg", params=ReorgParams)
def _emit_flatten_reorg(ctx: EmitContext, params: ReorgParams, x: Value) -> Value:
    """Move channels to the innermost dimension, or back with `reverse` (blas.c, flatten)."""
    channels = ctx.node.context.input.c
    flat = ctx.reshape(x, 0, -1, channels) if params.reverse else ctx.reshape(x, 0, channels, -1)
    transposed = ctx.op("Transpose", flat, perm=(0, 2, 1))
    if params.reverse:
        return _view_as(ctx, transposed, channels // params.stride**2, x, up=params.stride)
    return _view_as(ctx, transposed, channels * params.stride**2, x, down=params.stride)


@emits(f"{MODULES}.CenterCrop", params=CropParams)
def _emit_crop(ctx: EmitContext, params: CropParams, x: Value) -> Value:
    shape, ints = ctx.node.context.input, ctx.graph.ints
    height, width = params.height, params.width
    top, left = (shape.h - height) // 2, (shape.w - width) // 2
    x = ctx.op("Slice", x, ints(top, left), ints(top + height, left + width), ints(2, 3))
    return x * 2.0 - 1.0 if params.adjust else x
