"""Labels of links: the shape of the tensor and the source layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from darkparse.views.diagram.elements import DiagramModel, Link
from darkparse.views.diagram.font_metrics import text_width
from darkparse.views.diagram.layout.boxes import LAYER_FONT, Box
from darkparse.views.diagram.layout.routing import LinkRoute, Point

LABEL_FONT = 10.0
LABEL_ABOVE, LABEL_BELOW, HEAD_OFFSET = -7.0, 8.0, 2.0
"""Vertical offset from a horizontal link to the middle of its label, and additional offset at an arrowhead."""
LABEL_GAP = 4.0
"""Space between a label and the card or link beside it."""


@dataclass(frozen=True, slots=True)
class LinkLabel:
    """Label of a link."""

    text: str
    x: float
    y: float
    """Vertical center of the text."""
    size: float = LABEL_FONT
    is_at_head: bool = False
    """Whether the label is at the arrowhead."""

    def intersects(self, x0: float, y0: float, x1: float, y1: float) -> bool:
        """Return whether the label overlaps a rectangle."""
        width, height = text_width(self.text, self.size), 0.9 * self.size
        return abs(2 * self.x - x0 - x1) < width + x1 - x0 and abs(2 * self.y - y0 - y1) < height + y1 - y0

    def overlaps(self, other: LinkLabel) -> bool:
        width, height = text_width(other.text, other.size), 0.9 * other.size
        return self.intersects(other.x - width / 2, other.y - height / 2, other.x + width / 2, other.y + height / 2)


def source_names(model: DiagramModel) -> dict[int, str]:
    """Return the source names of links by row; for a repeated block, the name of the last layer of the last copy."""
    names = {row.index: row.name for card in model.cards for row in card.rows}
    repeated_blocks = (block for card in model.cards for block in card.blocks if block.count > 1)
    return {-1: "input"} | names | {block.rows[-1].index: f"L{block.last}" for block in repeated_blocks}


def source_text(link: Link, names: Mapping[int, str]) -> str:
    """Format source and shape: `L13 · 64×64×256`, or only the layer if a card continues in the next column."""
    return " · ".join(filter(None, (names[link.source], link.label)))


def label_links(
    routes: Sequence[LinkRoute], boxes: Sequence[Box], names: Mapping[int, str]
) -> list[tuple[LinkLabel, LinkRoute]]:
    """Place the labels of all links; a label without enough space is shortened or omitted."""
    labels: list[tuple[LinkLabel, LinkRoute]] = []
    labeled_ends: set[tuple[object, ...]] = set()

    def is_free(label: LinkLabel, route: LinkRoute) -> bool:
        segments = (segment for other in routes if other is not route for segment in pairwise(other.points))
        return not (
            any(label.overlaps(other) for other, _ in labels)
            or any(label.intersects(box.x, box.y, box.right, box.bottom) for box in boxes)
            or any(label.intersects(*_corners(segment)) for segment in segments)
        )

    for route in routes:
        for end, candidates in _label_candidates(route, names):
            free_label = next((label for label in candidates if is_free(label, route)), None)
            if free_label and end not in labeled_ends:
                labels.append((free_label, route))
            labeled_ends.add(end)
    return labels


def _corners(segment: tuple[Point, Point]) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = segment
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _label_candidates(
    route: LinkRoute, names: Mapping[int, str]
) -> Iterator[tuple[tuple[object, ...], Iterable[LinkLabel]]]:
    """Yield for each labeled end of a link a unique key and the candidate labels, best first."""
    if route.link.kind == "head":
        return
    if route.is_straight:
        yield (route.link.source, route.link.target), _straight_link_labels(route)
        return
    start, end, name = route.points[0], route.points[-1], names[route.link.source]
    yield (
        (*start, route.key),
        _end_labels(start, (source_text(route.link, names), route.link.label), to_right=route.leaves_right),
    )
    yield (*end, route.key), _end_labels(end, (name,), to_right=not route.enters_left, is_at_head=True)


def _straight_link_labels(route: LinkRoute) -> Iterator[LinkLabel]:
    """Yield label positions beside a straight link."""
    (x0, y0), (x1, y1) = route.points
    text = route.link.label
    if not text:
        return
    if x0 == x1:
        yield LinkLabel(text, x0 + 2 * LABEL_GAP + text_width(text, LAYER_FONT) / 2, (y0 + y1) / 2, LAYER_FONT)
        return
    for y in (LABEL_ABOVE - 1, LABEL_BELOW + 1):
        yield LinkLabel(text, (x0 + x1) / 2, y0 + y, LAYER_FONT)


def _end_labels(end: Point, texts: Iterable[str], *, to_right: bool, is_at_head: bool = False) -> Iterator[LinkLabel]:
    """Yield label positions at the side of a card, above and below the link."""
    for text in filter(None, texts):
        dx = LABEL_GAP + text_width(text, LABEL_FONT) / 2
        extra_dy = HEAD_OFFSET if is_at_head else 0
        for dy in (LABEL_ABOVE - extra_dy, LABEL_BELOW + extra_dy):
            yield LinkLabel(text, end[0] + (dx if to_right else -dx), end[1] + dy, is_at_head=is_at_head)
