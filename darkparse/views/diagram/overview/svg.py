"""SVG elements of the overview."""

from __future__ import annotations

from collections.abc import Iterator

from darkparse.views.diagram.overview.boxes import (
    BAR_HEIGHT,
    FONT,
    INNER_MARGIN,
    LINE_HEIGHT,
    PADDING,
    STRIP_GAP,
    STRIP_HEIGHT,
    Band,
    StageBox,
    StripItem,
)
from darkparse.views.diagram.svg_elements import rect_element, text
from darkparse.views.formatting.words import escape_text

TICK_SPACE = 0.4
"""Space between two ticks."""
BAND_LABEL_INDENT, BAND_LABEL_MIDDLE = 1.5, 4.8


def band_elements(band: Band) -> Iterator[str]:
    """Yield the area of a band and its name."""
    yield rect_element(band.x, band.y, band.width, band.height, "band")
    yield text(band.name, band.x + BAND_LABEL_INDENT, band.y + BAND_LABEL_MIDDLE, FONT, "faint")


def stage_elements(box: StageBox, prefix: str, offset: int) -> Iterator[str]:
    """Yield a box as one link to its first layer.

    Args:
        box: Positioned box.
        prefix: Prefix of the id, which distinguishes several networks.
        offset: Number added to layer indices in links.
    """
    stage = box.stage
    title = f"<title>{escape_text(stage.hint)}</title>"
    yield f'<a href="#L{offset + stage.layers[0]}" id="{prefix}{box.name}" class="stage part_{stage.part}">{title}'
    yield rect_element(box.x, box.y, box.width, box.height, "frame row changed" if stage.is_colored else "frame row")
    if stage.share * box.width >= 0.5:
        yield rect_element(box.x, box.y, box.width * min(1, stage.share), BAR_HEIGHT, "price_line")
    y = box.y + BAR_HEIGHT + INNER_MARGIN + LINE_HEIGHT / 2
    for number, line in enumerate(stage.lines):
        yield text(line, box.x + PADDING, y, FONT, bold=number == 0)
        y += LINE_HEIGHT
    top = y - LINE_HEIGHT / 2 + STRIP_GAP
    yield "".join(_strip_element(item, box.x + PADDING, top) for item in box.strip)
    yield "</a>"


def _strip_element(item: StripItem, left: float, top: float) -> str:
    x, y = left + item.x, top + item.row * (STRIP_HEIGHT + STRIP_GAP)
    if item.tick is None:
        return text(item.text, x, y + STRIP_HEIGHT / 2, FONT, "faint")
    halves = ((item.tick.spatial, y), (item.tick.channels, y + STRIP_HEIGHT / 2))
    width = item.width - TICK_SPACE
    return "".join(rect_element(x, half, width, STRIP_HEIGHT / 2, f"tick_{tone}") for tone, half in halves)
