"""A card as a table in Graphviz's HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from darkparse.views.diagram import boxes as layout
from darkparse.views.diagram.boxes import CardBox, Columns, RowLayout
from darkparse.views.diagram.markup import font, link_to, table, td, tr
from darkparse.views.diagram.metrics import text_width
from darkparse.views.diagram.model import Block, Cell
from darkparse.views.diagram.theme import Theme
from darkparse.views.phrases.words import WIDE

HEADER_PADDING = 2


class CardTable:
    """One card as a table in Graphviz's HTML."""

    def __init__(self, box: CardBox, columns: Columns, theme: Theme, offset: int = 0) -> None:
        """`offset` is added to a layer's index in links, for a second network on the page."""
        self.box = box
        self.offset = offset
        self.card = box.card
        self.columns = columns
        self.theme = theme
        self.count = sum(width > 0 for width in columns.all)

    def html(self) -> str:
        layouts = {row.row.index: row for row in self.box.rows}
        rows = [self._header()]
        if self.box.has_column_heads:
            rows.append(self._column_heads())
        for block in self.card.blocks:
            rows += self._block(block, [layouts[row.index] for row in block.rows])
        body = "".join(map(tr, rows))
        return table(body, border=1, spacing=1, padding=2, COLOR=self.theme.line, BGCOLOR=self.theme.card)

    def _header(self) -> str:
        theme, card = self.theme, self.card
        inner = round(sum(width for width in self.columns.all if width) + self.count - 1)
        text = WIDE.join((card.span, *card.cost))
        right = round(text_width(text, layout.COST_FONT)) + 2 * HEADER_PADDING
        # Both from the left in whole points: graphviz-pure takes – for wider than it is, and cuts fractions off.
        fixed = {"ALIGN": "LEFT", "HEIGHT": f"{layout.HEADER_HEIGHT:g}", "FIXEDSIZE": "TRUE"}
        cells = td(font(card.title(), layout.HEADER_FONT, theme.header_text, bold=True), WIDTH=inner - right, **fixed)
        cells += td(font(text, layout.COST_FONT, theme.header_faint), WIDTH=right, **fixed)
        return td(
            table(tr(cells), padding=HEADER_PADDING, WIDTH=f"{inner}"),
            COLSPAN=f"{self.count}",
            BGCOLOR=theme.header,
            HEIGHT=layout.HEADER_HEIGHT,
            CELLPADDING="0",
        )

    def _column_heads(self) -> str:
        names = ["", "", "layer", "height×width", "channels", "weights"]
        cells = []
        for name, width in zip(names, self.columns.all, strict=True):
            side = "RIGHT" if name == "weights" else "LEFT"
            if width:
                content = font(name, layout.SMALL_FONT, self.theme.faint) if name else ""
                cells.append(td(content, WIDTH=width, ALIGN=side, HEIGHT=layout.COLUMN_HEAD_HEIGHT))
        return "".join(cells)

    def _block(self, block: Block, rows: list[RowLayout]) -> Iterable[str]:
        lines = sum(1 + len(row.notes) for row in rows)
        for position, row in enumerate(rows):
            yield self._repeat(block, lines, is_first=position == 0) + self._row(row)
            yield from (self._repeat(block, lines) + self._note(*note) for note in row.notes)

    def _repeat(self, block: Block, lines: int, *, is_first: bool = False) -> str:
        """The cell at a row's left: that of the whole block in its first row, none in the others."""
        if not self.columns.repeat:
            return ""
        if block.count == 1:
            return td("", WIDTH=self.columns.repeat)
        if not is_first:
            return ""
        (count, last), (large, small) = layout.repeat_lines(block), layout.REPEAT_FONTS
        color = self.theme.repeat_text
        return td(
            f"{font(count, large, color, bold=True)}<BR/>{font(last, small, color)}",
            ROWSPAN=f"{lines}",
            BGCOLOR=self.theme.repeat,
            WIDTH=self.columns.repeat,
        )

    def _row(self, shown: RowLayout) -> str:
        row, theme, widths = shown.row, self.theme, self.columns
        position = row.index + self.offset
        link = link_to(position, row.hint)
        fill = theme.changed if row.mark else None
        name = f"{row.mark} {row.name}" if row.mark else row.name
        label = "<BR/>".join(font(line, layout.LAYER_FONT, theme.text, bold=bool(row.weights)) for line in shown.label)
        cells = [
            td(
                font(name, layout.SMALL_FONT, theme.faint),
                WIDTH=widths.number,
                HEIGHT=shown.height,
                ALIGN="RIGHT",
                BGCOLOR=fill,
                **link,
            ),
            td(label, WIDTH=widths.layer, ALIGN="LEFT", BALIGN="LEFT", BGCOLOR=fill, **link),
            self._cell(row.spatial, (row.spatial.text,), widths.spatial, position),
            self._cell(row.channels, shown.channels, widths.channels, position),
        ]
        weights = font(row.weights, layout.SMALL_FONT, theme.faint) if row.weights else ""
        cells.append(td(weights, WIDTH=widths.weights, ALIGN="RIGHT", **(link if row.weights else {})))
        return "".join(cells)

    def _cell(self, cell: Cell, lines: Sequence[str], width: float, position: int) -> str:
        fill, color = self.theme.cell(cell.tone)
        content = "<BR/>".join(font(line, layout.CELL_FONT, color) for line in lines)
        return td(content, WIDTH=width, BGCOLOR=fill, ALIGN="LEFT", BALIGN="LEFT", **link_to(position, cell.hint))

    def _note(self, text: str, saves: bool) -> str:
        color = self.theme.saves if saves else self.theme.costs
        return td("", WIDTH=self.columns.number) + td(
            font(text, layout.SMALL_FONT, color, bold=not saves), COLSPAN="4", ALIGN="LEFT", HEIGHT=layout.NOTE_HEIGHT
        )
