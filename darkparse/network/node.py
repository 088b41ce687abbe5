"""Layers of a network with their inputs, shapes and cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from darkparse._utils.notebook import NotebookRepr
from darkparse.layers import Dialect, Layer, LayerContext, Layout, ModuleSpec, Shape, TensorSpec
from darkparse.layers.capabilities import Convolution
from darkparse.syntax import Section


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a layer for one image; costs can be added."""

    params: int = 0
    """Number of parameters, without running statistics."""
    macs: int = 0
    """Number of multiply-adds; a multiplication without an addition counts as one."""
    activations: int = 0
    """Number of values in the output."""

    @property
    def flops(self) -> int:
        """Number of operations, two per multiply-add."""
        return 2 * self.macs

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.params + other.params, self.macs + other.macs, self.activations + other.activations)


@dataclass(frozen=True, repr=False)
class Node(NotebookRepr):
    """Layer of a network with its inputs and shapes.

    Attributes:
        index: Index of the layer, as Darknet counts.
        layer: Kind and options of the layer.
        inputs: Absolute indices of the layers that it reads, in order; -1 is the network's input.
        in_shapes: Shapes of the inputs.
        out_shape: Shape of the output.
        section: Section in the cfg.
        dialect: Darknet fork whose rules apply.
        shared_with: Absolute index of the layer whose tensors it uses (`share_index`); None without sharing.
        read_whole: Whether another layer reads its values and not only their signs (`bin_output`).

    >>> darkparse.compile("yolov3-tiny").nodes[1]
    Node(L1 maxpool 2×2 /2: 416×416×16 to 208×208×16)
    """

    index: int
    layer: Layer
    inputs: tuple[int, ...]
    in_shapes: tuple[Shape, ...]
    out_shape: Shape
    section: Section
    dialect: Dialect
    shared_with: int | None = None
    read_whole: bool = False

    def __repr__(self) -> str:
        return (
            f"Node(L{self.index} {self.summary}: {' + '.join(map(str, self.in_shapes)) or 'no input'} to "
            f"{self.out_shape})"
        )

    @property
    def kind(self) -> str:
        """Section name without aliases."""
        return self.layer.kind

    @cached_property
    def context(self) -> LayerContext:
        return LayerContext(
            tuple(shape.as_read for shape in self.in_shapes), self.out_shape, self.dialect, self.read_whole
        )

    @property
    def in_shape(self) -> Shape | None:
        """Shape of the main input (for a gate, the second one); None without inputs."""
        return self.in_shapes[self.layer.main_input] if self.in_shapes else None

    @cached_property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Arrays of the layer, in the order of the `.weights` file."""
        return self.layer.tensors(self.context)

    @property
    def modules(self) -> tuple[ModuleSpec, ...]:
        """Modules to run in sequence; a vector is first reshaped to a 1×1 map if the layer requires a map."""
        chain = self.layer.modules(self.context)
        if len(self.in_shapes) != 1:
            return chain
        shape = self.in_shapes[0]
        is_cells = shape.layout is Layout.CELLS
        if not is_cells and (shape.is_map or not self.layer.needs_map):
            return chain
        as_vector = (ModuleSpec("as_vector", "torch.nn.Flatten", {}),) if is_cells else ()
        return (
            *as_vector,
            ModuleSpec("as_map", "torch.nn.Unflatten", {"dim": 1, "unflattened_size": tuple(shape)}),
            *chain,
        )

    @property
    def num_elements(self) -> int:
        """Total element count, including running statistics."""
        if isinstance(self.layer, Convolution):
            return self.layer.num_elements(self.context)
        return sum(tensor.size for tensor in self.tensors)

    @cached_property
    def params(self) -> int:
        """Number of parameters."""
        return sum(t.size for t in self.tensors if t.learnable)

    @property
    def stored_floats(self) -> int:
        """Number of floats of the layer in the `.weights` file."""
        return 0 if self.layer.dontload else sum(t.stored_size for t in self.tensors)

    @cached_property
    def weights(self) -> int:
        """Number of multiplying weights: parameters without biases, batch norm, factors of additions and constants."""
        return sum(t.size for t in self.tensors if t.role == "weight")

    @cached_property
    def macs(self) -> int:
        """Number of multiply-adds per image."""
        return self.layer.macs(self.context)

    @property
    def flops(self) -> int:
        """Number of operations per image, two per multiply-add."""
        return Cost(macs=self.macs).flops

    @property
    def cost(self) -> Cost:
        return Cost(self.params, self.macs, self.out_shape.size)

    @property
    def bflops(self) -> float:
        """Billions of operations, as AlexeyAB/darknet prints them: 0 for many kinds that do compute."""
        return self.layer.printed_flops(self.context) / 1e9

    @property
    def summary(self) -> str:
        """Short description of the layer without its shapes."""
        return self.layer.summary(self.context)
