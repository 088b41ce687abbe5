"""How a link runs: straight to the neighbour in its column, or through the gaps between columns and levels.

The grid has columns of boxes with a vertical channel right of each (channel -1 is left of the first) and a horizontal
channel above each level and below the last. A routed link leaves its row sideways, runs along lanes in vertical
channels and at most one horizontal channel, and enters its target row sideways. Links of one source and kind share
their lanes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from darkparse.views.diagram.elements import Link, LinkKind
from darkparse.views.diagram.layout.boxes import Box

Point = tuple[float, float]
Interval = tuple[float, float]
"""From and to, along a channel."""
Via = Literal["straight", "head", "vertical channel", "source level", "target level", "horizontal channel"]
RouteKey = tuple[int, LinkKind]
"""What shares a way: links of one source that mean the same."""

LANE_SPACING = 9.0
"""Distance of parallel links in points."""


@dataclass(frozen=True, slots=True)
class LinkRoute:
    """One link's way."""

    link: Link
    source: str
    """The box that it comes from."""
    target: str
    via: Via
    exit_channel: int = 0
    """The vertical channel into which it leaves the source's row."""
    entry_channel: int = 0
    """The vertical channel from which it enters the target's row."""
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
        """It runs along lanes."""
        return self.via not in ("straight", "head")


def plan_routes(
    links: Iterable[tuple[Link, Box, Box]],
    boxes: Sequence[Box],
    *,
    is_sideways: bool,
    stacked_columns: frozenset[int] = frozenset(),
) -> list[LinkRoute]:
    """The kind of way of every link, by places in the grid alone.

    `is_sideways` says that scales go from left to right; cards in `stacked_columns` do not line up with those beside
    them.
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
    # Below the higher of the two; between cards of one level, above them.
    horizontal_channel = target.level if source.column in stacked_columns else low + (low != high)
    return replace(route, via="horizontal channel", horizontal_channel=horizontal_channel)


def _are_neighbors(source: Box, target: Box, occupied: set[tuple[int, int]], is_sideways: bool) -> bool:
    """One column with nothing between, or side by side on one level."""
    if source.column == target.column:
        low, high = sorted((source.level, target.level))
        return all((source.column, level) not in occupied for level in range(low + 1, high))
    return is_sideways and source.level == target.level and abs(source.column - target.column) == 1


@dataclass(frozen=True, slots=True)
class Lanes:
    """Who runs where in one channel."""

    lane_of: Mapping[RouteKey, int]

    @property
    def count(self) -> int:
        return max(self.lane_of.values(), default=-1) + 1


def assign_lanes(spans: Iterable[tuple[RouteKey, Interval]]) -> Lanes:
    """Give each key the first lane that is free along all that it takes up, the shortest first."""
    extents: dict[RouteKey, Interval] = {}
    for key, ends in spans:
        bounds = (*ends, *extents.get(key, ends))
        extents[key] = min(bounds), max(bounds)
    lanes: list[list[Interval]] = []
    lane_of: dict[RouteKey, int] = {}
    for key, (low, high) in sorted(extents.items(), key=lambda item: (item[1][1] - item[1][0], item[1])):
        free = (
            i for i, lane in enumerate(lanes) if all(high + LANE_SPACING < a or b + LANE_SPACING < low for a, b in lane)
        )
        lane_of[key] = next(free, len(lanes))
        if lane_of[key] == len(lanes):
            lanes.append([])
        lanes[lane_of[key]].append((low, high))
    return Lanes(lane_of)
