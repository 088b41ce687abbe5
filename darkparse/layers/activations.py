"""Darknet's activations, a row each, in plain words: all that is known of one stands here (activations.h, .c).

`model/activations.py` holds the functions that torch does not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from darkparse.layers.dialect import Dialect
from darkparse.layers.values import Value

Activation = Annotated[str, "activation"]
"""The type of an option that names an activation."""


@dataclass(frozen=True, slots=True)
class ActivationRow:
    """One activation."""

    name: str
    function: str = ""
    """Where its function is, by its whole name; without a dot one of `model/activations.py`, none for linear."""
    module: str = ""
    """torch's module that computes the same."""
    settings: Mapping[str, float] = field(default_factory=dict)
    """What function and module take beside the values."""
    only: str | None = None
    """The one dialect that knows it, with those made from it (activations.c get_activation)."""
    packed: str = ""
    """oneDNN's name for it behind a convolution."""
    mistaken: str = ""
    """How `compare` says that another implementation took it for the one that is meant."""
    over_channels: bool = False
    """A value depends on all channels at its position, so that a map is needed."""

    @property
    def expression(self) -> str:
        """Python source, `{}` for the values: `F.leaky_relu({}, 0.1)`."""
        path, _, name = self.function.rpartition(".")
        prefix = {"torch": "torch.", "torch.nn.functional": "F."}.get(path, "")
        settings = "".join(f", {value}" for value in self.settings.values())
        return f"{prefix}{name}({{}}{settings})" if name else "{}"


_F, _NN = "torch.nn.functional", "torch.nn"
_TENTH, _HUNDREDTH = {"negative_slope": 0.1}, {"negative_slope": 0.01}
_SMALL_SLOPE = "leaky ReLU with slope 0.01, PyTorch's default, where Darknet has 0.1"
_AB = "alexeyab"

ACTIVATIONS: dict[str, ActivationRow] = {
    row.name: row
    for row in (
        ActivationRow("linear", mistaken="no activation"),
        ActivationRow(
            "logistic",
            "torch.sigmoid",
            f"{_NN}.Sigmoid",
            packed="sigmoid",
            mistaken="the logistic function as activation",
        ),
        ActivationRow("relu", f"{_F}.relu", f"{_NN}.ReLU", packed="relu", mistaken="ReLU as activation"),
        ActivationRow("relu6", f"{_F}.relu6", f"{_NN}.ReLU6", only=_AB),
        ActivationRow(
            "leaky",
            f"{_F}.leaky_relu",
            f"{_NN}.LeakyReLU",
            _TENTH,
            packed="leaky_relu",
            mistaken="leaky ReLU with slope 0.1",
        ),
        ActivationRow("revleaky", f"{_F}.leaky_relu", f"{_NN}.LeakyReLU", _TENTH, only=_AB, packed="leaky_relu"),
        ActivationRow(
            "relie", f"{_F}.leaky_relu", f"{_NN}.LeakyReLU", _HUNDREDTH, packed="leaky_relu", mistaken=_SMALL_SLOPE
        ),
        ActivationRow("elu", f"{_F}.elu", f"{_NN}.ELU"),
        ActivationRow("hardtan", f"{_F}.hardtanh", f"{_NN}.Hardtanh"),
        ActivationRow("tanh", "torch.tanh", f"{_NN}.Tanh", packed="tanh"),
        ActivationRow("swish", f"{_F}.silu", f"{_NN}.SiLU", only=_AB, packed="swish", mistaken="swish as activation"),
        ActivationRow("mish", f"{_F}.mish", f"{_NN}.Mish", only=_AB),
        ActivationRow("ramp", "ramp"),
        ActivationRow("loggy", "loggy"),
        ActivationRow("plse", "plse"),
        ActivationRow("stair", "stair"),
        ActivationRow("lhtan", "lhtan"),
        ActivationRow("selu", "selu"),
        ActivationRow("gelu", "gelu", only=_AB),
        ActivationRow("hard_mish", "hard_mish", only=_AB),
        *(
            ActivationRow(name, name, only=_AB, over_channels=True)
            for name in ("normalize_channels", "normalize_channels_softmax", "normalize_channels_softmax_maxval")
        ),
    )
}


def read_activation(text: str, dialect: Dialect) -> Value:
    """An activation's name; Darknet takes ReLU for a name that it does not know (activations.c get_activation)."""
    row = ACTIVATIONS.get(text)
    if row is None:
        return Value("relu", f"unknown activation {text!r}: Darknet goes on with relu")
    if not dialect.knows(row.only, text):
        hint = f" (dialect {row.only} knows it)" if row.only else ""
        return Value("relu", f"{dialect.title} does not know {text!r} and goes on with relu{hint}")
    return Value(text)
