"""How a link runs: straight to the neighbour in its column, or through the gaps between columns and levels.

The grid has columns of boxes with a gutter right of each (gutter -1 is left of the first) and a corridor above each
level and below the last. A routed link leaves its row sideways, runs along lanes in gutters and at most one corridor,
and enters its target row sideways. Links of one source and kind share their lanes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from darkparse.views.diagram.elements import Link, LinkKind
from darkparse.views.diagram.layout.boxes import Box

Point = tuple[float, float]
Span = tuple[float, float]
"""From and to, along a gutter or a corridor."""
Via = Literal["straight", "head", "gutter", "source level", "target level", "corridor"]
Key = tuple[int, LinkKind]
"""What shares a way: links of one source that mean the same."""

LANE = 9.0
"""Distance of parallel links in points."""


@dataclass(frozen=True, slots=True)
class LinkRoute:
    """One link's way."""

    link: Link
    source: str
    """The box that it comes from."""
    target: str
    via: Via
    leave: int = 0
    """The gutter into which it leaves the source's row."""
    enter: int = 0
    """The gutter from which it enters the target's row."""
    corridor: int = 0
    leaves_right: bool = True
    enters_left: bool = True
    points: tuple[Point, ...] = ()

    @property
    def key(self) -> Key:
        return self.link.source, self.link.kind

    @property
    def is_straight(self) -> bool:
        return self.via == "straight"

    @property
    def is_routed(self) -> bool:
        """It runs along lanes."""
        return self.via not in ("straight", "head")


def plan(
    links: Iterable[tuple[Link, Box, Box]],
    boxes: Sequence[Box],
    *,
    sideways: bool,
    stacked: frozenset[int] = frozenset(),
) -> list[LinkRoute]:
    """The kind of way of every link, by places in the grid alone.

    `sideways` says that scales go from left to right; cards in `stacked` columns do not line up with those beside them.
    """
    taken = {(box.column, box.level) for box in boxes}
    return [_planned(link, source, target, taken, sideways, stacked) for link, source, target in links]


def _planned(
    link: Link, source: Box, target: Box, taken: set[tuple[int, int]], sideways: bool, stacked: frozenset[int]
) -> LinkRoute:
    route = LinkRoute(link, source.name, target.name, "straight")
    is_below = link.kind == "head" and source.level != target.level
    if is_below or (link.kind == "chain" and _are_neighbors(source, target, taken, sideways)):
        return route
    right, left = target.column >= source.column, target.column > source.column
    leave, enter = source.column - (not right), target.column - left
    route = replace(route, leaves_right=right, enters_left=left, leave=leave, enter=enter)
    between = range(min(source.column, target.column) + 1, max(source.column, target.column))
    if link.kind == "head":
        return replace(route, via="head")
    if leave == enter:
        return replace(route, via="gutter")
    if source.column not in stacked and all((column, source.level) not in taken for column in between):
        return replace(route, via="source level")
    if all((column, target.level) not in taken for column in between):
        return replace(route, via="target level")
    low, high = sorted((source.level, target.level))
    # Below the higher of the two; between cards of one level, above them.
    corridor = target.level if source.column in stacked else low + (low != high)
    return replace(route, via="corridor", corridor=corridor)


def _are_neighbors(source: Box, target: Box, taken: set[tuple[int, int]], sideways: bool) -> bool:
    """One column with nothing between, or side by side on one level."""
    if source.column == target.column:
        low, high = sorted((source.level, target.level))
        return all((source.column, level) not in taken for level in range(low + 1, high))
    return sideways and source.level == target.level and abs(source.column - target.column) == 1


@dataclass(frozen=True, slots=True)
class Lanes:
    """Who runs where in one gutter or corridor."""

    lane_of: Mapping[Key, int]

    @property
    def count(self) -> int:
        return max(self.lane_of.values(), default=-1) + 1


def lanes_of(spans: Iterable[tuple[Key, Span]]) -> Lanes:
    """Give each key the first lane that is free along all that it takes up, the shortest first."""
    taken: dict[Key, Span] = {}
    for key, ends in spans:
        both = (*ends, *taken.get(key, ends))
        taken[key] = min(both), max(both)
    lanes: list[list[Span]] = []
    lane_of: dict[Key, int] = {}
    for key, (low, high) in sorted(taken.items(), key=lambda item: (item[1][1] - item[1][0], item[1])):
        free = (i for i, lane in enumerate(lanes) if all(high + LANE < a or b + LANE < low for a, b in lane))
        lane_of[key] = next(free, len(lanes))
        if lane_of[key] == len(lanes):
            lanes.append([])
        lanes[lane_of[key]].append((low, high))
    return Lanes(lane_of)
