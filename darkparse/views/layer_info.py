"""What is known of one layer: the value that cells, sentences, JSON and pages are functions of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from darkparse.layers import Head, Shape
from darkparse.layers.capabilities import ChannelSlice, Convolution
from darkparse.network import Bottleneck, Network, Node, Reduction
from darkparse.network.analysis.receptive import get_receptive_field, sees_whole_input
from darkparse.network.analysis.repeats import Repeat


class ChannelNote(Enum):
    """What there is to say of a layer's channels beside their numbers."""

    NONE = auto()
    PROJECTED = auto()
    """They are what a head decodes."""
    DECODED = auto()
    JOINED = auto()
    """Those of several maps side by side."""
    APPENDED = auto()
    """Zeros are set behind the values."""
    PART = auto()
    """A part of those that come in."""
    ADDED_PART = auto()
    """A map of another shape is added, as much of it as fits."""
    GATED = auto()
    UNREDUCED = auto()
    """As many go out of a layer with weights as come in."""
    MIXED = auto()
    """The same, and nothing but the channels is mixed."""
    ALONE = auto()
    """The same, and each channel is convolved by itself."""


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """One layer in its network; what takes a pass over all layers is computed once, when it is first asked for."""

    network: Network
    node: Node
    channel_note: ChannelNote
    largest_vector: int
    """The largest count beside which its own stand: that of all vectors for a vector, 0 for a map."""

    @property
    def index(self) -> int:
        return self.node.index

    @property
    def spatial(self) -> Reduction | None:
        """The change of height × width; None where nothing comes in."""
        return self.network.reductions[self.index].spatial

    @property
    def channels(self) -> Reduction | None:
        """The change of channels, or of a vector's values."""
        return self.network.reductions[self.index].channels

    @property
    def inputs(self) -> tuple[tuple[int, Shape], ...]:
        """The layers that it reads, -1 for the input, each with the shape that comes from it."""
        return tuple(zip(self.node.inputs, self.node.in_shapes, strict=True))

    @property
    def readers(self) -> tuple[int, ...]:
        return self.network.readers[self.index]

    @property
    def blocks(self) -> tuple[Bottleneck, ...]:
        """The bottlenecks that it is a part of."""
        return tuple(block for block in self.network.bottlenecks if self.index in block.layers)

    @property
    def repeats(self) -> tuple[Repeat, ...]:
        """The repeated blocks that it is a part of."""
        return tuple(repeat for repeat in self.network.repeats if self.index in repeat.layers)

    @property
    def projected_head(self) -> int | None:
        """The head that decodes its channels, if only that reads them."""
        return self.network.find_projected_head(self.index)

    @property
    def formula(self) -> str:
        """How the number of channels comes about, of a head or of a projection to one."""
        head = self.projected_head
        layer = self.node.layer if head is None else self.network.nodes[head].layer
        return layer.formula if isinstance(layer, Head) else ""

    @property
    def receptive_field(self) -> tuple[int, int] | None:
        """Height and width of what one value sees of the input; None where it sees no map."""
        return get_receptive_field(self.network, self.index)

    @property
    def sees_all(self) -> bool:
        return sees_whole_input(self.network, self.index)


def layer_facts(network: Network) -> tuple[LayerFacts, ...]:
    """The facts of every layer."""
    vectors = (node for node in network.nodes if not node.out_shape.is_map)
    largest_vector = max((shape.size for node in vectors for shape in (node.out_shape, *node.in_shapes)), default=0)
    vector_sizes = (0 if node.out_shape.is_map else largest_vector for node in network.nodes)
    return tuple(
        LayerFacts(network, node, _find_channel_note(network, node), vector)
        for node, vector in zip(network.nodes, vector_sizes, strict=True)
    )


def _find_channel_note(network: Network, node: Node) -> ChannelNote:
    layer, change = node.layer, network.reductions[node.index].channels
    if change is None:
        return ChannelNote.NONE
    if change.direction == "projected":
        return ChannelNote.PROJECTED
    if layer.role == "cat" and len(node.inputs) > 1:
        return ChannelNote.JOINED
    if isinstance(layer, Head):
        return ChannelNote.DECODED
    if layer.role == "reorg" and node.out_shape.size > node.in_shapes[0].size:
        return ChannelNote.APPENDED
    if change.direction != "kept":
        return ChannelNote.PART if isinstance(layer, ChannelSlice) and layer.groups > 1 else ChannelNote.NONE
    return _find_unchanged_note(node)


def _find_unchanged_note(node: Node) -> ChannelNote:
    """What there is to say where as many channels go out as come in."""
    layer = node.layer
    if isinstance(layer, Convolution):
        return {"alone": ChannelNote.ALONE, "channels": ChannelNote.MIXED}.get(layer.mixing, ChannelNote.UNREDUCED)
    if layer.role == "gate":
        return ChannelNote.GATED
    if layer.role == "add":
        return ChannelNote.NONE if all(x == node.out_shape for x in node.in_shapes) else ChannelNote.ADDED_PART
    return ChannelNote.UNREDUCED if node.weights and node.out_shape.size > 1 else ChannelNote.NONE
