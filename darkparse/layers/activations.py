"""The names of Darknet's activations; `model/activations.py` holds the arithmetic."""

from __future__ import annotations

from typing import Literal, get_args

from darkparse.layers.dialect import Dialect, DialectName
from darkparse.layers.names import told_activation
from darkparse.layers.values import Value

Activation = Literal[
    "logistic",
    "relu",
    "relu6",
    "relie",
    "linear",
    "ramp",
    "tanh",
    "plse",
    "revleaky",
    "leaky",
    "elu",
    "loggy",
    "stair",
    "hardtan",
    "lhtan",
    "selu",
    "gelu",
    "swish",
    "mish",
    "hard_mish",
    "normalize_channels",
    "normalize_channels_softmax",
    "normalize_channels_softmax_maxval",
]

ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)

# activations.c get_activation of pjreddie has no case for these.
ALEXEYAB_ONLY: frozenset[str] = frozenset(
    {"relu6", "revleaky", "gelu", "swish", "mish", "hard_mish"}
    | {name for name in ACTIVATIONS if name.startswith("normalize")}
)

# Their values at one position depend on all channels there, so they need a map.
OVER_CHANNELS: frozenset[str] = frozenset(name for name in ACTIVATIONS if name.startswith("normalize"))


def read_activation(text: str, dialect: Dialect) -> Value:
    """An activation's name; Darknet takes ReLU for a name that it does not know (activations.c get_activation)."""
    if text not in ACTIVATIONS:
        hint = told_activation(text, ACTIVATIONS)
        return Value("relu", f"unknown activation {text!r}: Darknet goes on with relu{hint}")
    if dialect.name == "pjreddie" and text in ALEXEYAB_ONLY:
        return Value(
            "relu", f"{dialect.title} does not know {text!r} and goes on with relu (dialect alexeyab knows it)"
        )
    return Value(text)


def activation_dialect(text: str) -> DialectName | None:
    """The only dialect that knows an activation, if it is one alone."""
    return "alexeyab" if text in ALEXEYAB_ONLY else None
