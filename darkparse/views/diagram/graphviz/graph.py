"""Diagram as a `graphviz.Digraph`: one node per card, and one rank per scale. Graphviz computes the layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from darkparse.diagnostics.source import escape_control
from darkparse.views.diagram.elements import DiagramModel
from darkparse.views.diagram.graphviz.cards import CardTable
from darkparse.views.diagram.graphviz.edges import DOWN_WEIGHT, EdgeWriter
from darkparse.views.diagram.graphviz.labels import head_table, input_table, legend_table, title_table
from darkparse.views.diagram.graphviz.markup import Colors
from darkparse.views.diagram.layout.boxes import build_card_box, compute_column_widths
from darkparse.views.diagram.layout.grid import build_grid
from darkparse.views.diagram.layout.page import Direction
from darkparse.views.diagram.theme import THEMES
from darkparse.views.diagram.title import MIN_TEXT_WIDTH, fact_lines, legend_lines, title_lines

if TYPE_CHECKING:
    from graphviz import Digraph

FONT = "Arial"


def build_digraph(models: Sequence[DiagramModel], theme: str = "light", direction: Direction = "TB") -> Digraph:
    """Build the graph of one diagram, or of several with one cluster each.

    Args:
        models: Diagrams to draw.
        theme: Name of the color theme.
        direction: `"TB"` for scales from top to bottom, `"LR"` from left to right.
    """
    graph = create_graph(models, THEMES[theme], direction)
    offset = 0
    for number, model in enumerate(models, 1):
        writer = _GraphWriter(model, theme, direction, f"n{number}_" if number > 1 else "", offset)
        if len(models) == 1:
            writer.write(graph)
        else:
            with graph.subgraph(name=f"cluster_{number}", graph_attr={"penwidth": "0"}) as cluster:
                writer.write(cluster)
        offset += model.layers
    return graph


def create_graph(models: Sequence[DiagramModel], colors: Colors, direction: Direction) -> Digraph:
    """Create an empty graph with the attributes that all diagrams share."""
    import graphviz

    return graphviz.Digraph(
        name=graphviz.escape(escape(escape_control(" and ".join(model.name for model in models)), quote=False)),
        filename=f"{escape_control('-'.join(model.name for model in models))}.gv",
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


class _GraphWriter:
    """Writer of one diagram; the prefix keeps the node names of several diagrams unique."""

    def __init__(self, model: DiagramModel, theme: str, direction: Direction, prefix: str, offset: int) -> None:
        self.model = model
        self.colors = THEMES[theme]
        self.direction = direction
        self.prefix = prefix
        self.offset = offset
        self.grid = build_grid(model)
        self.columns = compute_column_widths(model.cards)

    def write(self, graph: Digraph) -> None:
        """Add the title, nodes, ranks and edges."""
        self._write_title(graph)
        self._write_cards(graph)
        for head in self.model.heads:
            name = f"{self.prefix}{head.name}"
            graph.node(name, f"<{head_table(head, self.colors)}>", id=name)
        if self._has_input:
            label = f"<{input_table(self.model.input_text, self.colors)}>"
            graph.node(f"{self.prefix}input", label, group=f"{self.prefix}c0")
        for names in self._ranks():
            with graph.subgraph(graph_attr={"rank": "same"}) as rank:
                for name in names:
                    rank.node(f"{self.prefix}{name}")
        if self.model.has_legend:
            self._write_legend(graph)
        is_sideways = self.direction == "LR"
        edges = EdgeWriter(self.model, self.grid, self.colors, self.prefix, self.offset, is_sideways=is_sideways)
        for edge in edges.edges():
            graph.edge(edge.tail, edge.head, **edge.attributes)

    def _write_title(self, graph: Digraph) -> None:
        width = max(MIN_TEXT_WIDTH, self.columns.total * min(self.grid.num_columns, 2))
        if not self.model.has_title:
            return
        lines = (line for _, line in (*title_lines(self.model, width), *fact_lines(self.model, width)))
        graph.attr(label=f"<{title_table(lines, self.colors)}>")

    def _write_cards(self, graph: Digraph) -> None:
        tops = {column: min(level for c, level in self.grid.places if c == column) for column, _ in self.grid.places}
        for card, (column, level) in zip(self.model.cards, self.grid.places, strict=True):
            box = build_card_box(card, self.columns, has_column_heads=level == tops[column])
            text = CardTable(box, self.columns, self.model, self.colors, offset=self.offset).text()
            name = f"{self.prefix}{card.name}"
            graph.node(name, f"<{text}>", id=name, group=f"{self.prefix}c{column}")

    def _write_legend(self, graph: Digraph) -> None:
        """Add the legend beside the first node, or above it if there is only one column."""
        is_beside = self.grid.num_columns > 1
        name, top = (
            f"{self.prefix}{part}" for part in ("legend", "input" if self._has_input else self.model.cards[0].name)
        )
        # Overlay values have no bars in this layout, so the legend omits them.
        model = replace(self.model, overlay=None)
        lines = legend_lines(model, self.columns.total * (1 + is_beside))
        graph.node(name, f"<{legend_table(lines, self.colors)}>", id=name)
        if not is_beside:
            graph.edge(name, top, style="invis", weight=str(DOWN_WEIGHT))
            return
        with graph.subgraph(graph_attr={"rank": "same"}) as rank:
            rank.edge(top, name, style="invis")

    @property
    def _has_input(self) -> bool:
        return any(link.source < 0 for link in self.model.links)

    def _ranks(self) -> Iterator[list[str]]:
        """Yield the node names of each rank: cards of one scale with their heads."""
        for size in dict.fromkeys(card.size for card in self.model.cards):
            cards = [card for card in self.model.cards if card.size == size]
            rows = {row.index for card in cards for row in card.rows}
            heads = [head.name for head in self.model.heads if head.source in rows]
            yield [card.name for card in cards] + (heads if self.direction == "TB" else [])
