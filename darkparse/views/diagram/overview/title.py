"""Text above the overview: name, summary, totals and legend, in the small type of its boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from darkparse.views.diagram.elements import COLORED_MARKS, DiagramModel, Link
from darkparse.views.diagram.font_metrics import wrap
from darkparse.views.diagram.overview.boxes import FONT
from darkparse.views.diagram.title import LegendEntry, TextBox, TextLine, break_entries, build_text_box

NAME_FONT = 12.0
LEADING = 1.3
LEGEND_HEIGHT = 12.0
MIN_WIDTH = 120.0
TICKS_LEGEND = "One tick per layer: height×width above channels"
TICK_LEGEND = {
    "tick_reduced": "reduced",
    "tick_kept": "kept",
    "tick_expanded": "expanded",
    "tick_projected": "to a head",
}


def title_box(model: DiagramModel, width: float) -> TextBox:
    """Build the title: name, summary and totals, wrapped to the available width."""
    return build_text_box("title", title_lines(model, width) if model.has_title else ())


def title_lines(model: DiagramModel, width: float) -> Iterator[TextLine]:
    """Yield name, summary and totals, wrapped to the available width."""
    width = max(MIN_WIDTH, width)
    for line in wrap(model.name, width, NAME_FONT, bold=True):
        yield NAME_FONT * LEADING, (LegendEntry(line, 0, NAME_FONT, is_bold=True),)
    for line in wrap(model.answer, width, FONT, bold=True):
        yield FONT * LEADING, (LegendEntry(line, 0, FONT, is_bold=True),)
    for line in wrap(" · ".join(model.totals), width, FONT):
        yield FONT * LEADING, (LegendEntry(line.removeprefix("· "), 0, FONT, "faint"),)


def legend_box(model: DiagramModel, links: Sequence[Link], width: float) -> TextBox:
    """Build the legend of ticks, bars and links."""
    return build_text_box("notes", [(LEGEND_HEIGHT, line) for line in legend_lines(model, links, width) if line])


def legend_lines(model: DiagramModel, links: Sequence[Link], width: float) -> list[tuple[LegendEntry, ...]]:
    """Return the entries of the legend, wrapped to the available width."""
    return break_entries([*_legend_entries(model, links)], max(MIN_WIDTH, width))


def _legend_entries(model: DiagramModel, links: Sequence[Link]) -> Iterator[LegendEntry]:
    if not model.has_legend:
        return
    yield LegendEntry(TICKS_LEGEND, 0, FONT, "faint")
    for role, text in TICK_LEGEND.items():
        if role == "tick_projected" and "projected" not in model.legend_tones:
            continue
        yield LegendEntry(text, 0, FONT, "faint", swatch=role)
    yield LegendEntry(f"share of the {model.price_name}", 0, FONT, "faint", swatch="price_line")
    others = model.compared.links if model.compared else ()
    if any(link.kind == "reused" for link in (*links, *others)):
        yield LegendEntry("- - - reused later", 0, FONT, "reused")
    for sign, meaning in model.shown_marks.items():
        swatch = "changed" if sign in COLORED_MARKS else ""
        yield LegendEntry(f"{sign} {meaning}", 0, FONT, "faint", swatch=swatch)
