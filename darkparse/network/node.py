"""A layer in its place."""

from __future__ import annotations

from dataclasses import dataclass

from darkparse._utils.notebook import NotebookRepr
from darkparse.layers import Dialect, Layer, LayerContext, Layout, ModuleSpec, Shape, TensorSpec
from darkparse.layers.capabilities import Convolution
from darkparse.syntax import Section


@dataclass(frozen=True, slots=True)
class Cost:
    """What a layer costs for one image; costs add up."""

    params: int = 0
    """Learned numbers, as torch counts parameters (running statistics not included)."""
    macs: int = 0
    """Multiply-adds; a multiplication without an addition counts as one."""
    activations: int = 0
    """Values in the output."""

    @property
    def flops(self) -> int:
        """Two for each multiply-add."""
        return 2 * self.macs

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.params + other.params, self.macs + other.macs, self.activations + other.activations)


@dataclass(frozen=True, slots=True, repr=False)
class Node(NotebookRepr):
    """One layer of a network, with everything known: where it reads, what comes in and what goes out.

    Attributes:
        index: its number, as Darknet counts.
        layer: its kind and options.
        inputs: absolute indices of the layers that it reads, in order; -1 is the network's input.
        in_shapes: the shape of each.
        out_shape: the shape of its output.
        section: where it stands in the cfg.
        dialect: whose Darknet the network is written for.
        shared_with: absolute index of the layer whose tensors it uses (`share_index`).
        read_whole: another layer needs its values, not their signs alone (`bin_output`).

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
        """The full section name, aliases resolved."""
        return self.layer.kind

    @property
    def context(self) -> LayerContext:
        return LayerContext(
            tuple(shape.as_read for shape in self.in_shapes), self.out_shape, self.dialect, self.read_whole
        )

    @property
    def in_shape(self) -> Shape | None:
        """The shape of the map that the layer carries on (a gate's second input), None without any input."""
        return self.in_shapes[self.layer.main_input] if self.in_shapes else None

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Every array of the layer, in the order of the `.weights` file."""
        return self.layer.tensors(self.context)

    @property
    def modules(self) -> tuple[ModuleSpec, ...]:
        """The modules to run one after the other; a vector that meets a layer of maps becomes a map of 1×1 first."""
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
        """Of all arrays together, running statistics included."""
        if isinstance(self.layer, Convolution):
            return self.layer.num_elements(self.context)
        return sum(tensor.size for tensor in self.tensors)

    @property
    def params(self) -> int:
        """Learned numbers."""
        return sum(t.size for t in self.tensors if t.learnable)

    @property
    def stored_floats(self) -> int:
        """Numbers that the `.weights` file holds for the layer."""
        return 0 if self.layer.dontload else sum(t.stored_size for t in self.tensors)

    @property
    def weights(self) -> int:
        """Multiplying weights: the parameters without biases, batch norm,
        an addition's factors and learned constants."""
        return sum(t.size for t in self.tensors if t.role == "weight")

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return self.layer.macs(self.context)

    @property
    def flops(self) -> int:
        """Operations for one image, two for each multiply-add."""
        return Cost(macs=self.macs).flops

    @property
    def cost(self) -> Cost:
        return Cost(self.params, self.macs, self.out_shape.size)

    @property
    def bflops(self) -> float:
        """Billions of operations as AlexeyAB's Darknet prints them: 0 for many kinds that do compute."""
        return self.layer.printed_flops(self.context) / 1e9

    @property
    def summary(self) -> str:
        """A few words: what the layer does, without its shapes."""
        return self.layer.summary(self.context)
