"""Heads of a network, and what decodes one."""

from __future__ import annotations

from typing import NamedTuple

from darkparse.errors import DarkparseError
from darkparse.layers import ModuleSpec
from darkparse.layers.head import Head
from darkparse.network.node import Node


def get_head(node: Node) -> Head:
    """The layer of a node that is a head, as one of `network.heads` is. Raises DarkparseError for another."""
    if not isinstance(node.layer, Head):
        raise _make_boxless_error(node)
    return node.layer


def get_decoder(node: Node, *, hierarchy: float, use_class_map: bool) -> ModuleSpec:
    """The module that decodes a head, as data. Raises DarkparseError if the layer predicts no boxes."""
    spec = get_head(node).decoder(node.dialect, hierarchy=hierarchy, use_class_map=use_class_map)
    if spec is None:
        raise _make_boxless_error(node)
    return spec


def thresholds_objectness(node: Node, *, use_class_map: bool) -> bool:
    """Whether a box of this head counts where its objectness is above the threshold, not where it is above 0."""
    return get_head(node).thresholds_objectness(node.dialect, use_class_map=use_class_map)


class BoxOrigin(NamedTuple):
    """Where in a network a box comes from.

    Attributes:
        layer: Index of the head.
        cell: Row and column of the cell, from the top left.
        anchor: Position in the head's `anchors=`; in a [detection] head the position among the boxes of the cell.
    """

    layer: int
    cell: tuple[int, int]
    anchor: int


def find_box_origin(node: Node, index: int) -> BoxOrigin:
    """Return where a box of a head comes from.

    Args:
        node: The head.
        index: Position among its boxes, which count cell by cell, row by row, predictor by predictor.
    """
    head = get_head(node)
    cell, predictor = divmod(index, head.predictors)
    _, columns = head.get_grid(node.in_shapes[0])
    return BoxOrigin(node.index, divmod(cell, columns), head.get_anchor(predictor))


def _make_boxless_error(node: Node) -> DarkparseError:
    return DarkparseError(f"{node.section.span}: layer {node.index} [{node.kind}] does not predict boxes")
