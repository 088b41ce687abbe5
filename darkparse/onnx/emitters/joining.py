"""Emitters for layers that concatenate, add or multiply inputs. Maps are (N, C, H, W)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from darkparse.errors import DarkparseError
from darkparse.layers import Shape
from darkparse.onnx.context import MODULES, EmitContext, NoParams, emits
from darkparse.onnx.graph import Value

NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
"""Attributes of Resize for repeating every value."""


@dataclass(frozen=True, slots=True)
class RouteParams:
    """Arguments of `Route` and `FlatRoute`."""

    groups: int
    group_id: int


@dataclass(frozen=True, slots=True)
class PartialAddParams:
    """Arguments of `PartialAdd`."""

    alpha: float
    beta: float


@dataclass(frozen=True, slots=True)
class WeightedShortcutParams:
    """Arguments of `WeightedShortcut`."""

    shape: tuple[int, ...]
    normalization: str


@emits(f"{MODULES}.Add", params=NoParams)
def _emit_add(ctx: EmitContext, _: NoParams, first: Value, *others: Value) -> Value:
    return sum(others, first)


@emits(f"{MODULES}.Route", params=RouteParams)
def _emit_route(ctx: EmitContext, params: RouteParams, *inputs: Value) -> Value:
    return _concat_groups(ctx, params, inputs, [shape.tensor[0] for shape in ctx.node.in_shapes])


@emits(f"{MODULES}.FlatRoute", params=RouteParams)
def _emit_flat_route(ctx: EmitContext, params: RouteParams, *inputs: Value) -> Value:
    flat = tuple(ctx.op("Flatten", x) for x in inputs)
    return _concat_groups(ctx, params, flat, [shape.size for shape in ctx.node.in_shapes])


def _concat_groups(ctx: EmitContext, params: RouteParams, inputs: tuple[Value, ...], lengths: list[int]) -> Value:
    """Join one group of each input along axis 1, where the inputs have these lengths."""
    if params.groups > 1:
        sizes = [length // params.groups for length in lengths]
        starts = [params.group_id * size for size in sizes]
        inputs = tuple(ctx.slice(x, start, start + size) for x, start, size in zip(inputs, starts, sizes, strict=True))
    return ctx.concat(*inputs)


@emits(f"{MODULES}.PartialAdd", params=PartialAddParams)
def _emit_partial_add(ctx: EmitContext, params: PartialAddParams, *inputs: Value) -> Value:
    """Add inputs of other shapes where they overlap with the first input (blas.c, shortcut_cpu)."""
    first, *others = (ctx.to_map(x, shape) for x, shape in zip(inputs, ctx.node.in_shapes, strict=True))
    for x, shape in zip(others, ctx.node.in_shapes[1:], strict=True):
        first = _add_overlapping(ctx, params, first, x, shape)
    return first if ctx.node.in_shapes[0].is_map else ctx.op("Flatten", first)


def _add_overlapping(ctx: EmitContext, params: PartialAddParams, total: Value, x: Value, other: Shape) -> Value:
    shape = ctx.node.in_shapes[0]
    stride, repeat = max(other.w // shape.w, 1), max(shape.w // other.w, 1)
    c, h, w = (min(a, b) for a, b in zip(shape, other, strict=True))
    if (other.h, other.w) != (shape.h, shape.w):
        if ctx.dynamic_axes.size:
            place = f"layer {ctx.node.index} [{ctx.node.kind}]"
            raise DarkparseError(f"{place} adds maps of different sizes, so height and width cannot be dynamic")
        ints = ctx.graph.ints
        x = ctx.op("Slice", x, ints(0, 0), ints(h * stride, w * stride), ints(2, 3), ints(stride, stride))
        if repeat > 1:
            x = ctx.op("Resize", x, None, ctx.graph.constant((1, 1, repeat, repeat), "float32"), **NEAREST)
            h, w = h * repeat, w * repeat
        x = ctx.pad(x, (0,) * 4, (0, 0, shape.h - h, shape.w - w))
    blended = ctx.scale(total, params.alpha) + ctx.scale(_fit_channels(ctx, x, other.c, shape.c), params.beta)
    covered_rows = [row < h and row % repeat == 0 for row in range(shape.h)]
    covered_columns = [column < w and column % repeat == 0 for column in range(shape.w)]
    plane = [row and column for row in covered_rows for column in covered_columns]
    channels, mask_size = [channel < c for channel in range(shape.c)], (shape.h, shape.w)
    if all(plane):
        if all(channels):
            return blended
        plane, mask_size = [True], (1, 1)
    mask = [channel and position for channel in channels for position in plane]
    return ctx.op("Where", ctx.graph.constant(mask, "bool", (1, shape.c, *mask_size)), blended, total)


def _fit_channels(ctx: EmitContext, x: Value, current: int, wanted_channels: int) -> Value:
    """Select the first channels, or append zeros if there are too few."""
    x = ctx.slice(x, 0, wanted_channels) if current > wanted_channels else x
    return ctx.pad(x, (0,) * 4, (0, max(wanted_channels - current, 0), 0, 0))


@emits(f"{MODULES}.WeightedShortcut", params=WeightedShortcutParams)
def _emit_weighted_shortcut(ctx: EmitContext, params: WeightedShortcutParams, *inputs: Value) -> Value:
    """Add a weighted sum in the shape of the first input, with weights that are normalized at export."""
    rows = ctx.parameter("weight", change=partial(_normalize_weights, params.normalization, len(inputs)))
    ints = ctx.graph.ints
    factors = ctx.split(rows if len(params.shape) > 1 else ctx.op("Unsqueeze", rows, ints(1)), (1,) * len(inputs), 0)
    first, *_ = shapes = ctx.node.in_shapes
    parts = [
        _fit_channels(ctx, ctx.to_map(x, x_shape), x_shape.c, first.c) * ctx.op("Unsqueeze", factor, ints(2, 3))
        for x, x_shape, factor in zip(inputs, shapes, factors, strict=True)
    ]
    total = sum(parts[1:], parts[0])
    return total if first.is_map else ctx.op("Flatten", total)


def _normalize_weights(normalization: str, num_inputs: int, weights: memoryview[float]) -> Iterable[float]:
    """Normalize the weights (inputs, …) of a shortcut over its inputs (blas.c:70-135)."""
    if normalization == "none":
        return weights
    step = len(weights) // num_inputs
    rows = [weights[start : start + step].tolist() for start in range(0, len(weights), step)]
    if normalization == "relu":
        positive = [[max(weight, 0.0) for weight in row] for row in rows]
    else:
        largest = [max(column) for column in zip(*rows, strict=True)]
        positive = [[math.exp(weight - top) for weight, top in zip(row, largest, strict=True)] for row in rows]
    totals = [sum(column) + 1e-4 for column in zip(*positive, strict=True)]
    return [weight / total for row in positive for weight, total in zip(row, totals, strict=True)]


@emits(f"{MODULES}.Gate", f"{MODULES}.VectorGate", params=NoParams)
def _emit_gate(ctx: EmitContext, _: NoParams, gate: Value, x: Value) -> Value:
    gate_shape, shape = ctx.node.in_shapes
    return ctx.to_map(x, shape) * ctx.to_map(gate, gate_shape)
