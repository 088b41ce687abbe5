"""Graphviz's HTML labels: text in a font, cells and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from darkparse.diagnostics.source import escape_control

Colors = Mapping[str, str]
"""The colors of a theme, by role."""


def escape_label(text: str) -> str:
    """Return text as it stands in an HTML label."""
    return escape(escape_control(text))


def format_text(text: str, size: float, color: str, *, bold: bool = False) -> str:
    """Return text in a font; nothing for nothing, since Graphviz refuses an empty element."""
    if not text.strip():
        return ""
    content = f"<B>{escape_label(text)}</B>" if bold else escape_label(text)
    return f'<FONT POINT-SIZE="{size:g}" COLOR="{color}">{content}</FONT>'


def cell(content: str, **attributes: object) -> str:
    """Return a cell; an attribute without a value is left out."""
    attribute_text = "".join(
        f' {name.upper()}="{value}"' for name, value in attributes.items() if value not in ("", None)
    )
    return f"<TD{attribute_text}>{content}</TD>"


def table(rows: Iterable[str], separator: str = "", **attributes: object) -> str:
    """Return a table of rows, each the text of its cells; by default without borders or space.

    Graphviz ignores `between`, which stands between rows.
    """
    merged = {"border": 0, "cellborder": 0, "cellspacing": 0, "cellpadding": 0} | attributes
    texts = "".join(f' {name.upper()}="{value}"' for name, value in merged.items())
    return f"<TABLE{texts}>{''.join(f'{separator}<TR>{row}</TR>' for row in rows)}{separator}</TABLE>"


def join_lines(texts: Iterable[str]) -> str:
    """Return lines, each at the left."""
    lines = list(texts)
    return lines[0] if len(lines) == 1 else "".join(f'{line}<BR ALIGN="LEFT"/>' for line in lines)
