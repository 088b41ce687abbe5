"""Edges with ports, labels and weights that Graphviz lays out well.

Graphviz ranks the tail of an edge before its head. An edge to a larger map is therefore reversed and drawn with the
arrow at its tail (`dir=back`), because otherwise it would pull the scales apart. An edge between cards of the same rank
has an `xlabel`, because a `label` detaches it from its ports.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from darkparse.views.diagram.elements import DiagramModel, Link
from darkparse.views.diagram.graphviz.labels import edge_label
from darkparse.views.diagram.graphviz.markup import Colors
from darkparse.views.diagram.layout.grid import Grid
from darkparse.views.diagram.layout.labels import source_names, source_text

DOWN_WEIGHT, UP_WEIGHT, ACROSS_WEIGHT = 50, 20, 1
"""Edge weights: Graphviz keeps edges down a column straightest, then those up a column, then those between columns."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Edge in DOT terms: tail and head with their ports, and attributes."""

    tail: str
    head: str
    attributes: dict[str, str]


class EdgeWriter:
    """Writer of the edges of one diagram."""

    def __init__(
        self, model: DiagramModel, grid: Grid, colors: Colors, prefix: str, offset: int, *, is_sideways: bool
    ) -> None:
        """Create a writer.

        Args:
            model: Diagram whose links to write.
            grid: Column and level of every card.
            colors: Colors of the theme.
            prefix: Prefix of node names.
            offset: Number added to layer indices in ids.
            is_sideways: Whether levels run from left to right.
        """
        self.model = model
        self.colors = colors
        self.prefix = prefix
        self.offset = offset
        self.is_sideways = is_sideways
        self.names = source_names(model)
        self.card_names = {-1: "input"} | {row.index: card.name for card in model.cards for row in card.rows}
        places = zip(model.cards, grid.places, strict=True)
        self.places = {-1: (0, -1)} | {row.index: place for card, place in places for row in card.rows}

    def edges(self) -> Iterator[Edge]:
        """Yield the edges of all links, then those to the heads."""
        yield from map(self._build_edge, self.model.links)
        for head in self.model.heads:
            attributes = {"id": self._edge_id(head.source, head.index), "color": self.colors["head_line"]}
            yield Edge(
                self._right_port(head.source),
                f"{self.prefix}{head.name}:w",
                attributes | {"weight": str(ACROSS_WEIGHT)},
            )

    def _build_edge(self, link: Link) -> Edge:
        attributes = {"id": self._edge_id(link.source, link.target)}
        if link.kind == "reused":
            color = self.colors["reused"]
            attributes |= {"style": "dashed", "penwidth": "1.8", "color": color, "fontcolor": color}
        (column, level), (to_column, to_level) = self.places[link.source], self.places[link.target]
        text = link.label if link.kind == "chain" else source_text(link, self.names)
        if level == to_level:
            attributes["xlabel"] = f"<{edge_label(text, self.colors['page'])}>"
        else:
            attributes["label"] = f"<{edge_label(text)}>"
        column_weight = UP_WEIGHT if to_level < level else DOWN_WEIGHT
        attributes["weight"] = str(column_weight if column == to_column else ACROSS_WEIGHT)
        start, end = self._find_ends(link)
        return Edge(end, start, attributes | {"dir": "back"}) if to_level < level else Edge(start, end, attributes)

    def _find_ends(self, link: Link) -> tuple[str, str]:
        """Return the ports of a link: a side of the card for neighbors in a column, else the end of a row."""
        (column, level), (to_column, to_level) = self.places[link.source], self.places[link.target]
        if self.is_sideways:
            if to_level < level:
                return self._left_port(link.source), self._right_port(link.target)
            return self._right_port(link.source), (self._right_port if level == to_level else self._left_port)(
                link.target
            )
        if column == to_column and link.kind == "chain":
            sides = "ns" if to_level < level else "sn"
            return f"{self._node_name(link.source)}:{sides[0]}", f"{self._node_name(link.target)}:{sides[1]}"
        return self._right_port(link.source), (self._right_port if column == to_column else self._left_port)(
            link.target
        )

    def _left_port(self, index: int) -> str:
        return f"{self._node_name(index)}:i{index}:w"

    def _right_port(self, index: int) -> str:
        """Return the port at the right end of a row; the input has no rows, so its side is used."""
        if index >= 0:
            return f"{self._node_name(index)}:o{index}:e"
        return f"{self._node_name(index)}:{'e' if self.is_sideways else 's'}"

    def _node_name(self, index: int) -> str:
        return f"{self.prefix}{self.card_names[index]}"

    def _edge_id(self, source: int, target: int) -> str:
        """Return the id of an edge, which equals that in the SVG of the built-in layout."""
        start = f"L{source + self.offset}" if source >= 0 else "input"
        return f"{start}-L{target + self.offset}"
