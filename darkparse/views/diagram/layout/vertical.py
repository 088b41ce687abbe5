"""Passes of the layout that find heights: of corridors, levels and the title, of the ends of links, of heads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from darkparse.views.diagram.layout.boxes import Box, HeadBox
from darkparse.views.diagram.layout.page import Page, Port, port_in, port_out
from darkparse.views.diagram.layout.routing import LANE, Key, LinkRoute, Span, lanes_of
from darkparse.views.diagram.title import notes_box, title_box

LEVEL_GAP = 30.0
"""Height of a corridor without lanes, which holds a link's label."""
STUB, ENTRY = 64.0, 28.0
"""Room in a gutter before its lanes, for the shape of what leaves, and behind them,
for arrow heads and whence they come."""
HEAD_ROOM = 12.0
"""Room round a head."""
HEADER_MIDDLE = 14.0
"""Height at which cards of one level are joined, from their top."""
PORT, PORTS = 6.0, 12.0
"""Distance of the links at one end of a row, and the most that all of them take up."""
ABOVE_NOTES, BELOW_TITLE = 4.0, 14.0


def horizontal_channels(page: Page) -> Page:
    """The lanes of every corridor, by columns."""
    spans: dict[int, list[tuple[Key, Span]]] = defaultdict(list)
    for route in page.routes:
        if route.via == "corridor":
            spans[route.corridor].append((route.key, (route.leave, route.enter)))
    return replace(page, corridors={level: lanes_of(found) for level, found in spans.items()})


def title(page: Page) -> Page:
    """The title, and its notes beside the first column where they fit, else below it."""
    beside, room = (_room(page, page.last_column + all) for all in (0, 1))
    notes = notes_box(page.picture, beside)
    are_beside = _fits_beside(page, notes, beside)
    boxes = (title_box(page.picture, room), notes if are_beside else notes_box(page.picture, room))
    return replace(page, are_notes_beside=are_beside, boxes=(*page.boxes, *boxes))


def _room(page: Page, columns: int) -> float:
    """About the width of the last columns, with the heads behind."""
    heads = max((head.width + HEAD_ROOM for head in page.beside if head.column == page.last_column), default=0)
    return columns * (page.columns.total + STUB + ENTRY) - STUB - ENTRY + heads


def _fits_beside(page: Page, notes: Box, room: float) -> bool:
    """Whether the notes fit above the columns right of the first, which begin further down."""
    others = [box.level for box in page.placed if box.column > 0]
    if not others or page.direction == "LR":
        return False
    first = min(others)
    lowest_use = min((r.corridor for r in page.routes if r.via == "corridor"), default=first)
    above = [max(box.height for box in page.placed if box.level == level) + LEVEL_GAP for level in range(first)]
    return lowest_use >= first and sum(above) > notes.height + 10 and room > notes.width


def levels(page: Page) -> Page:
    """Every level's band, and the boxes on it; a stacked column goes its own way."""
    top = page.box["title"].height
    notes = top + BELOW_TITLE if page.are_notes_beside else top + ABOVE_NOTES
    y = top + BELOW_TITLE if page.are_notes_beside else notes + page.box["notes"].height + BELOW_TITLE
    bands: dict[int, tuple[float, float]] = {}
    for level in range(page.last_level + 1):
        y += _corridor_height(page, level)
        inside = (box for box in page.placed if box.level == level and box.column not in page.grid.stacked)
        bands[level] = (y, y + max((box.height for box in inside), default=0))
        y = bands[level][1]
    tops = {"notes": notes} | {box.name: bands[box.level][0] for box in page.placed}
    for column in page.grid.stacked:
        tops |= _stacked([box for box in page.placed if box.column == column], bands[0][0])
    if "input" in tops and page.direction == "LR":
        tops["input"] += HEADER_MIDDLE - page.box["input"].height / 2
    boxes = tuple(replace(box, y=tops.get(box.name, 0.0)) for box in page.boxes)
    return replace(page, bands=bands, bottom=y + _corridor_height(page, len(bands)), boxes=boxes)


def _corridor_height(page: Page, level: int) -> float:
    lanes = page.corridors[level].count if level in page.corridors else 0
    return (LEVEL_GAP if 0 < level <= page.last_level else 0) + lanes * LANE


def _stacked(boxes: list[Box], y: float) -> dict[str, float]:
    """The tops of a column's cards, one below the other whatever stands beside them."""
    tops = {}
    for box in sorted(boxes, key=lambda box: box.level):
        tops[box.name] = y
        y += box.height + LEVEL_GAP
    return tops


def ports(page: Page) -> Page:
    """How far from the middle of its row each link begins and ends: those of one row's end lie beside each other."""
    ends: dict[tuple[int, bool], dict[Port, float]] = defaultdict(dict)
    for route in page.routes:
        if route.is_straight:
            continue
        ahead = page.box[route.target].row_y(route.link.target) - page.box[route.source].row_y(route.link.source)
        leaving, entering = port_out(route), port_in(route)
        ends[leaving[:2]].setdefault(leaving, ahead)
        if route.via != "head":
            ends[entering[:2]].setdefault(entering, -ahead)
    offsets: dict[Port, float] = {}
    for aheads in ends.values():
        step = min(PORT, PORTS / max(1, len(aheads) - 1))
        for number, port in enumerate(sorted(aheads, key=aheads.__getitem__)):
            offsets[port] = (number - (len(aheads) - 1) / 2) * step
    return replace(page, ports=offsets)


def heads(page: Page) -> Page:
    """Heads beside their card, clear of the links that pass."""
    tops: dict[str, float] = {}
    for head in page.beside:
        route = next(route for route in page.routes if route.target == head.name)
        wanted = page.start_y(route) - head.height / 2
        busy = [(y - HEAD_ROOM, y + HEAD_ROOM) for y in _passing(page, head.column)]
        others = (other for other in page.beside if other.column == head.column and other.name in tops)
        busy += [(tops[other.name] - 6, tops[other.name] + other.height + 6) for other in others]
        tops[head.name] = _clear(head, wanted, busy)
    return replace(page, boxes=tuple(replace(box, y=tops.get(box.name, box.y)) for box in page.boxes))


def _clear(head: HeadBox, wanted: float, busy: list[Span]) -> float:
    """The height nearest to the one wanted at which a head touches nothing."""
    heights = (wanted + step for step in sorted((step * 4.0 for step in range(-120, 121)), key=abs))
    clear = (y for y in heights if y >= 0 and all(y + head.height < a or b < y for a, b in busy))
    return next(clear, wanted)


def _passing(page: Page, gutter: int) -> Iterator[float]:
    """Heights at which links cross the left part of a gutter, where its heads stand;
    its lanes are right of them."""
    for route in page.routes:
        if not route.is_routed:
            continue
        if route.leaves_right and route.leave == gutter:
            yield page.start_y(route)
        if not route.enters_left and route.enter == gutter:
            yield page.end_y(route)
        if min(route.leave, route.enter) < gutter <= max(route.leave, route.enter):
            yield _crossing(page, route)


def _crossing(page: Page, route: LinkRoute) -> float:
    """The height at which a link crosses the columns between its ends."""
    if route.via == "source level":
        return page.start_y(route)
    return page.end_y(route) if route.via == "target level" else page.corridor_y(route)
