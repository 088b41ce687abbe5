"""Plain data that describes a layer's arrays, modules, loss and context; the phases interpret it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from darkparse.layers.dialect import Dialect
from darkparse.layers.shape import Shape

Initial = tuple[Literal["constant", "uniform", "normal"], float, float]
"""Initial distribution of a tensor, its center, and its spread (half width or standard deviation)."""

ZERO: Initial = ("constant", 0.0, 0.0)
ONE: Initial = ("constant", 1.0, 0.0)


Role = Literal["weight", "bias", "scale", "mean", "variance", "factor", "constant"]
"""Role of an array.

A multiplying weight; a bias; a batch norm's scale, running mean and running variance; the factors of a weighted
shortcut's inputs; a learned constant output.
"""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Array of a layer: its path in the module and its storage in the `.weights` file (float32)."""

    path: str
    shape: tuple[int, ...]
    initial: Initial = ZERO
    role: Role = "weight"
    stored: bool = True
    """Whether the file contains the array."""
    rows: int | None = None
    """Number of rows of the first axis that the file contains (`numload`); None for all."""
    transposed: bool = False
    """Whether the file contains the matrix (first axis, rest) transposed (`flipped`)."""
    transposable: bool = False
    """Whether the file contains the matrix transposed if the header's version is above 1000 (connected layers)."""

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def learnable(self) -> bool:
        """Whether the array is trained; False for running statistics."""
        return self.role not in ("mean", "variance")

    @property
    def stored_size(self) -> int:
        """Number of floats in the file."""
        if not self.stored:
            return 0
        return self.size if self.rows is None else self.size // self.shape[0] * self.rows


@dataclass(frozen=True, slots=True)
class ModuleSpec:
    """Module to build: attribute name, dotted path of the class, keyword arguments (plain values only)."""

    name: str
    target: str
    kwargs: Mapping[str, Any]

    def with_kwargs(self, **kwargs: Any) -> ModuleSpec:
        """Return a copy with some arguments replaced."""
        return replace(self, kwargs={**self.kwargs, **kwargs})


class Deviation(NamedTuple):
    """Known behavior of other implementations in place of a layer."""

    description: str
    modules: tuple[ModuleSpec, ...]
    inputs: tuple[int, ...] | None = None
    """Positions of the inputs that the modules read, in order; None for all inputs in the layer's order."""


@dataclass(frozen=True, slots=True)
class LossSpec:
    """Loss to build: dotted path of the class and keyword arguments."""

    target: str
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LayerContext:
    """Context of a layer in its network: input and output shapes and the dialect."""

    inputs: tuple[Shape, ...]
    output: Shape
    dialect: Dialect
    read_whole: bool = False
    """Whether another layer needs the output's values instead of only their signs (see `Joining.reads_whole`)."""

    @property
    def input(self) -> Shape:
        return self.inputs[0]
