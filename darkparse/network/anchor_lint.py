"""Warnings about anchors and masks that have unexpected effects in training."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING

from darkparse._utils.text import join_with_and
from darkparse.diagnostics import Diagnostic, Span
from darkparse.layers import Head, Shape
from darkparse.network.node import Node
from darkparse.network.section_rules import number

if TYPE_CHECKING:
    from darkparse.network.network import Network

Box = tuple[float, float]
"""Width and height."""
NO_ANCHOR = (0.5, 0.5)
"""Default of a missing anchor, which another diagnostic reports."""
SAME_SHAPE = 0.95
"""IoU above which two anchors count as equal."""


@dataclass(frozen=True, slots=True)
class _MaskedHead:
    """Head with its anchors and its grid."""

    node: Node
    anchors: tuple[Box, ...]
    """All anchors of the cfg."""
    mask: tuple[int, ...]
    boxes: tuple[Box, ...]
    """Anchors that the mask selects."""
    grid: tuple[int, int]

    @property
    def num_cells(self) -> int:
        return prod(self.grid)

    @property
    def mask_span(self) -> Span:
        return self.node.section.locate("mask")

    @property
    def mean_area(self) -> float:
        return sum(map(prod, self.boxes)) / len(self.boxes)

    def __str__(self) -> str:
        names = [f"{w:g}×{h:g}" for w, h in (self.boxes[0], self.boxes[-1])]
        return " to ".join(dict.fromkeys(names))


def lint_anchors(network: Network) -> Iterator[Diagnostic]:
    """Yield warnings about unused anchors, masks in reverse order, and small anchors on a coarse grid."""
    heads = [head for node in network.nodes if (head := _make_head(node)) is not None]
    groups: dict[tuple[Box, ...], list[_MaskedHead]] = defaultdict(list)
    for head in heads:
        groups[head.anchors].append(head)
    used_boxes = [box for head in heads for box in head.boxes]
    for anchors, group in groups.items():
        # Each head matches objects against its own list, so a head with another list may use the same anchors.
        unused = [i for i, box in enumerate(anchors) if all(_overlap(box, used) < SAME_SHAPE for used in used_boxes)]
        if unused:
            yield _report_unused(anchors, group, unused)
    yield from _find_reversed(heads)


def _make_head(node: Node) -> _MaskedHead | None:
    layer = node.layer
    if not isinstance(layer, Head) or not layer.listed_anchors or NO_ANCHOR in (*layer.listed_anchors, *layer.boxes):
        return None
    if max(layer.indices) >= len(layer.listed_anchors):
        return None
    shape: Shape = node.in_shapes[0]
    return _MaskedHead(node, layer.listed_anchors, layer.indices, layer.boxes, layer.get_grid(shape))


def _report_unused(anchors: tuple[Box, ...], heads: Sequence[_MaskedHead], unused: Sequence[int]) -> Diagnostic:
    uses = Counter(i for head in heads for i in head.mask)
    repeated = [i for i, count in sorted(uses.items()) if count > 1]
    message = f"{_name_anchors(unused, anchors)} {'is' if len(unused) == 1 else 'are'} not used by any head"
    if repeated:
        message += f", {_name_anchors(repeated, anchors)} by {'two' if max(uses.values()) == 2 else 'more than one'}"
    message += f": objects nearest to {'it' if len(unused) == 1 else 'them'} in shape train "
    nodes = [head.node for head in heads if head.node.dialect.supports(dialect="alexeyab")]
    if any(number(node.section, "iou_thresh", 1) < 1 for node in nodes):
        message += "only predictors whose anchor overlaps them by more than iou_thresh="
    else:
        message += "no predictor"
    masks, first = _suggest_masks(anchors, heads)
    if masks:
        message += f"; keep this mask for weights trained with it, or write {masks} for your own training"
    else:
        count = sum(len(head.mask) for head in heads)
        message += f"; anchors= has {len(anchors)} pairs, but the masks select {count}: remove the others, or select "
        message += "all in mask= and adjust filters="
    return Diagnostic("warning", "unused-anchors", message, first.mask_span)


def repair_masks(network: Network) -> dict[int, tuple[int, ...]]:
    """Return masks by layer that select each anchor once, the smallest on the finest grid.

    Unchanged masks are omitted; the result is empty if the masks do not select as many anchors as are listed.
    """
    heads = [head for node in network.nodes if (head := _make_head(node)) is not None]
    return _assign_masks(heads[0].anchors, heads) if len({head.anchors for head in heads}) == 1 else {}


def _assign_masks(anchors: tuple[Box, ...], heads: Sequence[_MaskedHead]) -> dict[int, tuple[int, ...]]:
    order = sorted(range(len(anchors)), key=lambda i: (prod(anchors[i]), i))
    if sum(len(head.mask) for head in heads) != len(order):
        return {}
    masks: dict[int, tuple[int, ...]] = {}
    for head in sorted(heads, key=lambda head: -head.num_cells):
        mask, order = tuple(sorted(order[: len(head.mask)])), order[len(head.mask) :]
        if tuple(sorted(head.mask)) != mask:
            masks[head.node.index] = mask
    return masks


def _suggest_masks(anchors: tuple[Box, ...], heads: Sequence[_MaskedHead]) -> tuple[str, _MaskedHead]:
    """Return the masks to write with their lines, and the first head to change."""
    masks = _assign_masks(anchors, heads)
    changed = [head for head in heads if head.node.index in masks] or list(heads[-1:])
    texts = [
        f"mask={','.join(map(str, masks[head.node.index]))} in line {head.mask_span.line}"
        for head in changed
        if head.node.index in masks
    ]
    return join_with_and(texts), changed[0]


def _find_reversed(heads: Sequence[_MaskedHead]) -> Iterator[Diagnostic]:
    for head in heads:
        if len(head.mask) > 1 and all(a > b for a, b in pairwise(head.mask)):
            order = ",".join(map(str, reversed(head.mask)))
            message = (
                "mask= lists its anchors in reverse, which reverses the predictors: weights trained with "
                f"mask={order} do not fit"
            )
            yield Diagnostic("warning", "mask-order", message, head.mask_span)
    for fine, coarse in pairwise(sorted(heads, key=lambda head: -head.num_cells)):
        if fine.num_cells == coarse.num_cells or fine.mean_area <= coarse.mean_area:
            continue
        fine_grid, coarse_grid = ("×".join(map(str, head.grid)) for head in (fine, coarse))
        message = (
            f"masks are in reverse order: this head's {coarse_grid} grid has smaller anchors ({coarse}) than the "
            f"{fine_grid} grid of layer {fine.node.index} ({fine}), but small objects need the finer grid"
        )
        yield Diagnostic("warning", "mask-order", message, coarse.mask_span)


def _overlap(a: Box, b: Box) -> float:
    """Compute the IoU of two boxes with the same center."""
    shared = min(a[0], b[0]) * min(a[1], b[1])
    return shared / max(prod(a) + prod(b) - shared, 1e-12)


def _name_anchors(indices: Sequence[int], anchors: tuple[Box, ...]) -> str:
    names = join_with_and([f"{i} ({anchors[i][0]:g}×{anchors[i][1]:g})" for i in indices])
    return f"anchor {names}" if len(indices) == 1 else f"anchors {names}"
