"""Intermediate representation of a network."""

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
    """Intermediate representation of a network, which is immutable, complete and verified; made by `compile`.

    Attributes:
        config: Cfg that the network was compiled from.
        dialect: Darknet fork whose rules apply.
        dialect_reason: Reason for selecting this fork.
        net: Options of `[net]`; width and height are the compiled size.
        nodes: Layers in order, with their location, shapes and cost.
        diagnostics: Warnings about the cfg, by section in file order.

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
        """File name of the cfg without its extension, or `network`."""
        path = self.config.source.path
        return path.stem if path else "network"

    @property
    def input_shape(self) -> Shape:
        return self.net.input_shape

    @cached_property
    def cost(self) -> Cost:
        """Total cost of all layers."""
        return sum((node.cost for node in self.nodes), Cost())

    @cached_property
    def bflops(self) -> float:
        """Billions of operations, as AlexeyAB/darknet computes them."""
        return sum(node.bflops for node in self.nodes)

    @cached_property
    def stored_floats(self) -> int:
        """Number of floats in the `.weights` file, without the header."""
        return sum(node.stored_floats for node in self.nodes)

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """Indices of the layers that read each layer, in order."""
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
        """Index of the last layer that reads each layer, after which its output can be freed.

        A layer that no other reads has its own index; outputs have the number of layers.
        """
        end = len(self.nodes)
        return tuple(end if i in self.outputs else max(readers, default=i) for i, readers in enumerate(self.readers))

    @cached_property
    def reductions(self) -> tuple[Reductions, ...]:
        """Reductions of height × width and of channels by each layer."""
        return tuple(
            compute_reductions(node, projects=self.find_projected_head(node.index) is not None) for node in self.nodes
        )

    @cached_property
    def bottlenecks(self) -> tuple[Bottleneck, ...]:
        """1×1 convolutions that a k×k convolution follows, with their savings over a direct convolution."""
        return find_bottlenecks(self.nodes, self.readers)

    @cached_property
    def repeats(self) -> tuple[Repeat, ...]:
        """Repeated blocks, in order."""
        return find_repeats(self)

    def find_projected_head(self, index: int) -> int | None:
        """Return the index of the head that a layer with weights projects to: its only reader, if that is a head."""
        readers = self.readers[index]
        if len(readers) == 1 and self.nodes[readers[0]].layer.role == "head" and self.nodes[index].weights:
            return readers[0]
        return None

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """Receptive field of each layer along height and width."""
        return compute_receptive_fields(self.nodes, self.input_shape)

    @cached_property
    def strides(self) -> tuple[Stride | None, ...]:
        """Distance of neighboring values of each layer in input pixels; None if values have no position."""
        return tuple((y.jump, x.jump) if y.jump and x.jump else None for y, x in self.fields)

    def __repr__(self) -> str:
        return f"Network({self.name}, {len(self.nodes)} layers, input {self.input_shape}, {self.dialect.name})"

    def __deepcopy__(self, memo: dict[int, object]) -> Network:
        """Return the network itself: it is immutable, so copies of a model share it."""
        return self

    def to_cfg(self) -> str:
        """Convert to a cfg that Darknet can read; unchanged sections keep their text."""
        return to_cfg(self)

    @property
    def cfg_text(self) -> str:
        """Text of the cfg as read, or for a network from YAML that of `to_cfg`."""
        return self.config.source.text if self.config.source.is_cfg else to_cfg(self)

    def to_yaml(self) -> str:
        """Convert to YAML with the options, inputs, shapes and cost of each layer."""
        return to_yaml(self)
