"""Which column and level of the page each card stands in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from darkparse.views.cards import Card, Picture

TALL = 2200.0
"""A single column that is taller than so many points is broken into several."""
SHEET = (1191.0, 842.0)
"""A3 landscape in points, which the broken columns fill best."""

Place = tuple[int, int]
"""Column and level."""


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


def broken_places(picture: Picture, heights: Sequence[float], width: float) -> list[Place] | None:
    """The places of a single column that is too tall for a sheet, broken into several that each begin at the top.

    None where the column is short enough, or where links would run past a whole column. `heights` are those of the
    cards with the room below, `width` is that of a column with the room beside it.
    """
    if sum(heights) < TALL:
        return None
    breaks = [_balanced(heights, count) for count in range(2, 5)]
    places = min(breaks, key=lambda p: max(width * (p[-1][0] + 1) / SHEET[0], _tallest(heights, p) / SHEET[1]))
    column_of = {row.index: column for card, (column, _) in zip(picture.cards, places, strict=True) for row in card.rows}
    reach = max((abs(column_of.get(link.source, 0) - column_of[link.target]) for link in picture.links), default=0)
    return places if reach <= 1 else None


def _balanced(heights: Sequence[float], count: int) -> list[Place]:
    """Column and level of each card in order, in columns of nearly the same height; the first keeps a level for the input."""
    places: list[Place] = []
    column, level, filled = 0, 1, 0.0
    for height in heights:
        if column + 1 < count and places and filled + height / 2 > sum(heights) / count * (column + 1):
            column, level = column + 1, 0
        places.append((column, level))
        level, filled = level + 1, filled + height
    return places


def _tallest(heights: Sequence[float], places: Sequence[Place]) -> float:
    """Height of the tallest column."""
    sums: dict[int, float] = defaultdict(float)
    for height, (column, _) in zip(heights, places, strict=True):
        sums[column] += height
    return max(sums.values())
