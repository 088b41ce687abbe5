"""What a kind says of its arrays, its modules and its place: plain data, which the phases interpret."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from darkparse.layers.dialect import Dialect
from darkparse.layers.shape import Shape

Initial = tuple[Literal["constant", "uniform", "normal"], float, float]
"""Distribution, centre and spread (half width or standard deviation) of a tensor before any weights are loaded."""

ZERO: Initial = ("constant", 0.0, 0.0)
ONE: Initial = ("constant", 1.0, 0.0)


Role = Literal["weight", "bias", "scale", "mean", "variance", "factor", "constant"]
"""What an array does: a multiplying weight; a summand; a batch norm's scale, running mean and variance; the factors of
an addition's inputs; an output that is learned as it is."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One array of a layer: its place in the module and in the `.weights` file (float32, file order)."""

    path: str
    shape: tuple[int, ...]
    initial: Initial = ZERO
    role: Role = "weight"
    stored: bool = True
    """False where the file does not hold it."""
    rows: int | None = None
    """How many rows of the first axis the file holds, if not all (`numload`)."""
    transposed: bool = False
    """The file holds the matrix (first axis, rest) transposed (`flipped`)."""
    transposable: bool = False
    """The file holds the matrix transposed when the header's version is above 1000 (connected layers)."""

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def learnable(self) -> bool:
        """False for running statistics."""
        return self.role not in ("mean", "variance")

    @property
    def stored_size(self) -> int:
        """Number of floats in the file."""
        if not self.stored:
            return 0
        return self.size if self.rows is None else self.size // self.shape[0] * self.rows


@dataclass(frozen=True, slots=True)
class ModuleSpec:
    """A module to build: attribute name, dotted target, keyword arguments (plain values only)."""

    name: str
    target: str
    kwargs: Mapping[str, Any]

    def with_kwargs(self, **kwargs: Any) -> ModuleSpec:
        """The module with other values of some arguments."""
        return replace(self, kwargs={**self.kwargs, **kwargs})


class Deviation(NamedTuple):
    """What other implementations do in place of a layer."""

    description: str
    modules: tuple[ModuleSpec, ...]
    inputs: tuple[int, ...] | None = None
    """Positions of the inputs that they read, in their order; None for all as they come."""


@dataclass(frozen=True, slots=True)
class LossSpec:
    """A loss to build: dotted target and keyword arguments, as a module's."""

    target: str
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LayerContext:
    """Where a layer stands: what it needs to know of its surroundings."""

    inputs: tuple[Shape, ...]
    output: Shape
    dialect: Dialect
    read_whole: bool = False
    """Another layer needs its values, not their signs alone (see `Joining.reads_whole`)."""

    @property
    def input(self) -> Shape:
        return self.inputs[0]
