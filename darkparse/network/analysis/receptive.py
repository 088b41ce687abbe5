"""How much of the network's input each value of a layer sees, and how far apart neighbouring values look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING

from darkparse.layers import Shape
from darkparse.layers.window import Window
from darkparse.network.node import Node

if TYPE_CHECKING:
    from darkparse.network.network import Network

Stride = tuple[Fraction, Fraction]
"""Downwards and to the right; below 1 where a map is finer than the input."""


@dataclass(frozen=True, slots=True)
class AxisField:
    """Along height or width, in pixels of the network's input."""

    field: float
    """Pixels that one value depends on, padding included: infinite for all there are, 0 for a constant."""
    jump: Fraction | None
    """Distance between the fields of neighbouring values; None where values have no place in the input."""
    stagger: float = 0
    """How far values stand from their places in turns, which whoever sees several of them sees too."""

    def apply_window(self, window: Window, axis: int) -> AxisField:
        """Behind a window that slides over this axis, 0 or 1."""
        if self.jump is None:
            return self
        size, step, stagger = window.size[axis], window.step[axis], window.stagger[axis]
        if size > 1:
            return AxisField(self.field + self.stagger + (size - 1) * self.jump, self.jump * step)
        return AxisField(self.field, self.jump * step, self.stagger + stagger * self.jump)


Field = tuple[AxisField, AxisField]
"""Height and width."""

WHOLE_INPUT: Field = (AxisField(inf, None), AxisField(inf, None))
"""Of a value over all positions, or with a memory."""
NO_INPUT: Field = (AxisField(0, None), AxisField(0, None))
"""Of a constant."""


def compute_receptive_fields(nodes: Sequence[Node], image: Shape) -> tuple[Field, ...]:
    """For every layer what its values see of the image; what the values of a vector see is taken for the whole."""
    fields: list[Field] = []
    input_field = (AxisField(1, Fraction(1)), AxisField(1, Fraction(1))) if image.is_map else WHOLE_INPUT
    for node in nodes:
        sources = [fields[i] if i >= 0 else input_field for i in node.inputs]
        fields.append(_apply_windows(node, _merge_fields(sources, node.layer.main_input)) if sources else NO_INPUT)
    return tuple(fields)


def get_receptive_fields(network: Network) -> tuple[tuple[int, int] | None, ...]:
    """For every layer height and width of its receptive field, at most the input's; None where it sees no map."""
    return tuple(get_receptive_field(network, node.index) for node in network.nodes)


def get_receptive_field(network: Network, index: int) -> tuple[int, int] | None:
    """That of one layer."""
    y, x = network.fields[index]
    if not (network.input_shape.is_map and y.field and x.field):
        return None
    return round(min(y.field, network.net.height)), round(min(x.field, network.net.width))


def sees_whole_input(network: Network, index: int) -> bool:
    """Whether a value of a layer depends on the whole input map."""
    return get_receptive_field(network, index) == (network.net.height, network.net.width)


def _merge_fields(fields: list[Field], main_input: int) -> Field:
    """Several maps read at the same positions, those of the main input where they have any in the input."""
    y, x = next((field for field in (fields[main_input], *fields) if field[0].jump), fields[main_input])
    return replace(y, field=max(y.field for y, _ in fields)), replace(x, field=max(x.field for _, x in fields))


def _apply_windows(node: Node, field: Field) -> Field:
    windows = node.layer.windows(node.context) if node.out_shape.is_map else None
    if windows is None:
        return WHOLE_INPUT
    y, x = field
    for window in windows:
        y, x = y.apply_window(window, 0), x.apply_window(window, 1)
    return y, x
