"""Linear maps and the blur behind a convolution. Maps are (N, C, H, W)."""

from __future__ import annotations

from typing import Any

import numpy as np

from darkparse.onnx.context import EMITTERS, MODULES, EmitContext, emits
from darkparse.onnx.graph import Value

IntOrPair = int | tuple[int, int]


def to_pair(value: IntOrPair) -> tuple[int, int]:
    """One number for height and width, or two."""
    return (value, value) if isinstance(value, int) else value


def convolve(
    ctx: EmitContext, x: Value, path: str, *, stride: IntOrPair, padding: int, dilation: int, groups: int, **_: Any
) -> Value:
    """A convolution with the weights, and the batch norm, at a path."""
    attributes: dict[str, Any] = {"strides": to_pair(stride), "pads": (padding,) * 4, "dilations": to_pair(dilation)}
    return ctx.linear("Conv", x, path, **attributes, group=groups)


EMITTERS["torch.nn.Conv2d"] = lambda ctx, x, **k: convolve(ctx, x, ctx.path, **k)
EMITTERS[f"{MODULES}.SharedConvolution"] = lambda ctx, x, **k: convolve(
    ctx, x, f"layers.{ctx.node.shared_with}.conv", **k
)
EMITTERS["torch.nn.Linear"] = lambda ctx, x, **_: ctx.linear("Gemm", x, ctx.path, transB=1)


@emits("torch.nn.ConvTranspose2d")
def _emit_transposed(ctx: EmitContext, x: Value, *, stride: int, padding: int, **_: Any) -> Value:
    return ctx.linear("ConvTranspose", x, ctx.path, axis=1, strides=to_pair(stride), pads=(padding,) * 4)


@emits(f"{MODULES}.XnorConv2d")
def _emit_xnor(
    ctx: EmitContext,
    x: Value,
    *,
    stride: IntOrPair,
    padding: int,
    dilation: int,
    groups: int,
    bias: bool,
    pad_value: float,
    **_: Any,
) -> Value:
    """Signs by signs, which add up exactly, then the mean magnitude of each filter and the bias."""
    margin = (0, 0, padding, padding)
    signs = ctx.pad(ctx.op("Where", x > 0.0, 1.0, -1.0), margin, margin, pad_value)
    weight = ctx.parameter("weight", change=lambda weight: np.where(weight > 0, np.float32(1), np.float32(-1)))
    sums = ctx.op("Conv", signs, weight, strides=to_pair(stride), dilations=to_pair(dilation), group=groups)
    # Whole numbers stay as they are. Without it a runtime moves the factor into the weights, and no sum is exactly 0.
    sums = ctx.op("Round", sums)
    magnitudes = np.abs(ctx.parameters.arrays[f"{ctx.path}.weight"].read()).mean((1, 2, 3), keepdims=True)[:, 0]
    out = sums * ctx.graph.constant(magnitudes)
    return out + ctx.op("Unsqueeze", ctx.parameter("bias"), ctx.graph.ints(1, 2)) if bias else out


@emits(f"{MODULES}.Blur")
def _emit_blur(ctx: EmitContext, x: Value, *, size: int, stride: IntOrPair, **_: Any) -> Value:
    """A 2×2 mean, of 2×2 means for three taps."""
    if size == 3:
        x = ctx.op("AveragePool", x, kernel_shape=(2, 2), pads=(1,) * 4, count_include_pad=1)
    return ctx.op("AveragePool", x, kernel_shape=(2, 2), strides=to_pair(stride))


@emits(f"{MODULES}.LocallyConnected2d")
def _emit_local(
    ctx: EmitContext,
    x: Value,
    *,
    in_channels: int,
    out_channels: int,
    output_size: tuple[int, int],
    kernel_size: int,
    stride: int,
    padding: int,
) -> Value:
    """Each position's patch times the weights of that position."""
    margin, (rows, columns) = (0, 0, padding, padding), output_size
    x, ints = ctx.pad(x, margin, margin), ctx.graph.ints
    patches = []
    for i, j in np.ndindex(kernel_size, kernel_size):
        end = ints(i + (rows - 1) * stride + 1, j + (columns - 1) * stride + 1)
        tap = ctx.op("Slice", x, ints(i, j), end, ints(2, 3), ints(stride, stride))
        patches.append(ctx.op("Unsqueeze", tap, ints(2)))
    flat = ctx.reshape(ctx.concat(*patches, axis=2), 0, in_channels * kernel_size**2, rows * columns)
    products = ctx.op("MatMul", ctx.parameter("weight"), ctx.op("Transpose", flat, perm=(2, 1, 0)))
    out = ctx.reshape(ctx.op("Transpose", products, perm=(2, 1, 0)), 0, out_channels, rows, columns)
    return out + ctx.parameter("bias")
