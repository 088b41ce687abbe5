"""Routing of links: straight to a neighbor, or through the gaps between columns and levels.

The grid has a vertical channel to the right of each column of boxes (channel -1 is to the left of the first) and a
horizontal channel above each level and below the last. A routed link leaves its row sideways, follows lanes in vertical
channels and at most one horizontal channel, and enters its target row sideways. Links with the same source and kind
share lanes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from darkparse.views.diagram.elements import Link, LinkKind
from darkparse.views.diagram.layout.boxes import Box

Point = tuple[float, float]
Interval = tuple[float, float]
"""Start and end along a channel."""
Via = Literal["straight", "head", "vertical channel", "source level", "target level", "horizontal channel"]
RouteKey = tuple[int, LinkKind]
"""Source and kind; links with the same key share lanes."""


@dataclass(frozen=True, slots=True)
class LinkRoute:
    """Route of one link."""

    link: Link
    source: str
    """Name of the source box."""
    target: str
    via: Via
    exit_channel: int = 0
    """Vertical channel into which the link leaves the source row."""
    entry_channel: int = 0
    """Vertical channel from which the link enters the target row."""
    horizontal_channel: int = 0
    leaves_right: bool = True
    enters_left: bool = True
    points: tuple[Point, ...] = ()

    @property
    def key(self) -> RouteKey:
        return self.link.source, self.link.kind

    @property
    def is_straight(self) -> bool:
        return self.via == "straight"

    @property
    def is_routed(self) -> bool:
        """Whether the link follows lanes."""
        return self.via not in ("straight", "head")


def plan_routes(
    links: Iterable[tuple[Link, Box, Box]],
    boxes: Sequence[Box],
    *,
    is_sideways: bool,
    stacked_columns: frozenset[int] = frozenset(),
) -> list[LinkRoute]:
    """Choose the kind of route of every link from grid positions.

    Args:
        links: Links with their source and target boxes.
        boxes: All boxes on the grid.
        is_sideways: Whether scales run from left to right.
        stacked_columns: Columns whose cards are not aligned with those in other columns.
    """
    occupied = {(box.column, box.level) for box in boxes}
    return [_plan_route(link, source, target, occupied, is_sideways, stacked_columns) for link, source, target in links]


def _plan_route(
    link: Link,
    source: Box,
    target: Box,
    occupied: set[tuple[int, int]],
    is_sideways: bool,
    stacked_columns: frozenset[int],
) -> LinkRoute:
    route = LinkRoute(link, source.name, target.name, "straight")
    is_below = link.kind == "head" and source.level != target.level
    if is_below or (link.kind == "chain" and _are_neighbors(source, target, occupied, is_sideways)):
        return route
    goes_right, enters_left = target.column >= source.column, target.column > source.column
    exit_channel, entry_channel = source.column - (not goes_right), target.column - enters_left
    route = replace(
        route, leaves_right=goes_right, enters_left=enters_left, exit_channel=exit_channel, entry_channel=entry_channel
    )
    between = range(min(source.column, target.column) + 1, max(source.column, target.column))
    if link.kind == "head":
        return replace(route, via="head")
    if exit_channel == entry_channel:
        return replace(route, via="vertical channel")
    if source.column not in stacked_columns and all((column, source.level) not in occupied for column in between):
        return replace(route, via="source level")
    if all((column, target.level) not in occupied for column in between):
        return replace(route, via="target level")
    low, high = sorted((source.level, target.level))
    # The channel is below the higher of the two cards, or above cards of the same level.
    horizontal_channel = target.level if source.column in stacked_columns else low + (low != high)
    return replace(route, via="horizontal channel", horizontal_channel=horizontal_channel)


def _are_neighbors(source: Box, target: Box, occupied: set[tuple[int, int]], is_sideways: bool) -> bool:
    """Return whether two boxes share a column with nothing in between or, sideways, are adjacent on one level."""
    if source.column == target.column:
        low, high = sorted((source.level, target.level))
        return all((source.column, level) not in occupied for level in range(low + 1, high))
    return is_sideways and source.level == target.level and abs(source.column - target.column) == 1


@dataclass(frozen=True, slots=True)
class Lanes:
    """Lane assignment in one channel."""

    lane_of: Mapping[RouteKey, int]

    @property
    def count(self) -> int:
        return max(self.lane_of.values(), default=-1) + 1


def assign_lanes(spans: Iterable[tuple[RouteKey, Interval]], distance: float) -> Lanes:
    """Assign each key to the first lane that is free along its whole extent, shortest extents first.

    Args:
        spans: Keys with the intervals that they occupy.
        distance: Minimum distance between two links in one lane.
    """
    extents: dict[RouteKey, Interval] = {}
    for key, ends in spans:
        bounds = (*ends, *extents.get(key, ends))
        extents[key] = min(bounds), max(bounds)
    lanes: list[list[Interval]] = []
    lane_of: dict[RouteKey, int] = {}
    for key, (low, high) in sorted(extents.items(), key=lambda item: (item[1][1] - item[1][0], item[1])):
        free = (i for i, lane in enumerate(lanes) if all(high + distance < a or b + distance < low for a, b in lane))
        lane_of[key] = next(free, len(lanes))
        if lane_of[key] == len(lanes):
            lanes.append([])
        lanes[lane_of[key]].append((low, high))
    return Lanes(lane_of)
