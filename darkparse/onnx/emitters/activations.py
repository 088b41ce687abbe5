"""Emitters for activations (activations.h, activations.c), by Darknet's and by torch's names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from darkparse.layers.activations import ACTIVATIONS
from darkparse.onnx.context import EmitContext, NoParams, emits
from darkparse.onnx.graph import Graph, Value

Function = Callable[[Graph, Value], Value]


def _plse(g: Graph, x: Value) -> Value:
    inner = g.op("Where", x > 4.0, 0.01 * (x - 4.0) + 1.0, 0.125 * x + 0.5)
    return g.op("Where", x < -4.0, 0.01 * (x + 4.0), inner)


def _stair(g: Graph, x: Value) -> Value:
    floor, half = g.op("Floor", x), g.op("Floor", x / 2.0)
    is_even = g.op("Equal", floor, 2.0 * g.op("Floor", floor / 2.0))
    return g.op("Where", is_even, half, x - floor + half)


def _lhtan(g: Graph, x: Value) -> Value:
    above = g.op("Where", x > 1.0, 0.001 * (x - 1.0) + 1.0, x)
    return g.op("Where", x < 0.0, 0.001 * x, above)


def _hard_mish(g: Graph, x: Value) -> Value:
    return g.op("Where", x > 0.0, x, g.op("Where", x > -2.0, x * x / 2.0 + x, 0.0))


def _normalize_channels(g: Graph, x: Value) -> Value:
    return x / (g.op("ReduceSum", x, g.ints(1)) + 1e-4)


FUNCTIONS: dict[str, Function] = {
    "linear": lambda g, x: x,
    "logistic": lambda g, x: g.op("Sigmoid", x),
    "relu": lambda g, x: g.op("Relu", x),
    "relu6": lambda g, x: g.op("Clip", x, 0.0, 6.0),
    "leaky": lambda g, x: g.op("LeakyRelu", x, alpha=0.1),
    "revleaky": lambda g, x: g.op("LeakyRelu", x, alpha=0.1),
    "relie": lambda g, x: g.op("LeakyRelu", x, alpha=0.01),
    "elu": lambda g, x: g.op("Elu", x),
    "hardtan": lambda g, x: g.op("Clip", x, -1.0, 1.0),
    "tanh": lambda g, x: g.op("Tanh", x),
    "swish": lambda g, x: x * g.op("Sigmoid", x),
    "mish": lambda g, x: x * g.op("Tanh", g.op("Softplus", x)),
    "ramp": lambda g, x: g.op("Relu", x) + 0.1 * x,
    "loggy": lambda g, x: 2.0 * g.op("Sigmoid", x) - 1.0,
    "plse": _plse,
    "stair": _stair,
    "lhtan": _lhtan,
    "selu": lambda g, x: g.op("Selu", x, alpha=1.6732, gamma=1.0507),
    "gelu": lambda g, x: 0.5 * x * (1.0 + g.op("Tanh", 0.797885 * x + 0.035677 * x * x * x)),
    "hard_mish": _hard_mish,
    "normalize_channels": lambda g, x: _normalize_channels(g, g.op("Relu", x)),
    "normalize_channels_softmax": lambda g, x: _normalize_channels(g, g.op("Exp", x)),
    "normalize_channels_softmax_maxval": lambda g, x: _normalize_channels(
        g, g.op("Exp", x - g.op("ReduceMax", x, g.ints(1)))
    ),
}
"""Activation functions by Darknet's name."""


@dataclass(frozen=True, slots=True)
class ActivationParams:
    """Arguments of `DarknetActivation`."""

    name: str


@dataclass(frozen=True, slots=True)
class LeakyParams:
    """Arguments of `LeakyReLU`."""

    negative_slope: float


@emits("darkparse.model.activations.DarknetActivation", params=ActivationParams)
def _emit_activation(ctx: EmitContext, params: ActivationParams, x: Value) -> Value:
    return FUNCTIONS[params.name](ctx.graph, x)


@emits("torch.nn.LeakyReLU", params=LeakyParams)
def _emit_leaky(ctx: EmitContext, params: LeakyParams, x: Value) -> Value:
    return ctx.op("LeakyRelu", x, alpha=params.negative_slope)


def register_activation(module: str, function: Function) -> None:
    """Register an activation function as the emitter of a torch module without arguments."""

    @emits(f"torch.nn.{module}", params=NoParams)
    def emit(ctx: EmitContext, _: NoParams, x: Value) -> Value:
        return function(ctx.graph, x)


for row in ACTIVATIONS.values():
    if row.module and not row.settings:
        register_activation(row.module, FUNCTIONS[row.name])
