"""Emitters for one time step of stateful layers, with the state as graph input and output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from darkparse.onnx.context import EmitContext, emits
from darkparse.onnx.emitters.activations import FUNCTIONS
from darkparse.onnx.emitters.convolutional import ConvGeometry, convolve
from darkparse.onnx.graph import Value

RECURRENT = "darkparse.model.recurrent"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellParams:
    """Common arguments of dense cells; also the arguments of `Lstm`."""

    inputs: int
    outputs: int
    batch_normalize: bool
    epsilon: float
    epsilon_on_root: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GruParams(CellParams):
    """Arguments of `Gru`."""

    tanh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RnnParams(CellParams):
    """Arguments of `Rnn`."""

    hidden: int
    activation: str
    self_activation: str
    shortcut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvCellParams(ConvGeometry):
    """Common arguments of convolutional cells."""

    inputs: int
    outputs: int
    batch_normalize: bool
    epsilon: float
    epsilon_on_root: bool
    size: int
    activation: str
    shortcut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CrnnParams(ConvCellParams):
    """Arguments of `Crnn`."""

    hidden: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvLstmParams(ConvCellParams):
    """Arguments of `ConvLstm`."""

    lstm_activation: str
    peephole: bool
    bottleneck: bool
    constrain: int


@dataclass(frozen=True, slots=True)
class HistoryParams:
    """Arguments of `History`."""

    size: int


def _apply_dense(ctx: EmitContext, name: str, x: Value, activation: str = "linear") -> Value:
    """Add one matrix product of a cell with batch norm and activation."""
    return FUNCTIONS[activation](ctx.graph, ctx.linear("Gemm", x, f"{ctx.path}.{name}.linear", transB=1))


def _apply_convolution(ctx: EmitContext, params: ConvCellParams, name: str, x: Value) -> Value:
    """Add one convolution of a cell with batch norm and activation."""
    return FUNCTIONS[params.activation](ctx.graph, convolve(ctx, params, x, f"{ctx.path}.{name}.conv"))


def _get_map_size(ctx: EmitContext) -> tuple[int, int]:
    """Return the height and width of the state."""
    return ctx.node.out_shape.h, ctx.node.out_shape.w


def _step_recurrence(
    ctx: EmitContext, x: Value, shape: tuple[int, ...], shortcut: bool, apply_part: Callable[[str, Value], Value]
) -> Value:
    """Update the state from input and state, and compute the output from the state.

    Args:
        ctx: Context of the cell.
        x: Input.
        shape: Shape of the state without the batch.
        shortcut: Add the previous state to the update.
        apply_part: Function that applies the part with the given name: `input`, `self` or `output`.
    """
    state = ctx.read_state("state", *shape)
    update = apply_part("input", x) + apply_part("self", state)
    state = state + update if shortcut else update
    ctx.write_state("state", state, *shape)
    return apply_part("output", state)


@emits(f"{RECURRENT}.Rnn", params=RnnParams)
def _emit_rnn(ctx: EmitContext, params: RnnParams, x: Value) -> Value:
    """Add a step of an [rnn] layer (rnn_layer.c)."""

    def apply_part(name: str, x: Value) -> Value:
        return _apply_dense(ctx, name, x, params.self_activation if name == "self" else params.activation)

    return _step_recurrence(ctx, ctx.op("Flatten", x), (params.hidden,), params.shortcut, apply_part)


@emits(f"{RECURRENT}.Crnn", params=CrnnParams)
def _emit_crnn(ctx: EmitContext, params: CrnnParams, x: Value) -> Value:
    """Add a step of a [crnn] layer (crnn_layer.c)."""

    def apply_part(name: str, x: Value) -> Value:
        return _apply_convolution(ctx, params, name, x)

    return _step_recurrence(ctx, x, (params.hidden, *_get_map_size(ctx)), params.shortcut, apply_part)


@emits(f"{RECURRENT}.Gru", params=GruParams)
def _emit_gru(ctx: EmitContext, params: GruParams, x: Value) -> Value:
    """Add a step of a [gru] layer (gru_layer.c, forward_gru_layer)."""
    x, state = ctx.op("Flatten", x), ctx.read_state("state", params.outputs)
    z, r = (ctx.op("Sigmoid", _apply_dense(ctx, f"u{g}", x) + _apply_dense(ctx, f"w{g}", state)) for g in "zr")
    update = _apply_dense(ctx, "uh", x) + _apply_dense(ctx, "wh", r * state)
    candidate = ctx.op("Tanh" if params.tanh else "Sigmoid", update)
    out = z * state + (1.0 - z) * candidate
    ctx.write_state("state", out, params.outputs)
    return out


@emits(f"{RECURRENT}.Lstm", params=CellParams)
def _emit_lstm(ctx: EmitContext, params: CellParams, x: Value) -> Value:
    """Add a step of an [lstm] layer (lstm_layer.c, forward_lstm_layer)."""
    x, outputs = ctx.op("Flatten", x), params.outputs
    hidden, cell = (ctx.read_state(name, outputs) for name in ("hidden", "cell"))
    f, i, g, o = (
        ctx.op(
            "Tanh" if gate == "g" else "Sigmoid",
            _apply_dense(ctx, f"w{gate}", hidden) + _apply_dense(ctx, f"u{gate}", x),
        )
        for gate in "figo"
    )
    cell = f * cell + i * g
    out = o * ctx.op("Tanh", cell)
    ctx.write_state("hidden", out, outputs)
    ctx.write_state("cell", cell, outputs)
    return out


@emits(f"{RECURRENT}.ConvLstm", params=ConvLstmParams)
def _emit_conv_lstm(ctx: EmitContext, params: ConvLstmParams, x: Value) -> Value:
    """Add a step of a [conv_lstm] layer (conv_lstm_layer.c, forward_conv_lstm_layer)."""
    outputs, bottleneck, constrain = params.outputs, params.bottleneck, params.constrain
    shape, cell_activation = (outputs, *_get_map_size(ctx)), FUNCTIONS[params.lstm_activation]
    hidden, cell = (ctx.read_state(name, *shape) for name in ("hidden", "cell"))

    def apply_part(name: str, x: Value) -> Value:
        return _apply_convolution(ctx, params, name, x)

    if bottleneck:
        x = cell_activation(ctx.graph, apply_part("wf", ctx.concat(hidden, x)))

    def compute_gate(name: str, cell_state: Value) -> Value:
        total = apply_part(f"u{name}", x)
        total = total if bottleneck else total + apply_part(f"w{name}", hidden)
        return total + apply_part(f"v{name}", cell_state) if params.peephole and name != "g" else total

    f, i, g = (compute_gate(name, cell) for name in "fig")
    cell = ctx.op("Sigmoid", f) * cell + ctx.op("Sigmoid", i) * cell_activation(ctx.graph, g)
    hidden = ctx.op("Sigmoid", compute_gate("o", cell)) * cell_activation(ctx.graph, cell)
    ctx.write_state("hidden", hidden, *shape)
    next_cell = ctx.op("Clip", cell, float(-constrain), float(constrain)) if constrain else cell
    ctx.write_state("cell", next_cell, *shape)
    if not (bottleneck and params.shortcut):
        return hidden
    half = outputs // 2
    return hidden + ctx.pad(ctx.slice(x, 0, half), (0,) * 4, (0, outputs - half, 0, 0))


@emits(f"{RECURRENT}.History", params=HistoryParams)
def _emit_history(ctx: EmitContext, params: HistoryParams, x: Value) -> Value:
    """Concatenate the last inputs, newest first."""
    shape = ((params.size - 1) * ctx.node.context.input.c, *_get_map_size(ctx))
    out = ctx.concat(x, ctx.read_state("past", *shape))
    ctx.write_state("past", ctx.slice(out, 0, shape[0]), *shape)
    return out
