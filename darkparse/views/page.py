"""The whole page: every box and link with its coordinates."""

from __future__ import annotations

from dataclasses import dataclass, field

from darkparse.views.arranger import GAP, Arranger, TitleSize
from darkparse.views.cards import Card, Picture
from darkparse.views.grid import Grid, broken_grids, grid_of
from darkparse.views.labels import Label, label_links, source_names
from darkparse.views.layout import (
    MARGIN,
    Box,
    CardBox,
    Columns,
    Direction,
    Headbox,
    card_box,
    columns_for,
)
from darkparse.views.routing import Route

SHEET = (1191.0, 842.0)
"""A3 in points."""
ENOUGH = 7.5 / 9
"""Columns are broken where the small print would be shown with less than 7.5 of its 9 points."""
GAIN = 1.1
"""How much larger the text has to become for several columns, which say more than one, to be broken,
and for a card to be cut."""


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
    names: dict[int, str] = field(init=False)
    """What links call the rows that they come from."""
    title_room: float = 0.0
    """The width that the title was laid out for."""
    width: float = 0.0
    height: float = 0.0

    def __post_init__(self) -> None:
        self.names = source_names(self.picture)

    @property
    def boxes(self) -> list[Box]:
        return [*self.cards, *self.heads, *(box for box in (self.input, self.title) if box)]

    @property
    def scale(self) -> float:
        """By how much it shrinks to fit a sheet, upright or across; 1 where it has room."""
        sides = self.width + 2 * MARGIN, self.height + 2 * MARGIN
        return min(1, SHEET[0] / max(sides), SHEET[1] / min(sides))


def arrange(picture: Picture, *, direction: Direction = "TB", title: TitleSize | None = None) -> Page:
    """Lay out a picture; `title` says for the width that there is how large the block above it becomes."""
    page = _best(grid_of(picture), direction, title)
    page.labels = label_links(page.routes, page.boxes, page.names)
    return page


def _best(grid: Grid, direction: Direction, title: TitleSize | None) -> Page:
    """The page that shows the largest text on a sheet, of the grid's own columns and others."""
    page = _arranged(grid, direction, title)
    if direction == "LR" or page.scale >= ENOUGH:
        return page

    def height(card: Card) -> float:
        return card_box(card, page.columns, has_column_heads=False).height + GAP

    def worth(broken: Page) -> float:
        return broken.scale / (GAIN if len(broken.cards) > len(page.cards) else 1)

    pages = (_arranged(broken, direction, title) for broken in broken_grids(grid, height))
    best = max(pages, key=worth, default=page)
    return best if worth(best) > page.scale * (GAIN if grid.columns > 1 else 1) else page


def _arranged(grid: Grid, direction: Direction, title: TitleSize | None) -> Page:
    return Arranger(Page(grid.picture, columns_for(grid.picture.cards)), grid, direction, title).page
