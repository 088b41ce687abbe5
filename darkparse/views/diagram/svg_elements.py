"""Texts and rectangles as SVG elements."""

from __future__ import annotations

from darkparse.views.diagram.font_metrics import text_width
from darkparse.views.formatting.words import escape_text

BASELINE_OFFSET = 0.36
"""Distance from the middle of a text line to its baseline, as a fraction of the font size."""
NO_BREAK_SPACE = "\u00a0"
"""Replacement for consecutive spaces, which SVG would collapse."""


def text(
    content: str, x: float, y: float, size: float, role: str = "", *, bold: bool = False, anchor: str = "start"
) -> str:
    """Return a line of text, vertically centered at `y` and scaled to its measured width."""
    if not content.strip():
        return ""
    width = text_width(content, size, bold=bold)
    classes = f' class="{role}"' if role else ""
    weight = ' font-weight="bold"' if bold else ""
    side = "" if anchor == "start" else f' text-anchor="{anchor}"'
    attributes = f'x="{x:.5g}" y="{y + BASELINE_OFFSET * size:.6g}" font-size="{size:g}"{weight}{side}'
    fit = f'textLength="{width:.4g}" lengthAdjust="spacingAndGlyphs"'
    return f"<text{classes} {attributes} {fit}>{escape_text(content).replace('  ', 2 * NO_BREAK_SPACE)}</text>"


def rect_element(x: float, y: float, width: float, height: float, role: str = "") -> str:
    """Return a filled rectangle."""
    classes = f' class="{role}"' if role else ""
    return f'<rect{classes} x="{x:.6g}" y="{y:.6g}" width="{width:.5g}" height="{height:.5g}"/>'
