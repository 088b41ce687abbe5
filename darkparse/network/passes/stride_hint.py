"""Suggestion of a stride with which joined maps have the same size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from darkparse.layers import Shape
from darkparse.network.node import Node

Size = tuple[int, int]


def find_stride_hint(inputs: Sequence[tuple[int, Shape]], nodes: Sequence[Node]) -> str:
    """Suggest a stride that gives all inputs the same size, as the end of a sentence; empty without one.

    Args:
        inputs: Index and shape of each joined layer.
        nodes: Layers before the join.
    """
    for source, shape in inputs:
        targets = {(other.h, other.w) for index, other in inputs if index != source and other.is_map}
        if len(targets) != 1 or not shape.is_map or (shape.h, shape.w) in targets:
            continue
        for node in _find_resizers(source, nodes):
            hint = _fit_stride(node, targets.copy().pop())
            if hint is not None:
                return f"; {hint}"
    return ""


def _find_resizers(source: int, nodes: Sequence[Node]) -> Iterator[Node]:
    """Yield the upsample or reorg layer that determines a map's size, if any."""
    while source >= 0:
        node = nodes[source]
        if node.layer.role in ("upsample", "reorg"):
            yield node
            return
        if not node.inputs:
            return
        position = node.layer.main_input
        before = node.in_shapes[position]
        if (before.h, before.w) != (node.out_shape.h, node.out_shape.w):
            return
        source = node.inputs[position]


def _fit_stride(node: Node, target: Size) -> str | None:
    x, out = node.in_shapes[0], node.out_shape
    current = f"layer {node.index} [{node.kind}] resizes {x.h}×{x.w} to {out.h}×{out.w}"
    if (x.h, x.w) == target:
        return f"{current}: remove it to match the sizes"
    is_growing = out.h >= x.h
    large, small = (target, (x.h, x.w)) if is_growing else ((x.h, x.w), target)
    factors = {divmod(a, b) for a, b in zip(large, small, strict=True)}
    if len(factors) != 1:
        return None
    factor, rest = factors.pop()
    if rest or factor < 1:
        return None
    line = node.section.locate("stride").line
    if node.layer.role == "upsample" and is_growing:
        current = f"layer {node.index} upsamples by {out.h // x.h}"
    return f"{current}: set stride={factor} in line {line} to match the sizes"
