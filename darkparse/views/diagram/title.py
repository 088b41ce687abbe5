"""The block above the diagram: name, totals, legend and the three answers."""

from __future__ import annotations

from darkparse.views.diagram import boxes as layout
from darkparse.views.diagram.markup import font, table, td, tr
from darkparse.views.diagram.metrics import text_width
from darkparse.views.diagram.model import MARKS, Picture
from darkparse.views.diagram.theme import Theme
from darkparse.views.phrases.words import WIDE

LEGEND = (("reduced", "▼ reduced, ÷ factor"), ("kept", "= kept, no reduction"), ("expanded", "▲ expanded, × factor"))
HEAD_LEGEND = "→ projected to a head"
REPEAT_LEGEND = "× n  block repeated n times"
REUSED_LEGEND = "- - -  feature map reused later"
LEGEND_FONT = 10.0
LEAST_ROOM = 480.0
"""The legend has so many points beside each other even on a narrower page."""
NAME_HEIGHT, TOTALS_HEIGHT, LEGEND_HEIGHT, FACT_HEIGHT = 34.0, 22.0, 24.0, 19.0
SIDES = 16.0
"""Room beside the texts."""

Entry = tuple[str, str, str | None]
"""Text, its colour, and the fill."""


class TitleBlock:
    """The block's HTML and size in points."""

    def __init__(self, picture: Picture, theme: Theme, room: float) -> None:
        """The legend wraps and the name is cut where they are wider than `room` and the facts."""
        self.picture = picture
        self.theme = theme
        texts = [text_width(text, layout.FACT_FONT) for text in (WIDE.join(picture.totals), *map(_fact, picture.facts))]
        room = max(LEAST_ROOM, room - SIDES, *texts)
        self.name = _cut(picture.name, room)
        self.legend = _lines(self._legend(), room)
        name = text_width(self.name, layout.TITLE_FONT, bold=True)
        heights = NAME_HEIGHT + TOTALS_HEIGHT + LEGEND_HEIGHT * len(self.legend) + FACT_HEIGHT * len(picture.facts)
        self.size = (max(name, *texts, *(sum(map(_width, line)) for line in self.legend)) + SIDES, heights + 6)

    def _legend(self) -> list[Entry]:
        """The entries that the picture needs."""
        theme, tones = (
            self.theme,
            {cell.tone for card in self.picture.cards for row in card.rows for cell in (row.spatial, row.channels)},
        )
        entries: list[Entry] = [(text, getattr(theme, f"{tone}_text"), getattr(theme, tone)) for tone, text in LEGEND]
        if "projected" in tones:
            entries.append((HEAD_LEGEND, theme.projected_text, theme.projected))
        if self.picture.has_repeats:
            entries.append((REPEAT_LEGEND, theme.repeat_text, theme.repeat))
        if any(link.kind == "reused" for link in self.picture.links):
            entries.append((REUSED_LEGEND, theme.reused, None))
        marks = {row.mark for card in self.picture.cards for row in card.rows}
        entries += [
            (f"{sign} {meaning}", theme.text, theme.changed) for sign, meaning in MARKS.items() if sign in marks
        ]
        return entries

    def html(self) -> str:
        """The block as one table."""
        theme, picture, width = self.theme, self.picture, self.size[0] - 4
        rows = [
            td(
                font(self.name, layout.TITLE_FONT, theme.text, bold=True), HEIGHT=NAME_HEIGHT, WIDTH=width, ALIGN="LEFT"
            ),
            td(font(WIDE.join(picture.totals), layout.FACT_FONT, theme.faint), HEIGHT=TOTALS_HEIGHT, ALIGN="LEFT"),
            *(td(_legend_line(line, width), ALIGN="LEFT", HEIGHT=LEGEND_HEIGHT) for line in self.legend),
            *(
                td(font(_fact(line), layout.FACT_FONT, theme.text), ALIGN="LEFT", HEIGHT=FACT_HEIGHT)
                for line in picture.facts
            ),
        ]
        return table("".join(map(tr, rows)))


def _fact(line: str) -> str:
    return f"• {line}"


def _cut(name: str, width: float) -> str:
    """A name, or as much of it as a width holds, with dots."""
    if text_width(name, layout.TITLE_FONT, bold=True) <= width:
        return name
    lengths = range(len(name), 0, -1)
    return next(
        (short for n in lengths if text_width(short := f"{name[:n]}…", layout.TITLE_FONT, bold=True) <= width), "…"
    )


def _lines(entries: list[Entry], width: float) -> list[list[Entry]]:
    """Entries in lines of at most a width."""
    lines: list[list[Entry]] = [[]]
    for entry in entries:
        if lines[-1] and sum(map(_width, [*lines[-1], entry])) > width:
            lines.append([])
        lines[-1].append(entry)
    return lines


def _width(entry: Entry) -> float:
    return text_width(entry[0], LEGEND_FONT) + 12


def _legend_line(entries: list[Entry], width: float) -> str:
    """One line; an empty cell takes the rest of the width, which Graphviz would spread over the others."""
    cells = "".join(
        td(font(text, LEGEND_FONT, color), BGCOLOR=fill, WIDTH=_width((text, color, fill)) - 2, HEIGHT=19.0)
        for text, color, fill in entries
    )
    rest = width - sum(map(_width, entries)) - 6
    return table(tr(cells + (td("", WIDTH=rest) if rest > 0 else "")), spacing=2, padding=2)
