"""Text above the diagram: a prominent name and summary, then facts and legend in smaller print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from darkparse.views.diagram.elements import COLORED_MARKS, DiagramModel
from darkparse.views.diagram.font_metrics import text_width, wrap
from darkparse.views.diagram.layout.boxes import FACT_FONT, TITLE_FONT, Box
from darkparse.views.formatting.cells import SIGNS
from darkparse.views.formatting.words import COLUMN_SEPARATOR

LEGEND = {"reduced": "reduced, ÷ factor", "kept": "kept, no reduction", "expanded": "expanded, × factor"}
HEAD_LEGEND = {"projected": "projected to a head"}
"""Meaning of each cell tone, printed after its sign."""
REPEAT_LEGEND = "× n  block repeated n times"
REUSED_LEGEND = "- - -  feature map reused later"
LEGEND_FONT, ANSWER_FONT = 10.0, 16.0
LEGEND_HEIGHT, LEGEND_GAP, FILL_PADDING = 19.0, 6.0, 6.0
MIN_TEXT_WIDTH = 480.0
"""Minimum width available to text in points, even on a narrower page."""
LEADING = 1.4
"""Line height, as a multiple of the font size."""


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """Text in a line, with its left end `x`.

    `role` is a CSS class; for filled cells, that of the background. `swatch` is that of a square before the text.
    """

    text: str
    x: float
    size: float
    role: str = ""
    is_bold: bool = False
    is_filled: bool = False
    swatch: str = ""

    @property
    def swatch_width(self) -> float:
        """Width of the square with the space behind it."""
        return self.size if self.swatch else 0.0

    @property
    def width(self) -> float:
        text = self.swatch_width + text_width(self.text, self.size, bold=self.is_bold)
        return text + (2 * FILL_PADDING if self.is_filled else 0)


TextLine = tuple[float, tuple[LegendEntry, ...]]
"""Height of a line, and its texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextBox(Box):
    """Positioned lines of text, each with its height and its entries."""

    lines: tuple[TextLine, ...]


def title_box(model: DiagramModel, width: float) -> TextBox:
    """Build the title: name, summary and totals. A name wider than the available width is truncated."""
    return build_text_box("title", title_lines(model, max(MIN_TEXT_WIDTH, width)) if model.has_title else ())


def title_lines(model: DiagramModel, width: float) -> Iterator[TextLine]:
    """Yield the lines of the title, each with its height."""
    yield _text_line(_truncate(model.name, width), TITLE_FONT, is_bold=True)
    yield from (
        _text_line(text, ANSWER_FONT, is_bold=True) for text in wrap(model.answer, width, ANSWER_FONT, bold=True)
    )
    yield _text_line(COLUMN_SEPARATOR.join(model.totals), FACT_FONT, "faint")


def notes_box(model: DiagramModel, width: float) -> TextBox:
    """Build the facts and the legend, wrapped to the available width."""
    lines = [*fact_lines(model, width), (LEGEND_GAP, ())] if model.has_title else []
    lines += [(LEGEND_HEIGHT + LEGEND_GAP, line) for line in legend_lines(model, width) if line]
    return build_text_box("notes", lines)


def fact_lines(model: DiagramModel, width: float) -> list[TextLine]:
    """Return the facts, wrapped to the available width, each line with its height."""
    return [line for fact in model.facts for line in _wrap_fact(fact, max(MIN_TEXT_WIDTH, width))]


def legend_lines(model: DiagramModel, width: float) -> list[tuple[LegendEntry, ...]]:
    """Return the entries of the legend, wrapped to the available width."""
    return break_entries([*_legend_entries(model)], max(MIN_TEXT_WIDTH, width))


def _wrap_fact(fact: str, width: float) -> Iterator[TextLine]:
    """Wrap a fact and align continuation lines with its first word."""
    indent = text_width("• ", FACT_FONT)
    for number, text in enumerate(wrap(fact, width - indent, FACT_FONT)):
        entry = LegendEntry(text, indent, FACT_FONT) if number else LegendEntry(f"• {text}", 0, FACT_FONT)
        yield FACT_FONT * LEADING, (entry,)


def build_text_box(name: str, lines: Iterable[TextLine]) -> TextBox:
    """Build a box of lines; without lines it has no size."""
    lines = tuple(lines)
    width = max((entry.x + entry.width for _, line in lines for entry in line), default=0.0)
    return TextBox(name, width, sum(height for height, _ in lines), lines=lines)


def _text_line(text: str, size: float, role: str = "", *, is_bold: bool = False) -> TextLine:
    return size * LEADING, (LegendEntry(text, 0, size, role, is_bold),)


def _legend_entries(model: DiagramModel) -> Iterator[LegendEntry]:
    """Yield the legend entries that apply to the diagram."""
    models = model.legend_models
    if not models:
        return
    projects = not model.legend_tones.isdisjoint(HEAD_LEGEND)
    for tone, text in (LEGEND | HEAD_LEGEND if projects else LEGEND).items():
        yield LegendEntry(f"{SIGNS[tone]} {text}", 0, LEGEND_FONT, tone, is_filled=True)
    if any(one.has_repeats for one in models):
        yield LegendEntry(REPEAT_LEGEND, 0, LEGEND_FONT, "repeat", is_filled=True)
    if any(link.kind == "reused" for one in models for link in one.links):
        yield LegendEntry(REUSED_LEGEND, 0, LEGEND_FONT, "reused")
    for sign, meaning in model.shown_marks.items():
        is_colored = sign in COLORED_MARKS
        role = "changed" if is_colored else ""
        yield LegendEntry(f"{sign} {meaning}", 0, LEGEND_FONT, role, is_filled=is_colored)
    yield LegendEntry(model.price_legend, 0, LEGEND_FONT, "price", is_filled=True)
    if model.overlay:
        name = f"{model.overlay.name}: share of {model.overlay.share_of}"
        yield LegendEntry(name, 0, LEGEND_FONT, "overlay", is_filled=True)


def break_entries(entries: Sequence[LegendEntry], width: float) -> list[tuple[LegendEntry, ...]]:
    """Arrange entries in lines of at most `width` points."""
    lines: list[list[LegendEntry]] = [[]]
    x = 0.0
    for entry in entries:
        if lines[-1] and x + entry.width > width:
            lines.append([])
            x = 0.0
        lines[-1].append(replace(entry, x=x))
        x += entry.width + LEGEND_GAP
    return [tuple(line) for line in lines]


def _truncate(name: str, width: float) -> str:
    """Shorten a name with an ellipsis to at most `width` points."""
    names = (name, *(f"{name[:n]}…" for n in range(len(name) - 1, 0, -1)))
    return next((text for text in names if text_width(text, TITLE_FONT, bold=True) <= width), "…")
