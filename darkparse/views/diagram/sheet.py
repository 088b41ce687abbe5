"""Arrangement of one page, or of the pages of two networks side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from darkparse.views.diagram.elements import DiagramModel
from darkparse.views.diagram.layout.page import Direction, Page
from darkparse.views.diagram.layout.passes import arrange
from darkparse.views.diagram.overview.content import Overview
from darkparse.views.diagram.overview.passes import arrange_overview

PAGE_GAP, OVERVIEW_GAP = 70.0, 24.0
"""Space between two networks, in points: between full diagrams, and between overviews."""


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
    paper_width: float | None = None
    """Requested width in points; None for the natural width."""

    @property
    def is_overview(self) -> bool:
        """Whether the pages show stages."""
        return self.pages[0].page.overview is not None

    @property
    def margin(self) -> float:
        """Margin around the pages."""
        return self.pages[0].page.spacing.margin

    @property
    def size(self) -> tuple[float, float]:
        """Width and height with the margin, before scaling."""
        width, height = self.width + 2 * self.margin, self.height + 2 * self.margin
        return (width if self.paper_width is None else self.paper_width / self.scale), height

    @property
    def scale(self) -> float:
        """Factor that shrinks the page to the requested width; at most 1."""
        return 1.0 if self.paper_width is None else min(1.0, self.paper_width / (self.width + 2 * self.margin))

    @property
    def left(self) -> float:
        """Space to the left of the pages, which are centered."""
        return (self.size[0] - self.width) / 2


def arrange_sheet(
    models: Sequence[DiagramModel],
    direction: Direction = "TB",
    overviews: Sequence[Overview] = (),
    *,
    narrow: bool = False,
) -> Sheet:
    """Lay out each model; several models get one column each, for comparison side by side.

    Args:
        models: Diagram content of each network.
        direction: `"TB"` for scales from top to bottom, `"LR"` from left to right.
        overviews: Overviews to draw instead of the layers.
        narrow: Use a single column for one model too.
    """
    pages: list[PlacedPage] = []
    x, offset, gap = 0.0, 0, OVERVIEW_GAP if overviews else PAGE_GAP
    for number, model in enumerate(models):
        if overviews:
            page = arrange_overview(model, overviews[number], direction=direction)
        else:
            page = arrange(model, direction=direction, narrow=narrow or len(models) > 1)
        pages.append(PlacedPage(page, x, offset, f"n{number + 1}_" if number else ""))
        x += page.width + gap
        offset += model.layers
    return Sheet(tuple(pages), x - gap, max(placed.page.height for placed in pages))
