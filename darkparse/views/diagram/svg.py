"""The page as SVG, written from the places that the layout found.

Every text has the length that it was measured with, so that any font stands in its room. A thing's class says what it
is, the style sheet what that looks like; one `<a href="#L6">` holds the row of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from darkparse.diagnostics.source import escape_control
from darkparse.views.diagram.elements import Block, Cell
from darkparse.views.diagram.font_metrics import text_width
from darkparse.views.diagram.layout import boxes
from darkparse.views.diagram.layout.boxes import MARGIN, CardBox, HeadBox, RowLayout
from darkparse.views.diagram.layout.routing import LinkRoute, Point
from darkparse.views.diagram.sheet import Placed, Sheet
from darkparse.views.diagram.theme import FONTS, style, variables
from darkparse.views.diagram.title import FILL_PADDING, LEGEND_GAP, LegendEntry, TextBox
from darkparse.views.formatting.words import COLUMN_SEPARATOR

CORNER = 6.0
"""Radius of a link's bends."""
TIP = 8.0, 2.8
"""An arrow's head: its length and half its width."""
MIDDLE = 0.36
"""From the middle of a line of text down to its foot, in font sizes."""
INDENT = boxes.PADDING / 2
BAR, LEAST_BAR = 3.0, 0.5
"""Height of a card's bar, and the width from which a row's is drawn."""
NO_BREAK = "\u00a0"
"""A space beside another, which would be one in SVG."""
KINDS = {"chain": "edge", "reused": "edge reused", "head": "edge to_head"}


def svg_text(sheet: Sheet, theme: str, *, plain: bool = False, dpi: float | None = None) -> str:
    """Return the drawing as an SVG element.

    Args:
        sheet: everything in its place.
        theme: its colors; none for a page that has the variables of its own.
        plain: write colors into the style sheet, for renderers that do not support variables.
        dpi: size the page in pixels of this resolution, rounded up to whole ones, instead of in points.
    """
    points = sheet.width + 2 * MARGIN, sheet.height + 2 * MARGIN
    sides = [f"{side:g}pt" for side in points]
    if dpi is not None:
        # Resampling a page of fractional size would blur or drop rows of pixels.
        pixels = [math.ceil(side * dpi / 72 - 1e-6) for side in points]
        points, sides = (pixels[0] * 72 / dpi, pixels[1] * 72 / dpi), [str(side) for side in pixels]
    width, height = (f"{side:g}" if dpi is None else f"{side:.9g}" for side in points)
    place = f'x="{-MARGIN:g}" y="{-MARGIN:g}" width="{width}" height="{height}"'
    box = f'viewBox="{-MARGIN:g} {-MARGIN:g} {width} {height}" width="{sides[0]}" height="{sides[1]}"'
    colors = f".darkparse{{{variables(theme)}}}" if theme and not plain else ""
    said = f'class="darkparse" role="group" aria-label="Layers" font-family="{FONTS}"'
    parts = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} {said}>',
        f"<style>{colors}{style(theme if plain else None)}</style>",
        f'<rect class="page" {place}/>',
        *(line for placed in sheet.pages for line in _page(placed)),
        "</svg>\n",
    )
    return "\n".join(parts)


def shown(text: str) -> str:
    """Text as it can stand in XML, with a question mark for everything that cannot be shown."""
    return escape(escape_control(text))


def text(
    words: str, x: float, y: float, size: float, role: str = "", *, bold: bool = False, anchor: str = "start"
) -> str:
    """A line of text whose middle is at a height, pressed into the room that it was measured with."""
    if not words.strip():
        return ""
    length = text_width(words, size, bold=bold)
    classes = f' class="{role}"' if role else ""
    weight = ' font-weight="bold"' if bold else ""
    side = "" if anchor == "start" else f' text-anchor="{anchor}"'
    place = f'x="{x:.5g}" y="{y + MIDDLE * size:.6g}" font-size="{size:g}"{weight}{side}'
    room = f'textLength="{length:.4g}" lengthAdjust="spacingAndGlyphs"'
    return f"<text{classes} {place} {room}>{shown(words).replace('  ', 2 * NO_BREAK)}</text>"


def rect(x: float, y: float, width: float, height: float, role: str = "") -> str:
    """A filled rectangle."""
    classes = f' class="{role}"' if role else ""
    return f'<rect{classes} x="{x:.6g}" y="{y:.6g}" width="{width:.5g}" height="{height:.5g}"/>'


def _page(placed: Placed) -> Iterator[str]:
    page = placed.page
    yield f'<g transform="translate({placed.x:g} 0)">' if placed.x else "<g>"
    for box in page.boxes:
        if isinstance(box, TextBox):
            yield from _texts(box)
        elif isinstance(box, CardBox):
            yield from _Card(placed, box).lines()
        elif isinstance(box, HeadBox):
            yield from _head(placed, box)
        else:
            x, words = box.x + box.width / 2, page.picture.input_text
            fill = rect(box.x, box.y, box.width, box.height)
            name = text(words, x, box.row_y(-1), boxes.FACT_FONT, bold=True, anchor="middle")
            yield f'<g class="header">{fill}{name}</g>'
    yield from (_edge(placed, route) for route in page.routes)
    yield "</g>"


def _texts(box: TextBox) -> Iterator[str]:
    yield f'<g id="{box.name}">'
    y = box.y
    for height, line in box.lines:
        yield from (_entry(entry, box.x + entry.x, y, height) for entry in line)
        y += height
    yield "</g>"


def _entry(entry: LegendEntry, x: float, y: float, height: float) -> str:
    middle = y + height / 2
    if not entry.is_filled:
        return text(entry.text, x, middle, entry.size, entry.role, bold=entry.is_bold)
    fill = rect(x, y + LEGEND_GAP / 2, entry.width, height - LEGEND_GAP)
    return f'<g class="{entry.role}">{fill}{text(entry.text, x + FILL_PADDING, middle, entry.size)}</g>'


def _head(placed: Placed, box: HeadBox) -> Iterator[str]:
    fill = rect(box.x, box.y, box.width, box.height, "row")
    yield f'{_anchor(placed, box.head.index, box.head.lines[0])}<g class="head">{fill}'
    y = box.y + (boxes.HEAD_PADDING + boxes.HEAD_LINE) / 2
    for number, line in enumerate(box.head.lines):
        size = boxes.LAYER_FONT if number == 0 else 10.0
        yield text(line, box.x + box.width / 2, y, size, bold=number == 0, anchor="middle")
        y += boxes.HEAD_LINE
    yield "</g></a>"


def _anchor(placed: Placed, index: int, hint: str) -> str:
    """The opening tag of what stands for a layer, with its tooltip."""
    return f'<a href="#L{placed.offset + index}"><title>{shown(hint)}</title>'


class _Card:
    """One card; x and y of its cells come from the widths of the columns and the heights of the rows."""

    def __init__(self, placed: Placed, box: CardBox) -> None:
        self.placed = placed
        self.box = box
        self.widths = placed.page.columns.all
        self.lefts: list[float] = []
        x = box.x + 1 + boxes.SPACING
        for width in self.widths:
            self.lefts.append(x)
            x += width + boxes.SPACING if width else 0
        self.inner = self.lefts[0], box.right - 1 - boxes.SPACING

    def lines(self) -> Iterator[str]:
        box = self.box
        frame = f'x="{box.x:.6g}" y="{box.y:.6g}" width="{box.width:.5g}" height="{box.height:.5g}"'
        yield f'<g id="{self.placed.prefix}{box.name}"><rect class="frame" {frame}/>'
        yield from self._header()
        rows = {row.row.index: row for row in box.rows}
        for block in box.card.blocks:
            layouts = [rows[row.index] for row in block.rows]
            if block.count > 1:
                yield self._repeat(block, layouts)
            for row in layouts:
                yield from self._row(row)
        yield "</g>"

    def _header(self) -> Iterator[str]:
        box, (left, right) = self.box, self.inner
        height = 1 + boxes.SPACING + boxes.HEADER_HEIGHT
        y, middle = box.y + height, box.y + height / 2
        title = text(box.card.title(), left + INDENT, middle, boxes.HEADER_FONT, bold=True)
        cost = text(
            COLUMN_SEPARATOR.join((box.card.span, *box.card.cost)),
            right - INDENT,
            middle,
            boxes.COST_FONT,
            anchor="end",
        )
        bar = rect(box.x, y - BAR, box.width * box.card.share, BAR, "price_line")
        yield f'<g class="header">{rect(box.x, box.y, box.width, height)}{title}{cost}</g>{bar}'
        if not box.has_column_heads:
            return
        y += boxes.SPACING + boxes.COLUMN_HEAD_HEIGHT / 2
        picture = self.placed.page.picture
        names = (
            "layer",
            "height×width",
            "channels",
            picture.price_name,
            picture.overlay.name if picture.overlay else "",
        )
        yield "".join(self._side(name, number, y, boxes.SMALL_FONT, "faint") for number, name in enumerate(names, 2))

    def _side(self, words: str, column: int, y: float, size: float, role: str = "", *, bold: bool = False) -> str:
        """Text at the left of its column; numbers of layers and prices at the right."""
        left, right = self.lefts[column] + INDENT, self.lefts[column] + self.widths[column] - INDENT
        x, anchor = (right, "end") if column in (1, 5, 6) else (left, "start")
        return text(words, x, y, size, role, bold=bold, anchor=anchor)

    def _repeat(self, block: Block, rows: Sequence[RowLayout]) -> str:
        first, last = rows[0], rows[-1]
        top = self.box.row_y(first.row.index) - first.height / 2
        notes = len(last.notes) * (boxes.NOTE_HEIGHT + boxes.SPACING)
        bottom = self.box.row_y(last.row.index) + last.height / 2 + notes
        x, y = self.lefts[0] + self.widths[0] / 2, (top + bottom) / 2
        (count, end), (large, small) = boxes.repeat_lines(block), boxes.REPEAT_FONTS
        words = text(count, x, y - 5, large, bold=True, anchor="middle") + text(end, x, y + 8, small, anchor="middle")
        return f'<g class="repeat">{rect(self.lefts[0], top, self.widths[0], bottom - top)}{words}</g>'

    def _row(self, layout: RowLayout) -> Iterator[str]:
        row, middle, height = layout.row, self.box.row_y(layout.row.index), layout.height
        top = middle - height / 2
        parts = (
            _anchor(self.placed, row.index, row.hint),
            rect(self.lefts[1], top, self.inner[1] - self.lefts[1], height, "row changed" if row.mark else "row plain"),
            self._side(f"{row.mark} {row.name}".strip(), 1, middle, boxes.SMALL_FONT, "faint"),
            self._stack(layout.label, 2, middle, boxes.font(row), bold=row.is_bold),
            self._cell(row.spatial, (row.spatial.text,), 3, middle, height),
            self._cell(row.channels, layout.channels, 4, middle, height),
            self._bar(row.share, 5, top, height, "price"),
            self._side(row.price, 5, middle, boxes.SMALL_FONT, "faint"),
            self._bar(row.overlay_share, 6, top, height, "overlay"),
            self._side(row.overlay, 6, middle, boxes.SMALL_FONT, "faint"),
            "</a>",
        )
        yield " ".join(parts)
        y = middle + height / 2 + boxes.SPACING + boxes.NOTE_HEIGHT / 2
        for words, saves in layout.notes:
            yield self._side(words, 2, y, boxes.SMALL_FONT, "saves" if saves else "faint")
            y += boxes.NOTE_HEIGHT + boxes.SPACING

    def _bar(self, share: float, column: int, top: float, height: float, role: str) -> str:
        """From the column's right end, as long as a share of it."""
        width = self.widths[column] * min(share, 1)
        return (
            rect(self.lefts[column] + self.widths[column] - width, top, width, height, role)
            if width >= LEAST_BAR
            else ""
        )

    def _stack(self, lines: Sequence[str], column: int, middle: float, size: float, *, bold: bool = False) -> str:
        """Lines of one cell, around its middle."""
        y = middle - (len(lines) - 1) / 2 * boxes.EXTRA_LINE
        ys = (y + number * boxes.EXTRA_LINE for number in range(len(lines)))
        return "".join(self._side(line, column, at, size, bold=bold) for line, at in zip(lines, ys, strict=True))

    def _cell(self, cell: Cell, lines: Sequence[str], column: int, middle: float, height: float) -> str:
        fill = rect(self.lefts[column], middle - height / 2, self.widths[column], height)
        return f'<g class="{cell.tone}">{fill}{self._stack(lines, column, middle, boxes.CELL_FONT)}</g>'


def _edge(placed: Placed, route: LinkRoute) -> str:
    link = route.link
    source = f"L{link.source + placed.offset}" if link.source >= 0 else "input"
    labels = (label for label, owner in placed.page.labels if owner is route)
    texts = "".join(text(label.text, label.x, label.y, label.size, anchor="middle") for label in labels)
    name = f'class="{KINDS[link.kind]}" id="{source}-L{link.target + placed.offset}"'
    return f'<g {name}><path d="{_line(route.points)}"/>{_tip(route.points)}{texts}</g>'


def _line(points: Sequence[Point]) -> str:
    """Straight stretches and round bends, up to the arrow's head."""
    *before, end = points
    path = [f"M{_at(points[0])}"]
    for previous, bend, following in zip(points, points[1:], points[2:], strict=False):
        path.append(f"L{_at(_towards(bend, previous, CORNER))}Q{_at(bend)} {_at(_towards(bend, following, CORNER))}")
    return "".join((*path, f"L{_at(_towards(end, before[-1], TIP[0]))}"))


def _tip(points: Sequence[Point]) -> str:
    """The arrow's head, along the last stretch."""
    end, (x, y) = points[-1], _towards(points[-1], points[-2], TIP[0])
    dx, dy = (0, TIP[1]) if y == end[1] else (TIP[1], 0)
    return f'<path class="tip" d="M{_at((x - dx, y - dy))}L{_at((x + dx, y + dy))}L{_at(end)}z"/>'


def _towards(start: Point, end: Point, length: float) -> Point:
    """The point so far away from `start`, at most half way to `end`."""
    whole = max(abs(end[0] - start[0]) + abs(end[1] - start[1]), 0.01)
    share = min(length / whole, 0.5)
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _at(point: Iterable[float]) -> str:
    return " ".join(f"{value:.6g}" for value in point)
