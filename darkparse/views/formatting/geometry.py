"""Sentences about padding and detection heads, with the figures of one layer."""

from __future__ import annotations

from collections.abc import Iterator

from darkparse._utils.text import join_with_and, pluralize
from darkparse.layers import Head
from darkparse.network import Node
from darkparse.views.formatting.numbers import significant_digits
from darkparse.views.layer_info import LayerFacts

ENTRIES = {
    4: "x, y, width and height",
    5: "x, y, width, height and objectness",
    9: "x, y, width and height, the uncertainty of each, and objectness",
}
"""Values per box besides the classes, by their number."""


def describe_padding(node: Node) -> Iterator[str]:
    """Yield a sentence on how padding leads to the output size, for convolutions whose padding is not 0."""
    before = node.in_shape
    kwargs = next((spec.kwargs for spec in node.modules if "kernel_size" in spec.kwargs), {})
    padding = kwargs.get("padding", 0)
    if before is None or not padding or not isinstance(padding, int):
        return
    cause = "pad=1 is half of size" if getattr(node.layer, "pad", False) else f"padding={padding}"
    window = kwargs.get("dilation", 1) * (kwargs["kernel_size"] - 1) + 1
    stride = kwargs["stride"]
    strides = stride if isinstance(stride, tuple) else (stride, stride)
    sides = zip((before.h, before.w), strides, strict=True)
    sums = dict.fromkeys(_size_formula(side, padding, window, step) for side, step in sides)
    yield f"Padding is {pluralize(padding, 'pixel')} on every side ({cause}): {join_with_and([*sums])}."


def _size_formula(side: int, padding: int, window: int, stride: int) -> str:
    """Format the output size: `(448 + 2·3 − 7)/2 + 1 = 224`; brackets mean rounding down."""
    span = side + 2 * padding - window
    difference = f"{side} + 2·{padding} − {window}"
    if stride == 1:
        return f"{difference} + 1 = {span + 1}"
    quotient = f"({difference})/{stride}" if span % stride == 0 else f"⌊({difference})/{stride}⌋"
    return f"{quotient} + 1 = {span // stride + 1}"


def describe_head(facts: LayerFacts) -> Iterator[str]:
    """Yield sentences about the values of a box, the anchors, and the number of boxes."""
    head, node = facts.node.layer, facts.node
    if not isinstance(head, Head):
        return
    entries = next((n for n in (head.entries - head.classes, head.entries) if n in ENTRIES), 0)
    if entries:
        yield f"The {entries} are {ENTRIES[entries]}."
    if head.boxes:
        unit = "cells" if head.anchors_in_cells else "pixels"
        sizes = [f"{significant_digits(w)}×{significant_digits(h)}" for w, h in head.boxes]
        noun = "anchor is" if len(sizes) == 1 else "anchors are"
        yield f"Its {noun} {join_with_and(sizes)} {unit} (width × height)."
    rows, columns = head.get_grid(node.in_shapes[0])
    boxes = count_boxes(node)
    total = sum(count_boxes(facts.network.nodes[i]) for i in facts.network.heads)
    others = f"; {total:,} in all {len(facts.network.heads)} heads" if total > boxes else ""
    noun = "box" if boxes == 1 else "boxes"
    yield f"It outputs {rows} × {columns} × {head.predictors} = {boxes:,} {noun}{others}."


def count_boxes(node: Node) -> int:
    """Return the number of boxes that a head decodes; 0 for other layers."""
    if not isinstance(node.layer, Head):
        return 0
    rows, columns = node.layer.get_grid(node.in_shapes[0])
    return rows * columns * node.layer.predictors
