"""Diagrams in Mermaid's language, which GitHub renders: one node per card, with its layers as text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from darkparse.diagnostics.source import escape_control
from darkparse.views.diagram.elements import Card, DiagramModel
from darkparse.views.diagram.layout.labels import source_names
from darkparse.views.diagram.overview.content import PART_NAMES, Overview
from darkparse.views.diagram.theme import THEMES
from darkparse.views.formatting.words import COLUMN_SEPARATOR, escape_markdown

MAX_CHARACTERS = 50_000
"""Maximum number of characters that Mermaid and GitHub render."""
ARROWS = {"chain": "-->", "reused": "-.->", "head": "==>"}


def markdown_page(
    models: Sequence[DiagramModel],
    theme: str = "light",
    *,
    direction: str = "TB",
    overviews: Sequence[Overview] = (),
) -> str:
    """Return a Markdown page with title, summary and facts of each network, and the graph in a code fence."""
    lines: list[str] = []
    for model in models:
        lines += [f"# {escape_markdown(model.name)}", "", f"**{escape_markdown(model.answer)}**", ""]
        lines += [escape_markdown(COLUMN_SEPARATOR.join(model.totals)), ""]
        lines += [f"- {escape_markdown(fact)}" for fact in model.facts] + [""]
    graph = mermaid_text(models, theme, direction=direction, overviews=overviews)
    return "\n".join([*lines, "```mermaid", f"{graph}```", ""])


def mermaid_text(
    models: Sequence[DiagramModel],
    theme: str = "light",
    *,
    direction: str = "TB",
    overviews: Sequence[Overview] = (),
) -> str:
    """Return one graph for all models, with a node per stage if overviews are given.

    If the text exceeds `MAX_CHARACTERS`, layers whose cells show neither a change nor a remark are omitted.
    """
    if overviews:
        parts = [list(_stage_lines(*pair, f"n{n}_")) for n, pair in enumerate(zip(models, overviews, strict=True), 1)]
        return _join_graphs(models, parts, THEMES[theme], direction)
    whole, short = (_graph(models, THEMES[theme], direction, is_short=is_short) for is_short in (False, True))
    return whole if len(whole) <= MAX_CHARACTERS else short


def _graph(models: Sequence[DiagramModel], colors: Mapping[str, str], direction: str, *, is_short: bool) -> str:
    parts = [[*_graph_lines(model, f"n{number}_", is_short=is_short)] for number, model in enumerate(models, 1)]
    return _join_graphs(models, parts, colors, direction)


def _join_graphs(
    models: Sequence[DiagramModel], parts: Sequence[Sequence[str]], colors: Mapping[str, str], direction: str
) -> str:
    """Return the lines of each model as one graph, with the colors of its classes."""
    # A large wrapping width prevents Mermaid from breaking the lines of layers.
    lines = ['%%{init: {"flowchart": {"wrappingWidth": 700}}}%%', f"flowchart {direction}"]
    for number, (model, part) in enumerate(zip(models, parts, strict=True), 1):
        body = [f"  {line}" for line in part]
        begin = [f'  subgraph n{number}["{_escape(model.name)}"]', f"  direction {direction}"]
        lines += [*begin, *body, "  end"] if len(models) > 1 else body
    for name, text in (("card", "text"), ("head", "head_text"), ("header", "header_text")):
        align = ",text-align:left" if name == "card" else ""
        lines.append(f"  classDef {name} fill:{colors[name]},color:{colors[text]},stroke:{colors['line']}{align}")
    return "\n".join(lines) + "\n"


def _graph_lines(model: DiagramModel, prefix: str, *, is_short: bool) -> Iterator[str]:
    node_of = {row.index: f"{prefix}{card.name}" for card in model.cards for row in card.rows}
    names = source_names(model)
    for card in model.cards:
        yield f'{prefix}{card.name}["{"<br>".join(_card_lines(card, model, is_short=is_short))}"]:::card'
    for head in model.heads:
        yield f'{prefix}{head.name}["{"<br>".join(map(_escape, head.lines))}"]:::head'
        yield f"{node_of[head.source]} {ARROWS['head']} {prefix}{head.name}"
    if any(link.source < 0 for link in model.links):
        yield f'{prefix}input["{_escape(model.input_text)}"]:::header'
    for link in model.links:
        source = node_of.get(link.source, f"{prefix}input")
        name = f"{names[link.source]} to L{link.target}, {link.label}" if link.kind == "reused" else link.label
        yield f'{source} {ARROWS[link.kind]}|"{_escape(name)}"| {node_of[link.target]}'


def _stage_lines(model: DiagramModel, overview: Overview, prefix: str) -> Iterator[str]:
    if any(link.source < 0 for link in overview.links):
        yield f'{prefix}input["{_escape(model.input_text)}"]:::header'
    for part in dict.fromkeys(stage.part for stage in overview.stages):
        yield f'subgraph {prefix}{part}["{PART_NAMES[part]}"]'
        for stage in overview.stages:
            if stage.part == part:
                first, *others = map(_escape, stage.lines)
                text = "<br>".join((f"<b>{first}</b>", *others))
                yield f'  {prefix}{stage.name}["{text}"]:::{"head" if part == "head" else "card"}'
        yield "end"
    for link in overview.links:
        source = f"{prefix}stage{link.source}" if link.source >= 0 else f"{prefix}input"
        yield f"{source} {ARROWS[link.kind]} {prefix}stage{link.target}"


def _card_lines(card: Card, model: DiagramModel, *, is_short: bool) -> Iterator[str]:
    yield f"<b>{_escape(card.title(' '))}</b>"
    yield _escape(", ".join((card.span, *card.cost)))
    for block in card.blocks:
        for number, row in enumerate(block.rows):
            cells = [cell.text for cell in (row.spatial, row.channels) if cell.tone != "kept" or ":" in cell.text]
            if is_short and not cells:
                continue
            times = f"({', '.join(block.repeat_texts)})" if block.count > 1 and number == 0 else ""
            price = f"{row.price} {model.price_name}" if row.price else ""
            overlay = f"{model.overlay.name} {row.overlay}" if model.overlay and row.overlay else ""
            yield _escape(" ".join(filter(None, (row.mark, row.name, row.label, times, *cells, price, overlay))))
            yield from (_escape(f"└ {note.text}") for note in row.notes)


def _escape(text: str) -> str:
    """Replace characters with a special meaning in Mermaid by their numeric entities."""
    return re.sub(r"[\"#&<>;`\\*_]", lambda match: f"#{ord(match[0])};", escape_control(text))
