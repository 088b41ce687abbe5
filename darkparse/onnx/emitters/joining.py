"""Several inputs side by side, summed up, multiplied; and over vectors (N, n). Maps are (N, C, H, W)."""

from __future__ import annotations

import numpy as np

from darkparse.errors import DarkparseError
from darkparse.layers import Shape
from darkparse.onnx.context import EMITTERS, MODULES, EmitContext, emits
from darkparse.onnx.graph import Array, Value

NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
"""Every value repeated."""

EMITTERS["torch.nn.Flatten"] = lambda ctx, x: ctx.op("Flatten", x)
EMITTERS["torch.nn.Unflatten"] = lambda ctx, x, dim, unflattened_size: ctx.reshape(x, 0, *unflattened_size)
EMITTERS["torch.nn.Dropout"] = lambda ctx, x, p: x
EMITTERS["torch.nn.Softmax"] = lambda ctx, x, dim: ctx.op("Softmax", x, axis=dim)
EMITTERS[f"{MODULES}.Add"] = lambda ctx, first, *others: sum(others, first)


@emits(f"{MODULES}.GroupedSoftmax")
def _emit_grouped_softmax(ctx: EmitContext, x: Value, *, groups: int, temperature: float) -> Value:
    parts = ctx.reshape(x, 0, groups, -1) / float(temperature)
    return ctx.op("Flatten", ctx.op("Softmax", parts, axis=2))


@emits(f"{MODULES}.TreeSoftmax")
def softmax_within_groups(
    ctx: EmitContext, x: Value, *, group_sizes: tuple[int, ...], temperature: float = 1.0
) -> Value:
    """Softmax within consecutive groups of axis 1."""
    x = ctx.scale(x, 1 / temperature)
    return ctx.concat(*(ctx.op("Softmax", part, axis=1) for part in ctx.split(x, group_sizes)))


@emits(f"{MODULES}.Implicit")
def _emit_implicit(ctx: EmitContext, x: Value, *, shape: tuple[int, ...]) -> Value:
    batch = ctx.op("Shape", x, start=0, end=1)
    return ctx.op("Expand", ctx.parameter("weight"), ctx.op("Concat", batch, ctx.graph.ints(*shape), axis=0))


@emits(f"{MODULES}.Route")
def _emit_route(ctx: EmitContext, *inputs: Value, groups: int, group_id: int) -> Value:
    return _concat_groups(ctx, inputs, [shape.tensor[0] // groups for shape in ctx.node.in_shapes], groups, group_id)


@emits(f"{MODULES}.FlatRoute")
def _emit_flat_route(ctx: EmitContext, *inputs: Value, groups: int, group_id: int) -> Value:
    flat = tuple(ctx.op("Flatten", x) for x in inputs)
    return _concat_groups(ctx, flat, [shape.size // groups for shape in ctx.node.in_shapes], groups, group_id)


def _concat_groups(ctx: EmitContext, inputs: tuple[Value, ...], sizes: list[int], groups: int, group_id: int) -> Value:
    """A part of each input along axis 1."""
    if groups > 1:
        pairs = zip(inputs, sizes, strict=True)
        inputs = tuple(ctx.slice(x, group_id * size, (group_id + 1) * size) for x, size in pairs)
    return ctx.concat(*inputs)


@emits(f"{MODULES}.PartialAdd")
def _emit_partial_add(ctx: EmitContext, *inputs: Value, alpha: float, beta: float) -> Value:
    """Inputs of other shapes added to the part that both have (blas.c shortcut_cpu)."""
    first, *others = (ctx.to_map(x, shape) for x, shape in zip(inputs, ctx.node.in_shapes, strict=True))
    for x, shape in zip(others, ctx.node.in_shapes[1:], strict=True):
        first = _add_overlapping(ctx, first, x, shape, alpha, beta)
    return first if ctx.node.in_shapes[0].is_map else ctx.op("Flatten", first)


def _add_overlapping(ctx: EmitContext, total: Value, x: Value, other: Shape, alpha: float, beta: float) -> Value:
    shape = ctx.node.in_shapes[0]
    stride, repeat = max(other.w // shape.w, 1), max(shape.w // other.w, 1)
    c, h, w = (min(a, b) for a, b in zip(shape, other, strict=True))
    if (other.h, other.w) != (shape.h, shape.w):
        if ctx.dynamic_axes.size:
            place = f"layer {ctx.node.index} [{ctx.node.kind}]"
            raise DarkparseError(f"{place} adds maps of different sizes, so height and width cannot be left free")
        ints = ctx.graph.ints
        x = ctx.op("Slice", x, ints(0, 0), ints(h * stride, w * stride), ints(2, 3), ints(stride, stride))
        if repeat > 1:
            x = ctx.op("Resize", x, None, ctx.graph.constant((1, 1, repeat, repeat), np.float32), **NEAREST)
            h, w = h * repeat, w * repeat
        x = ctx.pad(x, (0,) * 4, (0, 0, shape.h - h, shape.w - w))
    blended = ctx.scale(total, alpha) + ctx.scale(_fit_channels(ctx, x, other.c, shape.c), beta)
    mask = np.zeros((1, *shape), bool)
    mask[:, :c, :h:repeat, :w:repeat] = True
    if mask.all():
        return blended
    if mask[:, :c].all():
        mask = mask[:, :, :1, :1]
    return ctx.op("Where", ctx.graph.constant(mask, bool), blended, total)


def _fit_channels(ctx: EmitContext, x: Value, current: int, wanted_channels: int) -> Value:
    """The first channels, with zeros behind where there are too few."""
    x = ctx.slice(x, 0, wanted_channels) if current > wanted_channels else x
    return ctx.pad(x, (0,) * 4, (0, max(wanted_channels - current, 0), 0, 0))


@emits(f"{MODULES}.WeightedShortcut")
def _emit_weighted_shortcut(ctx: EmitContext, *inputs: Value, shape: tuple[int, ...], normalization: str) -> Value:
    """A weighted sum in the first input's shape; the weights are normalized beforehand."""
    rows, ints = (
        ctx.parameter("weight", change=lambda weight: _normalize_weights(weight, normalization)),
        ctx.graph.ints,
    )
    factors = ctx.split(rows if len(shape) > 1 else ctx.op("Unsqueeze", rows, ints(1)), (1,) * len(inputs), 0)
    first, *_ = shapes = ctx.node.in_shapes
    parts = [
        _fit_channels(ctx, ctx.to_map(x, x_shape), x_shape.c, first.c) * ctx.op("Unsqueeze", factor, ints(2, 3))
        for x, x_shape, factor in zip(inputs, shapes, factors, strict=True)
    ]
    total = sum(parts[1:], parts[0])
    return total if first.is_map else ctx.op("Flatten", total)


def _normalize_weights(weight: Array, normalization: str) -> Array:
    """blas.c:70-135."""
    if normalization == "none":
        return weight
    positive = np.maximum(weight, 0) if normalization == "relu" else np.exp(weight - weight.max(0))
    normalized: Array = positive / (positive.sum(0) + np.float32(1e-4))
    return normalized


@emits(f"{MODULES}.Gate", f"{MODULES}.VectorGate")
def _emit_gate(ctx: EmitContext, gate: Value, x: Value) -> Value:
    gate_shape, shape = ctx.node.in_shapes
    return ctx.to_map(x, shape) * ctx.to_map(gate, gate_shape)
