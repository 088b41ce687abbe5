"""Layout passes that compute horizontal positions: lanes of vertical channels, columns, and link routes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from darkparse.views.diagram.font_metrics import text_width
from darkparse.views.diagram.layout.labels import LABEL_FONT, LABEL_GAP, source_text
from darkparse.views.diagram.layout.page import Page
from darkparse.views.diagram.layout.routing import Interval, LinkRoute, Point, RouteKey, assign_lanes
from darkparse.views.diagram.layout.vertical import HEAD_MARGIN, HEADER_MIDDLE

HEAD_LINK_LENGTH = 18.0
"""Distance from the bend of a link to the detection head."""


def vertical_channels(page: Page) -> Page:
    """Assign lanes in every vertical channel, by the heights that links span."""
    spans: dict[int, list[tuple[RouteKey, Interval]]] = defaultdict(list)
    for route in page.routes:
        if not route.is_routed:
            continue
        start, end = page.start_y(route), page.end_y(route)
        if route.via == "horizontal channel":
            y = page.channel_y(route)
            spans[route.exit_channel].append((route.key, (start, y)))
            spans[route.entry_channel].append((route.key, (y, end)))
        else:
            spans[_turn_channel(route)].append((route.key, (start, end)))
    lanes = {channel: assign_lanes(ends, page.spacing.lane) for channel, ends in spans.items()}
    return replace(page, vertical_channels=lanes)


def _turn_channel(route: LinkRoute) -> int:
    """Return the vertical channel in which a link without a horizontal channel changes its height."""
    return route.entry_channel if route.via == "source level" else route.exit_channel


def columns(page: Page) -> Page:
    """Compute the horizontal position of every column, vertical channel, head and title."""
    lefts: dict[str, float] = {}
    lane_starts: dict[int, float] = {}
    x = _layout_channel(page, -1, 0, lefts, lane_starts) if -1 in page.vertical_channels else 0.0
    for column in range(page.last_column + 1):
        inside = [box for box in page.grid_boxes if box.column == column]
        width = max((box.width for box in inside), default=0)
        lefts |= {box.name: x + (width - box.width) / 2 for box in inside}
        x = _layout_channel(page, column, x + width, lefts, lane_starts)
    if page.are_notes_beside:
        lefts["notes"] = next((lefts[box.name] for box in page.grid_boxes if box.column == 1), 0.0)
    boxes = tuple(replace(box, x=lefts.get(box.name, 0.0)) for box in page.boxes)
    return replace(page, boxes=boxes, lane_starts=lane_starts)


def _layout_channel(page: Page, column: int, x: float, lefts: dict[str, float], lane_starts: dict[int, float]) -> float:
    """Lay out a vertical channel, heads before lanes, and return its right end.

    `lefts` and `lane_starts` are updated in place.
    """
    straight = (route for route in page.routes if route.is_straight)
    has_column_links = any(page.box[r.source].column != page.box[r.target].column for r in straight)
    heads = [head for head in page.heads_beside if head.column == column]
    lanes = page.vertical_channels[column].count if column in page.vertical_channels else 0
    spacing = page.spacing
    end = x + max(spacing.min_channel_width, _label_width(page, column, to_right=True))
    if heads:
        lefts.update({head.name: end + HEAD_MARGIN for head in heads})
        end += HEAD_MARGIN + max(head.width for head in heads) + (HEAD_MARGIN if lanes else 0)
    lane_starts[column] = end
    end += max(lanes - 1, 0) * spacing.lane
    if column == page.last_column:
        return end + (spacing.end_margin if heads or lanes else -spacing.min_channel_width)
    return end + max(
        spacing.entry_width if lanes or not has_column_links else spacing.exit_width,
        _label_width(page, column, to_right=False),
    )


def _label_width(page: Page, channel: int, *, to_right: bool) -> float:
    """Return the width for labels of links that leave rows into a vertical channel."""
    if not page.spacing.has_labels:
        return 0
    leaving = (r for r in page.routes if r.is_routed and r.exit_channel == channel and r.leaves_right == to_right)
    return max(
        (text_width(source_text(r.link, page.row_names), LABEL_FONT) + 2 * LABEL_GAP for r in leaving), default=0
    )


def routes(page: Page) -> Page:
    """Compute the points of every link."""
    return replace(page, routes=tuple(replace(route, points=_points(page, route)) for route in page.routes))


def _points(page: Page, route: LinkRoute) -> tuple[Point, ...]:
    source, target = page.box[route.source], page.box[route.target]
    if route.is_straight:
        return _straight_points(page, route)
    start = (source.right if route.leaves_right else source.x, page.start_y(route))
    if route.via == "head":
        end = (target.x, target.y + target.height / 2)
        bend = target.x - HEAD_LINK_LENGTH
        return _simplify([start, (bend, start[1]), (bend, end[1]), end])
    end = (target.x if route.enters_left else target.right, page.end_y(route))
    if route.via == "horizontal channel":
        exit_x, entry_x = (_lane_x(page, route, channel) for channel in (route.exit_channel, route.entry_channel))
        y = page.channel_y(route)
        return _simplify([start, (exit_x, start[1]), (exit_x, y), (entry_x, y), (entry_x, end[1]), end])
    lane = _lane_x(page, route, _turn_channel(route))
    return _simplify([start, (lane, start[1]), (lane, end[1]), end])


def _lane_x(page: Page, route: LinkRoute, channel: int) -> float:
    return page.lane_starts[channel] + page.spacing.lane * page.vertical_channels[channel].lane_of[route.key]


def _straight_points(page: Page, route: LinkRoute) -> tuple[Point, Point]:
    source, target = page.box[route.source], page.box[route.target]
    if source.column == target.column:
        x = source.x + source.width / 2
        goes_down = source.y < target.y
        return (x, source.bottom if goes_down else source.y), (x, target.y if goes_down else target.bottom)
    y = page.bands[source.level][0] + HEADER_MIDDLE
    goes_right = source.x < target.x
    return (source.right if goes_right else source.x, y), (target.x if goes_right else target.right, y)


def _simplify(points: Sequence[Point]) -> tuple[Point, ...]:
    """Remove duplicate points and points on straight segments."""
    simplified: list[Point] = []
    for point in points:
        if simplified and abs(simplified[-1][0] - point[0]) < 0.5 and abs(simplified[-1][1] - point[1]) < 0.5:
            continue
        if len(simplified) > 1 and (
            simplified[-2][0] == simplified[-1][0] == point[0] or simplified[-2][1] == simplified[-1][1] == point[1]
        ):
            simplified.pop()
        simplified.append(point)
    return tuple(simplified)
