"""Elements of a chart as SVG."""

from __future__ import annotations

from collections.abc import Iterable

from darkparse.views.diagram.font_metrics import text_width
from darkparse.views.diagram.theme import FONTS
from darkparse.views.formatting.words import escape_text

INK, FAINT, GRID = "#212529", "#5F6B76", "#DEE2E6"
"""Colors of text, of secondary text, and of lines."""
TITLE_SIZE, TEXT_SIZE = 15.0, 11.0
MARGIN = 16.0
BASELINE_OFFSET = 0.36
"""Distance from the middle of a text line to its baseline, as a fraction of the font size."""


def svg_document(elements: Iterable[str], width: float, height: float) -> str:
    """Return a standalone SVG document on a white page."""
    box = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    page = f'<rect width="{width:g}" height="{height:g}" fill="#FFFFFF"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="{FONTS}">'
    return "\n".join((head, page, *elements, "</svg>\n"))


def svg_text(
    content: str,
    x: float,
    y: float,
    size: float = TEXT_SIZE,
    *,
    color: str = INK,
    anchor: str = "start",
    bold: bool = False,
    turned: bool = False,
) -> str:
    """Return a line of text, vertically centered at `y`; `turned` text runs upward from there."""
    weight = ' font-weight="bold"' if bold else ""
    place = f'x="{x:.5g}" y="{y + BASELINE_OFFSET * size:.5g}"'
    if turned:
        place = f'transform="translate({x + BASELINE_OFFSET * size:.5g} {y:.5g}) rotate(-90)"'
    style = f'font-size="{size:g}" fill="{color}" text-anchor="{anchor}"{weight}'
    return f"<text {place} {style}>{escape_text(content)}</text>"


def svg_rect(x: float, y: float, width: float, height: float, fill: str, hint: str = "") -> str:
    """Return a filled rectangle with an optional tooltip."""
    title = f"<title>{escape_text(hint)}</title>" if hint else ""
    return f'<rect x="{x:.5g}" y="{y:.5g}" width="{width:.5g}" height="{height:.5g}" fill="{fill}">{title}</rect>'


def svg_path(points: Iterable[tuple[float, float]], stroke: str, width: float, *, fill: str = "none") -> str:
    """Return a line through points."""
    steps = " ".join(f"{x:.5g},{y:.5g}" for x, y in points)
    return f'<polyline points="{steps}" fill="{fill}" stroke="{stroke}" stroke-width="{width:g}"/>'


def fit_text(content: str, width: float, size: float = TEXT_SIZE) -> str:
    """Return text, shortened with an ellipsis if it is wider than `width`."""
    if text_width(content, size) <= width:
        return content
    while content and text_width(content + "…", size) > width:
        content = content[:-1]
    return content.rstrip() + "…"
