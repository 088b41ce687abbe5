"""Heads of a network: what decodes one, and what is odd about them beside the layers around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from darkparse.diagnostics import Diagnostic, Note, Span
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


def _make_boxless_error(node: Node) -> DarkparseError:
    return DarkparseError(f"{node.section.span}: layer {node.index} [{node.kind}] does not predict boxes")


def check_heads(nodes: Sequence[Node]) -> Iterator[Diagnostic]:
    """Heads of different classes, and heads behind an activation that they do not expect."""
    first: tuple[int, Node] | None = None
    for node in nodes:
        head = node.layer
        if not isinstance(head, Head):
            continue
        first = first or (head.classes, node)
        if head.classes != first[0]:  # the detections of all heads go into one list
            message = f"this head has {head.classes} classes, the one in layer {first[1].index} has {first[0]}"
            note = Note("that one is here", _find_span(first[1], "classes"))
            yield Diagnostic("warning", "classes", message, _find_span(node, "classes"), (note,), "classes")
        if head.expected_activation is not None and node.inputs[0] >= 0:
            yield from _check_activation(node, nodes[node.inputs[0]], head)


def _check_activation(node: Node, before: Node, head: Head) -> Iterator[Diagnostic]:
    activation = getattr(before.layer, "activation", None)
    if activation is None or activation == head.expected_activation:
        return
    span = _find_span(node, "new_coords")
    form = "new_coords=1" if head.expected_activation == "logistic" else f"[{node.kind}] without new_coords=1"
    message = (
        f"{form} takes the layer before as {head.expected_activation}, and it is {activation}, which makes nonsense of "
        "the boxes"
    )
    note = Note(f"layer {before.index} [{before.kind}] is {activation} here", _find_span(before, "activation"))
    yield Diagnostic("warning", "new-coords", message, span, (note,))


def _find_span(node: Node, key: str) -> Span:
    option = node.section.find(key)
    return option.value_span if option else node.section.span
