"""One page, or those of two networks side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from darkparse.views.diagram.elements import DiagramModel
from darkparse.views.diagram.layout.page import Direction, Page
from darkparse.views.diagram.layout.passes import arrange

PAGE_GAP = 70.0
"""Room between two networks."""


@dataclass(frozen=True, slots=True)
class PlacedPage:
    """A page on the sheet."""

    page: Page
    x: float
    offset: int
    """Added to a layer's number in links, which keeps the layers of two networks apart."""
    prefix: str
    """The same for the names of boxes."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Pages beside each other, with the size of all in points."""

    pages: tuple[PlacedPage, ...]
    width: float
    height: float


def arrange_sheet(models: Sequence[DiagramModel], direction: Direction = "TB") -> Sheet:
    """Every picture laid out in its place; several have a column each, to be read beside each other."""
    pages: list[PlacedPage] = []
    x, offset = 0.0, 0
    for number, model in enumerate(models):
        page = arrange(model, direction=direction, narrow=len(models) > 1)
        pages.append(PlacedPage(page, x, offset, f"n{number + 1}_" if number else ""))
        x += page.width + PAGE_GAP
        offset += model.layers
    return Sheet(tuple(pages), x - PAGE_GAP, max(placed.page.height for placed in pages))
