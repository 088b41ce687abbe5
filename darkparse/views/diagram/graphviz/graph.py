"""The picture as a `graphviz.Digraph`: a card per node, cards of one scale on one rank; Graphviz finds the places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from darkparse.diagnostics.source import escape_control
from darkparse.views.diagram.elements import DiagramModel
from darkparse.views.diagram.graphviz.cards import CardTable
from darkparse.views.diagram.graphviz.edges import DOWN, EdgeWriter
from darkparse.views.diagram.graphviz.labels import head_table, input_table, legend_table, title_table
from darkparse.views.diagram.layout.boxes import card_box, columns_for
from darkparse.views.diagram.layout.grid import grid_of
from darkparse.views.diagram.layout.page import Direction
from darkparse.views.diagram.theme import THEMES
from darkparse.views.diagram.title import MIN_ROOM, fact_lines, legend_lines, title_lines

if TYPE_CHECKING:
    from graphviz import Digraph

FONT = "Arial"


def digraph(pictures: Sequence[DiagramModel], theme: str = "light", direction: Direction = "TB") -> Digraph:
    """Return the graph of one picture, or of several with a cluster each.

    Args:
        pictures: what to draw.
        theme: name of the colors.
        direction: `"TB"` for scales from top to bottom, `"LR"` from left to right.
    """
    import graphviz

    colors = THEMES[theme]
    graph = graphviz.Digraph(
        name=graphviz.escape(escape(escape_control(" and ".join(picture.name for picture in pictures)), quote=False)),
        filename=f"{escape_control('-'.join(picture.name for picture in pictures))}.gv",
        graph_attr={
            **{"rankdir": direction, "newrank": "true", "nodesep": "1.2", "ranksep": "0.4", "splines": "true"},
            **{"labelloc": "t", "labeljust": "l", "bgcolor": colors["page"], "fontname": FONT},
        },
        node_attr={"shape": "plain", "fontname": FONT, "fontcolor": colors["text"]},
        edge_attr={
            **{"fontname": FONT, "fontsize": "10", "fontcolor": colors["text"], "color": colors["line"]},
            **{"penwidth": "1.4", "arrowsize": "0.8"},
        },
    )
    offset = 0
    for number, picture in enumerate(pictures, 1):
        writer = _Writer(picture, theme, direction, f"n{number}_" if number > 1 else "", offset)
        if len(pictures) == 1:
            writer.write(graph)
        else:
            with graph.subgraph(name=f"cluster_{number}", graph_attr={"penwidth": "0"}) as cluster:
                writer.write(cluster)
        offset += picture.layers
    return graph


class _Writer:
    """Writes one picture; a prefix keeps the names of several apart."""

    def __init__(self, picture: DiagramModel, theme: str, direction: Direction, prefix: str, offset: int) -> None:
        self.picture = picture
        self.colors = THEMES[theme]
        self.direction = direction
        self.prefix = prefix
        self.offset = offset
        self.grid = grid_of(picture)
        self.columns = columns_for(picture.cards)

    def write(self, graph: Digraph) -> None:
        """Add the title, nodes, ranks and edges."""
        self._title(graph)
        self._cards(graph)
        for head in self.picture.heads:
            name = f"{self.prefix}{head.name}"
            graph.node(name, f"<{head_table(head, self.colors)}>", id=name)
        if self._has_input:
            label = f"<{input_table(self.picture.input_text, self.colors)}>"
            graph.node(f"{self.prefix}input", label, group=f"{self.prefix}c0")
        for names in self._ranks():
            with graph.subgraph(graph_attr={"rank": "same"}) as same:
                for name in names:
                    same.node(f"{self.prefix}{name}")
        self._legend(graph)
        is_sideways = self.direction == "LR"
        edges = EdgeWriter(self.picture, self.grid, self.colors, self.prefix, self.offset, is_sideways=is_sideways)
        for edge in edges.edges():
            graph.edge(edge.tail, edge.head, **edge.attributes)

    def _title(self, graph: Digraph) -> None:
        room = max(MIN_ROOM, self.columns.total * min(self.grid.columns, 2))
        lines = (line for _, line in (*title_lines(self.picture, room), *fact_lines(self.picture, room)))
        graph.attr(label=f"<{title_table(lines, self.colors)}>")

    def _cards(self, graph: Digraph) -> None:
        tops = {column: min(level for c, level in self.grid.places if c == column) for column, _ in self.grid.places}
        for card, (column, level) in zip(self.picture.cards, self.grid.places, strict=True):
            box = card_box(card, self.columns, has_column_heads=level == tops[column])
            text = CardTable(box, self.columns, self.picture, self.colors, offset=self.offset).text()
            name = f"{self.prefix}{card.name}"
            graph.node(name, f"<{text}>", id=name, group=f"{self.prefix}c{column}")

    def _legend(self, graph: Digraph) -> None:
        """Add the legend: beside what is on top, or above it where there is one column."""
        is_beside = self.grid.columns > 1
        name, top = (
            f"{self.prefix}{one}" for one in ("legend", "input" if self._has_input else self.picture.cards[0].name)
        )
        # An overlay's values have no bars here.
        picture = replace(self.picture, overlay=None)
        lines = legend_lines(picture, self.columns.total * (1 + is_beside))
        graph.node(name, f"<{legend_table(lines, self.colors)}>", id=name)
        if not is_beside:
            graph.edge(name, top, style="invis", weight=str(DOWN))
            return
        with graph.subgraph(graph_attr={"rank": "same"}) as same:
            same.edge(top, name, style="invis")

    @property
    def _has_input(self) -> bool:
        return any(link.source < 0 for link in self.picture.links)

    def _ranks(self) -> Iterator[list[str]]:
        """Yield what stands beside each other: cards of one scale with their heads."""
        for size in dict.fromkeys(card.size for card in self.picture.cards):
            cards = [card for card in self.picture.cards if card.size == size]
            rows = {row.index for card in cards for row in card.rows}
            heads = [head.name for head in self.picture.heads if head.source in rows]
            yield [card.name for card in cards] + (heads if self.direction == "TB" else [])
