"""Markup of Graphviz HTML labels: formatted text, cells and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from darkparse.views.formatting.words import escape_text

Colors = Mapping[str, str]
"""Colors of a theme, by role."""


def format_text(text: str, size: float, color: str, *, bold: bool = False) -> str:
    """Return formatted text, or an empty string for blank text, because Graphviz rejects empty elements."""
    if not text.strip():
        return ""
    content = f"<B>{escape_text(text)}</B>" if bold else escape_text(text)
    return f'<FONT POINT-SIZE="{size:g}" COLOR="{color}">{content}</FONT>'


def cell(content: str, **attributes: object) -> str:
    """Return a cell; attributes that are empty or None are omitted."""
    attribute_text = "".join(
        f' {name.upper()}="{value}"' for name, value in attributes.items() if value not in ("", None)
    )
    return f"<TD{attribute_text}>{content}</TD>"


def table(rows: Iterable[str], separator: str = "", **attributes: object) -> str:
    """Return a table, by default without borders, spacing and padding.

    Args:
        rows: Markup of the cells of each row.
        separator: Text between rows, such as a line break, which Graphviz ignores.
        attributes: Attributes of the table.
    """
    merged = {"border": 0, "cellborder": 0, "cellspacing": 0, "cellpadding": 0} | attributes
    texts = "".join(f' {name.upper()}="{value}"' for name, value in merged.items())
    return f"<TABLE{texts}>{''.join(f'{separator}<TR>{row}</TR>' for row in rows)}{separator}</TABLE>"


def join_lines(texts: Iterable[str]) -> str:
    """Join lines of text; several lines are left-aligned."""
    lines = list(texts)
    return lines[0] if len(lines) == 1 else "".join(f'{line}<BR ALIGN="LEFT"/>' for line in lines)
