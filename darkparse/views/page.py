"""The whole page: every box and link with its coordinates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from darkparse.views.cards import Card, Link, Picture
from darkparse.views.grid import Grid, broken_grids, grid_of
from darkparse.views.layout import (
    LAYER_FONT,
    MARGIN,
    Box,
    CardBox,
    Columns,
    Direction,
    Headbox,
    card_box,
    columns_for,
    head_box,
    links_of,
)
from darkparse.views.metrics import text_width
from darkparse.views.routing import LANE, Lanes, Route, plan

GAP = {"TB": 40.0, "LR": 34.0}
"""Height of a corridor without lanes."""
STUB, ENTRY = 64.0, 22.0
"""Room in a gutter before its lanes, for labels, and behind them, for arrow heads."""
NECK = 26.0
"""Room in a gutter where nothing leaves."""
HEAD_ROOM = 12.0
"""Room round a head."""
HEADER_MIDDLE = 14.0
"""Height at which cards of one level are joined, from their top."""
LABEL_FONT = 10.0
SHEET = (1191.0, 842.0)
"""A3 in points."""
ENOUGH = 7.5 / 9
"""Columns are broken where the small print would be shown with less than 7.5 of its 9 points."""
GAIN = 1.1
"""How much larger the text has to become for several columns, which say more than one, to be broken, and for a card to be cut."""


@dataclass(frozen=True, slots=True)
class Label:
    """The shape written beside a link."""

    text: str
    x: float
    y: float
    """Middle of the text."""


@dataclass(slots=True)
class Page:
    """Boxes and links in their places; y grows downwards."""

    picture: Picture
    columns: Columns
    cards: list[CardBox] = field(default_factory=list)
    heads: list[Headbox] = field(default_factory=list)
    input: Box | None = None
    title: Box | None = None
    routes: list[Route] = field(default_factory=list)
    labels: list[tuple[Label, Route]] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0

    @property
    def scale(self) -> float:
        """By how much it shrinks to fit a sheet, upright or across; 1 where it has room."""
        sides = self.width + 2 * MARGIN, self.height + 2 * MARGIN
        return min(1, SHEET[0] / max(sides), SHEET[1] / min(sides))


def arrange(picture: Picture, *, direction: Direction = "TB", title: tuple[float, float] | None = None) -> Page:
    """Lay out a picture; `title` is the size of the block above it."""
    grid = grid_of(picture)
    page = _Arranger(grid, direction, title).page
    if direction == "LR" or page.scale >= ENOUGH:
        return page

    def height(card: Card) -> float:
        return card_box(card, page.columns, has_column_heads=False).height + GAP["TB"]

    def worth(broken: Page) -> float:
        return broken.scale / (GAIN if len(broken.cards) > len(page.cards) else 1)

    pages = (_Arranger(broken, direction, title).page for broken in broken_grids(grid, height))
    best = max(pages, key=worth, default=page)
    return best if worth(best) > page.scale * (GAIN if grid.columns > 1 else 1) else page


class _Arranger:
    def __init__(self, grid: Grid, direction: Direction, title: tuple[float, float] | None) -> None:
        self.grid = grid
        self.direction = direction
        picture = grid.picture
        self.page = Page(picture, columns_for(picture.cards))
        self._make_boxes(picture)
        self.box_of: dict[int, Box] = {row.row.index: box for box in self.page.cards for row in box.rows}
        self.beside = [head for head in self.page.heads if not self._goes_below(head)]
        below = [head for head in self.page.heads if head not in self.beside]
        self.boxes: list[Box] = [*self.page.cards, *([self.page.input] if self.page.input else []), *below]
        self.page.routes = plan(self._ends(links_of(picture)), self.boxes, sideways=direction == "LR", stacked=grid.stacked)
        self.corridors = self._corridor_lanes()
        self._place_levels(title)
        self._place_heads()
        self.gutters = self._gutter_lanes()
        self._place_columns(title)
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
                corridors[route.corridor].add(route.link.source, route.leave, route.enter)
        for lanes in corridors.values():
            lanes.assign()
        return corridors

    def _place_levels(self, title: tuple[float, float] | None) -> None:
        levels = range(max(box.level for box in self.boxes) + 1)
        self.band: dict[int, tuple[float, float]] = {}
        self.title_fits = title is not None and self._title_room(title)
        y = 0.0 if title is None or self.title_fits else title[1] + 14
        for level in levels:
            y += self._corridor_height(level)
            height = max((box.height for box in self.boxes if box.level == level and box.column not in self.grid.stacked), default=0)
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
            y += box.height + GAP["TB"]

    def _corridor_height(self, level: int) -> float:
        count = self.corridors[level].count if level in self.corridors else 0
        is_inner = 0 < level <= max(box.level for box in self.boxes)
        return (GAP[self.direction] if is_inner else 0) + count * LANE

    def _corridor_y(self, route: Route) -> float:
        top = self.band[route.corridor][0] if route.corridor in self.band else self.bottom
        return top - 12 - LANE * self.corridors[route.corridor].lane_of[route.link.source]

    def _title_room(self, title: tuple[float, float]) -> bool:
        """Whether the title fits above the columns right of the first, which begin further down."""
        others = [box.level for box in self.boxes if box.column > 0]
        if not others or self.direction == "LR":
            return False
        first = min(others)
        lowest_use = min((r.corridor for r in self.page.routes if r.via == "corridor"), default=first)
        above = [max(box.height for box in self.boxes if box.level == level) + GAP["TB"] for level in range(first)]
        last = max(box.column for box in self.boxes)
        room = last * (self.page.columns.total + STUB + ENTRY) + max((head.width for head in self.beside if head.column == last), default=0)
        return lowest_use >= first and sum(above) > title[1] + 10 and room > title[0]

    # Heads: beside their card, clear of the links that pass.

    def _place_heads(self) -> None:
        for head in self.beside:
            assert head.head is not None
            wanted = self._row_y(self.box_of[head.head.source], head.head.source) - head.height / 2
            busy = [(y - HEAD_ROOM, y + HEAD_ROOM) for y in self._passing(head.column)]
            busy += [(h.y - 6, h.bottom + 6) for h in self.beside if h is not head and h.column == head.column and h.y]
            steps = sorted((step * 4.0 for step in range(-120, 121)), key=abs)
            clear = (y for y in (wanted + step for step in steps) if y >= 0 and all(y + head.height < a or b < y for a, b in busy))
            head.y = next(clear, wanted)

    def _passing(self, gutter: int) -> Iterable[float]:
        """Heights at which links cross the left part of a gutter, where its heads stand; its lanes are right of them."""
        for route in self.page.routes:
            if route.is_straight or route.link.kind == "head":
                continue
            start, end = self._row_y(route.source, route.link.source), self._end_y(route)
            if route.leaves_right and route.leave == gutter:
                yield start
            if not route.enters_left and route.enter == gutter:
                yield end
            if min(route.leave, route.enter) < gutter <= max(route.leave, route.enter):
                yield start if route.via == "source level" else end if route.via == "target level" else self._corridor_y(route)

    def _row_y(self, box: Box, index: int) -> float:
        centres = box.centres if isinstance(box, CardBox) else {}
        return box.y + centres.get(index, box.height / 2)

    def _end_y(self, route: Route) -> float:
        """Links from the right end a little lower than those from the left, so that two at one height do not look like one."""
        return self._row_y(route.target, route.link.target) + (0 if route.enters_left else 4)

    # Columns: x.

    def _gutter_lanes(self) -> dict[int, Lanes]:
        gutters: dict[int, Lanes] = defaultdict(Lanes)
        for route in self.page.routes:
            if route.is_straight or route.link.kind == "head":
                continue
            start, end = self._row_y(route.source, route.link.source), self._end_y(route)
            key = route.link.source
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
        last = max(box.column for box in self.boxes)
        self.lanes_x: dict[int, float] = {}
        self.heads_x: dict[int, float] = {}
        x = self._gutter(-1, 0) if -1 in self.gutters else 0.0
        for column in range(last + 1):
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
        leaving = any(r.leave == column and r.leaves_right and not r.is_straight and r.link.kind != "head" for r in self.page.routes)
        joins = any(r.is_straight and r.source.column != r.target.column for r in self.page.routes)
        heads = [head.width for head in self.beside if head.column == column]
        lanes = self.gutters[column].count if column in self.gutters else 0
        end = x + (STUB + 6 if leaving else NECK)
        if heads:
            self.heads_x[column] = end + HEAD_ROOM
            end += HEAD_ROOM + max(heads) + (HEAD_ROOM if lanes else 0)
        self.lanes_x[column] = end
        end += max(lanes - 1, 0) * LANE
        is_last = column == max(box.column for box in self.boxes)
        if is_last:
            return end + (8 if heads or lanes else -NECK)
        leaving_left = any(r.leave == column and not (r.leaves_right or r.is_straight) for r in self.page.routes)
        return end + (STUB + 6 if leaving_left else ENTRY if lanes or not joins else STUB)

    # Links.

    def _lane_x(self, gutter: int, source: int) -> float:
        return self.lanes_x[gutter] + LANE * self.gutters[gutter].lane_of[source]

    def _draw(self, route: Route) -> None:
        source, target = route.source, route.target
        if route.is_straight:
            self._draw_straight(route)
            return
        start = self._row_y(source, route.link.source)
        x0 = source.right if route.leaves_right else source.x
        if route.link.kind == "head":
            end = target.y + target.height / 2
            bend = target.x - 18
            route.points = _clean([(x0, start), (bend, start), (bend, end), (target.x, end)])
            return
        end = self._end_y(route)
        x1 = target.x if route.enters_left else target.right
        lane = {g: self._lane_x(g, route.link.source) for g in (route.leave, route.enter) if route.link.source in self.gutters[g].lane_of}
        if route.via in ("gutter", "target level"):
            bends = [(lane[route.leave], start), (lane[route.leave], end)]
        elif route.via == "source level":
            bends = [(lane[route.enter], start), (lane[route.enter], end)]
        else:
            y = self._corridor_y(route)
            bends = [(lane[route.leave], start), (lane[route.leave], y), (lane[route.enter], y), (lane[route.enter], end)]
        route.points = _clean([(x0, start), *bends, (x1, end)])
        width = text_width(route.link.label, LABEL_FONT)
        at = x0 + 4 + width / 2 if route.leaves_right else x0 - 4 - width / 2
        self._label(route, Label(route.link.label, at, start - 7))

    def _draw_straight(self, route: Route) -> None:
        source, target = route.source, route.target
        width = text_width(route.link.label, LAYER_FONT)
        if source.column == target.column:
            x = source.x + source.width / 2
            down = source.y < target.y
            route.points = [(x, source.bottom if down else source.y), (x, target.y if down else target.bottom)]
            self._label(route, Label(route.link.label, x + 8 + width / 2, (route.points[0][1] + route.points[1][1]) / 2))
            return
        y = self.band[source.level][0] + HEADER_MIDDLE
        forward = source.x < target.x
        route.points = [(source.right if forward else source.x, y), (target.x if forward else target.right, y)]
        self._label(route, Label(route.link.label, (route.points[0][0] + route.points[1][0]) / 2, y - 8))

    def _label(self, route: Route, label: Label) -> None:
        """One label for each source and place."""
        if label.text and all((label.x, label.y) != (other.x, other.y) for other, _ in self.page.labels):
            self.page.labels.append((label, route))

    def _close_page(self) -> None:
        boxes: list[Box] = [*self.boxes, *self.page.heads, *([self.page.title] if self.page.title else [])]
        points = [point for route in self.page.routes for point in route.points]
        self.page.width = max([box.right for box in boxes] + [x for x, _ in points])
        self.page.height = max([box.bottom for box in boxes] + [y for _, y in points])


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
