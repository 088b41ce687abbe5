"""Overview as a graph: one node per stage, and one rank per scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from darkparse.views.diagram.elements import DiagramModel, LinkKind
from darkparse.views.diagram.graphviz.graph import create_graph
from darkparse.views.diagram.graphviz.labels import input_table, legend_table, title_table
from darkparse.views.diagram.graphviz.markup import Colors, cell, format_text, table
from darkparse.views.diagram.layout.page import Direction
from darkparse.views.diagram.overview.boxes import FONT
from darkparse.views.diagram.overview.content import Overview, StageCard
from darkparse.views.diagram.overview.title import legend_lines, title_lines
from darkparse.views.diagram.theme import THEMES
from darkparse.views.formatting.words import escape_text

if TYPE_CHECKING:
    from graphviz import Digraph

TICK_WIDTH, TICK_HEIGHT = 4, 4
TICKS_PER_ROW = 24
TITLE_WIDTH = 400.0
STYLES: dict[LinkKind, dict[str, str]] = {"chain": {}, "reused": {"style": "dashed"}, "head": {}}
COLORS: dict[LinkKind, str] = {"chain": "line", "reused": "reused", "head": "head_line"}
"""Role of the color of each kind of link."""


def build_stage_digraph(
    models: Sequence[DiagramModel], overviews: Sequence[Overview], theme: str = "light", direction: Direction = "TB"
) -> Digraph:
    """Build the graph of one overview, or of several with one cluster each.

    Args:
        models: Diagram content of each network, for its title.
        overviews: Stages of each network.
        theme: Name of the color theme.
        direction: `"TB"` for scales from top to bottom, `"LR"` from left to right.
    """
    colors = THEMES[theme]
    graph = create_graph(models, colors, direction)
    graph.attr(nodesep="0.3", ranksep="0.25")
    offset = 0
    for number, (model, overview) in enumerate(zip(models, overviews, strict=True), 1):
        prefix = f"n{number}_" if number > 1 else ""
        if len(models) == 1:
            _write(graph, model, overview, colors, prefix, offset)
        else:
            with graph.subgraph(name=f"cluster_{number}", graph_attr={"penwidth": "0"}) as cluster:
                _write(cluster, model, overview, colors, prefix, offset)
        offset += model.layers
    return graph


def _write(graph: Digraph, model: DiagramModel, overview: Overview, colors: Colors, prefix: str, offset: int) -> None:
    lines = [line for _, line in title_lines(model, TITLE_WIDTH)] if model.has_title else []
    graph.attr(label=f"<{title_table(lines, colors)}>" if lines else "")
    for stage in overview.stages:
        text = _stage_table(stage, colors, offset)
        graph.node(f"{prefix}{stage.name}", f"<{text}>", id=f"{prefix}{stage.name}")
    first = f"{prefix}{overview.stages[0].name}"
    if any(link.source < 0 for link in overview.links):
        first = f"{prefix}input"
        graph.node(first, f"<{input_table(model.input_text, colors)}>")
    for size in dict.fromkeys(stage.size for stage in overview.stages):
        with graph.subgraph(graph_attr={"rank": "same"}) as rank:
            for stage in overview.stages:
                if stage.size == size:
                    rank.node(f"{prefix}{stage.name}")
    if model.has_legend:
        legend = f"{prefix}legend"
        graph.node(legend, f"<{legend_table(legend_lines(model, overview.links, TITLE_WIDTH), colors)}>")
        graph.edge(legend, first, style="invis")
    sizes = {stage.number: stage.size[0] * stage.size[1] for stage in overview.stages}
    for link in overview.links:
        source = f"{prefix}stage{link.source}" if link.source >= 0 else first
        attributes = {"id": f"{source}-{prefix}stage{link.target}", "color": colors[COLORS[link.kind]]}
        ends, attributes = (source, f"{prefix}stage{link.target}"), attributes | STYLES[link.kind]
        # Graphviz ranks the tail before the head, and larger maps are above.
        if sizes.get(link.source, sizes[link.target]) < sizes[link.target]:
            ends, attributes = ends[::-1], attributes | {"dir": "back"}
        graph.edge(*ends, **attributes)


def _stage_table(stage: StageCard, colors: Colors, offset: int) -> str:
    changed = colors["changed"] if stage.is_colored else colors["card"]
    texts = (
        cell(format_text(line, FONT, colors["text"], bold=number == 0), align="LEFT")
        for number, line in enumerate(stage.lines)
    )
    border = colors["head_line" if stage.part == "head" else "line"]
    return table(
        [*texts, *_tick_rows(stage, colors)],
        border=1,
        cellpadding=1,
        cellspacing=1,
        color=border,
        bgcolor=changed,
        href=f"#L{offset + stage.layers[0]}",
        title=escape_text(stage.hint),
    )


def _tick_rows(stage: StageCard, colors: Colors) -> Iterator[str]:
    """Yield rows of ticks: the first copy of each repeated block, height × width above channels."""
    ticks = [tick for group in stage.groups for tick in group.first_copy]
    for start in range(0, len(ticks), TICKS_PER_ROW):
        part = ticks[start : start + TICKS_PER_ROW]
        size = {"width": TICK_WIDTH, "height": TICK_HEIGHT, "fixedsize": "TRUE"}
        upper = "".join(cell("", bgcolor=colors[f"tick_{tick.spatial}"], **size) for tick in part)
        lower = "".join(cell("", bgcolor=colors[f"tick_{tick.channels}"], **size) for tick in part)
        yield cell(table([upper, lower], cellspacing=1), align="LEFT")
