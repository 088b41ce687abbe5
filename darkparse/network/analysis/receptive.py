"""How much of the network's input each value of a layer sees, and how far apart neighbouring values look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, gcd, inf
from typing import TYPE_CHECKING

from darkparse.layers import Shape
from darkparse.layers.convolutional import Convolutional, Deconvolutional, Local
from darkparse.layers.parts import blur_size
from darkparse.layers.pooling import LocalAvgpool, Maxpool
from darkparse.layers.recurrent import ConvolutionalMemory
from darkparse.layers.resampling import Crop, Reorg, Reorg3d, Upsample
from darkparse.network.node import Node

if TYPE_CHECKING:
    from darkparse.network.network import Network

Stride = tuple[Fraction, Fraction]
"""Downwards and to the right; below 1 where a map is finer than the input."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Along height or width, in pixels of the network's input."""

    field: float
    """Pixels that one value depends on, padding included: infinite for all there are, 0 for a constant."""
    jump: Fraction | None
    """Distance between the fields of neighbouring values; None where values have no place in the input."""

    def through(self, size: int, stride: Fraction | int) -> Axis:
        """Behind a window that slides over this axis, by less than 1 where it gives several values for each."""
        if self.jump is None:
            return self
        return Axis(self.field + (size - 1) * self.jump, self.jump * stride)


Field = tuple[Axis, Axis]
"""Height and width."""

WHOLE: Field = (Axis(inf, None), Axis(inf, None))
"""Of a value over all positions, or with a memory."""
NOTHING: Field = (Axis(0, None), Axis(0, None))
"""Of a constant."""


def fields_of(nodes: Sequence[Node], image: Shape) -> tuple[Field, ...]:
    """For every layer what its values see of the image; what the values of a vector see is taken for the whole."""
    fields: list[Field] = []
    start = (Axis(1, Fraction(1)), Axis(1, Fraction(1))) if image.is_map else WHOLE
    for node in nodes:
        sources = [fields[i] if i >= 0 else start for i in node.inputs]
        fields.append(_behind(node, _union(sources, node.layer.main_input)) if sources else NOTHING)
    return tuple(fields)


def receptive_fields(network: Network) -> tuple[tuple[int, int] | None, ...]:
    """For every layer height and width of its receptive field, at most the input's; None where it sees no map."""
    if not network.input_shape.is_map:
        return (None,) * len(network.nodes)
    whole = (network.net.height, network.net.width)
    return tuple(
        (round(min(y.field, whole[0])), round(min(x.field, whole[1]))) if y.field and x.field else None
        for y, x in network.fields
    )


def _union(fields: list[Field], main_input: int) -> Field:
    """Several maps read at the same positions, those of the main input where they have any in the input."""
    y, x = next((field for field in (fields[main_input], *fields) if field[0].jump), fields[main_input])
    return replace(y, field=max(y.field for y, _ in fields)), replace(x, field=max(x.field for _, x in fields))


def _behind(node: Node, field: Field) -> Field:
    layer = node.layer
    if not node.out_shape.is_map:
        return WHOLE
    match layer:
        case Maxpool(maxpool_depth=True) | Crop():
            return field
        case Convolutional(size=size, strides=strides, antialiasing=antialiasing):
            return _through(field, (size - 1) * layer.effective_dilation + 1, strides, antialiasing)
        case Maxpool(size=size, antialiasing=antialiasing):
            return _through(field, size, (layer.stride_y, layer.stride_x), antialiasing)
        case LocalAvgpool(size=size):
            return _through(field, size, (layer.stride_y, layer.stride_x))
        case Local(size=size, stride=stride):
            return _through(field, size, (stride, stride))
        case Reorg3d(stride=stride, reverse=False):
            return _through(field, stride, (stride, stride))
        case Deconvolutional(size=size, stride=stride):
            return _through(field, ceil(size / stride), (Fraction(1, stride),) * 2)
        case Upsample(stride=stride) if stride < 0:
            return _through(field, -stride, (-stride, -stride))
        case Upsample(stride=stride) | Reorg(stride=stride, reverse=True, flatten=False) | Reorg3d(stride=stride):
            return _through(field, 1, (Fraction(1, stride),) * 2)
        case Reorg(stride=stride):
            return _reorganized(layer, field, node.in_shapes[0].h)
        case ConvolutionalMemory():
            return _everywhere(field)
        case _:
            return field if node.in_shape is not None and node.in_shape.area == node.out_shape.area else WHOLE


def _through(field: Field, size: int, strides: tuple[Fraction | int, Fraction | int], antialiasing: int = 0) -> Field:
    """Behind a square window; an antialiased one leaves its strides to the blur."""
    if antialiasing:
        return _through(_through(field, size, (1, 1)), blur_size(antialiasing), strides)
    y, x = field
    return y.through(size, strides[0]), x.through(size, strides[1])


def _everywhere(field: Field) -> Field:
    """All of the input, from where the values stand."""
    y, x = field
    return replace(y, field=inf), replace(x, field=inf)


def _reorganized(layer: Reorg, field: Field, height: int) -> Field:
    """Darknet's own order takes the columns of a block, and rows from further apart than the block's: more so where the
    height does not divide by the stride's square. What wraps round at the border is left out."""
    s = layer.stride
    if layer.flatten:
        return _everywhere(_through(field, 1, (Fraction(1, s),) * 2 if layer.reverse else (s, s)))
    rows = s * (s - 1) + 1 + (s - 1) * (s - gcd(height // s, s))
    y, x = field
    return y.through(rows, s), x.through(s, s)
