"""One page, or those of two networks side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from darkparse.views.diagram.elements import DiagramModel
from darkparse.views.diagram.layout.page import Direction, Page
from darkparse.views.diagram.layout.passes import arrange

BETWEEN = 70.0
"""Room between two networks."""


@dataclass(frozen=True, slots=True)
class Placed:
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

    pages: tuple[Placed, ...]
    width: float
    height: float


def sheet_of(pictures: Sequence[DiagramModel], direction: Direction = "TB") -> Sheet:
    """Every picture laid out in its place; several have a column each, to be read beside each other."""
    pages: list[Placed] = []
    x, offset = 0.0, 0
    for number, picture in enumerate(pictures):
        page = arrange(picture, direction=direction, narrow=len(pictures) > 1)
        pages.append(Placed(page, x, offset, f"n{number + 1}_" if number else ""))
        x += page.width + BETWEEN
        offset += picture.layers
    return Sheet(tuple(pages), x - BETWEEN, max(placed.page.height for placed in pages))
