"""Several inputs: side by side, summed up, multiplied. Maps are (N, C, H, W)."""

from __future__ import annotations

import numpy as np

from darkparse.errors import DarkparseError
from darkparse.export.onnx.graph import Array, Value
from darkparse.export.onnx.place import Place, emits
from darkparse.layers import Shape

MODULES = "darkparse.model.modules"


@emits(f"{MODULES}.Route")
def route(at: Place, *inputs: Value, groups: int, group_id: int) -> Value:
    """A part of each input along axis 1, side by side."""
    lengths = [shape.tensor[0] for shape in at.node.in_shapes]
    return _routed(at, inputs, lengths, groups, group_id)


@emits(f"{MODULES}.FlatRoute")
def flat_route(at: Place, *inputs: Value, groups: int, group_id: int) -> Value:
    """The same of vectors."""
    flat = tuple(at.op("Flatten", x) for x in inputs)
    return _routed(at, flat, [shape.size for shape in at.node.in_shapes], groups, group_id)


def _routed(at: Place, inputs: tuple[Value, ...], lengths: list[int], groups: int, group_id: int) -> Value:
    if groups == 1:
        return at.concat(*inputs)
    parts = [(x, length // groups) for x, length in zip(inputs, lengths, strict=True)]
    return at.concat(*(at.slice(x, group_id * size, (group_id + 1) * size) for x, size in parts))


@emits(f"{MODULES}.Add")
def add(at: Place, first: Value, *others: Value) -> Value:
    """Inputs of one shape."""
    return sum(others, first)


@emits(f"{MODULES}.PartialAdd")
def partial_add(at: Place, first: Value, *others: Value, alpha: float, beta: float) -> Value:
    """Inputs of other shapes added to the part that both have (blas.c shortcut_cpu)."""
    shape, *shapes = at.node.in_shapes
    total = at.as_map(first, shape)
    for other, its_shape in zip(others, shapes, strict=True):
        total = _added(at, total, shape, at.as_map(other, its_shape), its_shape, alpha, beta)
    return total if shape.is_map else at.op("Flatten", total)


def _added(at: Place, out: Value, shape: Shape, x: Value, other: Shape, alpha: float, beta: float) -> Value:
    stride, spread = max(other.w // shape.w, 1), max(shape.w // other.w, 1)
    c, h, w = (min(a, b) for a, b in zip(shape, other, strict=True))
    if (other.h, other.w) != (shape.h, shape.w):
        if at.free.size:
            raise DarkparseError(
                f"layer {at.node.index} [{at.node.kind}] adds maps of different sizes, so height and width cannot be "
                "left free"
            )
        ints = at.graph.ints
        x = at.op("Slice", x, ints(0, 0), ints(h * stride, w * stride), ints(2, 3), ints(stride, stride))
        if spread > 1:
            x = at.op("Resize", x, None, at.graph.constant((1, 1, spread, spread), np.float32), **NEAREST)
            h, w = h * spread, w * spread
        x = at.pad(x, (0,) * 4, (0, 0, shape.h - h, shape.w - w))
    if other.c > c:
        x = at.slice(x, 0, c)
    if shape.c > c:
        x = at.pad(x, (0,) * 4, (0, shape.c - c, 0, 0))
    mixed = _times(out, alpha) + _times(x, beta)
    places = np.zeros((1, *shape), bool)
    places[:, :c, :h:spread, :w:spread] = True
    if places.all():
        return mixed
    if places[:, :c].all():
        places = places[:, :, :1, :1]
    return at.op("Where", at.graph.constant(places, bool), mixed, out)


NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
"""Every value repeated."""


def _times(x: Value, factor: float) -> Value:
    return x if factor == 1 else x * float(factor)


@emits(f"{MODULES}.WeightedShortcut")
def weighted(at: Place, *inputs: Value, shape: tuple[int, ...], normalization: str) -> Value:
    """A weighted sum in the first input's shape; the weights are normalized beforehand."""
    rows = at.parameter("weight", change=lambda weight: _normalized(weight, normalization))
    ints, shapes = at.graph.ints, at.node.in_shapes
    factors = at.split(rows if len(shape) > 1 else at.op("Unsqueeze", rows, ints(1)), (1,) * len(inputs), 0)
    first = shapes[0]
    total: Value | None = None
    for x, its, factor in zip(inputs, shapes, factors, strict=True):
        channels = min(its.c, first.c)
        x = at.as_map(x, its)
        x = x if its.c == channels else at.slice(x, 0, channels)
        factor = at.slice(factor, 0, channels) if len(shape) > 1 and channels < first.c else factor
        x = x * at.op("Unsqueeze", factor, ints(2, 3))
        x = x if channels == first.c else at.pad(x, (0,) * 4, (0, first.c - channels, 0, 0))
        total = x if total is None else total + x
    assert total is not None
    return total if first.is_map else at.op("Flatten", total)


def _normalized(weight: Array, normalization: str) -> Array:
    """blas.c:70-135."""
    if normalization == "none":
        return weight
    positive = np.maximum(weight, 0) if normalization == "relu" else np.exp(weight - weight.max(0))
    normalized: Array = positive / (positive.sum(0) + np.float32(1e-4))
    return normalized


@emits(f"{MODULES}.Gate", f"{MODULES}.VectorGate")
def gate(at: Place, gate: Value, x: Value) -> Value:
    """The second input times the first."""
    own, shape = at.node.in_shapes
    return at.as_map(x, shape) * at.as_map(gate, own)
