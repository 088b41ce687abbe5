"""Activations (activations.h, activations.c), by Darknet's names and by torch's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from darkparse.export.onnx.graph import Graph, Value
from darkparse.export.onnx.place import Place, emits

Function = Callable[[Graph, Value], Value]


def _clip(low: float, high: float) -> Function:
    return lambda g, x: g.op("Clip", x, low, high)


def _one(kind: str, **attributes: float) -> Function:
    return lambda g, x: g.op(kind, x, **attributes)


def _where(g: Graph, condition: Value, x: Value, y: Value | float) -> Value:
    return g.op("Where", condition, x, y)


def _plse(g: Graph, x: Value) -> Value:
    inner = _where(g, x > 4.0, 0.01 * (x - 4.0) + 1.0, 0.125 * x + 0.5)
    return _where(g, x < -4.0, 0.01 * (x + 4.0), inner)


def _stair(g: Graph, x: Value) -> Value:
    floor, half = g.op("Floor", x), g.op("Floor", x / 2.0)
    is_even = g.op("Equal", floor, 2.0 * g.op("Floor", floor / 2.0))
    return _where(g, is_even, half, x - floor + half)


def _lhtan(g: Graph, x: Value) -> Value:
    return _where(g, x < 0.0, 0.001 * x, _where(g, x > 1.0, 0.001 * (x - 1.0) + 1.0, x))


def _hard_mish(g: Graph, x: Value) -> Value:
    return _where(g, x > 0.0, x, _where(g, x > -2.0, x * x / 2.0 + x, 0.0))


def _over_channels(g: Graph, x: Value) -> Value:
    return x / (g.op("ReduceSum", x, g.ints(1)) + 1e-4)


def _shifted(g: Graph, x: Value) -> Value:
    return _over_channels(g, g.op("Exp", x - g.op("ReduceMax", x, g.ints(1))))


FUNCTIONS: Mapping[str, Function] = {
    "linear": lambda g, x: x,
    "logistic": _one("Sigmoid"),
    "relu": _one("Relu"),
    "relu6": _clip(0.0, 6.0),
    "leaky": _one("LeakyRelu", alpha=0.1),
    "revleaky": _one("LeakyRelu", alpha=0.1),
    "relie": _one("LeakyRelu", alpha=0.01),
    "elu": _one("Elu"),
    "hardtan": _clip(-1.0, 1.0),
    "tanh": _one("Tanh"),
    "swish": lambda g, x: x * g.op("Sigmoid", x),
    "mish": lambda g, x: x * g.op("Tanh", g.op("Softplus", x)),
    "ramp": lambda g, x: g.op("Relu", x) + 0.1 * x,
    "loggy": lambda g, x: 2.0 * g.op("Sigmoid", x) - 1.0,
    "plse": _plse,
    "stair": _stair,
    "lhtan": _lhtan,
    "selu": _one("Selu", alpha=1.6732, gamma=1.0507),
    "gelu": lambda g, x: 0.5 * x * (1.0 + g.op("Tanh", 0.797885 * x + 0.035677 * x * x * x)),
    "hard_mish": _hard_mish,
    "normalize_channels": lambda g, x: _over_channels(g, g.op("Relu", x)),
    "normalize_channels_softmax": lambda g, x: _over_channels(g, g.op("Exp", x)),
    "normalize_channels_softmax_maxval": _shifted,
}

MODULES = {
    "Sigmoid": "logistic",
    "ReLU": "relu",
    "ReLU6": "relu6",
    "ELU": "elu",
    "Hardtanh": "hardtan",
    "Tanh": "tanh",
    "SiLU": "swish",
    "Mish": "mish",
}
"""torch's modules, and what Darknet calls them."""


@emits("darkparse.model.activations.DarknetActivation")
def activation(at: Place, x: Value, name: str) -> Value:
    """An activation by Darknet's name."""
    return FUNCTIONS[name](at.graph, x)


@emits("torch.nn.LeakyReLU")
def leaky(at: Place, x: Value, negative_slope: float) -> Value:
    """Any slope."""
    return at.op("LeakyRelu", x, alpha=negative_slope)


def _register(module: str, name: str) -> None:
    @emits(f"torch.nn.{module}")
    def emit(at: Place, x: Value, **_: Any) -> Value:
        return FUNCTIONS[name](at.graph, x)


for _module, _name in MODULES.items():
    _register(_module, _name)
