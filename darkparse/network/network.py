"""A whole network with every shape known."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from darkparse._utils.notebook import NotebookRepr
from darkparse.diagnostics import Diagnostic
from darkparse.layers import Dialect, Shape
from darkparse.layers.net import Net
from darkparse.network.analysis.bottleneck import Bottleneck, find_bottlenecks
from darkparse.network.analysis.receptive import Field, Stride, compute_receptive_fields
from darkparse.network.analysis.reduction import Reductions, compute_reductions
from darkparse.network.analysis.repeats import Repeat, find_repeats
from darkparse.network.io.cfg import to_cfg
from darkparse.network.io.yaml import to_yaml
from darkparse.network.node import Cost, Node
from darkparse.syntax import Config


@dataclass(frozen=True, repr=False)
class Network(NotebookRepr):
    """The intermediate representation: frozen, complete and verified. `compile` makes it.

    Attributes:
        config: the cfg that it was compiled from.
        dialect: whose Darknet it is written for.
        dialect_reason: why that one.
        net: the options of `[net]`; width and height are the size compiled for.
        nodes: the layers in order, each with its place, shapes and cost.
        diagnostics: warnings about the cfg, in the order of the file.

    >>> network = darkparse.compile("yolov3-tiny", size=64)
    >>> network
    Network(yolov3-tiny, 24 layers, input 64×64×3, pjreddie)
    >>> network.heads, network.cost.params
    ((16, 23), 8852366)
    """

    config: Config
    dialect: Dialect
    dialect_reason: str
    net: Net
    nodes: tuple[Node, ...]
    diagnostics: tuple[Diagnostic, ...] = field(default=(), compare=False)

    @property
    def name(self) -> str:
        """The cfg's file name without its ending, or `network`."""
        path = self.config.source.path
        return path.stem if path else "network"

    @property
    def input_shape(self) -> Shape:
        return self.net.input_shape

    @cached_property
    def cost(self) -> Cost:
        """The sum over all layers."""
        return sum((node.cost for node in self.nodes), Cost())

    @cached_property
    def bflops(self) -> float:
        """Billions of operations as AlexeyAB's Darknet adds them up."""
        return sum(node.bflops for node in self.nodes)

    @cached_property
    def stored_floats(self) -> int:
        """Numbers in the `.weights` file, without its header."""
        return sum(node.stored_floats for node in self.nodes)

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """For every layer the layers that read it, in order."""
        readers: list[list[int]] = [[] for _ in self.nodes]
        for node in self.nodes:
            for source in dict.fromkeys(node.inputs):
                if source >= 0:
                    readers[source].append(node.index)
        return tuple(tuple(r) for r in readers)

    @cached_property
    def heads(self) -> tuple[int, ...]:
        """Indices of the detection heads."""
        return tuple(node.index for node in self.nodes if node.layer.role == "head")

    @cached_property
    def outputs(self) -> tuple[int, ...]:
        """Indices of the layers whose outputs the network returns: the heads, or the last layer that is not a loss."""
        last = next((node.index for node in reversed(self.nodes) if node.layer.role != "loss"), len(self.nodes) - 1)
        return self.heads or (last,)

    @cached_property
    def last_reads(self) -> tuple[int, ...]:
        """For every layer the index of the last layer that reads it (its own where none does);
        outputs are never let go."""
        end = len(self.nodes)
        return tuple(end if i in self.outputs else max(readers, default=i) for i, readers in enumerate(self.readers))

    @cached_property
    def reductions(self) -> tuple[Reductions, ...]:
        """For every layer what it reduces: height × width and channels."""
        return tuple(
            compute_reductions(node, projects=self.find_projected_head(node.index) is not None) for node in self.nodes
        )

    @cached_property
    def bottlenecks(self) -> tuple[Bottleneck, ...]:
        """Every 1×1 convolution that a k×k convolution follows, and what the two save over a direct one."""
        return find_bottlenecks(self.nodes, self.readers)

    @cached_property
    def repeats(self) -> tuple[Repeat, ...]:
        """Every block that repeats, in order."""
        return find_repeats(self)

    def find_projected_head(self, index: int) -> int | None:
        """The head that a layer with weights projects to: its only reader, if that is a detection head."""
        readers = self.readers[index]
        if len(readers) == 1 and self.nodes[readers[0]].layer.role == "head" and self.nodes[index].weights:
            return readers[0]
        return None

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """For every layer, along height and along width, what its values see of the input."""
        return compute_receptive_fields(self.nodes, self.input_shape)

    @cached_property
    def strides(self) -> tuple[Stride | None, ...]:
        """For every layer the pixels of the input between neighboring values;
        None where values have no place in it."""
        return tuple((y.jump, x.jump) if y.jump and x.jump else None for y, x in self.fields)

    def __repr__(self) -> str:
        return f"Network({self.name}, {len(self.nodes)} layers, input {self.input_shape}, {self.dialect.name})"

    def __deepcopy__(self, memo: dict[int, object]) -> Network:
        """Frozen, so a copy of a model shares it."""
        return self

    def to_cfg(self) -> str:
        """The network as a cfg that Darknet reads, with the text of every section that was not changed."""
        return to_cfg(self)

    def to_yaml(self) -> str:
        """The network as YAML: every layer with its options, inputs, shapes and cost."""
        return to_yaml(self)
