"""Table of Darknet's activations (activations.h, activations.c).

`model/activations.py` implements the functions that torch does not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from darkparse.diagnostics.source import truncate
from darkparse.layers.dialect import Dialect
from darkparse.layers.names import describe_unknown_activation
from darkparse.layers.values import ParsedValue

Activation = Annotated[str, "activation"]
"""The type of an option that names an activation."""


@dataclass(frozen=True, slots=True)
class ActivationRow:
    """Facts about one activation."""

    name: str
    function: str = ""
    """Function in Python source: torch's, or (without a dot) one of `model/activations.py`; empty for linear."""
    module: str = ""
    """Equivalent class of torch.nn; empty if there is none."""
    settings: Mapping[str, float] = field(default_factory=dict)
    """Keyword arguments of the function and the module."""
    dialect: str | None = None
    """Only dialect that supports the activation, along with its forks (activations.c get_activation); None for all."""
    packed: str = ""
    """oneDNN's name for the activation when fused with a convolution; empty if it is not fused."""
    mistaken: str = ""
    """Description that `compare` prints if another implementation uses this activation by mistake."""
    keeps_zero: bool = True
    """Whether 0 stays 0, so that a channel of zeros does not change the layers behind it."""
    over_channels: bool = False
    """Whether a value depends on all channels at its position, which requires a map."""

    @property
    def expression(self) -> str:
        """Python source with `{}` in place of the values: `F.leaky_relu({}, 0.1)`."""
        settings = "".join(f", {value}" for value in self.settings.values())
        return f"{self.function}({{}}{settings})" if self.function else "{}"


def _make_leaky(name: str, slope: float, dialect: str | None = None, mistaken: str = "") -> ActivationRow:
    settings = {"negative_slope": slope}
    return ActivationRow(name, "F.leaky_relu", "LeakyReLU", settings, dialect, packed="leaky_relu", mistaken=mistaken)


def _make_over_channels(name: str) -> ActivationRow:
    return ActivationRow(name, name, dialect="alexeyab", over_channels=True)


_ROWS = (
    ActivationRow("linear", mistaken="no activation"),
    ActivationRow(
        "logistic",
        "torch.sigmoid",
        "Sigmoid",
        packed="sigmoid",
        mistaken="the logistic function as activation",
        keeps_zero=False,
    ),
    ActivationRow("relu", "F.relu", "ReLU", packed="relu", mistaken="ReLU as activation"),
    ActivationRow("relu6", "F.relu6", "ReLU6", dialect="alexeyab"),
    _make_leaky("leaky", 0.1, mistaken="leaky ReLU with slope 0.1"),
    _make_leaky("revleaky", 0.1, dialect="alexeyab"),
    _make_leaky("relie", 0.01, mistaken="leaky ReLU with slope 0.01, PyTorch's default, instead of Darknet's 0.1"),
    ActivationRow("elu", "F.elu", "ELU"),
    ActivationRow("hardtan", "F.hardtanh", "Hardtanh"),
    ActivationRow("tanh", "torch.tanh", "Tanh", packed="tanh"),
    ActivationRow("swish", "F.silu", "SiLU", dialect="alexeyab", packed="swish", mistaken="swish as activation"),
    ActivationRow("mish", "F.mish", "Mish", dialect="alexeyab"),
    *(
        ActivationRow(name, name, keeps_zero=name != "plse")
        for name in ("ramp", "loggy", "plse", "stair", "lhtan", "selu")
    ),
    *(ActivationRow(name, name, dialect="alexeyab") for name in ("gelu", "hard_mish")),
    _make_over_channels("normalize_channels"),
    _make_over_channels("normalize_channels_softmax"),
    _make_over_channels("normalize_channels_softmax_maxval"),
)

ACTIVATIONS = {row.name: row for row in _ROWS}
"""Activations by their names in a cfg."""


def read_activation(text: str, dialect: Dialect) -> ParsedValue:
    """Read the name of an activation; Darknet replaces an unknown one by ReLU (activations.c get_activation)."""
    row = ACTIVATIONS.get(text)
    if row is None:
        hint = describe_unknown_activation(text, ACTIVATIONS)
        return ParsedValue("relu", f"unknown activation {truncate(text)!r}, Darknet uses relu instead{hint}")
    if not dialect.supports(row.dialect, text):
        hint = f"; dialect {row.dialect} supports it" if row.dialect else ""
        return ParsedValue("relu", f"{dialect.title} does not support activation {text!r} and uses relu instead{hint}")
    return ParsedValue(text)
