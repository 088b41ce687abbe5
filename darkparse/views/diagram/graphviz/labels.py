"""HTML tables for title, legend, input, heads and edge labels."""

from __future__ import annotations

from collections.abc import Iterable

from darkparse.views.diagram.elements import HeadCard
from darkparse.views.diagram.graphviz.markup import Colors, cell, format_text, table
from darkparse.views.diagram.layout import boxes
from darkparse.views.diagram.title import LegendEntry
from darkparse.views.formatting.words import escape_text


def input_table(text: str, colors: Colors) -> str:
    """Return the table of the network's input."""
    content = format_text(text, boxes.FACT_FONT, colors["header_text"], bold=True)
    return table([cell(content)], cellpadding=6, bgcolor=colors["header"])


def head_table(head: HeadCard, colors: Colors) -> str:
    """Return the table of a detection head."""
    color = colors["head_text"]
    first, *others = head.lines
    lines = [format_text(first, boxes.LAYER_FONT, color, bold=True), *(format_text(line, 10, color) for line in others)]
    return table([cell("<BR/>".join(lines))], cellpadding=6, bgcolor=colors["head"])


def title_table(lines: Iterable[tuple[LegendEntry, ...]], colors: Colors) -> str:
    """Return the table of the title, with one text per line."""
    indents = (("   " if entry.x else "", entry) for (entry,) in lines)
    return table((cell(indent + _entry_text(entry, colors), align="LEFT") for indent, entry in indents), cellpadding=2)


def legend_table(lines: Iterable[tuple[LegendEntry, ...]], colors: Colors) -> str:
    """Return the table of the legend."""
    rows = ("".join(_legend_cell(entry, colors) for entry in entries) for entries in lines)
    return table(rows, cellspacing=3, cellpadding=3)


def _legend_cell(entry: LegendEntry, colors: Colors) -> str:
    return cell(_entry_text(entry, colors), bgcolor=colors[entry.role] if entry.is_filled else "")


def _entry_text(entry: LegendEntry, colors: Colors) -> str:
    on_fill = colors.get(f"{entry.role}_text", colors["text"])
    color = on_fill if entry.is_filled else colors[entry.role or "text"]
    return format_text(entry.text, entry.size, color, bold=entry.is_bold)


def edge_label(text: str, background: str = "") -> str:
    """Return an edge label with padding, because Graphviz places labels directly on the edge."""
    return table([cell(escape_text(text), bgcolor=background)], cellpadding=3)
