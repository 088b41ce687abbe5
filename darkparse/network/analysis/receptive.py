"""Receptive fields: the input pixels that each value depends on, and the distance between adjacent fields."""

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
"""Vertical and horizontal stride relative to the input; below 1 if a map is finer than the input."""


@dataclass(frozen=True, slots=True)
class AxisField:
    """Receptive field along height or width, in pixels of the network's input."""

    field: float
    """Number of pixels that a value depends on, including padding; infinite for the whole input, 0 for a constant."""
    jump: Fraction | None
    """Distance between the fields of adjacent values; None if values have no position in the input."""
    stagger: float = 0
    """Distance by which values alternately deviate from regular positions; it widens the fields of later layers."""

    def apply_window(self, window: Window, axis: int) -> AxisField:
        """Return the field after a sliding window on this axis (0 for height, 1 for width)."""
        if self.jump is None:
            return self
        size, step, stagger = window.size[axis], window.step[axis], window.stagger[axis]
        if size > 1:
            return AxisField(self.field + self.stagger + (size - 1) * self.jump, self.jump * step)
        return AxisField(self.field, self.jump * step, self.stagger + stagger * self.jump)


Field = tuple[AxisField, AxisField]
"""Height and width."""

WHOLE_INPUT: Field = (AxisField(inf, None), AxisField(inf, None))
"""Field of a value that depends on all positions or on a state."""
NO_INPUT: Field = (AxisField(0, None), AxisField(0, None))
"""Field of a constant."""


def compute_receptive_fields(nodes: Sequence[Node], image: Shape) -> tuple[Field, ...]:
    """Compute the receptive field of each layer; values of a vector are assumed to depend on the whole image."""
    fields: list[Field] = []
    input_field = (AxisField(1, Fraction(1)), AxisField(1, Fraction(1))) if image.is_map else WHOLE_INPUT
    for node in nodes:
        sources = [fields[i] if i >= 0 else input_field for i in node.inputs]
        fields.append(_apply_windows(node, _merge_fields(sources, node.layer.main_input)) if sources else NO_INPUT)
    return tuple(fields)


def get_receptive_fields(network: Network) -> tuple[tuple[int, int] | None, ...]:
    """Return (height, width) of each layer's receptive field, at most the input's; None if it depends on no map."""
    return tuple(get_receptive_field(network, node.index) for node in network.nodes)


def get_receptive_field(network: Network, index: int) -> tuple[int, int] | None:
    """Return (height, width) of a layer's receptive field, at most the input's; None if it depends on no map."""
    y, x = network.fields[index]
    if not (network.input_shape.is_map and y.field and x.field):
        return None
    return round(min(y.field, network.net.height)), round(min(x.field, network.net.width))


def get_unclipped_field(network: Network, index: int) -> tuple[int, int] | None:
    """Return (height, width) of a layer's receptive field including the area beyond the input; None if unbounded."""
    y, x = network.fields[index]
    if not (network.input_shape.is_map and 0 < y.field < inf and 0 < x.field < inf):
        return None
    return round(y.field), round(x.field)


def sees_whole_input(network: Network, index: int) -> bool:
    """Return whether each value of a layer depends on the whole input map."""
    return get_receptive_field(network, index) == (network.net.height, network.net.width)


def _merge_fields(fields: list[Field], main_input: int) -> Field:
    """Return the field of maps read at the same positions.

    Positions are the main input's, or those of the first map that has any if the main input has none.
    """
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
