"""Which column and level of the page each card stands in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from darkparse.views.diagram.elements import Block, Card, DiagramModel, Link
from darkparse.views.formatting.words import layer_span

MAX_COLUMNS = 8
"""A single column is broken into so many at most."""

Place = tuple[int, int]
"""Column and level."""
Height = Callable[[Card], float]
"""Points that a card takes up, with the room below."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Cards in their places, in order. The input has level 0 of the first column."""

    picture: DiagramModel
    places: tuple[Place, ...]
    stacked: frozenset[int] = frozenset()
    """Columns whose cards stand one below the other whatever stands beside them; the others line up scale by scale."""

    @property
    def columns(self) -> int:
        return max(column for column, _ in self.places) + 1


def grid_of(picture: DiagramModel) -> Grid:
    """The columns that the scales ask for."""
    first = int(_has_input(picture))
    return Grid(picture, tuple((column, level + first) for column, level in grid_places(picture.cards)))


def in_one_column(picture: DiagramModel) -> Grid:
    """One card below the other, which leaves room for another network beside it."""
    first = int(_has_input(picture))
    return Grid(picture, tuple((0, first + number) for number in range(len(picture.cards))))


def grid_places(cards: Sequence[Card]) -> list[Place]:
    """Column and level of every card, in order.

    A level is a scale, the largest map on top. A card goes on in its column as long as it lies beyond all that
    stand there and next to the card before; else a new column begins.
    """
    sizes = sorted({card.size for card in cards}, key=lambda size: (-size[0] * size[1], -size[0]))
    level_of = {size: level for level, size in enumerate(sizes)}
    places: list[Place] = []
    column, used = 0, list[int]()
    for card in cards:
        level = level_of[card.size]
        if used and not (max(used) == used[-1] < level or min(used) == used[-1] > level):
            column, used = column + 1, []
        used.append(level)
        places.append((column, level))
    return places


def broken_grids(grid: Grid, height: Height) -> Iterator[Grid]:
    """Others with more columns: a single column broken into several, or the first of several broken in two."""
    if grid.columns > 1:
        yield from _with_broken_trunk(grid)
        return
    for count in range(2, MAX_COLUMNS + 1):
        limit = sum(map(height, grid.picture.cards)) / count
        cut = _cut(grid.picture, limit, height)
        for picture in (grid.picture, cut)[len(cut.cards) == len(grid.picture.cards) :]:
            stacked = _stacked(picture, _balanced([height(card) for card in picture.cards], count))
            if _reach(stacked) <= 1:
                yield stacked


def _has_input(picture: DiagramModel) -> bool:
    return any(link.source < 0 for link in picture.links)


def _with_broken_trunk(grid: Grid) -> Iterator[Grid]:
    """The first column's upper cards in a column of their own, the others raised to the top beside them."""
    first = int(_has_input(grid.picture))
    for count in range(1, sum(column == 0 for column, _ in grid.places)):
        top = min(level for _, level in grid.places[count:])
        upper = ((0, first + number) for number in range(count))
        others = ((column + 1, level - top) for column, level in grid.places[count:])
        yield Grid(grid.picture, (*upper, *others), frozenset({0}))


def _stacked(picture: DiagramModel, columns: Sequence[int]) -> Grid:
    levels = [number - columns.index(column) for number, column in enumerate(columns)]
    first = int(_has_input(picture))
    places = tuple(
        (column, level + (first if column == 0 else 0)) for column, level in zip(columns, levels, strict=True)
    )
    return Grid(picture, places, frozenset(columns))


def _reach(grid: Grid) -> int:
    """How many columns on the farthest link goes; stacked columns leave no way past a whole one."""
    column_of = {
        row.index: c for card, (c, _) in zip(grid.picture.cards, grid.places, strict=True) for row in card.rows
    }
    return max((abs(column_of.get(link.source, 0) - column_of[link.target]) for link in grid.picture.links), default=0)


def _balanced(heights: Sequence[float], count: int) -> list[int]:
    """The column of each card, in at most `count` columns of which the tallest is as short as can be."""
    low, high = max(heights), sum(heights)
    while high - low > 1:
        middle = (low + high) / 2
        if _filled(heights, middle)[-1] < count:
            high = middle
        else:
            low = middle
    return _filled(heights, high)


def _filled(heights: Sequence[float], limit: float) -> list[int]:
    """The column of each card, where a column goes on up to a limit."""
    columns, filled = [0], heights[0]
    for height in heights[1:]:
        fits = filled + height <= limit
        columns.append(columns[-1] + (not fits))
        filled = filled + height if fits else height
    return columns


def _cut(picture: DiagramModel, limit: float, height: Height) -> DiagramModel:
    """The picture with the cards that are much taller than a limit in pieces, each linked to the next."""
    pieces = [_pieces(card, max(1, round(height(card) / limit)), height) for card in picture.cards]
    joins = (Link(a.rows[-1].index, b.rows[0].index, "", "chain") for parts in pieces for a, b in pairwise(parts))
    return replace(picture, cards=tuple(piece for parts in pieces for piece in parts), links=(*picture.links, *joins))


def _pieces(card: Card, count: int, height: Height) -> list[Card]:
    """A card in at most so many pieces of nearly the same height; the first has the costs of all."""
    if min(count, len(card.blocks)) == 1:
        return [card]
    heights = [height(replace(card, blocks=(block,))) for block in card.blocks]
    parts: list[list[Block]] = [[] for _ in range(count)]
    above = 0.0
    for block, own in zip(card.blocks, heights, strict=True):
        parts[int((above + own / 2) / sum(heights) * count)].append(block)
        above += own
    first, *others = (tuple(part) for part in parts if part)
    spans = [layer_span(part[0].rows[0].index, max(part[-1].last, part[-1].rows[-1].index)) for part in others]
    continued = (
        replace(card, span=s, cost=(), blocks=p, is_continued=True) for s, p in zip(spans, others, strict=True)
    )
    return [replace(card, blocks=first), *continued]
