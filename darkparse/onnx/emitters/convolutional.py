"""Emitters for convolutional and linear layers, and for the blur after a convolution. Maps are (N, C, H, W)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod

from darkparse.onnx.context import MODULES, EmitContext, emits
from darkparse.onnx.graph import Value

IntOrPair = int | tuple[int, int]


def to_pair(value: IntOrPair) -> tuple[int, int]:
    """Convert an integer or a (height, width) pair to a pair."""
    return (value, value) if isinstance(value, int) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvGeometry:
    """Geometry of a convolution; also the arguments of `SharedConvolution`."""

    stride: IntOrPair
    padding: int
    dilation: int
    groups: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvParams(ConvGeometry):
    """Arguments of `Conv2d`."""

    in_channels: int
    out_channels: int
    kernel_size: int
    bias: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class XnorParams(ConvParams):
    """Arguments of `XnorConv2d`."""

    pad_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TransposedParams:
    """Arguments of `ConvTranspose2d`."""

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    padding: int
    bias: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearParams:
    """Arguments of `Linear`."""

    in_features: int
    out_features: int
    bias: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BlurParams:
    """Arguments of `Blur`."""

    channels: int
    size: int
    stride: IntOrPair


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalParams:
    """Arguments of `LocallyConnected2d`."""

    in_channels: int
    out_channels: int
    output_size: tuple[int, int]
    kernel_size: int
    stride: int
    padding: int


def convolve(ctx: EmitContext, geometry: ConvGeometry, x: Value, path: str) -> Value:
    """Add a convolution with the weights at a path, and the batch norm that follows it."""
    return ctx.linear(
        "Conv",
        x,
        path,
        strides=to_pair(geometry.stride),
        pads=(geometry.padding,) * 4,
        dilations=to_pair(geometry.dilation),
        group=geometry.groups,
    )


@emits("torch.nn.Conv2d", params=ConvParams)
def _emit_convolution(ctx: EmitContext, params: ConvParams, x: Value) -> Value:
    return convolve(ctx, params, x, ctx.path)


@emits(f"{MODULES}.SharedConvolution", params=ConvGeometry)
def _emit_shared_convolution(ctx: EmitContext, params: ConvGeometry, x: Value) -> Value:
    return convolve(ctx, params, x, f"layers.{ctx.node.shared_with}.conv")


@emits("torch.nn.Linear", params=LinearParams)
def _emit_linear(ctx: EmitContext, params: LinearParams, x: Value) -> Value:
    return ctx.linear("Gemm", x, ctx.path, transB=1)


@emits("torch.nn.ConvTranspose2d", params=TransposedParams)
def _emit_transposed(ctx: EmitContext, params: TransposedParams, x: Value) -> Value:
    return ctx.linear("ConvTranspose", x, ctx.path, axis=1, strides=to_pair(params.stride), pads=(params.padding,) * 4)


@emits(f"{MODULES}.XnorConv2d", params=XnorParams)
def _emit_xnor(ctx: EmitContext, params: XnorParams, x: Value) -> Value:
    """Add an XNOR convolution: an exact sum of products of signs, scaled by each filter's mean magnitude, plus bias."""
    margin = (0, 0, params.padding, params.padding)
    signs = ctx.pad(ctx.op("Where", x > 0.0, 1.0, -1.0), margin, margin, params.pad_value)
    weight = ctx.parameter("weight", change=lambda values: [1.0 if value > 0 else -1.0 for value in values])
    strides, dilations = to_pair(params.stride), to_pair(params.dilation)
    sums = ctx.op("Conv", signs, weight, strides=strides, dilations=dilations, group=params.groups)
    # Round does not change the integer sums, but prevents runtimes from fusing the factor into the weights, after which
    # no sum would be exactly 0.
    sums = ctx.op("Round", sums)
    count, *filter_shape = ctx.parameters.arrays[f"{ctx.path}.weight"].shape
    size = prod(filter_shape)

    def compute_magnitudes(values: memoryview[float]) -> list[float]:
        return [sum(map(abs, values[start : start + size])) / size for start in range(0, count * size, size)]

    out = sums * ctx.parameter("weight", change=compute_magnitudes, derived=("magnitude", (count, 1, 1)))
    return out + ctx.op("Unsqueeze", ctx.parameter("bias"), ctx.graph.ints(1, 2)) if params.bias else out


@emits(f"{MODULES}.Blur", params=BlurParams)
def _emit_blur(ctx: EmitContext, params: BlurParams, x: Value) -> Value:
    """Add a 2×2 mean for size 2, or the 2×2 mean of a 2×2 mean for size 3."""
    if params.size == 3:
        x = ctx.op("AveragePool", x, kernel_shape=(2, 2), pads=(1,) * 4, count_include_pad=1)
    return ctx.op("AveragePool", x, kernel_shape=(2, 2), strides=to_pair(params.stride))


@emits(f"{MODULES}.LocallyConnected2d", params=LocalParams)
def _emit_local(ctx: EmitContext, params: LocalParams, x: Value) -> Value:
    """Add a locally connected layer: the product of each position's patch and weights."""
    margin, (rows, columns) = (0, 0, params.padding, params.padding), params.output_size
    x, ints, stride = ctx.pad(x, margin, margin), ctx.graph.ints, params.stride
    patches = []
    for i, j in product(range(params.kernel_size), repeat=2):
        end = ints(i + (rows - 1) * stride + 1, j + (columns - 1) * stride + 1)
        tap = ctx.op("Slice", x, ints(i, j), end, ints(2, 3), ints(stride, stride))
        patches.append(ctx.op("Unsqueeze", tap, ints(2)))
    flat = ctx.reshape(ctx.concat(*patches, axis=2), 0, params.in_channels * params.kernel_size**2, rows * columns)
    products = ctx.op("MatMul", ctx.parameter("weight"), ctx.op("Transpose", flat, perm=(2, 1, 0)))
    out = ctx.reshape(ctx.op("Transpose", products, perm=(2, 1, 0)), 0, params.out_channels, rows, columns)
    return out + ctx.parameter("bias")
