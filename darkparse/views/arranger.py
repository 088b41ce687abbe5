"""Where every box of a page stands, and the ways of its links."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal

from darkparse.views.cards import Link, LinkKind, Picture
from darkparse.views.grid import Grid
from darkparse.views.labels import BESIDE, LABEL_FONT, source_text
from darkparse.views.layout import Box, CardBox, Direction, Headbox, card_box, head_box, links_of
from darkparse.views.metrics import text_width
from darkparse.views.routing import LANE, Key, Lanes, Route, plan

if TYPE_CHECKING:
    from darkparse.views.page import Page

GAP = 34.0
"""Height of a corridor without lanes, which holds a link's label."""
STUB, ENTRY = 64.0, 28.0
"""Room in a gutter before its lanes, for the shape of what leaves, and behind them,
for arrow heads and whence they come."""
NECK = 26.0
"""Room in a gutter where nothing leaves."""
HEAD_ROOM = 12.0
"""Room round a head."""
HEADER_MIDDLE = 14.0
"""Height at which cards of one level are joined, from their top."""
PORT, PORTS = 6.0, 12.0
"""Distance of the links at one end of a row, and the most that all of them take up."""

Port = tuple[int, bool, int, LinkKind, Literal["in", "out"]]
"""Where links of one key meet a row: the row, whether at its right end, the key, and the direction."""

TitleSize = Callable[[float], tuple[float, float]]
"""For the width that there is, how large the block of the title becomes."""


class Arranger:
    """Fills a page: boxes and links, then levels, heads and columns, then the ways of the links."""

    def __init__(self, page: Page, grid: Grid, direction: Direction, title: TitleSize | None) -> None:
        self.page = page
        self.grid = grid
        self.direction = direction
        picture = grid.picture
        self._make_boxes(picture)
        self.box_of: dict[int, Box] = {row.row.index: box for box in self.page.cards for row in box.rows}
        self.beside = [head for head in self.page.heads if not self._goes_below(head)]
        below = [head for head in self.page.heads if head not in self.beside]
        self.boxes: list[Box] = [*self.page.cards, *([self.page.input] if self.page.input else []), *below]
        self.page.routes = plan(
            self._ends(links_of(picture)), self.boxes, sideways=direction == "LR", stacked=grid.stacked
        )
        self.corridors = self._corridor_lanes()
        self.last_column = max(box.column for box in self.boxes)
        beside = self._room(self.last_column)
        self.title_fits = title is not None and self._fits_beside(title(beside), beside)
        self.page.title_room = beside if self.title_fits else self._room(self.last_column + 1)
        size = title(self.page.title_room) if title else None
        self._place_levels(size)
        self.ports = self._ports()
        self._place_heads()
        self.gutters = self._gutter_lanes()
        self._place_columns(size)
        for route in self.page.routes:
            self._draw(route)
        self._close_page()

    def _make_boxes(self, picture: Picture) -> None:
        has_input = any(link.source < 0 for link in picture.links)
        places = [place if self.direction == "TB" else place[::-1] for place in self.grid.places]
        tops = {column: min(level for c, level in places if c == column) for column, _ in places}
        for card, (column, level) in zip(picture.cards, places, strict=True):
            box = card_box(card, self.page.columns, has_column_heads=level == tops[column])
            box.column, box.level = column, level
            self.page.cards.append(box)
        if has_input:
            width = text_width(picture.input_text, 12, bold=True) + 28
            self.page.input = Box("input", width, 26)
        self.page.heads = [head_box(head) for head in picture.heads]

    def _goes_below(self, head: Headbox) -> bool:
        """Put a head in its place of the grid: that of its card, or below the last card of a single column."""
        assert head.head is not None
        card, last = self.box_of[head.head.source], self.page.cards[-1]
        is_below = self.direction == "TB" and self.grid.columns == 1 and last.rows[-1].row.index == head.head.source
        head.column, head.level = card.column, card.level + is_below
        return is_below

    def _ends(self, links: Iterable[Link]) -> Iterable[tuple[Link, Box, Box]]:
        heads: dict[int, Box] = {head.head.index: head for head in self.page.heads if head.head}
        for link in links:
            source = self.box_of.get(link.source, self.page.input)
            if source is not None:
                yield link, source, heads[link.target] if link.kind == "head" else self.box_of[link.target]

    # Levels: y.

    def _corridor_lanes(self) -> dict[int, Lanes]:
        """Lanes of every corridor, by columns: which links run where is known before any coordinate."""
        corridors: dict[int, Lanes] = defaultdict(Lanes)
        for route in self.page.routes:
            if route.via == "corridor" and not route.is_straight:
                corridors[route.corridor].add(route.key, route.leave, route.enter)
        for lanes in corridors.values():
            lanes.assign()
        return corridors

    def _place_levels(self, title: tuple[float, float] | None) -> None:
        levels = range(max(box.level for box in self.boxes) + 1)
        self.band: dict[int, tuple[float, float]] = {}
        y = 0.0 if title is None or self.title_fits else title[1] + 14
        for level in levels:
            y += self._corridor_height(level)
            height = max(
                (box.height for box in self.boxes if box.level == level and box.column not in self.grid.stacked),
                default=0,
            )
            self.band[level] = (y, y + height)
            y += height
        self.bottom = y + self._corridor_height(len(levels))
        for box in self.boxes:
            box.y = self.band[box.level][0]
        for column in self.grid.stacked:
            self._stack(column, self.band[0][0])
        if self.page.input and self.direction == "LR":
            self.page.input.y += HEADER_MIDDLE - self.page.input.height / 2

    def _stack(self, column: int, y: float) -> None:
        """Put the cards of a column one below the other, whatever stands beside them."""
        for box in sorted((box for box in self.boxes if box.column == column), key=lambda box: box.level):
            box.y = y
            y += box.height + GAP

    def _corridor_height(self, level: int) -> float:
        count = self.corridors[level].count if level in self.corridors else 0
        is_inner = 0 < level <= max(box.level for box in self.boxes)
        return (GAP if is_inner else 0) + count * LANE

    def _corridor_y(self, route: Route) -> float:
        top = self.band[route.corridor][0] if route.corridor in self.band else self.bottom
        return top - 12 - LANE * self.corridors[route.corridor].lane_of[route.key]

    def _room(self, columns: int) -> float:
        """About the width of the last columns, with the heads behind."""
        heads = max((head.width + HEAD_ROOM for head in self.beside if head.column == self.last_column), default=0)
        return columns * (self.page.columns.total + STUB + ENTRY) - STUB - ENTRY + heads

    def _fits_beside(self, title: tuple[float, float], room: float) -> bool:
        """Whether the title fits above the columns right of the first, which begin further down."""
        others = [box.level for box in self.boxes if box.column > 0]
        if not others or self.direction == "LR":
            return False
        first = min(others)
        lowest_use = min((r.corridor for r in self.page.routes if r.via == "corridor"), default=first)
        above = [max(box.height for box in self.boxes if box.level == level) + GAP for level in range(first)]
        return lowest_use >= first and sum(above) > title[1] + 10 and room > title[0]

    # Heads: beside their card, clear of the links that pass.

    def _place_heads(self) -> None:
        for head in self.beside:
            assert head.head is not None
            route = next(route for route in self.page.routes if route.target is head)
            wanted = self._start_y(route) - head.height / 2
            busy = [(y - HEAD_ROOM, y + HEAD_ROOM) for y in self._passing(head.column)]
            busy += [(h.y - 6, h.bottom + 6) for h in self.beside if h is not head and h.column == head.column and h.y]
            steps = sorted((step * 4.0 for step in range(-120, 121)), key=abs)
            clear = (
                y
                for y in (wanted + step for step in steps)
                if y >= 0 and all(y + head.height < a or b < y for a, b in busy)
            )
            head.y = next(clear, wanted)

    def _passing(self, gutter: int) -> Iterable[float]:
        """Heights at which links cross the left part of a gutter, where its heads stand;
        its lanes are right of them."""
        for route in self.page.routes:
            if route.is_straight or route.link.kind == "head":
                continue
            start, end = self._start_y(route), self._end_y(route)
            if route.leaves_right and route.leave == gutter:
                yield start
            if not route.enters_left and route.enter == gutter:
                yield end
            if min(route.leave, route.enter) < gutter <= max(route.leave, route.enter):
                yield (
                    start
                    if route.via == "source level"
                    else end
                    if route.via == "target level"
                    else self._corridor_y(route)
                )

    def _row_y(self, box: Box, index: int) -> float:
        centres = box.centres if isinstance(box, CardBox) else {}
        return box.y + centres.get(index, box.height / 2)

    def _ports(self) -> dict[Port, float]:
        """How far from the middle of its row each link begins and ends:
        those of one row's end lie beside each other."""
        ends: dict[tuple[int, bool], dict[Port, float]] = defaultdict(dict)
        for route in self.page.routes:
            if route.is_straight:
                continue
            source, target = self._row_y(route.source, route.link.source), self._row_y(route.target, route.link.target)
            leaving, entering = _port_out(route), _port_in(route)
            ends[leaving[:2]].setdefault(leaving, target - source)
            if route.link.kind != "head":
                ends[entering[:2]].setdefault(entering, source - target)
        offsets: dict[Port, float] = {}
        for ways in ends.values():
            step = min(PORT, PORTS / max(1, len(ways) - 1))
            for number, port in enumerate(sorted(ways, key=lambda port: ways[port])):
                offsets[port] = (number - (len(ways) - 1) / 2) * step
        return offsets

    def _start_y(self, route: Route) -> float:
        return self._row_y(route.source, route.link.source) + self.ports.get(_port_out(route), 0)

    def _end_y(self, route: Route) -> float:
        """Links from the right end a little lower than those from the left,
        so that two at one height do not look like one."""
        return (
            self._row_y(route.target, route.link.target) + self.ports[_port_in(route)] + (0 if route.enters_left else 4)
        )

    # Columns: x.

    def _gutter_lanes(self) -> dict[int, Lanes]:
        gutters: dict[int, Lanes] = defaultdict(Lanes)
        for route in self.page.routes:
            if route.is_straight or route.link.kind == "head":
                continue
            start, end = self._start_y(route), self._end_y(route)
            key = route.key
            if route.via in ("gutter", "target level"):
                gutters[route.leave].add(key, start, end)
            elif route.via == "source level":
                gutters[route.enter].add(key, start, end)
            else:
                y = self._corridor_y(route)
                gutters[route.leave].add(key, start, y)
                gutters[route.enter].add(key, y, end)
        for lanes in gutters.values():
            lanes.assign()
        return gutters

    def _place_columns(self, title: tuple[float, float] | None) -> None:
        self.lanes_x: dict[int, float] = {}
        self.heads_x: dict[int, float] = {}
        x = self._gutter(-1, 0) if -1 in self.gutters else 0.0
        for column in range(self.last_column + 1):
            width = max((box.width for box in self.boxes if box.column == column), default=0)
            for box in self.boxes:
                if box.column == column:
                    box.x = x + (width - box.width) / 2
            x = self._gutter(column, x + width)
        self.right = x
        for head in self.beside:
            head.x = self.heads_x[head.column]
        if title is None:
            return
        second = next((box.x for box in self.boxes if box.column == 1), 0.0)
        left = second if self.title_fits else 0.0
        self.page.title = Box("title", *title, x=left)

    def _gutter(self, column: int, x: float) -> float:
        """Lay out a gutter from its left end; its right end."""
        joins = any(r.is_straight and r.source.column != r.target.column for r in self.page.routes)
        heads = [head.width for head in self.beside if head.column == column]
        lanes = self.gutters[column].count if column in self.gutters else 0
        end = x + max(NECK, self._stub(column, to_right=True))
        if heads:
            self.heads_x[column] = end + HEAD_ROOM
            end += HEAD_ROOM + max(heads) + (HEAD_ROOM if lanes else 0)
        self.lanes_x[column] = end
        end += max(lanes - 1, 0) * LANE
        if column == self.last_column:
            return end + (8 if heads or lanes else -NECK)
        return end + max(ENTRY if lanes or not joins else STUB, self._stub(column, to_right=False))

    def _stub(self, gutter: int, *, to_right: bool) -> float:
        """Room for the labels of the links that leave rows into a gutter."""
        routes = (r for r in self.page.routes if r.leave == gutter and r.leaves_right == to_right)
        texts = [source_text(r.link, self.page.names) for r in routes if not r.is_straight and r.link.kind != "head"]
        return max((text_width(text, LABEL_FONT) + 2 * BESIDE for text in texts), default=0)

    # Links.

    def _lane_x(self, gutter: int, key: Key) -> float:
        return self.lanes_x[gutter] + LANE * self.gutters[gutter].lane_of[key]

    def _draw(self, route: Route) -> None:
        source, target = route.source, route.target
        if route.is_straight:
            self._draw_straight(route)
            return
        start = self._start_y(route)
        x0 = source.right if route.leaves_right else source.x
        if route.link.kind == "head":
            end = target.y + target.height / 2
            bend = target.x - 18
            route.points = _clean([(x0, start), (bend, start), (bend, end), (target.x, end)])
            return
        end = self._end_y(route)
        x1 = target.x if route.enters_left else target.right
        lane = {
            g: self._lane_x(g, route.key) for g in (route.leave, route.enter) if route.key in self.gutters[g].lane_of
        }
        if route.via in ("gutter", "target level"):
            bends = [(lane[route.leave], start), (lane[route.leave], end)]
        elif route.via == "source level":
            bends = [(lane[route.enter], start), (lane[route.enter], end)]
        else:
            y = self._corridor_y(route)
            bends = [
                (lane[route.leave], start),
                (lane[route.leave], y),
                (lane[route.enter], y),
                (lane[route.enter], end),
            ]
        route.points = _clean([(x0, start), *bends, (x1, end)])

    def _draw_straight(self, route: Route) -> None:
        source, target = route.source, route.target
        if source.column == target.column:
            x = source.x + source.width / 2
            down = source.y < target.y
            route.points = [(x, source.bottom if down else source.y), (x, target.y if down else target.bottom)]
            return
        y = self.band[source.level][0] + HEADER_MIDDLE
        forward = source.x < target.x
        route.points = [(source.right if forward else source.x, y), (target.x if forward else target.right, y)]

    def _close_page(self) -> None:
        points = [point for route in self.page.routes for point in route.points]
        self.page.width = max([box.right for box in self.page.boxes] + [x for x, _ in points])
        self.page.height = max([box.bottom for box in self.page.boxes] + [y for _, y in points])


def _port_out(route: Route) -> Port:
    return route.link.source, route.leaves_right, *route.key, "out"


def _port_in(route: Route) -> Port:
    return route.link.target, not route.enters_left, *route.key, "in"


def _clean(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without points that the link runs straight through or stands still at."""
    kept: list[tuple[float, float]] = []
    for point in points:
        if kept and abs(kept[-1][0] - point[0]) < 0.5 and abs(kept[-1][1] - point[1]) < 0.5:
            continue
        if len(kept) > 1 and (kept[-2][0] == kept[-1][0] == point[0] or kept[-2][1] == kept[-1][1] == point[1]):
            kept.pop()
        kept.append(point)
    return kept
