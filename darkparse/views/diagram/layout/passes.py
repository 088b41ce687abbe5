"""Layout passes; each maps a page to an updated page, in the order of `PASSES`.

The route plan assigns links to horizontal channels before coordinates are known, which determines the heights of these
channels. Vertical positions are computed first, then the lanes of the vertical channels, then horizontal positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from darkparse.views.diagram.elements import Card, DiagramModel, HeadCard, Link
from darkparse.views.diagram.font_metrics import text_width
from darkparse.views.diagram.layout.boxes import (
    Box,
    CardBox,
    HeadBox,
    build_card_box,
    build_head_box,
    compute_column_widths,
)
from darkparse.views.diagram.layout.grid import Grid, build_grid, build_single_column_grid, compact_grids, split_grids
from darkparse.views.diagram.layout.horizontal import columns, routes, vertical_channels
from darkparse.views.diagram.layout.labels import label_links
from darkparse.views.diagram.layout.page import Direction, Page
from darkparse.views.diagram.layout.routing import plan_routes
from darkparse.views.diagram.layout.vertical import heads, horizontal_channels, levels, ports, title

MIN_LEGIBLE = 7.5 / 9
"""Scale below which columns are split: text of 9 points would shrink to less than 7.5 points."""
MIN_GAIN = 1.1
"""Minimum factor by which the text must grow to justify splitting a card, or moving the columns of a grid."""


def arrange(model: DiagramModel, *, direction: Direction = "TB", narrow: bool = False) -> Page:
    """Lay out a model.

    Args:
        model: Diagram content.
        direction: `"TB"` for scales from top to bottom, `"LR"` from left to right.
        narrow: Use a single column if the direction is `"TB"`.
    """
    if narrow and direction == "TB":
        return labels(run_passes(build_single_column_grid(model)))
    return labels(_choose_page(build_grid(model), direction))


def _choose_page(grid: Grid, direction: Direction) -> Page:
    """Choose the grid, the given one or one with other columns, that results in the largest text on a sheet."""
    page = run_passes(grid, direction)
    if direction == "LR" or page.scale >= MIN_LEGIBLE:
        return page

    def card_height(card: Card) -> float:
        return build_card_box(card, page.column_widths, has_column_heads=False).height + page.spacing.level_gap

    def score(candidate: Page) -> float:
        return candidate.scale / (MIN_GAIN if len(candidate.cards) > len(page.cards) else 1)

    grids = (*compact_grids(grid, card_height), *split_grids(grid, card_height))
    candidates = [run_passes(candidate, direction) for candidate in grids]
    best = max(candidates, key=score, default=page)
    min_gain = MIN_GAIN if grid.num_columns > 1 else 1
    return best if score(best) > page.scale * min_gain else page


def run_passes(grid: Grid, direction: Direction = "TB") -> Page:
    """Run all passes on a grid."""
    page = Page(grid, compute_column_widths(grid.model.cards), direction)
    for step in PASSES:
        page = step(page)
    return page


def boxes(page: Page) -> Page:
    """Build the boxes of cards, input and heads, with sizes and grid positions."""
    grid, model = page.grid, page.model
    places = [place if page.direction == "TB" else place[::-1] for place in grid.places]
    top_levels = {column: min(level for c, level in places if c == column) for column, _ in places}
    all_boxes: list[Box] = [
        replace(
            build_card_box(card, page.column_widths, has_column_heads=level == top_levels[column]),
            column=column,
            level=level,
        )
        for card, (column, level) in zip(model.cards, places, strict=True)
    ]
    cards = [box for box in all_boxes if isinstance(box, CardBox)]
    if any(link.source < 0 for link in model.links):
        all_boxes.append(Box("input", text_width(model.input_text, 12, bold=True) + 28, 26))
    all_boxes += [
        _place_head(head, cards, goes_below=page.direction == "TB" and grid.num_columns == 1) for head in model.heads
    ]
    return replace(page, boxes=tuple(all_boxes))


def _place_head(head: HeadCard, cards: list[CardBox], *, goes_below: bool) -> HeadBox:
    """Place a head at the grid position of its card, or below the last card of a single column."""
    card = next(card for card in cards if head.source in card.centers)
    is_below = goes_below and cards[-1].rows[-1].row.index == head.source
    box = build_head_box(head, is_beside=not is_below)
    return replace(box, column=card.column, level=card.level + is_below)


def route_plan(page: Page) -> Page:
    """Assign every link to its channels."""
    planned_routes = plan_routes(
        _links_with_boxes(page),
        page.grid_boxes,
        is_sideways=page.direction == "LR",
        stacked_columns=page.grid.stacked_columns,
    )
    return replace(page, routes=tuple(planned_routes))


def _links_with_boxes(page: Page) -> Iterator[tuple[Link, Box, Box]]:
    """Yield every link, including those to heads, with its source and target boxes."""
    box_of: dict[int, Box] = {index: box for box in page.cards for index in box.centers}
    box_of |= {-1: page.box["input"]} if "input" in page.box else {}
    heads = {box.head.index: box for box in page.heads}
    yield from ((link, box_of[link.source], box_of[link.target]) for link in page.model.links)
    for index, box in heads.items():
        yield Link(box.head.source, index, "", "head"), box_of[box.head.source], box


def page_size(page: Page) -> Page:
    """Compute the size of the page."""
    points = [point for route in page.routes for point in route.points]
    width = max([box.right for box in page.boxes] + [x for x, _ in points])
    return replace(page, width=width, height=max([box.bottom for box in page.boxes] + [y for _, y in points]))


def labels(page: Page) -> Page:
    """Place the labels of links. This runs last, and only for the selected page."""
    return replace(page, labels=tuple(label_links(page.routes, page.boxes, page.row_names)))


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
