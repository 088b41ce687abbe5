"""Pieces of Graphviz's HTML: cells, fonts, links, and text made safe for them."""

from __future__ import annotations

from html import escape


def shown(text: str) -> str:
    """Text with a question mark for everything that cannot be shown."""
    return "".join(c if c.isprintable() else "?" for c in text)


def plain(text: str) -> str:
    """Text as it stands in an HTML label."""
    return escape(shown(text))


def quoted(text: str) -> str:
    """Text as a quoted identifier of DOT, in which Graphviz reads HTML's entities."""
    escaped = shown(text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def font(text: str, size: float, color: str, *, bold: bool = False) -> str:
    """Text in a font; empty text is a space, since Graphviz takes no empty font."""
    words = plain(text) or " "
    return f'<FONT POINT-SIZE="{size:g}" COLOR="{color}">{f"<B>{words}</B>" if bold else words}</FONT>'


def td(content: str, **attributes: str | float | None) -> str:
    """A table cell; attributes that are None are left out."""
    given = (
        f'{key}="{value:g}"' if isinstance(value, float) else f'{key}="{value}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<TD {' '.join(given)}>{content}</TD>" if attributes else f"<TD>{content}</TD>"


def tr(cells: str) -> str:
    """A table row."""
    return f"<TR>{cells}</TR>"


def table(rows: str, *, spacing: int = 0, padding: int = 0, border: int = 0, **attributes: str | None) -> str:
    """A table without cell borders."""
    given = "".join(f' {key}="{value}"' for key, value in attributes.items() if value is not None)
    return (
        f'<TABLE BORDER="{border}" CELLBORDER="0" CELLSPACING="{spacing}" CELLPADDING="{padding}"{given}>{rows}</TABLE>'
    )


def link_to(position: int, hint: str) -> dict[str, str]:
    """What makes a cell a link to a layer, with a tooltip; the HTML page looks for it."""
    return {"HREF": f"#L{position}", "TITLE": plain(hint)}
