"""Differences between two networks: layers matched in order, with changed options and properties."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from fractions import Fraction
from typing import Any

from darkparse.layers import Layer
from darkparse.layers.base import BoundField, DerivedDefault, get_bound_fields
from darkparse.network.analysis.repeats import REFERENCE_OPTIONS
from darkparse.network.network import Network
from darkparse.network.node import Node

Value = str | int | None


@dataclass(frozen=True, slots=True)
class PropertyChange:
    """Property before and after; None before if only the second network has it."""

    name: str
    before: Value
    after: Value

    def __str__(self) -> str:
        sides = [f"{side:,}" if isinstance(side, int) else side for side in (self.before, self.after)]
        return f"{self.name} {' → '.join(side for side in sides if side is not None)}"


@dataclass(frozen=True, slots=True)
class OptionValue:
    """Value of an option."""

    value: Any
    is_derived: bool
    """Whether the value is the default that is computed from other options."""


@dataclass(frozen=True, slots=True)
class OptionChange:
    """Option whose value changed, or whose equal value is derived in only one of the networks."""

    option: BoundField
    before: OptionValue
    after: OptionValue


@dataclass(frozen=True, slots=True)
class LayerPair:
    """Layer of each network; one of them is None if the other has no counterpart."""

    before: Node | None
    after: Node | None
    options: tuple[OptionChange, ...] = ()
    properties: tuple[PropertyChange, ...] = ()
    """Other changes: inputs, output channels, scale, parameters."""

    @property
    def is_alike(self) -> bool:
        """Whether option values and channels agree; inputs and input size may differ."""
        return bool(self.before and self.after and _signature(self.before) == _signature(self.after))


@dataclass(frozen=True, slots=True)
class NetworkDiff:
    """Two networks, the totals that differ, and the layers of both in pairs."""

    first: Network
    second: Network
    totals: tuple[PropertyChange, ...]
    pairs: tuple[LayerPair, ...]


def diff_networks(first: Network, second: Network) -> NetworkDiff:
    """Match the layers of two networks and compare options, inputs, channels, scales and parameters.

    Changes in height and width that only result from another input size are ignored.
    """
    aligned = tuple(align_layers(first, second))
    indices = {after.index: before.index for before, after in aligned if before and after} | {-1: -1}
    pairs = (
        _compare_layers(first, second, before, after, indices) if before and after else LayerPair(before, after)
        for before, after in aligned
    )
    return NetworkDiff(first, second, _find_changes(_totals(first), _totals(second)), tuple(pairs))


def align_layers(first: Network, second: Network) -> Iterator[tuple[Node | None, Node | None]]:
    """Yield the layers of both networks in order, each with its counterpart or None.

    Networks with the same sequence of kinds correspond one to one. Otherwise, equal layers are matched first, then
    layers of the same kind between them. Between two matches, layers of the second network come before those of the
    first.
    """
    counterparts = dict(_match_layers(first.nodes, second.nodes))
    start = 0
    for after in second.nodes:
        index = counterparts.get(after.index)
        if index is None:
            yield None, after
            continue
        yield from ((before, None) for before in first.nodes[start:index])
        yield first.nodes[index], after
        start = index + 1
    yield from ((before, None) for before in first.nodes[start:])


def _match_layers(first: tuple[Node, ...], second: tuple[Node, ...]) -> Iterator[tuple[int, int]]:
    """Yield the indices of counterparts as (second network, first network).

    Networks with the same sequence of kinds, such as two widths of one design, correspond one to one.
    """
    if [node.kind for node in first] == [node.kind for node in second]:
        yield from ((node.index, node.index) for node in first)
        return
    a, b = ([_signature(node) for node in nodes] for nodes in (first, second))
    for tag, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from zip(range(b0, b1), range(a0, a1), strict=True)
        else:
            kinds_a, kinds_b = ([node.kind for node in nodes] for nodes in (first[a0:a1], second[b0:b1]))
            for block in SequenceMatcher(None, kinds_a, kinds_b, autojunk=False).get_matching_blocks():
                yield from ((b0 + block.b + i, a0 + block.a + i) for i in range(block.size))


def _signature(node: Node) -> tuple[Any, ...]:
    """Return kind, options and channels, which make two layers alike independently of the network's input size."""
    return (node.kind, tuple(getattr(node.layer, item.name) for item in _own_options(node)), _channels(node))


def _own_options(node: Node) -> Iterator[BoundField]:
    """Yield a layer's options, except those that the dialect determines or that refer to other layers."""
    return (item for item in get_bound_fields(type(node.layer)) if item.keys and item.name not in REFERENCE_OPTIONS)


def _channels(node: Node) -> tuple[int, ...]:
    return (*(shape.c for shape in node.in_shapes), node.out_shape.c)


def _compare_layers(first: Network, second: Network, before: Node, after: Node, indices: dict[int, int]) -> LayerPair:
    """Compare two layers of one kind; `indices` maps layers of the second network to their counterparts."""
    inputs_before = [_source_name(i) for i in before.inputs]
    inputs_after = [_source_name(indices[i]) if i in indices else f"the new {i}" for i in after.inputs]
    properties = _find_changes(_properties(first, before, inputs_before), _properties(second, after, inputs_after))
    return LayerPair(before, after, tuple(_find_option_changes(before, after)), properties)


def _find_option_changes(before: Node, after: Node) -> Iterator[OptionChange]:
    for item in _own_options(before):
        change = OptionChange(item, _get_value(before.layer, item.name), _get_value(after.layer, item.name))
        if change.before != change.after:
            yield change


def _get_value(layer: Layer, name: str) -> OptionValue:
    value, default = getattr(layer, name), type(layer).__dataclass_fields__[name].default
    return OptionValue(value, isinstance(default, DerivedDefault) and default.rule(layer) == value)


def _properties(network: Network, node: Node, inputs: list[str]) -> Iterator[tuple[str, Value]]:
    """Yield the properties to compare, which do not depend on the network's input size.

    Args:
        network: Network of the layer.
        node: Layer to describe.
        inputs: Names of its inputs, by the indices of the first network.
    """
    if any(hasattr(node.layer, name) for name in REFERENCE_OPTIONS):
        yield "reads", ", ".join(inputs)
    yield "channels out", node.out_shape.c
    image, out = network.input_shape, node.out_shape
    yield "scale", f"{Fraction(out.h, image.h)}×{Fraction(out.w, image.w)}" if image.is_map else ""
    yield "parameters", node.params


def _source_name(index: int) -> str:
    return "the input" if index < 0 else f"L{index}"


def _totals(network: Network) -> Iterator[tuple[str, Value]]:
    yield "input", str(network.input_shape)
    yield "dialect", network.dialect.name
    yield "layers", len(network.nodes)
    yield "parameters", network.cost.params
    yield "floats in the weights file", network.stored_floats
    yield "FLOPs", network.cost.flops


def _find_changes(
    before: Iterable[tuple[str, Value]], after: Iterable[tuple[str, Value]]
) -> tuple[PropertyChange, ...]:
    sides = zip(before, after, strict=True)
    return tuple(PropertyChange(name, old, new) for (name, old), (_, new) in sides if old != new)
