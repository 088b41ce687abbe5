"""The texts above the diagram: name and answer where the eye starts, facts and legend of lower weight."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from darkparse.views.diagram.elements import MARKS, DiagramModel
from darkparse.views.diagram.font_metrics import text_width, wrap
from darkparse.views.diagram.layout.boxes import FACT_FONT, TITLE_FONT, Box
from darkparse.views.formatting.words import COLUMN_SEPARATOR

LEGEND = (("reduced", "▼ reduced, ÷ factor"), ("kept", "= kept, no reduction"), ("expanded", "▲ expanded, × factor"))
HEAD_LEGEND = "→ projected to a head"
REPEAT_LEGEND = "× n  block repeated n times"
REUSED_LEGEND = "- - -  feature map reused later"
LEGEND_FONT, ANSWER_FONT = 10.0, 16.0
LEGEND_HEIGHT, LEGEND_GAP, FILL_PADDING = 19.0, 6.0, 6.0
MIN_ROOM = 480.0
"""The texts have so many points beside each other even on a narrower page."""
LEADING = 1.4
"""Height of a line of text, in font sizes."""


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """A text in a line, with its left end; `role` is a class of the style sheet, behind it in a filled cell."""

    text: str
    x: float
    size: float
    role: str = ""
    is_bold: bool = False
    is_filled: bool = False

    @property
    def width(self) -> float:
        return text_width(self.text, self.size, bold=self.is_bold) + (2 * FILL_PADDING if self.is_filled else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextBox(Box):
    """Lines of text in their place; each line has its height and its entries."""

    lines: tuple[tuple[float, tuple[LegendEntry, ...]], ...]


def title_box(picture: DiagramModel, room: float) -> TextBox:
    """Name, answer and totals, as wide as there is room; a name that is wider is cut."""
    room = max(MIN_ROOM, room)
    return _box("title", title_lines(picture, room))


def title_lines(picture: DiagramModel, room: float) -> Iterator[tuple[float, tuple[LegendEntry, ...]]]:
    """Yield the lines of the title, each with its height."""
    yield _line(_cut(picture.name, room), TITLE_FONT, is_bold=True)
    yield from (_line(text, ANSWER_FONT, is_bold=True) for text in wrap(picture.answer, room, ANSWER_FONT, bold=True))
    yield _line(COLUMN_SEPARATOR.join(picture.totals), FACT_FONT, "faint")


def notes_box(picture: DiagramModel, room: float) -> TextBox:
    """Facts and legend, the legend in lines as wide as there is room."""
    lines = *fact_lines(picture, room), (LEGEND_GAP, ())
    return _box("notes", [*lines, *((LEGEND_HEIGHT + LEGEND_GAP, line) for line in legend_lines(picture, room))])


def fact_lines(picture: DiagramModel, room: float) -> list[tuple[float, tuple[LegendEntry, ...]]]:
    """Return the facts in lines as wide as there is room, each with its height."""
    return [line for fact in picture.facts for line in _fact(fact, max(MIN_ROOM, room))]


def legend_lines(picture: DiagramModel, room: float) -> list[tuple[LegendEntry, ...]]:
    """Return the entries of the legend in lines as wide as there is room."""
    return _legend_lines([*_legend(picture)], max(MIN_ROOM, room))


def _fact(fact: str, room: float) -> Iterator[tuple[float, tuple[LegendEntry, ...]]]:
    """A fact in lines, those after the first under its first word."""
    sign = text_width("• ", FACT_FONT)
    for number, text in enumerate(wrap(fact, room - sign, FACT_FONT)):
        entry = LegendEntry(text, sign, FACT_FONT) if number else LegendEntry(f"• {text}", 0, FACT_FONT)
        yield FACT_FONT * LEADING, (entry,)


def _box(name: str, lines: Iterable[tuple[float, tuple[LegendEntry, ...]]]) -> TextBox:
    lines = tuple(lines)
    width = max(entry.x + entry.width for _, line in lines for entry in line)
    return TextBox(name, width, sum(height for height, _ in lines), lines=lines)


def _line(text: str, size: float, role: str = "", *, is_bold: bool = False) -> tuple[float, tuple[LegendEntry, ...]]:
    return size * LEADING, (LegendEntry(text, 0, size, role, is_bold),)


def _legend(picture: DiagramModel) -> Iterator[LegendEntry]:
    """The entries that the picture needs."""
    rows = [row for card in picture.cards for row in card.rows]
    marks = {row.mark for row in rows}
    for role, text in LEGEND:
        yield LegendEntry(text, 0, LEGEND_FONT, role, is_filled=True)
    if any(row.channels.tone == "projected" for row in rows):
        yield LegendEntry(HEAD_LEGEND, 0, LEGEND_FONT, "projected", is_filled=True)
    if picture.has_repeats:
        yield LegendEntry(REPEAT_LEGEND, 0, LEGEND_FONT, "repeat", is_filled=True)
    if any(link.kind == "reused" for link in picture.links):
        yield LegendEntry(REUSED_LEGEND, 0, LEGEND_FONT, "reused")
    for sign, meaning in MARKS.items():
        if sign in marks:
            yield LegendEntry(f"{sign} {meaning}", 0, LEGEND_FONT, "changed", is_filled=True)
    yield LegendEntry(picture.price_legend, 0, LEGEND_FONT, "price", is_filled=True)
    if picture.overlay:
        name = f"{picture.overlay.name}: share of {picture.overlay.share_of}"
        yield LegendEntry(name, 0, LEGEND_FONT, "overlay", is_filled=True)


def _legend_lines(entries: Sequence[LegendEntry], room: float) -> list[tuple[LegendEntry, ...]]:
    """Entries beside each other, in lines of at most a width."""
    lines: list[list[LegendEntry]] = [[]]
    x = 0.0
    for entry in entries:
        if lines[-1] and x + entry.width > room:
            lines.append([])
            x = 0.0
        lines[-1].append(LegendEntry(entry.text, x, entry.size, entry.role, entry.is_bold, entry.is_filled))
        x += entry.width + LEGEND_GAP
    return [tuple(line) for line in lines]


def _cut(name: str, width: float) -> str:
    """A name, or as much of it as a width holds, with dots."""
    names = (name, *(f"{name[:n]}…" for n in range(len(name) - 1, 0, -1)))
    return next((text for text in names if text_width(text, TITLE_FONT, bold=True) <= width), "…")
