"""Detection heads of a network, and their decoders."""

from __future__ import annotations

from typing import NamedTuple

from darkparse.errors import DarkparseError
from darkparse.layers import ModuleSpec
from darkparse.layers.head import Head
from darkparse.network.node import Node


def get_head(node: Node) -> Head:
    """Return the head of a node. Raises DarkparseError if the node is not a head."""
    if not isinstance(node.layer, Head):
        raise _make_boxless_error(node)
    return node.layer


def get_decoder(node: Node, *, hierarchy: float, use_class_map: bool) -> ModuleSpec:
    """Return the spec of the module that decodes a head. Raises DarkparseError if it does not predict boxes."""
    spec = get_head(node).decoder(node.dialect, hierarchy=hierarchy, use_class_map=use_class_map)
    if spec is None:
        raise _make_boxless_error(node)
    return spec


def thresholds_objectness(node: Node, *, use_class_map: bool) -> bool:
    """Return whether a box requires an objectness above the threshold instead of above 0."""
    return get_head(node).thresholds_objectness(node.dialect, use_class_map=use_class_map)


class BoxOrigin(NamedTuple):
    """Origin of a box in a network.

    Attributes:
        layer: Index of the head.
        cell: Row and column of the cell, from the top left.
        anchor: Position in the head's `anchors=`; in a [detection] head the position among the boxes of the cell.
    """

    layer: int
    cell: tuple[int, int]
    anchor: int


def find_box_origin(node: Node, index: int) -> BoxOrigin:
    """Find the origin of a box of a head.

    Args:
        node: The head.
        index: Position among the head's boxes, which are ordered by row, column and predictor.
    """
    head = get_head(node)
    cell, predictor = divmod(index, head.predictors)
    _, columns = head.get_grid(node.in_shapes[0])
    return BoxOrigin(node.index, divmod(cell, columns), head.get_anchor(predictor))


def _make_boxless_error(node: Node) -> DarkparseError:
    return DarkparseError(f"{node.section.span}: layer {node.index} [{node.kind}] does not predict boxes")
