"""Pooling. Maps are (N, C, H, W)."""

from __future__ import annotations

import numpy as np

from darkparse.export.onnx.emitters.convolutional import Two, both
from darkparse.export.onnx.graph import Value
from darkparse.export.onnx.place import Place, emits

MODULES = "darkparse.model.modules"


def lowest(at: Place) -> float:
    """The smallest number of the graph's dtype."""
    return float(np.finfo(at.graph.floats).min)


@emits("torch.nn.MaxPool2d")
def max_pool(at: Place, x: Value, kernel_size: int, stride: Two, padding: int, ceil_mode: bool = False) -> Value:
    """torch's own; what `ceil_mode` adds is one row and column behind the map."""
    return _maximum(at, x, kernel_size, stride, padding, padding + ceil_mode)


@emits(f"{MODULES}.MaxPool2d")
def max_pool_in_total(at: Place, x: Value, size: int, stride: Two, padding: int) -> Value:
    """With `padding` pixels in total (maxpool_layer.c:82)."""
    before = int(padding / 2)
    return _maximum(at, x, size, stride, before, padding - before)


def _maximum(at: Place, x: Value, size: int, stride: Two, before: int, after: int) -> Value:
    if not 0 <= before <= after < size:
        # The operator takes no padding as large as its window, and none below 0.
        x = at.pad(x, (0, 0, before, before), (0, 0, after, after), lowest(at))
        before = after = 0
    return at.op("MaxPool", x, kernel_shape=both(size), strides=both(stride), pads=(before, before, after, after))


@emits("torch.nn.AvgPool2d")
def mean_pool(at: Place, x: Value, kernel_size: int, stride: Two, padding: int, count_include_pad: bool) -> Value:
    """The mean over what lies inside the map."""
    return _mean(at, x, kernel_size, stride, padding, padding)


@emits(f"{MODULES}.AvgPool2d")
def mean_pool_in_total(at: Place, x: Value, size: int, stride: Two, padding: int) -> Value:
    """The same with `padding` pixels in total."""
    before = int(padding / 2)
    return _mean(at, x, size, stride, before, padding - before)


def _mean(at: Place, x: Value, size: int, stride: Two, before: int, after: int) -> Value:
    if 0 <= before <= after < size:
        pads = (before, before, after, after)
        return at.op("AveragePool", x, kernel_shape=both(size), strides=both(stride), pads=pads, count_include_pad=0)
    one = at.graph.constant([1.0])
    shape = at.op("Concat", at.graph.ints(1, 1), at.op("Shape", x, start=2), axis=0)
    inside = at.op("Expand", at.reshape(one, 1, 1, 1, 1), shape)
    total, count = (
        at.op(
            "AveragePool",
            at.pad(values, (0, 0, before, before), (0, 0, after, after)),
            kernel_shape=both(size),
            strides=both(stride),
        )
        for values in (x, inside)
    )
    return total / count


@emits("torch.nn.AdaptiveAvgPool2d")
def global_mean(at: Place, x: Value, output_size: int) -> Value:
    """The mean over all positions."""
    return at.op("GlobalAveragePool", x)


@emits(f"{MODULES}.ChannelMaxPool")
def channel_max(at: Place, x: Value, out_channels: int) -> Value:
    """The maximum over every `out_channels`-th channel (maxpool_layer.c:245)."""
    channels = at.node.site.input.c
    missing = -channels % out_channels
    if missing:
        x = at.pad(x, (0,) * 4, (0, missing, 0, 0), lowest(at))
    parts = at.split(x, (out_channels,) * ((channels + missing) // out_channels))
    return at.op("Max", *parts)
