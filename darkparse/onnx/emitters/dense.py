"""Emitters for operations on vectors (N, n): softmax, reshaping and learned outputs."""

from __future__ import annotations

from dataclasses import dataclass

from darkparse.onnx.context import MODULES, EmitContext, NoParams, emits
from darkparse.onnx.graph import Value


@dataclass(frozen=True, slots=True)
class UnflattenParams:
    """Arguments of `Unflatten`."""

    dim: int
    unflattened_size: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DropoutParams:
    """Arguments of `Dropout`."""

    p: float


@dataclass(frozen=True, slots=True)
class SoftmaxParams:
    """Arguments of `Softmax`."""

    dim: int


@dataclass(frozen=True, slots=True)
class GroupedSoftmaxParams:
    """Arguments of `GroupedSoftmax`."""

    groups: int
    temperature: float


@dataclass(frozen=True, slots=True)
class TreeSoftmaxParams:
    """Arguments of `TreeSoftmax`."""

    group_sizes: tuple[int, ...]
    temperature: float


@dataclass(frozen=True, slots=True)
class ImplicitParams:
    """Arguments of `Implicit`."""

    shape: tuple[int, ...]


@emits("torch.nn.Flatten", params=NoParams)
def _emit_flatten(ctx: EmitContext, _: NoParams, x: Value) -> Value:
    return ctx.op("Flatten", x)


@emits("torch.nn.Unflatten", params=UnflattenParams)
def _emit_unflatten(ctx: EmitContext, params: UnflattenParams, x: Value) -> Value:
    return ctx.reshape(x, 0, *params.unflattened_size)


@emits("torch.nn.Dropout", params=DropoutParams)
def _emit_dropout(ctx: EmitContext, params: DropoutParams, x: Value) -> Value:
    return x


@emits("torch.nn.Softmax", params=SoftmaxParams)
def _emit_softmax(ctx: EmitContext, params: SoftmaxParams, x: Value) -> Value:
    return ctx.op("Softmax", x, axis=params.dim)


@emits(f"{MODULES}.GroupedSoftmax", params=GroupedSoftmaxParams)
def _emit_grouped_softmax(ctx: EmitContext, params: GroupedSoftmaxParams, x: Value) -> Value:
    parts = ctx.reshape(x, 0, params.groups, -1) / float(params.temperature)
    return ctx.op("Flatten", ctx.op("Softmax", parts, axis=2))


@emits(f"{MODULES}.TreeSoftmax", params=TreeSoftmaxParams)
def _emit_tree_softmax(ctx: EmitContext, params: TreeSoftmaxParams, x: Value) -> Value:
    return softmax_within_groups(ctx, ctx.scale(x, 1 / params.temperature), params.group_sizes)


def softmax_within_groups(ctx: EmitContext, x: Value, group_sizes: tuple[int, ...]) -> Value:
    """Apply softmax within consecutive groups of axis 1."""
    return ctx.concat(*(ctx.op("Softmax", part, axis=1) for part in ctx.split(x, group_sizes)))


@emits(f"{MODULES}.Implicit", params=ImplicitParams)
def _emit_implicit(ctx: EmitContext, params: ImplicitParams, x: Value) -> Value:
    batch = ctx.op("Shape", x, start=0, end=1)
    return ctx.op("Expand", ctx.parameter("weight"), ctx.op("Concat", batch, ctx.graph.ints(*params.shape), axis=0))
