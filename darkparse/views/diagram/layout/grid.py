"""Assignment of cards to columns and levels of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

from darkparse.views.diagram.elements import Block, Card, DiagramModel, Link
from darkparse.views.formatting.words import layer_span

MAX_COLUMNS = 8
"""Maximum number of columns into which to split a single column."""
MAX_OVERHANG = 1.1
"""Maximum height of columns below each other, as a multiple of that of the tallest column."""

Place = tuple[int, int]
"""Column and level."""
CardHeight = Callable[[Card], float]
"""Function that returns the height of a card in points, including the gap below it."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Grid positions of the cards, in order. The input is at level 0 of the first column."""

    model: DiagramModel
    places: tuple[Place, ...]
    stacked_columns: frozenset[int] = frozenset()
    """Columns whose cards are stacked independently of other columns. All other columns are aligned by scale."""

    @property
    def num_columns(self) -> int:
        return max(column for column, _ in self.places) + 1


def build_grid(model: DiagramModel) -> Grid:
    """Build the grid whose columns follow from the scales."""
    first_level = int(_has_input(model))
    return Grid(model, tuple((column, level + first_level) for column, level in compute_places(model.cards)))


def build_single_column_grid(model: DiagramModel) -> Grid:
    """Build a grid with a single column, which leaves room for another network beside it."""
    first_level = int(_has_input(model))
    return Grid(model, tuple((0, first_level + number) for number in range(len(model.cards))))


class Sized(Protocol):
    """Card or stage with the size of its maps."""

    @property
    def size(self) -> tuple[int, int]: ...


def compute_places(cards: Sequence[Sized]) -> list[Place]:
    """Compute the column and level of every card or stage, in order.

    Each scale has a level, with the largest map on top. A card extends the current column if it lies below all cards
    of the column and the previous card is the lowest, or above all of them and the previous card is the highest.
    Otherwise it begins a new column.
    """
    sizes = sorted({card.size for card in cards}, key=lambda size: (-size[0] * size[1], -size[0]))
    level_of = {size: level for level, size in enumerate(sizes)}
    places: list[Place] = []
    column, used_levels = 0, list[int]()
    for card in cards:
        level = level_of[card.size]
        if used_levels and not (
            max(used_levels) == used_levels[-1] < level or min(used_levels) == used_levels[-1] > level
        ):
            column, used_levels = column + 1, []
        used_levels.append(level)
        places.append((column, level))
    return places


def split_grids(grid: Grid, card_height: CardHeight) -> Iterator[Grid]:
    """Yield grids with more columns: split a single column into several, or the first of several into two."""
    if grid.num_columns > 1:
        yield from _split_first_column(grid)
        return
    for count in range(2, MAX_COLUMNS + 1):
        limit = sum(map(card_height, grid.model.cards)) / count
        split_model = _split_tall_cards(grid.model, limit, card_height)
        for model in (grid.model, split_model)[len(split_model.cards) == len(grid.model.cards) :]:
            stacked_grid = _build_stacked_grid(
                model, _balance_columns([card_height(card) for card in model.cards], count)
            )
            if _max_link_distance(stacked_grid) <= 1:
                yield stacked_grid


def compact_grids(grid: Grid, card_height: CardHeight) -> Iterator[Grid]:
    """Yield grids of several columns in which cards slide together, regardless of the scales in other columns.

    The first grid has the given columns. In the second one, a column stands below the previous ones where it fits.
    """
    columns = [[place for place in grid.places if place[0] == column] for column in range(grid.num_columns)]
    heights = [0.0] * grid.num_columns
    for card, (column, _) in zip(grid.model.cards, grid.places, strict=True):
        heights[column] += card_height(card)
    for targets in (list(range(grid.num_columns)), _fill_columns(heights, MAX_OVERHANG * max(heights))):
        moved: list[Place] = []
        for column, places in enumerate(columns):
            above = [level for target, level in moved if target == targets[column]]
            shift = max(above) + 1 - min(level for _, level in places) if above else 0
            moved += ((targets[column], level + shift) for _, level in places)
        compact = Grid(grid.model, tuple(moved), frozenset(targets))
        if compact.num_columns > 1 and _max_link_distance(compact) <= 1:
            yield compact


def _has_input(model: DiagramModel) -> bool:
    return any(link.source < 0 for link in model.links)


def _split_first_column(grid: Grid) -> Iterator[Grid]:
    """Move the upper cards of the first column to a separate column, and the remaining cards up beside them."""
    first_level = int(_has_input(grid.model))
    for count in range(1, sum(column == 0 for column, _ in grid.places)):
        top = min(level for _, level in grid.places[count:])
        upper = ((0, first_level + number) for number in range(count))
        others = ((column + 1, level - top) for column, level in grid.places[count:])
        yield Grid(grid.model, (*upper, *others), frozenset({0}))


def _build_stacked_grid(model: DiagramModel, columns: Sequence[int]) -> Grid:
    levels = [number - columns.index(column) for number, column in enumerate(columns)]
    first_level = int(_has_input(model))
    places = tuple(
        (column, level + (first_level if column == 0 else 0)) for column, level in zip(columns, levels, strict=True)
    )
    return Grid(model, places, frozenset(columns))


def _max_link_distance(grid: Grid) -> int:
    """Return the largest column distance of a link; links cannot pass a whole stacked column."""
    column_of = {row.index: c for card, (c, _) in zip(grid.model.cards, grid.places, strict=True) for row in card.rows}
    return max((abs(column_of.get(link.source, 0) - column_of[link.target]) for link in grid.model.links), default=0)


def _balance_columns(heights: Sequence[float], count: int) -> list[int]:
    """Assign cards to at most `count` columns and minimize the height of the tallest column."""
    low, high = max(heights), sum(heights)
    while high - low > 1:
        middle = (low + high) / 2
        if _fill_columns(heights, middle)[-1] < count:
            high = middle
        else:
            low = middle
    return _fill_columns(heights, high)


def _fill_columns(heights: Sequence[float], limit: float) -> list[int]:
    """Assign cards to columns of at most `limit` height in order."""
    columns, column_height = [0], heights[0]
    for height in heights[1:]:
        fits = column_height + height <= limit
        columns.append(columns[-1] + (not fits))
        column_height = column_height + height if fits else height
    return columns


def _split_tall_cards(model: DiagramModel, limit: float, card_height: CardHeight) -> DiagramModel:
    """Split cards that are much taller than a limit, and link each piece to the next."""
    pieces = [_split_card(card, max(1, round(card_height(card) / limit)), card_height) for card in model.cards]
    chain_links = (Link(a.rows[-1].index, b.rows[0].index, "", "chain") for parts in pieces for a, b in pairwise(parts))
    return replace(model, cards=tuple(piece for parts in pieces for piece in parts), links=(*model.links, *chain_links))


def _split_card(card: Card, count: int, card_height: CardHeight) -> list[Card]:
    """Split a card into at most `count` pieces of similar height; the first piece shows the cost of the whole card."""
    if min(count, len(card.blocks)) == 1:
        return [card]
    heights = [card_height(replace(card, blocks=(block,))) for block in card.blocks]
    parts: list[list[Block]] = [[] for _ in range(count)]
    above = 0.0
    for block, block_height in zip(card.blocks, heights, strict=True):
        parts[int((above + block_height / 2) / sum(heights) * count)].append(block)
        above += block_height
    first, *others = (tuple(part) for part in parts if part)
    spans = [layer_span(part[0].rows[0].index, max(part[-1].last, part[-1].rows[-1].index)) for part in others]
    continued = (
        replace(card, span=s, cost=(), blocks=p, is_continued=True) for s, p in zip(spans, others, strict=True)
    )
    return [replace(card, blocks=first), *continued]
