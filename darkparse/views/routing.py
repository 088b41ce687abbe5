"""How a link runs: straight to the neighbour in its column, or through the gaps between columns and levels.

The grid has columns of boxes with a gutter right of each (gutter -1 is left of the first) and a corridor above each
level and below the last. A routed link leaves its row sideways, runs along lanes in gutters and at most one corridor,
and enters its target row sideways. Links of one source and kind share their lanes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from darkparse.views.cards import Link, LinkKind
from darkparse.views.layout import Box

Point = tuple[float, float]
Via = Literal["gutter", "source level", "target level", "corridor"]
Key = tuple[int, LinkKind]
"""What shares a way: links of one source that mean the same."""

LANE = 9.0
"""Distance of parallel links in points."""


@dataclass(slots=True)
class Route:
    """One link's way."""

    link: Link
    source: Box
    target: Box
    is_straight: bool = False
    via: Via = "gutter"
    leave: int = 0
    """The gutter into which it leaves the source's row."""
    enter: int = 0
    """The gutter from which it enters the target's row."""
    corridor: int = 0
    leaves_right: bool = True
    enters_left: bool = True
    points: list[Point] = field(default_factory=list)

    @property
    def key(self) -> Key:
        return self.link.source, self.link.kind


def plan(
    links: Iterable[tuple[Link, Box, Box]],
    boxes: Sequence[Box],
    *,
    sideways: bool,
    stacked: frozenset[int] = frozenset(),
) -> list[Route]:
    """The kind of way of every link, by places in the grid alone.

    `sideways` says that scales go from left to right; cards in `stacked` columns do not line up with those beside them.
    """
    taken = {(box.column, box.level) for box in boxes}
    return [_planned(link, source, target, taken, sideways, stacked) for link, source, target in links]


def _planned(
    link: Link, source: Box, target: Box, taken: set[tuple[int, int]], sideways: bool, stacked: frozenset[int]
) -> Route:
    route = Route(link, source, target)
    is_below = link.kind == "head" and source.level != target.level
    if is_below or (link.kind == "chain" and _are_neighbours(source, target, taken, sideways)):
        route.is_straight = True
        return route
    route.leaves_right = target.column >= source.column
    route.enters_left = target.column > source.column
    route.leave = source.column if route.leaves_right else source.column - 1
    route.enter = target.column - 1 if route.enters_left else target.column
    between = range(min(source.column, target.column) + 1, max(source.column, target.column))
    if route.leave == route.enter:
        route.via = "gutter"
    elif source.column not in stacked and all((column, source.level) not in taken for column in between):
        route.via = "source level"
    elif all((column, target.level) not in taken for column in between):
        route.via = "target level"
    else:
        route.via = "corridor"
        low, high = sorted((source.level, target.level))
        # Below the higher of the two; between cards of one level, above them.
        route.corridor = target.level if source.column in stacked else low + 1 if low != high else low
    return route


def _are_neighbours(source: Box, target: Box, taken: set[tuple[int, int]], sideways: bool) -> bool:
    """One column with nothing between, or side by side on one level."""
    if source.column == target.column:
        low, high = sorted((source.level, target.level))
        return all((source.column, level) not in taken for level in range(low + 1, high))
    return sideways and source.level == target.level and abs(source.column - target.column) == 1


@dataclass(slots=True)
class Lanes:
    """Who runs where in one gutter or corridor: links with the interval that each takes up along it."""

    spans: dict[Key, tuple[float, float]] = field(default_factory=dict)
    lane_of: dict[Key, int] = field(default_factory=dict)

    def add(self, key: Key, start: float, end: float) -> None:
        low, high = min(start, end), max(start, end)
        if key in self.spans:
            low, high = min(low, self.spans[key][0]), max(high, self.spans[key][1])
        self.spans[key] = (low, high)

    def assign(self) -> None:
        """Give each key the first lane that is free along its interval, the shortest intervals first."""
        lanes: list[list[tuple[float, float]]] = []
        for key, (low, high) in sorted(self.spans.items(), key=lambda item: (item[1][1] - item[1][0], item[1])):
            free = (i for i, lane in enumerate(lanes) if all(high + LANE < a or b + LANE < low for a, b in lane))
            lane = next(free, len(lanes))
            if lane == len(lanes):
                lanes.append([])
            lanes[lane].append((low, high))
            self.lane_of[key] = lane

    @property
    def count(self) -> int:
        return max(self.lane_of.values(), default=-1) + 1
