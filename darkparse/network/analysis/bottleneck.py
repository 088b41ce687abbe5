"""1×1 convolutions around k×k ones: whether they save anything over a direct k×k convolution, and how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from darkparse.layers.convolutional import Convolutional
from darkparse.network.node import Node

Form = Literal["pair", "triple", "inverted", "separable"]
"""1×1 then k×k; 1×1, k×k, 1×1; the same with a wider middle; depthwise k×k then 1×1."""

FORMS: tuple[Form, ...] = ("pair", "triple", "inverted", "separable")


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """Convolutions in a row, against one direct k×k convolution at the same strides.

    Weights are the multiplying ones, without biases and batch norm; multiply-adds are for one image. A channel gate
    inside the block is counted with it.
    """

    first: int
    last: int
    form: Form
    size: int
    """k of the k×k convolution."""
    channels: tuple[int, int]
    """Channels in and out of the whole, which are those of the direct convolution."""
    middle: int
    """Channels that the k×k convolution works on."""
    weights: int
    direct_weights: int
    macs: int
    direct_macs: int
    groups: int = 1
    """Groups of the k×k convolution; the direct one has none."""
    gated: bool = False
    """A channel gate stands behind the k×k convolution."""
    also_feeds: tuple[tuple[int, int], ...] = ()
    """Layers inside that are read from outside too, each with the reader."""

    @property
    def saved_weights(self) -> int:
        """Negative where it costs more than the direct convolution."""
        return self.direct_weights - self.weights

    @property
    def saved_macs(self) -> int:
        return self.direct_macs - self.macs

    @property
    def saves(self) -> bool:
        return self.saved_weights > 0

    @property
    def is_depthwise(self) -> bool:
        """Every channel of the k×k convolution by itself."""
        return self.groups > 1 and self.groups == self.middle

    @property
    def layers(self) -> range:
        return range(self.first, self.last + 1)


def find_bottlenecks(nodes: Sequence[Node], readers: Sequence[tuple[int, ...]]) -> tuple[Bottleneck, ...]:
    """All blocks, in order and without overlap but at their ends; the longest form that fits stands."""
    bottlenecks: list[Bottleneck] = []
    for node in nodes:
        if bottlenecks and node.index < bottlenecks[-1].last and bottlenecks[-1].form != "pair":
            continue
        block = _match_bottleneck(nodes, readers, node)
        if block is not None:
            bottlenecks.append(block)
    return tuple(bottlenecks)


def _match_bottleneck(nodes: Sequence[Node], readers: Sequence[tuple[int, ...]], node: Node) -> Bottleneck | None:
    layer = _get_convolution(node)
    if layer is None:
        return None
    if layer.size > 1:
        last = _find_pointwise_after(nodes, readers, node) if layer.is_depthwise else None
        return _make_bottleneck(nodes, readers, node, node, last, "separable") if last is not None else None
    wide = _find_wide_after(nodes, node)
    if wide is None:
        return None
    last = _find_pointwise_after(nodes, readers, wide) if readers[node.index] == (wide.index,) else None
    if last is not None and _ends_block(nodes, readers, node, wide, last):
        is_wider = wide.in_shapes[0].c > max(node.in_shapes[0].c, last.out_shape.c)
        return _make_bottleneck(nodes, readers, node, wide, last, "inverted" if is_wider else "triple")
    if wide.layer.effective_groups == 1:  # type: ignore[attr-defined]
        return _make_bottleneck(nodes, readers, node, wide, wide, "pair")
    return None


def _get_convolution(node: Node) -> Convolutional | None:
    return node.layer if isinstance(node.layer, Convolutional) and node.shared_with is None else None


def _find_wide_after(nodes: Sequence[Node], node: Node) -> Node | None:
    """The k×k convolution right behind a layer."""
    next_node = nodes[node.index + 1] if node.index + 1 < len(nodes) else None
    layer = _get_convolution(next_node) if next_node is not None else None
    return (
        next_node
        if next_node is not None and layer is not None and layer.size > 1 and next_node.inputs == (node.index,)
        else None
    )


def _find_pointwise_after(nodes: Sequence[Node], readers: Sequence[tuple[int, ...]], wide: Node) -> Node | None:
    """The 1×1 convolution that alone takes the k×k convolution's map, directly or through a gate on it."""
    end = wide
    gate = find_gate(nodes, readers, wide.index)
    if gate is not None:
        end = nodes[gate]
    elif len(readers[wide.index]) != 1:
        return None
    next_node = nodes[end.index + 1] if end.index + 1 < len(nodes) else None
    layer = _get_convolution(next_node) if next_node is not None else None
    if (
        next_node is None
        or layer is None
        or layer.size != 1
        or next_node.inputs != (end.index,)
        or readers[end.index] != (next_node.index,)
    ):
        return None
    return next_node


def find_gate(nodes: Sequence[Node], readers: Sequence[tuple[int, ...]], index: int) -> int | None:
    """The gate that multiplies a layer's map by what a side path makes of it; nothing else reads the map."""
    if len(readers[index]) != 2 or readers[index][0] != index + 1:
        return None
    gate = nodes[readers[index][1]]
    is_gate = gate.layer.role == "gate" and gate.inputs[gate.layer.main_input] == index
    path = range(index + 1, gate.index)
    return gate.index if is_gate and all(readers[i] == (i + 1,) for i in path) else None


def _ends_block(nodes: Sequence[Node], readers: Sequence[tuple[int, ...]], first: Node, wide: Node, last: Node) -> bool:
    """The last 1×1 ends the block: it leads to an addition, or the middle is depthwise, or it leads back to the
    channels that came in and begins no pair of its own."""
    feeds_addition = any(nodes[r].layer.role == "add" and r == last.index + 1 for r in readers[last.index])
    restores_channels = (
        last.out_shape.c == first.in_shapes[0].c
        and wide.out_shape.c == first.out_shape.c
        and _find_wide_after(nodes, last) is None
    )
    return restores_channels or feeds_addition or wide.layer.is_depthwise  # type: ignore[attr-defined]


def _make_bottleneck(
    nodes: Sequence[Node], readers: Sequence[tuple[int, ...]], first: Node, wide: Node, last: Node, form: Form
) -> Bottleneck:
    layer = wide.layer
    assert isinstance(layer, Convolutional)
    block = range(first.index, last.index + 1)
    c, n = first.in_shapes[0].c, last.out_shape.c
    direct = layer.size**2 * c * n
    return Bottleneck(
        first=first.index,
        last=last.index,
        form=form,
        size=layer.size,
        channels=(c, n),
        middle=wide.in_shapes[0].c,
        weights=sum(nodes[i].weights for i in block),
        direct_weights=direct,
        macs=sum(nodes[i].macs for i in block),
        direct_macs=direct * last.out_shape.area,
        groups=layer.effective_groups,
        gated=any(nodes[i].layer.role == "gate" for i in block),
        also_feeds=tuple((i, r) for i in block[:-1] for r in readers[i] if r not in block),
    )
