"""Construction of an ONNX graph and its serialization (onnx.proto), without numpy."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from darkparse.onnx.elements import ELEMENTS, DType, encode_values
from darkparse.onnx.protobuf import encode_block, encode_float, encode_int, encode_text

Dim = int | str
"""Length of an axis, or the name of a dynamic axis."""
Nested: TypeAlias = "float | Sequence[Nested]"
"""A number, or rows of numbers, rows of rows, …"""


@dataclass(eq=False)
class Value:
    """Tensor in a graph. Arithmetic with numbers and other values adds operators to the graph."""

    graph: Graph
    name: str
    is_named: bool = False
    """Whether the name is fixed because it is an input, output or initializer."""

    def __add__(self, other: Operand) -> Value:
        return self.graph.op("Add", self, other)

    def __sub__(self, other: Operand) -> Value:
        return self.graph.op("Sub", self, other)

    def __rsub__(self, other: float) -> Value:
        return self.graph.op("Sub", other, self)

    def __mul__(self, other: Operand) -> Value:
        return self.graph.op("Mul", self, other)

    def __truediv__(self, other: Operand) -> Value:
        return self.graph.op("Div", self, other)

    def __gt__(self, other: Operand) -> Value:
        return self.graph.op("Greater", self, other)

    def __lt__(self, other: Operand) -> Value:
        return self.graph.op("Less", self, other)

    __radd__, __rmul__ = __add__, __mul__


Operand = Value | float | None


@dataclass(frozen=True, eq=False)
class Initializer:
    """Constant tensor whose values are read lazily, when the file is written."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    iter_chunks: Callable[[], Iterable[Any]]
    """Return the bytes of the values in order, little-endian, in chunks."""
    offset: int | None = None
    """Position of exactly these bytes in the weights file; None if they are not in the file."""

    @property
    def nbytes(self) -> int:
        """Size of the values in bytes."""
        return math.prod(self.shape) * ELEMENTS[self.dtype].size

    def encode_header(self) -> bytes:
        """Encode the TensorProto without its values."""
        dims = b"".join(encode_int(1, n) for n in self.shape)
        return dims + encode_int(2, ELEMENTS[self.dtype].number) + encode_text(8, self.name)


@dataclass(frozen=True, eq=False)
class Operator:
    """Operator node of a graph."""

    kind: str
    name: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    attributes: dict[str, Any]

    def list_reads(self) -> set[str]:
        """Return the names of the values that the operator, or the loop body in it, reads."""
        names = {value.name for value in self.inputs if value is not None}
        for body in (value for value in self.attributes.values() if isinstance(value, Graph)):
            names.update(*(operator.list_reads() for operator in body.operators))
            names.update(port.value.name for port in body.outputs)
        return names

    def encode(self) -> bytes:
        """Encode as NodeProto."""
        input_fields = b"".join(encode_text(1, value.name if value else "") for value in self.inputs)
        output_fields = b"".join(encode_text(2, value.name) for value in self.outputs)
        attributes = b"".join(encode_block(5, _encode_attribute(key, value)) for key, value in self.attributes.items())
        return input_fields + output_fields + encode_text(3, self.name) + encode_text(4, self.kind) + attributes


def _encode_attribute(name: str, value: Any) -> bytes:
    """Encode as AttributeProto, with the attribute type derived from the Python type."""
    if isinstance(value, Graph):
        return encode_text(1, name) + encode_block(6, value.encode()) + encode_int(20, 5)
    if isinstance(value, str):
        return encode_text(1, name) + encode_text(4, value) + encode_int(20, 3)
    if isinstance(value, float):
        return encode_text(1, name) + encode_float(2, value) + encode_int(20, 1)
    if isinstance(value, int):
        return encode_text(1, name) + encode_int(3, value) + encode_int(20, 2)
    return encode_text(1, name) + b"".join(encode_int(8, item) for item in value) + encode_int(20, 7)


@dataclass(frozen=True)
class Port:
    """Input or output of a graph, with dtype and dimensions; None if the dimensions are unspecified."""

    value: Value
    dtype: DType
    dims: Sequence[Dim] | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions of fixed length."""
        return tuple(dim for dim in self.dims or () if isinstance(dim, int))

    def encode(self) -> bytes:
        """Encode as ValueInfoProto."""
        shape = b""
        if self.dims is not None:
            axes = (encode_int(1, dim) if isinstance(dim, int) else encode_text(2, dim) for dim in self.dims)
            shape = encode_block(2, *(encode_block(1, axis) for axis in axes))
        return encode_text(1, self.value.name) + encode_block(
            2, encode_block(1, encode_int(1, ELEMENTS[self.dtype].number), shape)
        )


@dataclass(eq=False)
class Graph:
    """Graph of operators, constants, inputs and outputs. Numbers become constants of dtype `floats`."""

    name: str
    floats: DType = "float32"
    outer: Graph | None = None
    """Graph that contains this one as a loop body; it stores the constants."""
    scope: str = ""
    """Prefix of operator names."""
    operators: list[Operator] = field(default_factory=list)
    initializers: dict[str, Initializer] = field(default_factory=dict)
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    _names: Counter[str] = field(default_factory=Counter)
    _constants: dict[tuple[Any, ...], Value] = field(default_factory=dict)

    def op(self, kind: str, *inputs: Operand, **attributes: Any) -> Value:
        """Add an operator with one output."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, count: int, *inputs: Operand, **attributes: Any) -> tuple[Value, ...]:
        """Add an operator with `count` outputs; attributes and last inputs that are None are omitted."""
        name = self._make_unique(f"{self.scope}/{kind}")
        # Some runtimes do not support unnamed inputs at the end.
        used = max((i + 1 for i, value in enumerate(inputs) if value is not None), default=0)
        operands = tuple(self.constant(value) if isinstance(value, int | float) else value for value in inputs[:used])
        outputs = tuple(Value(self, f"{name}.{i}" if i else name) for i in range(count))
        present_attributes = {key: value for key, value in attributes.items() if value is not None}
        self.operators.append(Operator(kind, name, operands, outputs, present_attributes))
        return outputs

    def constant(self, values: Nested, dtype: DType | None = None, shape: tuple[int, ...] | None = None) -> Value:
        """Return a constant tensor; equal constants are shared.

        Args:
            values: Numbers, nested as the axes of the tensor.
            dtype: Dtype of the tensor; by default that of the graph's numbers.
            shape: Shape of the tensor, if `values` is flat.
        """
        dtype = dtype or self.floats
        if self.outer is not None:
            return self.outer.constant(values, dtype, shape)
        nested_shape, flat = _flatten(values)
        shape, data = shape or nested_shape, encode_values(flat, dtype)
        key = (dtype, shape, data)
        if key not in self._constants:
            name = self._make_unique(f"constant/{'x'.join(map(str, shape)) or 'scalar'}")
            self._constants[key] = self.add(Initializer(name, shape, dtype, lambda: (data,)))
        return self._constants[key]

    def ints(self, *values: int) -> Value:
        """Return a constant int64 vector."""
        return self.constant(values, "int64")

    def add(self, initializer: Initializer) -> Value:
        """Add an initializer, unless the graph already has one with this name, and return its value."""
        self.initializers.setdefault(initializer.name, initializer)
        return Value(self, initializer.name, is_named=True)

    def input(self, name: str, dims: Sequence[Dim] | None, dtype: DType = "float32") -> Value:
        """Add an input."""
        value = Value(self, name, is_named=True)
        self.inputs.append(Port(value, dtype, dims))
        return value

    def output(self, name: str, value: Value, dims: Sequence[Dim] | None, dtype: DType = "float32") -> None:
        """Add an output with the given name."""
        port_value = self.op("Identity", value) if value.is_named else value
        port_value.name, port_value.is_named = name, True
        self.outputs.append(Port(port_value, dtype, dims))

    def body(self, name: str) -> Graph:
        """Create an empty graph for the body of a loop in this graph."""
        return Graph(name, self.floats, self, self.scope, _names=self._names)

    def prune(self) -> None:
        """Remove operators and initializers that no output depends on."""
        used, operators = {port.value.name for port in self.outputs}, []
        for operator in reversed(self.operators):
            if any(value.name in used for value in operator.outputs):
                used |= operator.list_reads()
                operators.append(operator)
        self.operators = operators[::-1]
        self.initializers = {name: item for name, item in self.initializers.items() if name in used}

    def _make_unique(self, name: str) -> str:
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}_{self._names[name]}"

    def encode(self) -> bytes:
        """Encode as GraphProto without initializers, which may be added at any position."""
        operators = b"".join(encode_block(1, operator.encode()) for operator in self.operators)
        ports = (
            encode_block(number, port.encode())
            for number, side_ports in ((11, self.inputs), (12, self.outputs))
            for port in side_ports
        )
        return operators + encode_text(2, self.name) + b"".join(ports)


def _flatten(values: Nested) -> tuple[tuple[int, ...], list[float]]:
    """Return the shape of nested numbers, and the numbers in order."""
    if isinstance(values, int | float):
        return (), [values]
    rows = [_flatten(row) for row in values]
    return (len(rows), *(rows[0][0] if rows else ())), [value for _, row in rows for value in row]
