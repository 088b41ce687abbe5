"""Bottlenecks: 1×1 convolutions around k×k ones, and their savings over a direct k×k convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from darkparse.layers.convolutional import Convolutional
from darkparse.network.node import Node

Form = Literal["pair", "triple", "inverted", "separable"]
"""Forms in order: 1×1, k×k; 1×1, k×k, 1×1; the same with a wider middle; depthwise k×k, 1×1."""

FORMS: tuple[Form, ...] = ("pair", "triple", "inverted", "separable")


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """Consecutive convolutions, compared with one direct k×k convolution with the same strides.

    Weights exclude biases and batch norm. Multiply-adds are per image. A channel gate inside the block is included.
    """

    first: int
    last: int
    form: Form
    size: int
    """k of the k×k convolution."""
    channels: tuple[int, int]
    """Input and output channels of the block and of the direct convolution."""
    middle: int
    """Input channels of the k×k convolution."""
    weights: int
    direct_weights: int
    macs: int
    direct_macs: int
    groups: int = 1
    """Groups of the k×k convolution; the direct convolution is not grouped."""
    gated: bool = False
    """Whether a channel gate follows the k×k convolution."""
    also_feeds: tuple[tuple[int, int], ...] = ()
    """Pairs of a layer inside the block and a layer outside that also reads it."""

    @property
    def saved_weights(self) -> int:
        """Number of weights saved; negative if the block has more than the direct convolution."""
        return self.direct_weights - self.weights

    @property
    def saved_macs(self) -> int:
        return self.direct_macs - self.macs

    @property
    def saves(self) -> bool:
        return self.saved_weights > 0

    @property
    def is_narrow(self) -> bool:
        """Whether the k×k convolution reads fewer channels than the block, as in a bottleneck."""
        return self.middle < self.channels[0]

    @property
    def is_depthwise(self) -> bool:
        """Whether the k×k convolution has one group per channel."""
        return self.groups > 1 and self.groups == self.middle

    @property
    def layers(self) -> range:
        return range(self.first, self.last + 1)


def find_bottlenecks(nodes: Sequence[Node], readers: Sequence[tuple[int, ...]]) -> tuple[Bottleneck, ...]:
    """Find all bottlenecks, in order; the longest matching form is selected.

    Blocks may only overlap in their first or last layer.

    Args:
        nodes: Layers of the network.
        readers: For each layer, the indices of the layers that read it.
    """
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
    """Return the k×k convolution directly after a layer; None if there is none."""
    next_node = nodes[node.index + 1] if node.index + 1 < len(nodes) else None
    layer = _get_convolution(next_node) if next_node is not None else None
    return (
        next_node
        if next_node is not None and layer is not None and layer.size > 1 and next_node.inputs == (node.index,)
        else None
    )


def _find_pointwise_after(nodes: Sequence[Node], readers: Sequence[tuple[int, ...]], wide: Node) -> Node | None:
    """Return the 1×1 convolution that is the only reader of a k×k convolution, directly or through a gate."""
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
    """Return the index of the gate that multiplies a layer's map by a side path computed from it.

    None if there is no such gate or if any other layer reads the map.
    """
    if len(readers[index]) != 2 or readers[index][0] != index + 1:
        return None
    gate = nodes[readers[index][1]]
    is_gate = gate.layer.role == "gate" and gate.inputs[gate.layer.main_input] == index
    path = range(index + 1, gate.index)
    return gate.index if is_gate and all(readers[i] == (i + 1,) for i in path) else None


def _ends_block(nodes: Sequence[Node], readers: Sequence[tuple[int, ...]], first: Node, wide: Node, last: Node) -> bool:
    """Return whether the last 1×1 convolution ends the block.

    It does if an addition follows, if the k×k convolution is depthwise, or if it restores the input channels and does
    not start a pair itself.
    """
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
