"""Layers with a memory: one time step, with the state as input and output of the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from darkparse.onnx.context import EmitContext, emits
from darkparse.onnx.emitters.activations import FUNCTIONS
from darkparse.onnx.emitters.convolutional import convolve
from darkparse.onnx.graph import Value

RECURRENT = "darkparse.model.recurrent"


def _dense(at: EmitContext, name: str, x: Value, activation: str = "linear") -> Value:
    """One matrix of a cell with batch norm and activation."""
    return FUNCTIONS[activation](at.graph, at.linear("Gemm", x, f"{at.path}.{name}.linear", transB=1))


def _convolved(at: EmitContext, name: str, x: Value, activation: str, geometry: dict[str, Any]) -> Value:
    """One convolution of a cell with batch norm and activation."""
    return FUNCTIONS[activation](at.graph, convolve(at, x, f"{at.path}.{name}.conv", **geometry))


def _size(at: EmitContext) -> tuple[int, int]:
    """Height and width of the maps that it keeps."""
    return at.node.out_shape.h, at.node.out_shape.w


def _recurrence(
    at: EmitContext, x: Value, shape: tuple[int, ...], shortcut: bool, part: Callable[[str, Value], Value]
) -> Value:
    """State from input and state, output from state; `part` is one of the maps, by its name."""
    state = at.remembered("state", *shape)
    fresh = part("input", x) + part("self", state)
    state = state + fresh if shortcut else fresh
    at.remember("state", state, *shape)
    return part("output", state)


@emits(f"{RECURRENT}.Rnn")
def _rnn(
    at: EmitContext, x: Value, *, hidden: int, activation: str, self_activation: str, shortcut: bool, **_: Any
) -> Value:
    """rnn_layer.c."""

    def part(name: str, x: Value) -> Value:
        return _dense(at, name, x, self_activation if name == "self" else activation)

    return _recurrence(at, at.op("Flatten", x), (hidden,), shortcut, part)


@emits(f"{RECURRENT}.Crnn")
def _crnn(at: EmitContext, x: Value, *, hidden: int, activation: str, shortcut: bool, **geometry: Any) -> Value:
    """crnn_layer.c."""

    def part(name: str, x: Value) -> Value:
        return _convolved(at, name, x, activation, geometry)

    return _recurrence(at, x, (hidden, *_size(at)), shortcut, part)


@emits(f"{RECURRENT}.Gru")
def _gru(at: EmitContext, x: Value, *, outputs: int, tanh: bool, **_: Any) -> Value:
    """gru_layer.c forward_gru_layer."""
    x, state = at.op("Flatten", x), at.remembered("state", outputs)
    z, r = (at.op("Sigmoid", _dense(at, f"u{g}", x) + _dense(at, f"w{g}", state)) for g in "zr")
    candidate = at.op("Tanh" if tanh else "Sigmoid", _dense(at, "uh", x) + _dense(at, "wh", r * state))
    out = z * state + (1.0 - z) * candidate
    at.remember("state", out, outputs)
    return out


@emits(f"{RECURRENT}.Lstm")
def _lstm(at: EmitContext, x: Value, *, outputs: int, **_: Any) -> Value:
    """lstm_layer.c forward_lstm_layer."""
    x = at.op("Flatten", x)
    hidden, cell = (at.remembered(name, outputs) for name in ("hidden", "cell"))
    f, i, g, o = (
        at.op("Tanh" if gate == "g" else "Sigmoid", _dense(at, f"w{gate}", hidden) + _dense(at, f"u{gate}", x))
        for gate in "figo"
    )
    cell = f * cell + i * g
    out = o * at.op("Tanh", cell)
    at.remember("hidden", out, outputs)
    at.remember("cell", cell, outputs)
    return out


@emits(f"{RECURRENT}.ConvLstm")
def _conv_lstm(
    at: EmitContext,
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
    shape, squash = (outputs, *_size(at)), FUNCTIONS[lstm_activation]
    hidden, cell = (at.remembered(name, *shape) for name in ("hidden", "cell"))

    def part(name: str, x: Value) -> Value:
        return _convolved(at, name, x, activation, geometry)

    if bottleneck:
        x = squash(at.graph, part("wf", at.concat(hidden, x)))

    def gate(name: str, seen: Value) -> Value:
        total = part(f"u{name}", x)
        total = total if bottleneck else total + part(f"w{name}", hidden)
        return total + part(f"v{name}", seen) if peephole and name != "g" else total

    f, i, g = (gate(name, cell) for name in "fig")
    cell = at.op("Sigmoid", f) * cell + at.op("Sigmoid", i) * squash(at.graph, g)
    hidden = at.op("Sigmoid", gate("o", cell)) * squash(at.graph, cell)
    at.remember("hidden", hidden, *shape)
    kept = at.op("Clip", cell, float(-constrain), float(constrain)) if constrain else cell
    at.remember("cell", kept, *shape)
    if not (bottleneck and shortcut):
        return hidden
    half = outputs // 2
    return hidden + at.pad(at.slice(x, 0, half), (0,) * 4, (0, outputs - half, 0, 0))


@emits(f"{RECURRENT}.History")
def _history(at: EmitContext, x: Value, *, size: int) -> Value:
    """The last inputs side by side, the newest first."""
    shape = ((size - 1) * at.node.context.input.c, *_size(at))
    out = at.concat(x, at.remembered("past", *shape))
    at.remember("past", at.slice(out, 0, shape[0]), *shape)
    return out
