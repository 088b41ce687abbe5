"""Layout passes that compute vertical positions: channels, levels, title, ends of links, and heads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace

from darkparse.views.diagram.layout.boxes import Box, HeadBox
from darkparse.views.diagram.layout.page import Page, Port, get_end_port, get_start_port
from darkparse.views.diagram.layout.routing import Interval, LinkRoute, RouteKey, assign_lanes
from darkparse.views.diagram.title import notes_box, title_box

HEAD_MARGIN = 12.0
"""Space around a head."""
HEADER_MIDDLE = 14.0
"""Distance from the top of a card to a straight link between cards of the same level."""
PORT_SPACING, MAX_PORT_SPAN = 6.0, 12.0
"""Distance between links at the same end of a row, and the maximum height for all of them."""


def horizontal_channels(page: Page) -> Page:
    """Assign lanes in every horizontal channel, by the columns that links span."""
    spans: dict[int, list[tuple[RouteKey, Interval]]] = defaultdict(list)
    for route in page.routes:
        if route.via == "horizontal channel":
            spans[route.horizontal_channel].append((route.key, (route.exit_channel, route.entry_channel)))
    return replace(
        page, horizontal_channels={level: assign_lanes(ends, page.spacing.lane) for level, ends in spans.items()}
    )


def title(page: Page) -> Page:
    """Build the title, and the notes beside the first column if they fit, else below the title."""
    width_beside, full_width = (_estimate_width(page, page.last_column + extra) for extra in (0, 1))
    notes = notes_box(page.model, width_beside)
    are_beside = _fits_beside(page, notes, width_beside)
    boxes = (title_box(page.model, full_width), notes if are_beside else notes_box(page.model, full_width))
    return replace(page, are_notes_beside=are_beside, boxes=(*page.boxes, *boxes))


def _estimate_width(page: Page, num_columns: int) -> float:
    """Estimate the width of the last columns, including the heads to the right of them."""
    heads_width = max(
        (head.width + HEAD_MARGIN for head in page.heads_beside if head.column == page.last_column), default=0
    )
    gap = page.spacing.exit_width + page.spacing.entry_width
    return num_columns * (page.column_widths.total + gap) - gap + heads_width


def _fits_beside(page: Page, notes: Box, width: float) -> bool:
    """Return whether the notes fit above the columns after the first, if those begin further down."""
    other_levels = [box.level for box in page.grid_boxes if box.column > 0]
    if not other_levels or page.direction == "LR":
        return False
    first_level = min(other_levels)
    first_channel = min(
        (r.horizontal_channel for r in page.routes if r.via == "horizontal channel"), default=first_level
    )
    heights_above = [
        max(box.height for box in page.grid_boxes if box.column == 0 and box.level == level) + page.spacing.level_gap
        for level in range(first_level)
    ]
    return first_channel >= first_level and sum(heights_above) > notes.height + 10 and width > notes.width


def levels(page: Page) -> Page:
    """Compute the band of every level and the vertical positions of boxes; stacked columns ignore the bands."""
    title_height = page.box["title"].height
    gap = page.spacing.title_gap
    notes_y = title_height + (gap if page.are_notes_beside else page.spacing.notes_gap)
    y = title_height + gap if page.are_notes_beside else notes_y + page.box["notes"].height + gap
    bands: dict[int, tuple[float, float]] = {}
    for level in range(page.last_level + 1):
        y += _channel_height(page, level)
        inside = (box for box in page.grid_boxes if box.level == level and box.column not in page.grid.stacked_columns)
        bands[level] = (y, y + max((box.height for box in inside), default=0))
        y = bands[level][1]
    tops = {"notes": notes_y} | {box.name: bands[box.level][0] for box in page.grid_boxes}
    for column in sorted(page.grid.stacked_columns):
        stack = [box for box in page.grid_boxes if box.column == column]
        start = _stack_start(page, stack, tops) if column else bands[0][0]
        tops |= _stack_boxes(stack, max(start, bands[0][0]), page.spacing.level_gap)
    if "input" in tops and page.direction == "LR":
        tops["input"] += HEADER_MIDDLE - page.box["input"].height / 2
    boxes = tuple(replace(box, y=tops.get(box.name, 0.0)) for box in page.boxes)
    return replace(page, bands=bands, bottom=y + _channel_height(page, len(bands)), boxes=boxes)


def _channel_height(page: Page, level: int) -> float:
    lanes = page.horizontal_channels[level].count if level in page.horizontal_channels else 0
    return (page.spacing.level_gap if 0 < level <= page.last_level else 0) + lanes * page.spacing.lane


def _stack_start(page: Page, stack: list[Box], tops: Mapping[str, float]) -> float:
    """Return where a stacked column starts: beside the card of its first level, or higher to end with the first column.

    It starts below the notes if these are beside the first column.
    """
    first_column = [box for box in page.grid_boxes if box.column == 0]
    first_level = min(box.level for box in stack)
    beside = next((tops[box.name] for box in first_column if box.level == first_level), 0.0)
    bottom = max(tops[box.name] + box.height for box in first_column)
    height = sum(box.height for box in stack) + page.spacing.level_gap * (len(stack) - 1)
    notes_bottom = tops["notes"] + page.box["notes"].height + page.spacing.title_gap if page.are_notes_beside else 0.0
    return max(notes_bottom, min(beside, bottom - height))


def _stack_boxes(boxes: list[Box], y: float, gap: float) -> dict[str, float]:
    """Return the tops of a column's boxes, stacked from `y` regardless of other columns."""
    tops = {}
    for box in sorted(boxes, key=lambda box: box.level):
        tops[box.name] = y
        y += box.height + gap
    return tops


def ports(page: Page) -> Page:
    """Compute the offset of each link end from the middle of its row, so that links at the same end are separate."""
    ends: dict[tuple[int, bool], dict[Port, float]] = defaultdict(dict)
    for route in page.routes:
        if route.is_straight:
            continue
        distance = page.box[route.target].row_y(route.link.target) - page.box[route.source].row_y(route.link.source)
        start_port, end_port = get_start_port(route), get_end_port(route)
        ends[start_port[:2]].setdefault(start_port, distance)
        if route.via != "head":
            ends[end_port[:2]].setdefault(end_port, -distance)
    offsets: dict[Port, float] = {}
    for port_distances in ends.values():
        step = min(PORT_SPACING, MAX_PORT_SPAN / max(1, len(port_distances) - 1))
        for number, port in enumerate(sorted(port_distances, key=port_distances.__getitem__)):
            offsets[port] = (number - (len(port_distances) - 1) / 2) * step
    return replace(page, port_offsets=offsets)


def heads(page: Page) -> Page:
    """Compute the vertical positions of heads beside their cards, avoiding links and other heads."""
    tops: dict[str, float] = {}
    for head in page.heads_beside:
        route = next(route for route in page.routes if route.target == head.name)
        preferred_y = page.start_y(route) - head.height / 2
        occupied = [(y - HEAD_MARGIN, y + HEAD_MARGIN) for y in _crossing_heights(page, head.column)]
        others = (other for other in page.heads_beside if other.column == head.column and other.name in tops)
        occupied += [(tops[other.name] - 6, tops[other.name] + other.height + 6) for other in others]
        tops[head.name] = _find_free_y(head, preferred_y, occupied)
    return replace(page, boxes=tuple(replace(box, y=tops.get(box.name, box.y)) for box in page.boxes))


def _find_free_y(head: HeadBox, preferred_y: float, occupied: list[Interval]) -> float:
    """Return the free position of a head that is closest to the preferred one."""
    heights = (preferred_y + step for step in sorted((step * 4.0 for step in range(-120, 121)), key=abs))
    free_heights = (y for y in heights if y >= 0 and all(y + head.height < a or b < y for a, b in occupied))
    return next(free_heights, preferred_y)


def _crossing_heights(page: Page, channel: int) -> Iterator[float]:
    """Yield the heights at which links cross the left part of a vertical channel, where its heads are.

    The lanes are to the right of the heads.
    """
    for route in page.routes:
        if not route.is_routed:
            continue
        if route.leaves_right and route.exit_channel == channel:
            yield page.start_y(route)
        if not route.enters_left and route.entry_channel == channel:
            yield page.end_y(route)
        if min(route.exit_channel, route.entry_channel) < channel <= max(route.exit_channel, route.entry_channel):
            yield _crossing_y(page, route)


def _crossing_y(page: Page, route: LinkRoute) -> float:
    """Return the height at which a link crosses the columns between its ends."""
    if route.via == "source level":
        return page.start_y(route)
    return page.end_y(route) if route.via == "target level" else page.channel_y(route)
