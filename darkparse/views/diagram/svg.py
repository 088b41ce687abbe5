"""SVG output of a laid-out page.

Each text has its measured width as `textLength`, so that it fits with any font. Classes name the role of an element,
and the style sheet defines its appearance. The row of a layer is one `<a href="#L6">` element.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from darkparse.views.diagram.elements import Block, Cell
from darkparse.views.diagram.layout import boxes
from darkparse.views.diagram.layout.boxes import CardBox, HeadBox, RowLayout
from darkparse.views.diagram.layout.routing import LinkRoute, Point
from darkparse.views.diagram.overview.boxes import FONT as STAGE_FONT
from darkparse.views.diagram.overview.boxes import StageBox
from darkparse.views.diagram.overview.svg import band_elements, stage_elements
from darkparse.views.diagram.sheet import PlacedPage, Sheet
from darkparse.views.diagram.svg_elements import rect_element, text
from darkparse.views.diagram.theme import DEFAULT_THEME, FONTS, css_variables, style_sheet
from darkparse.views.diagram.title import FILL_PADDING, LEGEND_GAP, LegendEntry, TextBox
from darkparse.views.formatting.words import COLUMN_SEPARATOR, escape_text

CORNER_RADIUS = 6.0
"""Radius of the bends of a link."""
ARROW_HEAD = 8.0, 2.8
"""Length and half the width of an arrowhead."""
INDENT = boxes.PADDING / 2
SWATCH_SIZE = 0.7
"""Side of a square in the legend, as a fraction of the font size."""
STAGE_CORNER_RADIUS, STAGE_ARROW_HEAD = 3.0, (5.0, 1.8)
"""The same for links of an overview."""
BAR_HEIGHT, MIN_BAR_WIDTH = 3.0, 0.5
"""Height of a card's bar, and minimum width of a row's bar to draw."""
EDGE_CLASSES = {"chain": "edge", "reused": "edge reused", "head": "edge to_head"}


def svg_text(sheet: Sheet, theme: str, *, plain: bool = False, dpi: float | None = None, label: str = "Layers") -> str:
    """Return a sheet as an SVG element.

    Args:
        sheet: Pages with their layout.
        theme: Name of the color theme; empty if the surrounding page defines the CSS variables.
        plain: Write colors instead of CSS variables, for renderers that do not support variables.
        label: What the diagram shows, for screen readers; the names and headlines of the networks follow.
        dpi: Specify the size in pixels at this resolution, rounded up to integers, instead of in points.
    """
    points, scale = sheet.size, sheet.scale
    sides = [f"{side * scale:g}pt" for side in points]
    if dpi is not None:
        # Resampling a page of fractional size would blur or drop pixel rows.
        pixels = [math.ceil(side * scale * dpi / 72 - 1e-6) for side in points]
        points, sides = (pixels[0] * 72 / dpi / scale, pixels[1] * 72 / dpi / scale), [str(side) for side in pixels]
    width, height = (f"{side:g}" if dpi is None else f"{side:.9g}" for side in points)
    left, top = f"{-sheet.left:g}", f"{-sheet.margin:g}"
    position = f'x="{left}" y="{top}" width="{width}" height="{height}"'
    box = f'viewBox="{left} {top} {width} {height}" width="{sides[0]}" height="{sides[1]}"'
    colors, classes = "", "darkparse"
    if theme and not plain:
        # A page may contain diagrams of several themes, and a style applies to the whole page.
        classes = f"darkparse darkparse-{theme}"
        colors = f".darkparse-{theme}{{{css_variables(theme)}}}"
        if theme == DEFAULT_THEME:
            colors += f"@media (prefers-color-scheme:dark){{.darkparse-{theme}{{{css_variables('dark')}}}}}"
    description = escape_text(_description(sheet, label))
    attributes = f'class="{classes}" role="group" aria-label="{description}" font-family="{FONTS}"'
    parts = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} {attributes}>',
        f"<style>{colors}{style_sheet(theme if plain else None)}</style>",
        f'<rect class="page" {position}/>',
        *(line for placed in sheet.pages for line in _page_elements(placed)),
        "</svg>\n",
    )
    return "\n".join(parts)


def _description(sheet: Sheet, label: str) -> str:
    """Return the text alternative of a diagram: `Stages of yolov1: All 5 1×1 convolutions reduce`."""
    models = [placed.page.model for placed in sheet.pages]
    return f"{label} of " + "; ".join(f"{model.name}: {model.answer}" for model in models)


def _page_elements(placed: PlacedPage) -> Iterator[str]:
    page = placed.page
    yield f'<g transform="translate({placed.x:g} 0)">' if placed.x else "<g>"
    yield from (element for band in page.parts for element in band_elements(band))
    for box in page.boxes:
        if isinstance(box, StageBox):
            yield from stage_elements(box, placed.prefix, placed.offset)
        elif isinstance(box, TextBox):
            yield from _text_box(box)
        elif isinstance(box, CardBox):
            yield from _CardWriter(placed, box).lines()
        elif isinstance(box, HeadBox):
            yield from _head_box(placed, box)
        else:
            x, content = box.x + box.width / 2, page.model.input_text
            fill = rect_element(box.x, box.y, box.width, box.height)
            size = STAGE_FONT if page.overview else boxes.FACT_FONT
            name = text(content, x, box.row_y(-1), size, bold=True, anchor="middle")
            yield f'<g class="header">{fill}{name}</g>'
    yield from (_edge(placed, route) for route in page.routes)
    yield "</g>"


def _text_box(box: TextBox) -> Iterator[str]:
    yield f'<g id="{box.name}">'
    y = box.y
    for height, line in box.lines:
        yield from (_legend_entry(entry, box.x + entry.x, y, height) for entry in line)
        y += height
    yield "</g>"


def _legend_entry(entry: LegendEntry, x: float, y: float, height: float) -> str:
    middle = y + height / 2
    if entry.swatch:
        side = SWATCH_SIZE * entry.size
        square = rect_element(x, middle - side / 2, side, side, entry.swatch)
        return square + text(entry.text, x + entry.swatch_width, middle, entry.size, entry.role)
    if not entry.is_filled:
        return text(entry.text, x, middle, entry.size, entry.role, bold=entry.is_bold)
    fill = rect_element(x, y + LEGEND_GAP / 2, entry.width, height - LEGEND_GAP)
    return f'<g class="{entry.role}">{fill}{text(entry.text, x + FILL_PADDING, middle, entry.size)}</g>'


def _head_box(placed: PlacedPage, box: HeadBox) -> Iterator[str]:
    fill = rect_element(box.x, box.y, box.width, box.height, "row")
    yield f'{_link_tag(placed, box.head.index, box.head.lines[0])}<g class="head">{fill}'
    y = box.y + (boxes.HEAD_PADDING + boxes.HEAD_LINE_HEIGHT) / 2
    for number, line in enumerate(box.head.lines):
        size = boxes.LAYER_FONT if number == 0 else 10.0
        yield text(line, box.x + box.width / 2, y, size, bold=number == 0, anchor="middle")
        y += boxes.HEAD_LINE_HEIGHT
    yield "</g></a>"


def _link_tag(placed: PlacedPage, index: int, hint: str) -> str:
    """Return the opening tag of a layer's element, with its tooltip."""
    return f'<a href="#L{placed.offset + index}"><title>{escape_text(hint)}</title>'


class _CardWriter:
    """Writer of one card; cell positions follow from the column widths and row heights."""

    def __init__(self, placed: PlacedPage, box: CardBox) -> None:
        self.placed = placed
        self.box = box
        self.widths = placed.page.column_widths.widths
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
                yield self._repeat_cell(block, layouts)
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
        bar = rect_element(box.x, y - BAR_HEIGHT, box.width * box.card.share, BAR_HEIGHT, "price_line")
        yield f'<g class="header">{rect_element(box.x, box.y, box.width, height)}{title}{cost}</g>{bar}'
        if not box.has_column_heads:
            return
        y += boxes.SPACING + boxes.COLUMN_HEAD_HEIGHT / 2
        model = self.placed.page.model
        names = (
            "layer",
            "height×width",
            "channels",
            model.price_name,
            model.overlay.name if model.overlay else "",
        )
        yield "".join(
            self._aligned_text(name, number, y, boxes.SMALL_FONT, "faint") for number, name in enumerate(names, 2)
        )

    def _aligned_text(
        self, content: str, column: int, y: float, size: float, role: str = "", *, bold: bool = False
    ) -> str:
        """Return left-aligned text of a column; layer numbers, prices and overlay values are right-aligned."""
        left, right = self.lefts[column] + INDENT, self.lefts[column] + self.widths[column] - INDENT
        x, anchor = (right, "end") if column in (1, 5, 6) else (left, "start")
        return text(content, x, y, size, role, bold=bold, anchor=anchor)

    def _repeat_cell(self, block: Block, rows: Sequence[RowLayout]) -> str:
        first, last = rows[0], rows[-1]
        top = self.box.row_y(first.row.index) - first.height / 2
        notes = len(last.notes) * (boxes.NOTE_HEIGHT + boxes.SPACING)
        bottom = self.box.row_y(last.row.index) + last.height / 2 + notes
        x, y = self.lefts[0] + self.widths[0] / 2, (top + bottom) / 2
        (count, end), (large, small) = block.repeat_texts, boxes.REPEAT_FONTS
        texts = text(count, x, y - 5, large, bold=True, anchor="middle") + text(end, x, y + 8, small, anchor="middle")
        return f'<g class="repeat">{rect_element(self.lefts[0], top, self.widths[0], bottom - top)}{texts}</g>'

    def _row(self, layout: RowLayout) -> Iterator[str]:
        row, middle, height = layout.row, self.box.row_y(layout.row.index), layout.height
        top = middle - height / 2
        parts = (
            _link_tag(self.placed, row.index, row.hint),
            rect_element(
                self.lefts[1],
                top,
                self.inner[1] - self.lefts[1],
                height,
                "row changed" if row.is_colored else "row plain",
            ),
            self._aligned_text(f"{row.mark} {row.name}".strip(), 1, middle, boxes.SMALL_FONT, "faint"),
            self._stacked_text(layout.label, 2, middle, boxes.label_font_size(row), bold=row.is_bold),
            self._cell(row.spatial, (row.spatial.text,), 3, middle, height),
            self._cell(row.channels, layout.channels, 4, middle, height),
            self._share_bar(row.share, 5, top, height, "price"),
            self._aligned_text(row.price, 5, middle, boxes.SMALL_FONT, "faint"),
            self._share_bar(row.overlay_share, 6, top, height, "overlay"),
            self._aligned_text(row.overlay, 6, middle, boxes.SMALL_FONT, "faint"),
            "</a>",
        )
        yield " ".join(parts)
        y = middle + height / 2 + boxes.SPACING + boxes.NOTE_HEIGHT / 2
        for line, saves in layout.notes:
            yield self._aligned_text(line, 2, y, boxes.SMALL_FONT, "saves" if saves else "costs")
            y += boxes.NOTE_HEIGHT + boxes.SPACING

    def _share_bar(self, share: float, column: int, top: float, height: float, role: str) -> str:
        """Return a bar at the right end of a column, with a length proportional to the share."""
        width = self.widths[column] * min(share, 1)
        return (
            rect_element(self.lefts[column] + self.widths[column] - width, top, width, height, role)
            if width >= MIN_BAR_WIDTH
            else ""
        )

    def _stacked_text(
        self, lines: Sequence[str], column: int, middle: float, size: float, *, bold: bool = False
    ) -> str:
        """Return the lines of a cell, vertically centered."""
        y = middle - (len(lines) - 1) / 2 * boxes.LINE_HEIGHT
        ys = (y + number * boxes.LINE_HEIGHT for number in range(len(lines)))
        return "".join(
            self._aligned_text(line, column, line_y, size, bold=bold) for line, line_y in zip(lines, ys, strict=True)
        )

    def _cell(self, cell: Cell, lines: Sequence[str], column: int, middle: float, height: float) -> str:
        fill = rect_element(self.lefts[column], middle - height / 2, self.widths[column], height)
        return f'<g class="{cell.tone}">{fill}{self._stacked_text(lines, column, middle, boxes.CELL_FONT)}</g>'


def _edge(placed: PlacedPage, route: LinkRoute) -> str:
    link = route.link
    if placed.page.overview:
        return _stage_edge(placed, route)
    source = f"L{link.source + placed.offset}" if link.source >= 0 else "input"
    labels = (label for label, owner in placed.page.labels if owner is route)
    texts = "".join(text(label.text, label.x, label.y, label.size, anchor="middle") for label in labels)
    name = f'class="{EDGE_CLASSES[link.kind]}" id="{source}-L{link.target + placed.offset}"'
    return f'<g {name}><path d="{_path_data(route.points)}"/>{_arrow_head(route.points)}{texts}</g>'


def _stage_edge(placed: PlacedPage, route: LinkRoute) -> str:
    link, points = route.link, route.points
    source, target = (f"{placed.prefix}stage{i}" if i >= 0 else "input" for i in (link.source, link.target))
    path = f'<path d="{_path_data(points, STAGE_CORNER_RADIUS, STAGE_ARROW_HEAD)}"/>'
    name = f'class="{EDGE_CLASSES[link.kind]} small" id="{source}-{target}"'
    return f"<g {name}>{path}{_arrow_head(points, STAGE_ARROW_HEAD)}</g>"


def _path_data(points: Sequence[Point], radius: float = CORNER_RADIUS, arrow: Point = ARROW_HEAD) -> str:
    """Return straight segments and rounded bends, up to the arrowhead."""
    *before, end = points
    path = [f"M{_xy(points[0])}"]
    for previous, bend, following in zip(points, points[1:], points[2:], strict=False):
        path.append(
            f"L{_xy(_move_towards(bend, previous, radius))}Q{_xy(bend)} {_xy(_move_towards(bend, following, radius))}"
        )
    return "".join((*path, f"L{_xy(_move_towards(end, before[-1], arrow[0]))}"))


def _arrow_head(points: Sequence[Point], arrow: Point = ARROW_HEAD) -> str:
    """Return the arrowhead, aligned with the last segment."""
    end, (x, y) = points[-1], _move_towards(points[-1], points[-2], arrow[0])
    dx, dy = (0, arrow[1]) if y == end[1] else (arrow[1], 0)
    return f'<path class="tip" d="M{_xy((x - dx, y - dy))}L{_xy((x + dx, y + dy))}L{_xy(end)}z"/>'


def _move_towards(start: Point, end: Point, length: float) -> Point:
    """Return the point at a distance from `start` towards `end`, at most halfway."""
    distance = max(abs(end[0] - start[0]) + abs(end[1] - start[1]), 0.01)
    share = min(length / distance, 0.5)
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _xy(point: Iterable[float]) -> str:
    return " ".join(f"{value:.6g}" for value in point)
