"""Pass 8: warnings about valid layers that are probably not meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from darkparse.diagnostics import Diagnostic, Note
from darkparse.layers.head import Head
from darkparse.network.node import Node
from darkparse.network.passes.draft import Draft
from darkparse.network.passes.strict_rules import check_size_step
from darkparse.network.passes.stride_hint import find_stride_hint


def check_nodes(draft: Draft) -> None:
    """Check all nodes; after an error, all except the node that caused it."""
    at_fault = draft.fault.diagnostics[0].span if draft.fault else None
    nodes = [node for node in draft.nodes if node.section.span != at_fault]
    for node in nodes:
        draft.diagnostics += _collect_warnings(node, draft.nodes)
    draft.diagnostics += _check_heads(nodes)
    if draft.fault is None:
        draft.diagnostics += check_size_step(draft)


def _collect_warnings(node: Node, nodes: Sequence[Node]) -> Iterator[Diagnostic]:
    for warning in node.layer.warnings(node.context):
        inputs = tuple(zip(node.inputs, node.in_shapes, strict=True))
        hint = find_stride_hint(inputs, nodes) if warning.code == "sizes" else ""
        cause = f"{node.kind} {warning.code}" if warning.code else ""
        span = node.section.locate(warning.option)
        yield Diagnostic("warning", warning.code or "remark", f"{warning}{hint}", span, cause=cause)


def _check_heads(nodes: Sequence[Node]) -> Iterator[Diagnostic]:
    """Yield warnings about heads with different numbers of classes, or after an unexpected activation."""
    first: tuple[int, Node] | None = None
    for node in nodes:
        head = node.layer
        if not isinstance(head, Head):
            continue
        first = first or (head.classes, node)
        if head.classes != first[0]:  # the detections of all heads are merged into one list
            message = (
                f"heads have different numbers of classes, got {head.classes} here and {first[0]} in layer "
                f"{first[1].index}"
            )
            note = Note("other head", first[1].section.locate("classes"))
            yield Diagnostic("warning", "classes", message, node.section.locate("classes"), (note,), "classes")
        if head.expected_activation is not None and node.inputs[0] >= 0:
            yield from _check_activation(node, nodes[node.inputs[0]], head)


def _check_activation(node: Node, before: Node, head: Head) -> Iterator[Diagnostic]:
    activation = getattr(before.layer, "activation", None)
    if activation is None or activation == head.expected_activation:
        return
    form = "new_coords=1" if head.expected_activation == "logistic" else f"[{node.kind}] without new_coords=1"
    message = (
        f"{form} requires activation={head.expected_activation} in the layer before, got {activation}; boxes would be "
        "wrong"
    )
    note = Note(f"layer {before.index} [{before.kind}]", before.section.locate("activation"))
    yield Diagnostic("warning", "new-coords", message, node.section.locate("new_coords"), (note,))


def raise_errors(draft: Draft) -> None:
    """Raise CfgError with all diagnostics if any is an error."""
    if draft.fault is not None:
        raise draft.make_error(*draft.fault.diagnostics)
    if any(diagnostic.severity == "error" for diagnostic in draft.diagnostics):
        raise draft.make_error()
