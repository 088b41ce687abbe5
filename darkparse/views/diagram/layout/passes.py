"""The layout, pass by pass: each takes the page and gives the next, in the order of `PASSES`.

Which links run along which corridor is known before any coordinate, hence how high the corridors are; heights come
first, then which links run beside each other in the gutters, then widths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from darkparse.views.diagram.elements import Card, DiagramModel, HeadCard, Link
from darkparse.views.diagram.font_metrics import text_width
from darkparse.views.diagram.layout.boxes import Box, CardBox, HeadBox, card_box, columns_for, head_box
from darkparse.views.diagram.layout.grid import Grid, broken_grids, grid_of, in_one_column
from darkparse.views.diagram.layout.horizontal import columns, routes, vertical_channels
from darkparse.views.diagram.layout.labels import label_links
from darkparse.views.diagram.layout.page import Direction, Page
from darkparse.views.diagram.layout.routing import plan
from darkparse.views.diagram.layout.vertical import LEVEL_GAP, heads, horizontal_channels, levels, ports, title

MIN_LEGIBLE = 7.5 / 9
"""Columns are broken where the small print would be shown with less than 7.5 of its 9 points."""
GAIN = 1.1
"""How much larger the text has to become for several columns, which say more than one, to be broken,
and for a card to be cut."""


def arrange(picture: DiagramModel, *, direction: Direction = "TB", narrow: bool = False) -> Page:
    """Lay out a picture; a narrow one has a single column."""
    if narrow and direction == "TB":
        return labels(arranged(in_one_column(picture)))
    return labels(_best(grid_of(picture), direction))


def _best(grid: Grid, direction: Direction) -> Page:
    """The page that shows the largest text on a sheet, of the grid's own columns and others."""
    page = arranged(grid, direction)
    if direction == "LR" or page.scale >= MIN_LEGIBLE:
        return page

    def height(card: Card) -> float:
        return card_box(card, page.columns, has_column_heads=False).height + LEVEL_GAP

    def worth(broken: Page) -> float:
        return broken.scale / (GAIN if len(broken.cards) > len(page.cards) else 1)

    pages = (arranged(broken, direction) for broken in broken_grids(grid, height))
    best = max(pages, key=worth, default=page)
    gain = GAIN if grid.columns > 1 else 1
    return best if worth(best) > page.scale * gain else page


def arranged(grid: Grid, direction: Direction = "TB") -> Page:
    """The page of a grid, after every pass."""
    page = Page(grid, columns_for(grid.picture.cards), direction)
    for step in PASSES:
        page = step(page)
    return page


def boxes(page: Page) -> Page:
    """Cards, input and heads with their sizes and their places of the grid."""
    grid, picture = page.grid, page.picture
    places = [place if page.direction == "TB" else place[::-1] for place in grid.places]
    tops = {column: min(level for c, level in places if c == column) for column, _ in places}
    found: list[Box] = [
        replace(card_box(card, page.columns, has_column_heads=level == tops[column]), column=column, level=level)
        for card, (column, level) in zip(picture.cards, places, strict=True)
    ]
    cards = [box for box in found if isinstance(box, CardBox)]
    if any(link.source < 0 for link in picture.links):
        found.append(Box("input", text_width(picture.input_text, 12, bold=True) + 28, 26))
    found += [_head(head, cards, goes_below=page.direction == "TB" and grid.columns == 1) for head in picture.heads]
    return replace(page, boxes=tuple(found))


def _head(head: HeadCard, cards: list[CardBox], *, goes_below: bool) -> HeadBox:
    """A head in the place of its card, or below the last card of a single column."""
    card = next(card for card in cards if head.source in card.centers)
    is_below = goes_below and cards[-1].rows[-1].row.index == head.source
    box = head_box(head, is_beside=not is_below)
    return replace(box, column=card.column, level=card.level + is_below)


def route_plan(page: Page) -> Page:
    """Which gutters and corridors each link takes."""
    planned = plan(_ends(page), page.placed, sideways=page.direction == "LR", stacked=page.grid.stacked)
    return replace(page, routes=tuple(planned))


def _ends(page: Page) -> Iterator[tuple[Link, Box, Box]]:
    """Every link, also those from projections to heads, with the boxes at its ends."""
    box_of: dict[int, Box] = {index: box for box in page.cards for index in box.centers}
    box_of |= {-1: page.box["input"]} if "input" in page.box else {}
    heads = {box.head.index: box for box in page.heads}
    yield from ((link, box_of[link.source], box_of[link.target]) for link in page.picture.links)
    for index, box in heads.items():
        yield Link(box.head.source, index, "", "head"), box_of[box.head.source], box


def page_size(page: Page) -> Page:
    """The size of all."""
    points = [point for route in page.routes for point in route.points]
    width = max([box.right for box in page.boxes] + [x for x, _ in points])
    return replace(page, width=width, height=max([box.bottom for box in page.boxes] + [y for _, y in points]))


def labels(page: Page) -> Page:
    """The texts beside the links; the last of all, on the page that was chosen."""
    return replace(page, labels=tuple(label_links(page.routes, page.boxes, page.names)))


PASSES: tuple[Callable[[Page], Page], ...] = (
    boxes,
    route_plan,
    horizontal_channels,
    title,
    levels,
    ports,
    heads,
    vertical_channels,
    columns,
    routes,
    page_size,
)
