"""Arrangement of one page, or of the pages of two networks side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from darkparse.views.diagram.elements import DiagramModel
from darkparse.views.diagram.layout.page import Direction, Page
from darkparse.views.diagram.layout.passes import arrange

PAGE_GAP = 70.0
"""Space between two networks, in points."""


@dataclass(frozen=True, slots=True)
class PlacedPage:
    """Page at its position on the sheet."""

    page: Page
    x: float
    offset: int
    """Number added to layer indices in links, so that the layers of two networks do not collide."""
    prefix: str
    """Prefix of box names, for the same purpose."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Pages side by side, with the total size in points."""

    pages: tuple[PlacedPage, ...]
    width: float
    height: float


def arrange_sheet(models: Sequence[DiagramModel], direction: Direction = "TB") -> Sheet:
    """Lay out each model; several models get one column each, for comparison side by side."""
    pages: list[PlacedPage] = []
    x, offset = 0.0, 0
    for number, model in enumerate(models):
        page = arrange(model, direction=direction, narrow=len(models) > 1)
        pages.append(PlacedPage(page, x, offset, f"n{number + 1}_" if number else ""))
        x += page.width + PAGE_GAP
        offset += model.layers
    return Sheet(tuple(pages), x - PAGE_GAP, max(placed.page.height for placed in pages))
