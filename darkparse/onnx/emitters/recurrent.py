"""Layers with a memory: one time step, with the state as input and output of the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from darkparse.onnx.context import EmitContext, emits
from darkparse.onnx.emitters.activations import FUNCTIONS
from darkparse.onnx.emitters.convolutional import convolve
from darkparse.onnx.graph import Value

RECURRENT = "darkparse.model.recurrent"


def _dense(ctx: EmitContext, name: str, x: Value, activation: str = "linear") -> Value:
    """One matrix of a cell with batch norm and activation."""
    return FUNCTIONS[activation](ctx.graph, ctx.linear("Gemm", x, f"{ctx.path}.{name}.linear", transB=1))


def _convolved(ctx: EmitContext, name: str, x: Value, activation: str, geometry: dict[str, Any]) -> Value:
    """One convolution of a cell with batch norm and activation."""
    return FUNCTIONS[activation](ctx.graph, convolve(ctx, x, f"{ctx.path}.{name}.conv", **geometry))


def _size(ctx: EmitContext) -> tuple[int, int]:
    """Height and width of the maps that it keeps."""
    return ctx.node.out_shape.h, ctx.node.out_shape.w


def _recurrence(
    ctx: EmitContext, x: Value, shape: tuple[int, ...], shortcut: bool, part: Callable[[str, Value], Value]
) -> Value:
    """State from input and state, output from state; `part` is one of the maps, by its name."""
    state = ctx.remembered("state", *shape)
    fresh = part("input", x) + part("self", state)
    state = state + fresh if shortcut else fresh
    ctx.remember("state", state, *shape)
    return part("output", state)


@emits(f"{RECURRENT}.Rnn")
def _rnn(
    ctx: EmitContext, x: Value, *, hidden: int, activation: str, self_activation: str, shortcut: bool, **_: Any
) -> Value:
    """rnn_layer.c."""

    def part(name: str, x: Value) -> Value:
        return _dense(ctx, name, x, self_activation if name == "self" else activation)

    return _recurrence(ctx, ctx.op("Flatten", x), (hidden,), shortcut, part)


@emits(f"{RECURRENT}.Crnn")
def _crnn(ctx: EmitContext, x: Value, *, hidden: int, activation: str, shortcut: bool, **geometry: Any) -> Value:
    """crnn_layer.c."""

    def part(name: str, x: Value) -> Value:
        return _convolved(ctx, name, x, activation, geometry)

    return _recurrence(ctx, x, (hidden, *_size(ctx)), shortcut, part)


@emits(f"{RECURRENT}.Gru")
def _gru(ctx: EmitContext, x: Value, *, outputs: int, tanh: bool, **_: Any) -> Value:
    """gru_layer.c forward_gru_layer."""
    x, state = ctx.op("Flatten", x), ctx.remembered("state", outputs)
    z, r = (ctx.op("Sigmoid", _dense(ctx, f"u{g}", x) + _dense(ctx, f"w{g}", state)) for g in "zr")
    candidate = ctx.op("Tanh" if tanh else "Sigmoid", _dense(ctx, "uh", x) + _dense(ctx, "wh", r * state))
    out = z * state + (1.0 - z) * candidate
    ctx.remember("state", out, outputs)
    return out


@emits(f"{RECURRENT}.Lstm")
def _lstm(ctx: EmitContext, x: Value, *, outputs: int, **_: Any) -> Value:
    """lstm_layer.c forward_lstm_layer."""
    x = ctx.op("Flatten", x)
    hidden, cell = (ctx.remembered(name, outputs) for name in ("hidden", "cell"))
    f, i, g, o = (
        ctx.op("Tanh" if gate == "g" else "Sigmoid", _dense(ctx, f"w{gate}", hidden) + _dense(ctx, f"u{gate}", x))
        for gate in "figo"
    )
    cell = f * cell + i * g
    out = o * ctx.op("Tanh", cell)
    ctx.remember("hidden", out, outputs)
    ctx.remember("cell", cell, outputs)
    return out


@emits(f"{RECURRENT}.ConvLstm")
def _conv_lstm(
    ctx: EmitContext,
    x: Value,
    *,
    outputs: int,
    activation: str,
    lstm_activation: str,
    peephole: bool,
    bottleneck: bool,
    shortcut: bool,
    constrain: int,
    **geometry: Any,
) -> Value:
    """conv_lstm_layer.c forward_conv_lstm_layer."""
    shape, squash = (outputs, *_size(ctx)), FUNCTIONS[lstm_activation]
    hidden, cell = (ctx.remembered(name, *shape) for name in ("hidden", "cell"))

    def part(name: str, x: Value) -> Value:
        return _convolved(ctx, name, x, activation, geometry)

    if bottleneck:
        x = squash(ctx.graph, part("wf", ctx.concat(hidden, x)))

    def gate(name: str, seen: Value) -> Value:
        total = part(f"u{name}", x)
        total = total if bottleneck else total + part(f"w{name}", hidden)
        return total + part(f"v{name}", seen) if peephole and name != "g" else total

    f, i, g = (gate(name, cell) for name in "fig")
    cell = ctx.op("Sigmoid", f) * cell + ctx.op("Sigmoid", i) * squash(ctx.graph, g)
    hidden = ctx.op("Sigmoid", gate("o", cell)) * squash(ctx.graph, cell)
    ctx.remember("hidden", hidden, *shape)
    kept = ctx.op("Clip", cell, float(-constrain), float(constrain)) if constrain else cell
    ctx.remember("cell", kept, *shape)
    if not (bottleneck and shortcut):
        return hidden
    half = outputs // 2
    return hidden + ctx.pad(ctx.slice(x, 0, half), (0,) * 4, (0, outputs - half, 0, 0))


@emits(f"{RECURRENT}.History")
def _history(ctx: EmitContext, x: Value, *, size: int) -> Value:
    """The last inputs side by side, the newest first."""
    shape = ((size - 1) * ctx.node.context.input.c, *_size(ctx))
    out = ctx.concat(x, ctx.remembered("past", *shape))
    ctx.remember("past", ctx.slice(out, 0, shape[0]), *shape)
    return out
