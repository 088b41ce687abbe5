"""The picture in Graphviz's language, for whoever lays out or edits a graph himself.

A card is a table with a port for each layer, cards of one scale have one rank; Graphviz finds the places.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from darkparse.syntax.source import printable
from darkparse.views.diagram.grid import grid_places
from darkparse.views.diagram.labels import source_names
from darkparse.views.diagram.model import Card, Picture, Row
from darkparse.views.diagram.theme import THEMES
from darkparse.views.phrases.words import WIDE


def dot_text(pictures: Sequence[Picture], theme: str = "light", *, direction: str = "TB") -> str:
    """One picture, or several in one graph."""
    colours = THEMES[theme]
    name = quoted(" and ".join(picture.name for picture in pictures))
    title = "\\l".join(quoted(line)[1:-1] for picture in pictures for line in _title(picture))
    font = f'fontname="Arial" fontcolor="{colours["text"]}"'
    graph = f"rankdir={direction} newrank=true nodesep=0.7 ranksep=0.4 labelloc=t labeljust=l"
    lines = [
        f"digraph {name} {{",
        f'  graph [{graph} bgcolor="{colours["page"]}" {font} fontsize=14 label="{title}\\l"]',
        f"  node [shape=plain {font} fontsize=11]",
        f'  edge [{font} fontsize=10 penwidth=1.4 arrowsize=0.8 color="{colours["line"]}"]',
        *(f"  {line}" for number, one in enumerate(pictures, 1) for line in _Writer(one, colours, number).lines()),
        "}",
    ]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """Text as a quoted identifier of DOT, in which Graphviz reads HTML's entities."""
    escaped = escape(printable(text), quote=False).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _title(picture: Picture) -> Iterator[str]:
    yield from (picture.name, picture.answer, WIDE.join(picture.totals))
    yield from (f"• {fact}" for fact in picture.facts)


class _Writer:
    """Writes one picture; a prefix keeps the names of several apart."""

    def __init__(self, picture: Picture, colours: Mapping[str, str], number: int) -> None:
        self.picture = picture
        self.colours = colours
        self.prefix = f"n{number}_" if number > 1 else ""
        self.names = source_names(picture)
        self.place = {row.index: f"{self.prefix}{card.name}" for card in picture.cards for row in card.rows}

    def lines(self) -> Iterator[str]:
        picture = self.picture
        columns = [column for column, _ in grid_places(picture.cards)]
        for card, column in zip(picture.cards, columns, strict=True):
            yield f"{self.prefix}{card.name} [group=c{column} label=<{self._table(card)}>]"
        for size in dict.fromkeys(card.size for card in picture.cards):
            same = [f"{self.prefix}{card.name}" for card in picture.cards if card.size == size]
            yield f"{{rank=same; {'; '.join(same)}}}"
        filled = f'fillcolor="{self.colours["head"]}" fontcolor="{self.colours["head_text"]}"'
        for head in picture.heads:
            words = "\\n".join(quoted(line)[1:-1] for line in head.lines)
            yield f'{self.prefix}{head.name} [shape=box style=filled penwidth=0 {filled} label="{words}"]'
            yield f'{self._port(head.source)} -> {self.prefix}{head.name} [color="{self.colours["head_line"]}"]'
        if any(link.source < 0 for link in picture.links):
            yield f"{self.prefix}input [shape=box label={quoted(picture.input_text)}]"
        for link in picture.links:
            reused = f' style=dashed color="{self.colours["reused"]}"' if link.kind == "reused" else ""
            source = self._port(link.source) if link.source >= 0 else f"{self.prefix}input"
            yield f"{source} -> {self._port(link.target)} [label={quoted(link.label)}{reused}]"

    def _port(self, index: int) -> str:
        return f"{self.place[index]}:L{index}"

    def _table(self, card: Card) -> str:
        header = (
            f'<TR><TD COLSPAN="{6 if self.picture.overlay else 5}" ALIGN="LEFT" BGCOLOR="{self.colours["header"]}">'
        )
        words = WIDE.join((card.title(), card.span, *card.cost))
        rows = [f'{header}<FONT COLOR="{self.colours["header_text"]}">{_words(words)}</FONT></TD></TR>']
        for block in card.blocks:
            for number, row in enumerate(block.rows):
                times = f" (× {block.count}, to L{block.last})" if block.count > 1 and number == 0 else ""
                rows.append(self._row(row, times))
                notes = (f"└ {_words(note.text)}" for note in row.notes)
                rows += (f'<TR><TD></TD><TD COLSPAN="4" ALIGN="LEFT">{note}</TD></TR>' for note in notes)
        attributes = f'BORDER="1" CELLBORDER="0" CELLSPACING="1" BGCOLOR="{self.colours["card"]}"'
        return f"<TABLE {attributes}>{''.join(rows)}</TABLE>"

    def _row(self, row: Row, times: str) -> str:
        label = f"{row.mark} {row.label}{times}".strip()
        cells = "".join(
            f'<TD ALIGN="LEFT" BGCOLOR="{self.colours[cell.tone]}">'
            f'<FONT COLOR="{self.colours[f"{cell.tone}_text"]}">{_words(cell.text)}</FONT></TD>'
            for cell in (row.spatial, row.channels)
        )
        name = f'<TD PORT="{row.name}" ALIGN="RIGHT">{row.name}</TD><TD ALIGN="LEFT">{_words(label)}</TD>'
        overlay = f'<TD ALIGN="RIGHT">{row.overlay}</TD>' if self.picture.overlay else ""
        return f'<TR>{name}{cells}<TD ALIGN="RIGHT">{row.price}</TD>{overlay}</TR>'


def _words(text: str) -> str:
    return escape(printable(text))
