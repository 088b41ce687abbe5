"""Cards as HTML tables.

All cards have the same column widths. The first and last cells of a row are narrow cells at the border of the card,
with the ports `i<N>` and `o<N>` of layer N, so that edges that end there do not cross any text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from darkparse.views.diagram.elements import Block, Cell, DiagramModel
from darkparse.views.diagram.graphviz.markup import Colors, cell, format_text, join_lines, table
from darkparse.views.diagram.layout import boxes
from darkparse.views.diagram.layout.boxes import CardBox, ColumnWidths, RowLayout
from darkparse.views.formatting.words import COLUMN_SEPARATOR, escape_text

WIDTH_FACTOR = 1.2
"""Factor for column widths, so that text in DejaVu Sans, the widest font, does not widen individual cards."""
PORT_WIDTH = 3
BAR_HEIGHT = 3


class CardTable:
    """Writer of one card."""

    def __init__(
        self, box: CardBox, column_widths: ColumnWidths, model: DiagramModel, colors: Colors, *, offset: int = 0
    ) -> None:
        """Create a writer.

        Args:
            box: Card with wrapped rows.
            column_widths: Widths for which the rows were wrapped, in points.
            model: Diagram that contains the card.
            colors: Colors of the theme.
            offset: Number added to layer indices in links.
        """
        self.box = box
        self.model = model
        self.colors = colors
        self.offset = offset
        self.widths = [round(width * WIDTH_FACTOR) for width in column_widths.widths]
        self.span = sum(1 for width in self.widths if width) + 2

    def text(self) -> str:
        """Return the whole table."""
        rows = [*self._header_rows(), *(row for block in self.box.card.blocks for row in self._block_rows(block))]
        return table(
            rows,
            separator="\n",
            border=1,
            cellspacing=1,
            cellpadding=2,
            color=self.colors["line"],
            bgcolor=self.colors["card"],
        )

    def _header_rows(self) -> Iterator[str]:
        card, color = self.box.card, self.colors["header_text"]
        title = cell(format_text(card.title(), boxes.HEADER_FONT, color, bold=True), align="LEFT")
        cost = cell(format_text(COLUMN_SEPARATOR.join((card.span, *card.cost)), boxes.COST_FONT, color), align="RIGHT")
        yield cell(table([title + cost], cellpadding=3), colspan=self.span, bgcolor=self.colors["header"])
        yield from self._share_bar()
        if self.box.has_column_heads:
            overlay = self.model.overlay.name if self.model.overlay else ""
            names = ("", "", "layer", "height×width", "channels", self.model.price_name, overlay)
            cells = (self._small_cell(name, number, boxes.SMALL_FONT) for number, name in enumerate(names))
            yield self._add_ports("".join(cells))

    def _share_bar(self) -> Iterator[str]:
        """Yield a bar with the card's share of the network's price."""
        total = sum(self.widths)
        share = round(min(self.box.card.share, 1) * total)
        parts = ((share, self.colors["price_line"]), (total - share, ""))
        bars = [
            cell("", width=part, height=BAR_HEIGHT, fixedsize="TRUE", bgcolor=color) for part, color in parts if part
        ]
        if share:
            yield cell(table(["".join(bars)]), colspan=self.span, cellpadding=0)

    def _block_rows(self, block: Block) -> Iterator[str]:
        layouts = {layout.row.index: layout for layout in self.box.rows}
        rows = [layouts[row.index] for row in block.rows]
        height = sum(1 + bool(layout.notes) for layout in rows)
        for number, layout in enumerate(rows):
            if block.count == 1:
                first = self._small_cell("", 0, boxes.SMALL_FONT)
            else:
                first = "" if number else self._repeat_cell(block, height)
            yield self._add_ports(f"{first}{self._row_cells(layout)}", layout.row.index)
            if layout.notes:
                empty = "".join(
                    self._small_cell("", column, boxes.SMALL_FONT) for column in range(int(block.count > 1), 2)
                )
                yield cell("") + empty + self._notes_cell(layout)

    def _repeat_cell(self, block: Block, height: int) -> str:
        count, end = block.repeat_texts
        large, small = boxes.REPEAT_FONTS
        color = self.colors["repeat_text"]
        content = f"{format_text(count, large, color, bold=True)}<BR/>{format_text(end, small, color)}"
        return cell(content, rowspan=height, width=self.widths[0], bgcolor=self.colors["repeat"])

    def _row_cells(self, layout: RowLayout) -> str:
        row = layout.row
        changed = self.colors["changed"] if row.is_colored else ""
        link = {"href": f"#L{self.offset + row.index}", "title": escape_text(row.hint)}
        label = join_lines(
            format_text(line, boxes.label_font_size(row), self.colors["text"], bold=row.is_bold)
            for line in layout.label
        )
        return "".join(
            (
                self._small_cell(f"{row.mark} {row.name}".strip(), 1, boxes.SMALL_FONT, bgcolor=changed),
                cell(label, width=self.widths[2], align="LEFT", bgcolor=changed, **link),
                self._change_cell(row.spatial, (row.spatial.text,), self.widths[3]),
                self._change_cell(row.channels, layout.channels, self.widths[4]),
                self._small_cell(row.price, 5, boxes.SMALL_FONT),
                self._small_cell(row.overlay, 6, boxes.SMALL_FONT),
            )
        )

    def _change_cell(self, change: Cell, lines: Iterable[str], width: int) -> str:
        color = self.colors[f"{change.tone}_text"]
        content = join_lines(format_text(line, boxes.CELL_FONT, color) for line in lines)
        return cell(content, width=width, align="LEFT", bgcolor=self.colors[change.tone])

    def _notes_cell(self, layout: RowLayout) -> str:
        lines = (
            format_text(line, boxes.SMALL_FONT, self.colors["saves" if saves else "costs"])
            for line, saves in layout.notes
        )
        return cell(join_lines(lines), colspan=self.span - 3 - bool(self.widths[0]), align="LEFT")

    def _small_cell(self, text: str, column: int, size: float, *, bgcolor: str = "") -> str:
        """Return a cell in small print; layer numbers, prices and overlay values are right-aligned."""
        width = self.widths[column]
        side = "RIGHT" if column in (1, 5, 6) else "LEFT"
        content = format_text(text, size, self.colors["faint"])
        return cell(content, width=width, align=side, bgcolor=bgcolor) if width else ""

    def _add_ports(self, cells: str, index: int | None = None) -> str:
        """Enclose the cells of a row in narrow cells with the ports of a layer."""
        ports = ("", "") if index is None else (f"i{index}", f"o{index}")
        first, last = (cell("", port=port, width=PORT_WIDTH, cellpadding=0) for port in ports)
        return f"{first}{cells}{last}"
