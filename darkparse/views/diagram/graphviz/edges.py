"""Edges with the ports, labels and weights that keep them whole in Graphviz.

Graphviz ranks the tail of an edge before its head, so an edge to a larger map is written from its end, with the arrow
at the tail (`dir=back`): otherwise it would pull the scales apart. An edge between cards of one rank has an `xlabel`,
since a `label` tears it off its ports.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from darkparse.views.diagram.elements import DiagramModel, Link
from darkparse.views.diagram.graphviz.labels import edge_label
from darkparse.views.diagram.graphviz.markup import Colors
from darkparse.views.diagram.layout.grid import Grid
from darkparse.views.diagram.layout.labels import source_names, source_text

DOWN, UP, ACROSS = 50, 20, 1
"""Weights: edges down a column are the straightest, then those up a column, then those between columns."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge as DOT takes it: nodes with their ports, and attributes."""

    tail: str
    head: str
    attributes: dict[str, str]


class EdgeWriter:
    """Writes the edges of one picture."""

    def __init__(
        self, picture: DiagramModel, grid: Grid, colors: Colors, prefix: str, offset: int, *, is_sideways: bool
    ) -> None:
        """Take the picture with the places of its cards.

        Args:
            picture: whose links are written.
            grid: column and level of every card.
            colors: those of the theme.
            prefix: stands before the names of nodes.
            offset: is added to layers in ids.
            is_sideways: whether levels run from left to right.
        """
        self.picture = picture
        self.colors = colors
        self.prefix = prefix
        self.offset = offset
        self.is_sideways = is_sideways
        self.names = source_names(picture)
        self.card = {-1: "input"} | {row.index: card.name for card in picture.cards for row in card.rows}
        places = zip(picture.cards, grid.places, strict=True)
        self.place = {-1: (0, -1)} | {row.index: place for card, place in places for row in card.rows}

    def edges(self) -> Iterator[Edge]:
        """Yield every link, then those to the heads."""
        yield from map(self._edge, self.picture.links)
        for head in self.picture.heads:
            attributes = {"id": self._id(head.source, head.index), "color": self.colors["head_line"]}
            yield Edge(self._right(head.source), f"{self.prefix}{head.name}:w", attributes | {"weight": str(ACROSS)})

    def _edge(self, link: Link) -> Edge:
        attributes = {"id": self._id(link.source, link.target)}
        if link.kind == "reused":
            color = self.colors["reused"]
            attributes |= {"style": "dashed", "penwidth": "1.8", "color": color, "fontcolor": color}
        (column, level), (to_column, to_level) = self.place[link.source], self.place[link.target]
        text = link.label if link.kind == "chain" else source_text(link, self.names)
        if level == to_level:
            attributes["xlabel"] = f"<{edge_label(text, self.colors['page'])}>"
        else:
            attributes["label"] = f"<{edge_label(text)}>"
        along = UP if to_level < level else DOWN
        attributes["weight"] = str(along if column == to_column else ACROSS)
        start, end = self._ends(link)
        return Edge(end, start, attributes | {"dir": "back"}) if to_level < level else Edge(start, end, attributes)

    def _ends(self, link: Link) -> tuple[str, str]:
        """Return where a link leaves and enters: between neighbors the middle of a card's side, else a row's end."""
        (column, level), (to_column, to_level) = self.place[link.source], self.place[link.target]
        if self.is_sideways:
            if to_level < level:
                return self._left(link.source), self._right(link.target)
            return self._right(link.source), (self._right if level == to_level else self._left)(link.target)
        if column == to_column and link.kind == "chain":
            sides = "ns" if to_level < level else "sn"
            return f"{self._node(link.source)}:{sides[0]}", f"{self._node(link.target)}:{sides[1]}"
        return self._right(link.source), (self._right if column == to_column else self._left)(link.target)

    def _left(self, index: int) -> str:
        return f"{self._node(index)}:i{index}:w"

    def _right(self, index: int) -> str:
        """Return the right end of a row; the input has none."""
        if index >= 0:
            return f"{self._node(index)}:o{index}:e"
        return f"{self._node(index)}:{'e' if self.is_sideways else 's'}"

    def _node(self, index: int) -> str:
        return f"{self.prefix}{self.card[index]}"

    def _id(self, source: int, target: int) -> str:
        """Return an edge's id, which is that in the SVG of our own layout."""
        start = f"L{source + self.offset}" if source >= 0 else "input"
        return f"{start}-L{target + self.offset}"
