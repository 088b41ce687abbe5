"""The texts beside links: the shape of the tensor that crosses, and the layer that it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from darkparse.views.diagram.elements import DiagramModel, Link
from darkparse.views.diagram.font_metrics import text_width
from darkparse.views.diagram.layout.boxes import LAYER_FONT, Box
from darkparse.views.diagram.layout.routing import LinkRoute, Point

LABEL_FONT = 10.0
ABOVE, BELOW, HEAD = -7.0, 8.0, 2.0
"""From a level link to the middle of its text, and how much further an arrow's head pushes it."""
BESIDE = 4.0
"""Room between a text and the card or link that it stands at."""


@dataclass(frozen=True, slots=True)
class LinkLabel:
    """A text beside a link."""

    text: str
    x: float
    y: float
    """Middle of the text."""
    size: float = LABEL_FONT
    is_at_head: bool = False
    """It stands at the link's end."""

    def meets(self, x0: float, y0: float, x1: float, y1: float) -> bool:
        """Whether it overlaps a rectangle."""
        width, height = text_width(self.text, self.size), 0.9 * self.size
        return abs(2 * self.x - x0 - x1) < width + x1 - x0 and abs(2 * self.y - y0 - y1) < height + y1 - y0

    def overlaps(self, other: LinkLabel) -> bool:
        width, height = text_width(other.text, other.size), 0.9 * other.size
        return self.meets(other.x - width / 2, other.y - height / 2, other.x + width / 2, other.y + height / 2)


def source_names(picture: DiagramModel) -> dict[int, str]:
    """What a link from a row is called: the layer, or of a repeat, whose last copy is read, the last."""
    names = {row.index: row.name for card in picture.cards for row in card.rows}
    repeats = (block for card in picture.cards for block in card.blocks if block.count > 1)
    return {-1: "input"} | names | {block.rows[-1].index: f"L{block.last}" for block in repeats}


def source_text(link: Link, names: Mapping[int, str]) -> str:
    """`L13 · 64×64×256`; where a card goes on in the next column, the layer alone."""
    return " · ".join(filter(None, (names[link.source], link.label)))


def label_links(
    routes: Sequence[LinkRoute], boxes: Sequence[Box], names: Mapping[int, str]
) -> list[tuple[LinkLabel, LinkRoute]]:
    """Every label with its link; a text for which there is no room is shorter, or left out."""
    labels: list[tuple[LinkLabel, LinkRoute]] = []
    done: set[tuple[object, ...]] = set()

    def is_free(label: LinkLabel, route: LinkRoute) -> bool:
        lines = (stretch for other in routes if other is not route for stretch in pairwise(other.points))
        return not (
            any(label.overlaps(other) for other, _ in labels)
            or any(label.meets(box.x, box.y, box.right, box.bottom) for box in boxes)
            or any(label.meets(*_corners(stretch)) for stretch in lines)
        )

    for route in routes:
        for end, choices in _choices(route, names):
            found = next((label for label in choices if is_free(label, route)), None)
            if found and end not in done:
                labels.append((found, route))
            done.add(end)
    return labels


def _corners(stretch: tuple[Point, Point]) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = stretch
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _choices(route: LinkRoute, names: Mapping[int, str]) -> Iterator[tuple[tuple[object, ...], Iterable[LinkLabel]]]:
    """For each end that wants a label, what names it among all ends, and the labels that it can have, best first."""
    if route.link.kind == "head":
        return
    if route.is_straight:
        yield (route.link.source, route.link.target), _between(route)
        return
    start, end, name = route.points[0], route.points[-1], names[route.link.source]
    yield (
        (*start, route.key),
        _at(start, (source_text(route.link, names), route.link.label), to_right=route.leaves_right),
    )
    yield (*end, route.key), _at(end, (name,), to_right=not route.enters_left, is_at_head=True)


def _between(route: LinkRoute) -> Iterator[LinkLabel]:
    """Beside a straight link."""
    (x0, y0), (x1, y1) = route.points
    text = route.link.label
    if not text:
        return
    if x0 == x1:
        yield LinkLabel(text, x0 + 2 * BESIDE + text_width(text, LAYER_FONT) / 2, (y0 + y1) / 2, LAYER_FONT)
        return
    for y in (ABOVE - 1, BELOW + 1):
        yield LinkLabel(text, (x0 + x1) / 2, y0 + y, LAYER_FONT)


def _at(end: Point, texts: Iterable[str], *, to_right: bool, is_at_head: bool = False) -> Iterator[LinkLabel]:
    """At a card's side, above the link or below."""
    for text in filter(None, texts):
        aside = BESIDE + text_width(text, LABEL_FONT) / 2
        further = HEAD if is_at_head else 0
        for y in (ABOVE - further, BELOW + further):
            yield LinkLabel(text, end[0] + (aside if to_right else -aside), end[1] + y, is_at_head=is_at_head)
