"""The register of emitters, one for each target of a module spec, and the context that they work in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, TypeVar

from darkparse.layers import ModuleSpec, Shape
from darkparse.network import Node
from darkparse.network.dynamic_axes import DynamicAxes
from darkparse.onnx.graph import Dim, Graph, Operand, Value
from darkparse.onnx.parameters import GraphParameters

MODULES = "darkparse.model.modules"

P = TypeVar("P")
EmitFunction = Callable[Concatenate["EmitContext", P, ...], Any]
"""`(ctx, params, *inputs)` adds a module's operators to the graph and returns its output."""


@dataclass(frozen=True, slots=True)
class NoParams:
    """The parameters of a module that takes no arguments."""


@dataclass(frozen=True, slots=True)
class Emitter(Generic[P]):
    """Adds the modules of one target to a graph."""

    params: type[P]
    """A dataclass with a field for each argument of the module, whether ONNX needs it or not."""
    function: EmitFunction[P]

    def emit(self, ctx: EmitContext, spec: ModuleSpec, inputs: list[Value]) -> Any:
        """Add a module's operators to the graph and return its output."""
        return self.function(ctx, self.params(**spec.kwargs), *inputs)


EMITTERS: dict[str, Emitter[Any]] = {}
"""By target of a module spec."""


def emits(*targets: str, params: type[P]) -> Callable[[EmitFunction[P]], EmitFunction[P]]:
    """Register a function as the emitter of these targets.

    Args:
        targets: dotted names of modules.
        params: the dataclass to pass the modules' arguments as.
    """

    def register(function: EmitFunction[P]) -> EmitFunction[P]:
        EMITTERS.update(dict.fromkeys(targets, Emitter(params, function)))
        return function

    return register


@dataclass(frozen=True, slots=True)
class EmitContext:
    """A module's place in the graph: what an emitter may ask and do."""

    graph: Graph
    node: Node
    path: str
    """Of the module in the state_dict: `layers.12.conv`."""
    parameters: GraphParameters
    dynamic_axes: DynamicAxes
    image: Value
    """The network's input."""
    image_shape: Shape

    def op(self, kind: str, *inputs: Operand, **attributes: Any) -> Value:
        """An operator with one output."""
        return self.graph.op(kind, *inputs, **attributes)

    def parameter(self, name: str, **change: Any) -> Value:
        """A tensor of the module."""
        return self.graph.add(self.parameters.get(f"{self.path}.{name}", **change))

    def linear(self, kind: str, x: Value, path: str, *, axis: int = 0, **attributes: Any) -> Value:
        """A linear map with the weights at a path, and the batch norm that stands behind it."""
        weight, bias = self.parameters.linear(path, axis)
        x = self.op(kind, x, self.graph.add(weight), self.graph.add(bias) if bias else None, **attributes)
        has_own_norm = self.parameters.is_normalized(path) and bias is None
        return self.norm(x, f"{path.rpartition('.')[0]}.norm") if has_own_norm else x

    def norm(self, x: Value, path: str) -> Value:
        """A batch norm as an operator of its own."""
        arrays, eps = self.parameters.norm(path)
        return self.op("BatchNormalization", x, *(self.graph.add(array) for array in arrays), epsilon=eps)

    def scale(self, x: Value, factor: float) -> Value:
        """Multiplied by a number."""
        return x if factor == 1 else x * float(factor)

    def reshape(self, x: Value, *dims: int | Value) -> Value:
        """In Reshape's terms: 0 keeps an axis as it is, -1 takes what is left."""
        ints = [dim for dim in dims if isinstance(dim, int)]
        if len(ints) == len(dims):
            return self.op("Reshape", x, self.graph.ints(*ints))
        parts = (self.graph.ints(dim) if isinstance(dim, int) else dim for dim in dims)
        return self.op("Reshape", x, self.op("Concat", *parts, axis=0))

    def get_length(self, x: Value, axis: int, known_length: int) -> int | Value:
        """Of an axis of height or width: known, or asked of the graph where sizes are free, as a vector of one."""
        return self.op("Shape", x, start=axis, end=axis + 1) if self.dynamic_axes.size else known_length

    def slice(self, x: Value, start: int, end: int, axis: int = 1, step: int = 1) -> Value:
        """Part of an axis."""
        return self.op("Slice", x, *(self.graph.ints(value) for value in (start, end, axis, step)))

    def split(self, x: Value, sizes: tuple[int, ...], axis: int = 1) -> tuple[Value, ...]:
        """Parts of those sizes along an axis."""
        return (x,) if len(sizes) == 1 else self.graph.ops("Split", len(sizes), x, self.graph.ints(*sizes), axis=axis)

    def concat(self, *parts: Value, axis: int = 1) -> Value:
        """Side by side along an axis."""
        return self.op("Concat", *parts, axis=axis) if len(parts) > 1 else parts[0]

    def pad(self, x: Value, before: tuple[int, ...], after: tuple[int, ...], value: float = 0.0) -> Value:
        """So many values more before and behind each axis (N, C, …), less where negative."""
        if not any((*before, *after)):
            return x
        return self.op("Pad", x, self.graph.ints(*before, *after), self.graph.constant(value))

    def to_map(self, x: Value, shape: Shape) -> Value:
        """A vector (N, n) as a map of 1×1; a map as it is."""
        return x if shape.is_map else self.op("Unsqueeze", x, self.graph.ints(2, 3))

    def read_state(self, name: str, *shape: int) -> Value:
        """A state from the call before, an input of the graph (N, *shape)."""
        value = self.graph.input(f"{self.path}.{name}", with_batch(self.dynamic_axes, *shape))
        return self.op("Cast", value, to=10) if self.graph.floats.itemsize == 2 else value

    def write_state(self, name: str, value: Value, *shape: int) -> None:
        """A state for the next call, an output of the graph."""
        value = self.op("Cast", value, to=1) if self.graph.floats.itemsize == 2 else self.op("Identity", value)
        self.graph.output(f"{self.path}.{name}.next", value, with_batch(self.dynamic_axes, *shape))


def with_batch(dynamic_axes: DynamicAxes, *shape: Dim) -> tuple[Dim, ...]:
    """Axes with the batch in front."""
    return ("batch" if dynamic_axes.batch else 1, *shape)
