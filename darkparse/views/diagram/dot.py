"""Pages as DOT text for Graphviz.

Every box and link has its place already (`layout=nop2`), so any version of Graphviz gives the same page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from darkparse.views.diagram import boxes as layout
from darkparse.views.diagram.boxes import HeadBox
from darkparse.views.diagram.card_table import CardTable
from darkparse.views.diagram.labels import LABEL_FONT, Label
from darkparse.views.diagram.layout import arrange
from darkparse.views.diagram.markup import font, link_to, quoted, table, td, tr
from darkparse.views.diagram.model import Picture
from darkparse.views.diagram.page import Direction, Page
from darkparse.views.diagram.routing import Point, Route
from darkparse.views.diagram.theme import Theme
from darkparse.views.diagram.title import TitleBlock

CORNER = 6.0
"""Radius of a link's bends in points."""
ARROW = 8.0
BETWEEN = 70.0
"""Room between two networks on one page."""


def dot_text(pictures: Sequence[Picture], theme: Theme, *, direction: Direction = "TB") -> str:
    """One picture, or several side by side, as DOT."""
    writers: list[_Writer] = []
    x, offset = 0.0, 0
    for number, picture in enumerate(pictures):
        page = arrange(picture, direction=direction, title=partial(_title_size, picture, theme))
        block = TitleBlock(picture, theme, page.title_room)
        writers.append(_Writer(page, theme, block, x, offset, "" if number == 0 else f"n{number + 1}_"))
        x += page.width + BETWEEN
        offset += picture.layers
    width, height = x - BETWEEN, max(writer.page.height for writer in writers)
    pad, name = f"{layout.MARGIN / 72:.3f}", " and ".join(picture.name for picture in pictures)
    edges = f'labelfontsize={LABEL_FONT:g} penwidth=1.4 arrowsize=0.8 color="{theme.line}" {_font_color(theme.text)}'
    lines = [
        f"digraph {quoted(name)} {{",
        f'  graph [layout=nop2 fontname="Arial" bgcolor="{theme.page}" pad="{pad}" bb="0,0,{width:g},{height:g}"]',
        '  node [shape=plain fontname="Arial" fontsize=11]',
        f'  edge [fontname="Arial" labelfontname="Arial" {edges}]',
        *(line for writer in writers for line in writer.lines(height)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _title_size(picture: Picture, theme: Theme, room: float) -> tuple[float, float]:
    return TitleBlock(picture, theme, room).size


class _Writer:
    """Writes one page, moved to the right by `x`; `offset` and `prefix` keep the layers of several networks apart."""

    def __init__(self, page: Page, theme: Theme, block: TitleBlock, x: float, offset: int, prefix: str) -> None:
        self.page = page
        self.theme = theme
        self.block = block
        self.x = x
        self.offset = offset
        self.prefix = prefix
        self.top = page.height

    def lines(self, top: float) -> Iterable[str]:
        """The statements; `top` is the height of the whole drawing, from which y is counted down."""
        self.top = top
        yield from self._boxes()
        yield from (self._edge(route) for route in self.page.routes)

    def _boxes(self) -> Iterable[str]:
        page, theme = self.page, self.theme
        if "title" in page.box:
            yield self._node(page.box["title"], self.block.html())
        if "input" in page.box:
            box = page.box["input"]
            text = font(page.picture.input_text, layout.FACT_FONT, theme.header_text, bold=True)
            cell = tr(td(text, WIDTH=box.width, HEIGHT=box.height))
            yield self._node(box, table(cell, padding=2, border=1, COLOR=theme.line, BGCOLOR=theme.header))
        for card in page.cards:
            yield self._node(card, CardTable(card, page.columns, theme, self.offset).html())
        for head in page.heads:
            yield self._node(head, self._head(head))

    def _node(self, box: layout.Box, html: str) -> str:
        identifier = self.prefix + box.name
        return (
            f'  {identifier} [id="{identifier}" pos="{self._place((box.x + box.width / 2, box.y + box.height / 2))}" '
            f"label=<{html}>]"
        )

    def _place(self, point: Point) -> str:
        return f"{point[0] + self.x:.1f},{self.top - point[1]:.1f}"

    def _head(self, box: HeadBox) -> str:
        color, link = self.theme.head_text, link_to(box.head.index + self.offset, box.head.lines[0])
        first, *rest = box.head.lines
        texts = [font(first, layout.LAYER_FONT, color, bold=True), *(font(line, 10, color) for line in rest)]
        rows = "".join(tr(td(text, WIDTH=box.width, HEIGHT=layout.HEAD_LINE, **link)) for text in texts)
        edge = tr(td("", HEIGHT=layout.HEAD_PADDING / 2))
        return table(edge + rows + edge, BGCOLOR=self.theme.head)

    def _edge(self, route: Route) -> str:
        attributes = [f'pos="{self._spline(route.points)}"']
        if route.link.kind == "reused":
            attributes.append(f'color="{self.theme.reused}" {_font_color(self.theme.reused)} style=dashed penwidth=1.8')
        if route.link.kind == "head":
            attributes.append(f'color="{self.theme.head_line}"')
        attributes += [self._label(label) for label, owner in self.page.labels if owner is route]
        source = f"L{route.link.source + self.offset}" if route.link.source >= 0 else "input"
        attributes.append(f'id="{source}-L{route.link.target + self.offset}"')
        return f"  {self.prefix}{route.source} -> {self.prefix}{route.target} [{' '.join(attributes)}]"

    def _label(self, label: Label) -> str:
        if label.is_at_head:
            return f'headlabel="{label.text}" head_lp="{self._place((label.x, label.y))}"'
        return f'label="{label.text}" lp="{self._place((label.x, label.y))}" fontsize={label.size:g}'

    def _spline(self, points: Sequence[Point]) -> str:
        """The link as Bézier curves with round bends; the arrow's head takes the last few points."""
        (x0, y0), (x1, y1) = points[-2], points[-1]
        length = max(abs(x1 - x0) + abs(y1 - y0), 0.01)
        base = (x1 - (x1 - x0) * ARROW / length, y1 - (y1 - y0) * ARROW / length)
        return f"e,{self._place(points[-1])} {' '.join(map(self._place, _rounded([*points[:-1], base])))}"


def _font_color(color: str) -> str:
    """For the label beside a link and that at its head."""
    return f'fontcolor="{color}" labelfontcolor="{color}"'


def _rounded(points: Sequence[Point]) -> list[Point]:
    """Control points of cubic curves through straight stretches and round bends."""
    path = [points[0]]
    at = points[0]
    for previous, bend, following in zip(points, points[1:], points[2:], strict=False):
        before, after = _towards(bend, previous), _towards(bend, following)
        path += [at, before, before, bend, bend, after]
        at = after
    return [*path, at, points[-1], points[-1]]


def _towards(start: Point, end: Point) -> Point:
    """The point a corner's radius away from `start`, at most half way to `end`."""
    length = max(abs(end[0] - start[0]) + abs(end[1] - start[1]), 0.01)
    share = min(CORNER / length, 0.5)
    return (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)
