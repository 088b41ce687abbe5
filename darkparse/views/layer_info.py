"""Properties of one layer, from which cells, sentences, JSON and pages are formatted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from darkparse.layers import Head, Shape
from darkparse.layers.capabilities import ChannelSlice, Convolution
from darkparse.network import Bottleneck, Network, Node, Reduction
from darkparse.network.analysis.receptive import get_receptive_field, get_unclipped_field, sees_whole_input
from darkparse.network.analysis.repeats import Repeat


class ChannelNote(Enum):
    """Remark on a layer's channels in addition to their counts."""

    NONE = auto()
    PROJECTED = auto()
    """A head decodes the channels."""
    DECODED = auto()
    JOINED = auto()
    """Several inputs are concatenated."""
    APPENDED = auto()
    """Zeros are appended to the values."""
    PART = auto()
    """The layer selects some of the input's channels."""
    ADDED_PART = auto()
    """An input of another shape is added where both overlap."""
    GATED = auto()
    UNREDUCED = auto()
    """A layer with weights leaves the channel count unchanged."""
    MIXED = auto()
    """As `UNREDUCED`, by a convolution that mixes only channels."""
    ALONE = auto()
    """As `UNREDUCED`, by a depthwise convolution."""


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """Properties of one layer in its network, derived from the analyses that the network caches."""

    network: Network
    node: Node
    channel_note: ChannelNote
    largest_vector: int
    """Largest number of values in any vector of the network; 0 if this layer outputs a map."""

    @property
    def index(self) -> int:
        return self.node.index

    @property
    def spatial(self) -> Reduction | None:
        """Change of height × width; None if the layer has no input."""
        return self.network.reductions[self.index].spatial

    @property
    def channels(self) -> Reduction | None:
        """Change of the channel count, or of a vector's length; None if the layer has no input."""
        return self.network.reductions[self.index].channels

    @property
    def inputs(self) -> tuple[tuple[int, Shape], ...]:
        """Indices of the input layers, -1 for the network's input, each with its shape."""
        return tuple(zip(self.node.inputs, self.node.in_shapes, strict=True))

    @property
    def readers(self) -> tuple[int, ...]:
        return self.network.readers[self.index]

    @property
    def blocks(self) -> tuple[Bottleneck, ...]:
        """Bottlenecks that contain this layer."""
        return tuple(block for block in self.network.bottlenecks if self.index in block.layers)

    @property
    def repeats(self) -> tuple[Repeat, ...]:
        """Repeated blocks that contain this layer."""
        return tuple(repeat for repeat in self.network.repeats if self.index in repeat.layers)

    @property
    def projected_head(self) -> int | None:
        """Index of the head that decodes this layer, if it is the only reader and the layer has weights."""
        return self.network.find_projected_head(self.index)

    @property
    def formula(self) -> str:
        """Formula for the channel count of a head or of the projection to it; empty for other layers."""
        head = self.projected_head
        layer = self.node.layer if head is None else self.network.nodes[head].layer
        return layer.formula if isinstance(layer, Head) else ""

    @property
    def receptive_field(self) -> tuple[int, int] | None:
        """Height and width of the receptive field in input pixels; None if there is no input map."""
        return get_receptive_field(self.network, self.index)

    @property
    def unclipped_field(self) -> tuple[int, int] | None:
        """Height and width of the receptive field, including the area beyond the input; None if unbounded."""
        return get_unclipped_field(self.network, self.index)

    @property
    def sees_all(self) -> bool:
        return sees_whole_input(self.network, self.index)


def layer_facts(network: Network) -> tuple[LayerFacts, ...]:
    """Return the properties of every layer."""
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
    """Return the remark for a layer that leaves the channel count unchanged."""
    layer = node.layer
    if isinstance(layer, Convolution):
        return {"alone": ChannelNote.ALONE, "channels": ChannelNote.MIXED}.get(layer.mixing, ChannelNote.UNREDUCED)
    if layer.role == "gate":
        return ChannelNote.GATED
    if layer.role == "add":
        return ChannelNote.NONE if all(x == node.out_shape for x in node.in_shapes) else ChannelNote.ADDED_PART
    return ChannelNote.UNREDUCED if node.weights and node.out_shape.size > 1 else ChannelNote.NONE
