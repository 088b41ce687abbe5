"""Convolutions and the blur behind one. Maps are (N, C, H, W)."""

from __future__ import annotations

from typing import Any

import numpy as np

from darkparse.export.onnx.graph import Array, Value
from darkparse.export.onnx.place import Place, emits

MODULES = "darkparse.model.modules"
Two = int | tuple[int, int]


def both(value: Two) -> tuple[int, int]:
    """One number for height and width, or two."""
    return (value, value) if isinstance(value, int) else value


@emits("torch.nn.Conv2d")
def convolution(
    at: Place,
    x: Value,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: Two,
    padding: int,
    dilation: int,
    groups: int,
    bias: bool,
) -> Value:
    """With the batch norm behind it."""
    return _conv(at, x, at.path, stride, padding, dilation, groups)


def _conv(at: Place, x: Value, path: str, stride: Two, padding: int, dilation: int, groups: int) -> Value:
    how: dict[str, Any] = {
        "strides": both(stride),
        "pads": (padding,) * 4,
        "dilations": both(dilation),
        "group": groups,
    }
    return at.linear("Conv", x, path, **how)


@emits(f"{MODULES}.SharedConvolution")
def shared(at: Place, x: Value, stride: Two, padding: int, dilation: int, groups: int) -> Value:
    """With the weights, and the batch norm, of another layer."""
    return _conv(at, x, f"layers.{at.node.shares}.conv", stride, padding, dilation, groups)


@emits("torch.nn.ConvTranspose2d")
def transposed(
    at: Place, x: Value, in_channels: int, out_channels: int, kernel_size: int, stride: int, padding: int, bias: bool
) -> Value:
    """With the batch norm behind it."""
    return at.linear("ConvTranspose", x, at.path, axis=1, strides=both(stride), pads=(padding,) * 4)


@emits(f"{MODULES}.XnorConv2d")
def xnor(
    at: Place,
    x: Value,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: Two,
    padding: int,
    dilation: int,
    groups: int,
    bias: bool,
    pad_value: float,
) -> Value:
    """Signs by signs, which add up exactly, then the mean magnitude of each filter and the bias."""
    signs = at.op("Where", x > 0.0, 1.0, -1.0)
    margin = (0, 0, padding, padding)
    signs = at.pad(signs, margin, margin, pad_value) if padding else signs
    weight = at.parameter("weight", change=_signs)
    sums = at.op("Conv", signs, weight, strides=both(stride), dilations=both(dilation), group=groups)
    # Whole numbers stay as they are. Without it a runtime moves the factor into the weights, and no sum is exactly 0.
    sums = at.op("Round", sums)
    magnitudes = at.parameters.arrays[f"{at.path}.weight"].read()
    scaled = sums * at.graph.constant(np.abs(magnitudes).mean((1, 2, 3), keepdims=True)[:, 0])
    return scaled + at.op("Unsqueeze", at.parameter("bias"), at.graph.ints(1, 2)) if bias else scaled


def _signs(weight: Array) -> Array:
    return np.where(weight > 0, np.float32(1), np.float32(-1))


@emits(f"{MODULES}.Blur")
def blur(at: Place, x: Value, channels: int, size: int, stride: tuple[int, int]) -> Value:
    """A 2×2 mean, of 2×2 means for three taps."""
    if size == 3:
        x = at.op("AveragePool", x, kernel_shape=(2, 2), pads=(1,) * 4, count_include_pad=1)
    return at.op("AveragePool", x, kernel_shape=(2, 2), strides=both(stride))


@emits(f"{MODULES}.LocallyConnected2d")
def local(
    at: Place,
    x: Value,
    in_channels: int,
    out_channels: int,
    output_size: tuple[int, int],
    kernel_size: int,
    stride: int,
    padding: int,
) -> Value:
    """Each position's patch times the weights of that position."""
    margin, (rows, columns) = (0, 0, padding, padding), output_size
    x = at.pad(x, margin, margin) if padding else x
    ints, taps = at.graph.ints, [(i, j) for i in range(kernel_size) for j in range(kernel_size)]
    ends = ((i + (rows - 1) * stride + 1, j + (columns - 1) * stride + 1) for i, j in taps)
    shifted = (
        at.op("Slice", x, ints(*tap), ints(*end), ints(2, 3), ints(stride, stride))
        for tap, end in zip(taps, ends, strict=True)
    )
    patches = at.concat(*(at.op("Unsqueeze", tap, ints(2)) for tap in shifted), axis=2)
    patches = at.reshape(patches, 0, in_channels * kernel_size**2, rows * columns)
    products = at.op("MatMul", at.parameter("weight"), at.op("Transpose", patches, perm=(2, 1, 0)))
    maps = at.reshape(at.op("Transpose", products, perm=(2, 1, 0)), 0, out_channels, rows, columns)
    return maps + at.parameter("bias")
