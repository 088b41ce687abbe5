"""Passes of the layout that find what lies from left to right: lanes of gutters, columns, and the links themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from darkparse.views.diagram.font_metrics import text_width
from darkparse.views.diagram.layout.labels import BESIDE, LABEL_FONT, source_text
from darkparse.views.diagram.layout.page import Page
from darkparse.views.diagram.layout.routing import LANE, Key, LinkRoute, Point, Span, lanes_of
from darkparse.views.diagram.layout.vertical import ENTRY, HEAD_ROOM, HEADER_MIDDLE, STUB

NECK = 26.0
"""Room in a gutter where nothing leaves."""
BEFORE_HEAD = 18.0
"""From the bend of a link to its head."""


def vertical_channels(page: Page) -> Page:
    """The lanes of every gutter, by heights."""
    spans: dict[int, list[tuple[Key, Span]]] = defaultdict(list)
    for route in page.routes:
        if not route.is_routed:
            continue
        start, end = page.start_y(route), page.end_y(route)
        if route.via == "corridor":
            y = page.corridor_y(route)
            spans[route.leave].append((route.key, (start, y)))
            spans[route.enter].append((route.key, (y, end)))
        else:
            spans[_turning(route)].append((route.key, (start, end)))
    return replace(page, gutters={gutter: lanes_of(found) for gutter, found in spans.items()})


def _turning(route: LinkRoute) -> int:
    """The one gutter in which a link changes its height that takes no corridor."""
    return route.enter if route.via == "source level" else route.leave


def columns(page: Page) -> Page:
    """Every column's place, with the gutters between; heads and title in theirs."""
    lefts: dict[str, float] = {}
    lanes_x: dict[int, float] = {}
    x = _gutter(page, -1, 0, lefts, lanes_x) if -1 in page.gutters else 0.0
    for column in range(page.last_column + 1):
        inside = [box for box in page.placed if box.column == column]
        width = max((box.width for box in inside), default=0)
        lefts |= {box.name: x + (width - box.width) / 2 for box in inside}
        x = _gutter(page, column, x + width, lefts, lanes_x)
    if page.are_notes_beside:
        lefts["notes"] = next((lefts[box.name] for box in page.placed if box.column == 1), 0.0)
    boxes = tuple(replace(box, x=lefts.get(box.name, 0.0)) for box in page.boxes)
    return replace(page, boxes=boxes, lanes_x=lanes_x)


def _gutter(page: Page, column: int, x: float, lefts: dict[str, float], lanes_x: dict[int, float]) -> float:
    """Lay out a gutter from its left end: its heads, then its lanes; its right end."""
    straight = (route for route in page.routes if route.is_straight)
    joins = any(page.box[r.source].column != page.box[r.target].column for r in straight)
    heads = [head for head in page.beside if head.column == column]
    lanes = page.gutters[column].count if column in page.gutters else 0
    end = x + max(NECK, _stub(page, column, to_right=True))
    if heads:
        lefts.update({head.name: end + HEAD_ROOM for head in heads})
        end += HEAD_ROOM + max(head.width for head in heads) + (HEAD_ROOM if lanes else 0)
    lanes_x[column] = end
    end += max(lanes - 1, 0) * LANE
    if column == page.last_column:
        return end + (8 if heads or lanes else -NECK)
    return end + max(ENTRY if lanes or not joins else STUB, _stub(page, column, to_right=False))


def _stub(page: Page, gutter: int, *, to_right: bool) -> float:
    """Room for the labels of the links that leave rows into a gutter."""
    leaving = (r for r in page.routes if r.is_routed and r.leave == gutter and r.leaves_right == to_right)
    return max((text_width(source_text(r.link, page.names), LABEL_FONT) + 2 * BESIDE for r in leaving), default=0)


def routes(page: Page) -> Page:
    """The points of every link."""
    return replace(page, routes=tuple(replace(route, points=_points(page, route)) for route in page.routes))


def _points(page: Page, route: LinkRoute) -> tuple[Point, ...]:
    source, target = page.box[route.source], page.box[route.target]
    if route.is_straight:
        return _straight(page, route)
    start = (source.right if route.leaves_right else source.x, page.start_y(route))
    if route.via == "head":
        end = (target.x, target.y + target.height / 2)
        bend = target.x - BEFORE_HEAD
        return _clean([start, (bend, start[1]), (bend, end[1]), end])
    end = (target.x if route.enters_left else target.right, page.end_y(route))
    if route.via == "corridor":
        leave, enter, y = _lane_x(page, route, route.leave), _lane_x(page, route, route.enter), page.corridor_y(route)
        return _clean([start, (leave, start[1]), (leave, y), (enter, y), (enter, end[1]), end])
    lane = _lane_x(page, route, _turning(route))
    return _clean([start, (lane, start[1]), (lane, end[1]), end])


def _lane_x(page: Page, route: LinkRoute, gutter: int) -> float:
    return page.lanes_x[gutter] + LANE * page.gutters[gutter].lane_of[route.key]


def _straight(page: Page, route: LinkRoute) -> tuple[Point, Point]:
    source, target = page.box[route.source], page.box[route.target]
    if source.column == target.column:
        x = source.x + source.width / 2
        down = source.y < target.y
        return (x, source.bottom if down else source.y), (x, target.y if down else target.bottom)
    y = page.bands[source.level][0] + HEADER_MIDDLE
    forward = source.x < target.x
    return (source.right if forward else source.x, y), (target.x if forward else target.right, y)


def _clean(points: Sequence[Point]) -> tuple[Point, ...]:
    """Without points that the link runs straight through or stands still at."""
    kept: list[Point] = []
    for point in points:
        if kept and abs(kept[-1][0] - point[0]) < 0.5 and abs(kept[-1][1] - point[1]) < 0.5:
            continue
        if len(kept) > 1 and (kept[-2][0] == kept[-1][0] == point[0] or kept[-2][1] == kept[-1][1] == point[1]):
            kept.pop()
        kept.append(point)
    return tuple(kept)
