"""Registry of emitters, one per module spec target, and the context in which they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, TypeVar

from darkparse.layers import ModuleSpec, Shape
from darkparse.network import Node
from darkparse.network.dynamic_axes import DynamicAxes
from darkparse.onnx.graph import Dim, Graph, Operand, Value
from darkparse.onnx.parameters import Change, GraphParameters

MODULES = "darkparse.model.modules"

P = TypeVar("P")
EmitFunction = Callable[Concatenate["EmitContext", P, ...], Any]
"""Function `(ctx, params, *inputs)` that adds a module's operators to the graph and returns its output."""


@dataclass(frozen=True, slots=True)
class NoParams:
    """Parameters of a module without arguments."""


@dataclass(frozen=True, slots=True)
class Emitter(Generic[P]):
    """Emitter of all modules with the same target."""

    params: type[P]
    """Dataclass with a field for each argument of the module, including those that ONNX does not need."""
    function: EmitFunction[P]

    def emit(self, ctx: EmitContext, spec: ModuleSpec, inputs: list[Value]) -> Any:
        """Add a module's operators to the graph and return its output."""
        return self.function(ctx, self.params(**spec.kwargs), *inputs)


EMITTERS: dict[str, Emitter[Any]] = {}
"""Registered emitters by module spec target."""


def emits(*targets: str, params: type[P]) -> Callable[[EmitFunction[P]], EmitFunction[P]]:
    """Register a function as the emitter of these targets.

    Args:
        targets: Qualified names of modules.
        params: Dataclass for the arguments of the modules.
    """

    def register(function: EmitFunction[P]) -> EmitFunction[P]:
        EMITTERS.update(dict.fromkeys(targets, Emitter(params, function)))
        return function

    return register


@dataclass(frozen=True, slots=True)
class EmitContext:
    """Position of a module in the graph, with methods that add operators."""

    graph: Graph
    node: Node
    path: str
    """Path of the module in the state_dict: `layers.12.conv`."""
    parameters: GraphParameters
    dynamic_axes: DynamicAxes
    image: Value
    """Input of the network."""
    image_shape: Shape

    @property
    def fixed_input(self) -> Shape | None:
        """Shape of the module's input; None if sizes are dynamic, or another module of the layer makes the input."""
        is_first = self.path == f"layers.{self.node.index}.{self.node.modules[0].name}"
        return self.node.context.input if is_first and not self.dynamic_axes.size else None

    def op(self, kind: str, *inputs: Operand, **attributes: Any) -> Value:
        """Add an operator with one output."""
        return self.graph.op(kind, *inputs, **attributes)

    def parameter(
        self, name: str, *, change: Change | None = None, derived: tuple[str, tuple[int, ...]] | None = None
    ) -> Value:
        """Add a parameter or buffer of the module.

        Args:
            name: Name of the tensor in the module.
            change: Function to apply to its values, which are flat.
            derived: Name and shape of the result; None if they are those of the tensor.
        """
        new_name, shape = derived or (name, None)
        parameter = self.parameters.get(f"{self.path}.{name}", change, f"{self.path}.{new_name}", shape)
        return self.graph.add(parameter)

    def linear(self, kind: str, x: Value, path: str, *, axis: int = 0, **attributes: Any) -> Value:
        """Add a linear operator and the batch norm that follows it, if any.

        Args:
            kind: Operator type: Conv, ConvTranspose or Gemm.
            x: Input.
            path: State_dict path of the weights.
            axis: Axis of the weights that corresponds to the outputs.
            attributes: Attributes of the operator.
        """
        weight, bias = self.parameters.linear(path, axis)
        x = self.op(kind, x, self.graph.add(weight), self.graph.add(bias) if bias else None, **attributes)
        has_own_norm = self.parameters.is_normalized(path) and bias is None
        return self.norm(x, f"{path.rpartition('.')[0]}.norm") if has_own_norm else x

    def norm(self, x: Value, path: str) -> Value:
        """Add a BatchNormalization operator with the parameters at a path."""
        arrays, eps = self.parameters.norm(path)
        return self.op("BatchNormalization", x, *(self.graph.add(array) for array in arrays), epsilon=eps)

    def scale(self, x: Value, factor: float) -> Value:
        """Multiply by a number."""
        return x if factor == 1 else x * float(factor)

    def reshape(self, x: Value, *dims: int | Value) -> Value:
        """Reshape a value with the semantics of ONNX Reshape: 0 copies the dimension, -1 is inferred."""
        ints = [dim for dim in dims if isinstance(dim, int)]
        if len(ints) == len(dims):
            return self.op("Reshape", x, self.graph.ints(*ints))
        parts = (self.graph.ints(dim) if isinstance(dim, int) else dim for dim in dims)
        return self.op("Reshape", x, self.op("Concat", *parts, axis=0))

    def get_length(self, x: Value, axis: int, known_length: int) -> int | Value:
        """Return the length of a height or width axis.

        The result is `known_length`, or a vector with one element from a Shape operator if sizes are dynamic.
        """
        return self.op("Shape", x, start=axis, end=axis + 1) if self.dynamic_axes.size else known_length

    def slice(self, x: Value, start: int, end: int, axis: int = 1, step: int = 1) -> Value:
        """Slice an axis."""
        return self.op("Slice", x, *(self.graph.ints(value) for value in (start, end, axis, step)))

    def split(self, x: Value, sizes: tuple[int, ...], axis: int = 1) -> tuple[Value, ...]:
        """Split into parts of the given sizes along an axis."""
        return (x,) if len(sizes) == 1 else self.graph.ops("Split", len(sizes), x, self.graph.ints(*sizes), axis=axis)

    def concat(self, *parts: Value, axis: int = 1) -> Value:
        """Concatenate along an axis."""
        return self.op("Concat", *parts, axis=axis) if len(parts) > 1 else parts[0]

    def pad(self, x: Value, before: tuple[int, ...], after: tuple[int, ...], value: float = 0.0) -> Value:
        """Pad each axis (N, C, …) before and after; negative amounts crop."""
        if not any((*before, *after)):
            return x
        return self.op("Pad", x, self.graph.ints(*before, *after), self.graph.constant(value))

    def to_map(self, x: Value, shape: Shape) -> Value:
        """Convert a vector (N, n) to a map (N, n, 1, 1); return maps unchanged."""
        return x if shape.is_map else self.op("Unsqueeze", x, self.graph.ints(2, 3))

    def read_state(self, name: str, *shape: int) -> Value:
        """Add a graph input (N, *shape) for the state from the previous call."""
        value = self.graph.input(f"{self.path}.{name}", with_batch(self.dynamic_axes, *shape))
        return self.op("Cast", value, to=10) if self.graph.floats == "float16" else value

    def write_state(self, name: str, value: Value, *shape: int) -> None:
        """Add a graph output (N, *shape) for the state to pass to the next call."""
        value = self.op("Cast", value, to=1) if self.graph.floats == "float16" else self.op("Identity", value)
        self.graph.output(f"{self.path}.{name}.next", value, with_batch(self.dynamic_axes, *shape))


def with_batch(dynamic_axes: DynamicAxes, *shape: Dim) -> tuple[Dim, ...]:
    """Prepend the batch dimension."""
    return ("batch" if dynamic_axes.batch else 1, *shape)
