"""The picture in Mermaid's language, which GitHub draws: a node for each card, with its layers as text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from darkparse.diagnostics.source import escape_control
from darkparse.views.diagram.elements import Card, DiagramModel
from darkparse.views.diagram.layout.labels import source_names
from darkparse.views.diagram.theme import THEMES
from darkparse.views.formatting.words import COLUMN_SEPARATOR, escaped_markdown

LIMIT = 50_000
"""Characters; Mermaid and GitHub draw no more."""
ARROWS = {"chain": "-->", "reused": "-.->", "head": "==>"}


def markdown_page(pictures: Sequence[DiagramModel], theme: str = "light", *, direction: str = "TB") -> str:
    """Titles, answers and facts as Markdown, and the graph in its fence."""
    lines: list[str] = []
    for picture in pictures:
        lines += [f"# {escaped_markdown(picture.name)}", "", f"**{escaped_markdown(picture.answer)}**", ""]
        lines += [escaped_markdown(COLUMN_SEPARATOR.join(picture.totals)), ""]
        lines += [f"- {escaped_markdown(fact)}" for fact in picture.facts] + [""]
    return "\n".join([*lines, "```mermaid", mermaid_text(pictures, theme, direction=direction) + "```", ""])


def mermaid_text(pictures: Sequence[DiagramModel], theme: str = "light", *, direction: str = "TB") -> str:
    """One picture, or several in one graph; where there is too much text, without the layers that reduce nothing."""
    whole, short = (_graph(pictures, THEMES[theme], direction, is_short=is_short) for is_short in (False, True))
    return whole if len(whole) <= LIMIT else short


def _graph(pictures: Sequence[DiagramModel], colors: Mapping[str, str], direction: str, *, is_short: bool) -> str:
    # Lines of layers are not broken.
    lines = ['%%{init: {"flowchart": {"wrappingWidth": 700}}}%%', f"flowchart {direction}"]
    for number, picture in enumerate(pictures, 1):
        inside = [f"  {line}" for line in _lines(picture, f"n{number}_", is_short=is_short)]
        begin = [f'  subgraph n{number}["{_words(picture.name)}"]', f"  direction {direction}"]
        lines += [*begin, *inside, "  end"] if len(pictures) > 1 else inside
    for name, text in (("card", "text"), ("head", "head_text"), ("header", "header_text")):
        align = ",text-align:left" if name == "card" else ""
        lines.append(f"  classDef {name} fill:{colors[name]},color:{colors[text]},stroke:{colors['line']}{align}")
    return "\n".join(lines) + "\n"


def _lines(picture: DiagramModel, prefix: str, *, is_short: bool) -> Iterator[str]:
    place = {row.index: f"{prefix}{card.name}" for card in picture.cards for row in card.rows}
    names = source_names(picture)
    for card in picture.cards:
        yield f'{prefix}{card.name}["{"<br>".join(_card(card, picture, is_short=is_short))}"]:::card'
    for head in picture.heads:
        yield f'{prefix}{head.name}["{"<br>".join(map(_words, head.lines))}"]:::head'
        yield f"{place[head.source]} {ARROWS['head']} {prefix}{head.name}"
    if any(link.source < 0 for link in picture.links):
        yield f'{prefix}input["{_words(picture.input_text)}"]:::header'
    for link in picture.links:
        source = place.get(link.source, f"{prefix}input")
        name = f"{names[link.source]} to L{link.target}, {link.label}" if link.kind == "reused" else link.label
        yield f'{source} {ARROWS[link.kind]}|"{_words(name)}"| {place[link.target]}'


def _card(card: Card, picture: DiagramModel, *, is_short: bool) -> Iterator[str]:
    yield f"<b>{_words(card.title(' '))}</b>"
    yield _words(", ".join((card.span, *card.cost)))
    for block in card.blocks:
        for number, row in enumerate(block.rows):
            cells = [cell.text for cell in (row.spatial, row.channels) if cell.tone != "kept" or ":" in cell.text]
            if is_short and not cells:
                continue
            times = f"(× {block.count}, to L{block.last})" if block.count > 1 and number == 0 else ""
            price = f"{row.price} {picture.price_name}" if row.price else ""
            overlay = f"{picture.overlay.name} {row.overlay}" if picture.overlay and row.overlay else ""
            yield _words(" ".join(filter(None, (row.mark, row.name, row.label, times, *cells, price, overlay))))
            yield from (_words(f"└ {note.text}") for note in row.notes)


def _words(text: str) -> str:
    """Text that Mermaid shows as it is: of all that it could take for a sign, the number."""
    return re.sub(r"[\"#&<>;`\\*_]", lambda match: f"#{ord(match[0])};", escape_control(text))
