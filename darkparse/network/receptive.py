"""How much of the network's input each value of a layer sees."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from darkparse.layers.convolutional import Convolutional, Deconvolutional, Local
from darkparse.layers.pooling import LocalAvgpool, Maxpool
from darkparse.layers.recurrent import ConvolutionalMemory
from darkparse.layers.resampling import Rearranging, Upsample
from darkparse.network.node import Node

if TYPE_CHECKING:
    from darkparse.network.network import Network


@dataclass(frozen=True, slots=True)
class Axis:
    """Along height or width, in pixels of the network's input."""

    field: float
    """Pixels that one value depends on, padding included."""
    jump: float
    """Distance between the fields of neighbouring values."""

    def through(self, size: int, stride: float, dilation: int = 1) -> Axis:
        """Behind a window that slides over this axis."""
        return Axis(self.field + (size - 1) * dilation * self.jump, self.jump * stride)


Field = tuple[Axis, Axis]
"""Height and width."""


def receptive_fields(network: Network) -> tuple[tuple[int, int] | None, ...]:
    """For every layer height and width of its receptive field, at most the input's; None where it is no map's.

    A layer with a memory, or over all positions, sees the whole input.
    """
    if not network.input_shape.is_map:
        return (None,) * len(network.nodes)
    whole = (network.net.height, network.net.width)
    fields: list[Field | None] = []
    for node in network.nodes:
        sources = [fields[i] if i >= 0 else (Axis(1, 1), Axis(1, 1)) for i in node.inputs]
        known = [field for field in sources if field is not None]
        is_local = node.out_shape.is_map and len(known) == len(sources) and known
        fields.append(_behind(node, _union(known)) if is_local else None)
    return tuple(
        (min(round(f[0].field), whole[0]), min(round(f[1].field), whole[1])) if f else whole if node.inputs else None
        for f, node in zip(fields, network.nodes, strict=True)
    )


def _union(fields: list[Field]) -> Field:
    """Several maps read at the same positions."""
    first = fields[0]
    return (Axis(max(f[0].field for f in fields), first[0].jump), Axis(max(f[1].field for f in fields), first[1].jump))


def _behind(node: Node, field: Field) -> Field | None:
    layer, (y, x) = node.layer, field
    match layer:
        case Convolutional():
            strides, blur = layer.strides, {0: 0, 2: 2}.get(layer.antialiasing, 3)
            if blur:
                return tuple(a.through(layer.size, 1, layer.spread).through(blur, s) for a, s in ((y, strides[0]), (x, strides[1])))  # type: ignore[return-value]
            return y.through(layer.size, strides[0], layer.spread), x.through(layer.size, strides[1], layer.spread)
        case Maxpool(maxpool_depth=True):
            return field
        case Maxpool() | LocalAvgpool():
            return y.through(layer.size, layer.stride_y), x.through(layer.size, layer.stride_x)
        case Local():
            return y.through(layer.size, layer.stride), x.through(layer.size, layer.stride)
        case Deconvolutional():
            reach = ceil(layer.size / layer.stride)
            return y.through(reach, 1 / layer.stride), x.through(reach, 1 / layer.stride)
        case Upsample():
            step = layer.stride if layer.stride > 0 else 1 / -layer.stride
            reach = 1 if layer.stride > 0 else -layer.stride
            return y.through(reach, 1 / step), x.through(reach, 1 / step)
        case Rearranging():
            size: int = layer.stride  # type: ignore[attr-defined]
            is_back: bool = layer.reverse  # type: ignore[attr-defined]
            return (y.through(1, 1 / size), x.through(1, 1 / size)) if is_back else (y.through(size, size), x.through(size, size))
        case ConvolutionalMemory():
            return None
        case _:
            return field if node.out_shape.area > 1 or node.in_shapes[0].area == 1 else None
