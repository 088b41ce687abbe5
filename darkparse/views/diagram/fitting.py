"""Choice of detail and layout for a page of a given width, so that all type stays legible."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from darkparse.errors import DarkparseError
from darkparse.views.diagram.elements import Detail, DiagramModel
from darkparse.views.diagram.layout.boxes import LEAST_FONT as LEAST_CARD_FONT
from darkparse.views.diagram.layout.page import Direction
from darkparse.views.diagram.overview.boxes import FONT
from darkparse.views.diagram.overview.content import Overview
from darkparse.views.diagram.sheet import Sheet, arrange_sheet

MIN_TYPE = 6.0
"""Minimum font size of a fitted page, in points."""
UNITS = {"pt": 1.0, "in": 72.0, "cm": 72 / 2.54, "mm": 72 / 25.4}
MAX_LENGTH = 14_400.0
"""Largest width in points, which is also that of a PDF page."""


def parse_length(length: str | float) -> float:
    """Convert a length such as `241pt` or `17cm`, or a number of points, to points.

    Raises:
        DarkparseError: The text is not a length, or the length is too large.
    """
    text = length if isinstance(length, str) else f"{length:.9f}pt"
    match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*(pt|in|cm|mm)\s*", text)
    points = float(match[1]) * UNITS[match[2]] if match else 0.0
    if not 0 < points <= MAX_LENGTH:
        limit = f", at most {MAX_LENGTH:,.0f}pt" if points else ""
        expected = f"a length such as 241pt, 17cm, 170mm or 6.5in{limit}"
        raise DarkparseError(f"invalid width, got {text!r}; expected {expected}")
    return points


def fit_sheet(
    models: Sequence[DiagramModel],
    overviews: Sequence[Overview],
    width: float,
    *,
    direction: Direction,
    detail: Detail | None,
) -> Sheet:
    """Lay out a page of the given width; prefer layers to stages, and several columns to one.

    Args:
        models: Diagram content of each network.
        overviews: Stages of each network.
        width: Width of the page in points.
        direction: `"TB"` for scales from top to bottom, `"LR"` from left to right.
        detail: Detail to draw; None to choose.

    Raises:
        DarkparseError: Type would be smaller than `MIN_TYPE`.
    """
    least_widths = []
    for sheet in _candidates(models, overviews, direction, detail):
        least = sheet.size[0] * MIN_TYPE / (FONT if sheet.is_overview else LEAST_CARD_FONT)
        if least <= width:
            return replace(sheet, paper_width=width)
        least_widths.append(least)
    least_width = math.ceil(min(least_widths))
    hint = "" if detail != "layers" else "\nhint: an overview is narrower: --detail stages"
    raise DarkparseError(
        f"width is too small for {MIN_TYPE:g}-point type, got {width:.4g}pt; expected at least {least_width}pt{hint}"
    )


def _candidates(
    models: Sequence[DiagramModel], overviews: Sequence[Overview], direction: Direction, detail: Detail | None
) -> Iterator[Sheet]:
    if detail != "stages":
        yield arrange_sheet(models, direction)
        if direction == "TB" and len(models) == 1:
            yield arrange_sheet(models, direction, narrow=True)
    if detail != "layers":
        yield arrange_sheet(models, direction, overviews)
