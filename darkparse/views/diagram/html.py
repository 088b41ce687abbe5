"""A diagram as one HTML page that needs no network: zoom, find, every layer's report behind its row."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from darkparse.views.diagram.theme import FONTS, THEMES
from darkparse.views.facts import layer_facts
from darkparse.views.text.layer_report import layer_report

if TYPE_CHECKING:
    from darkparse.network import Network
    from darkparse.views.diagram.diagram import Diagram
    from darkparse.views.diagram.model import Picture

ASSETS = Path(__file__).parent / "assets"


def html_page(diagram: Diagram) -> str:
    """The page. Its script is named by its hash in the content security policy, so no other runs.

    Raises:
        RendererError: there is no renderer for the SVG, or it failed.
    """
    svg = diagram.svg()
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = Template(_asset("page.css")).substitute(fonts=FONTS, paper=_paper(svg))
    return Template(_asset("page.html")).substitute(
        theme=diagram.theme,
        title=escape(diagram.name),
        script_hash=f"sha256-{digest}",
        colours=_colours(),
        style=style,
        svg=themed(svg, diagram),
        data=_json(_data(diagram)),
        script=script,
    )


def themed(svg: str, diagram: Diagram) -> str:
    """The SVG element alone, with the theme's colours as CSS variables and ids that no layer's name can clash with."""
    element = svg[svg.index("<svg") :]
    roles = {color.lower(): role for role, color in THEMES[diagram.theme].roles().items()}
    roles["white"] = "page"

    def variable(match: re.Match[str]) -> str:
        role = roles.get(match[2].lower())
        return f'{match[1]}="var(--{role})"' if role else match[0]

    element = re.sub(r'\b(fill|stroke)="(#[0-9a-fA-F]{6}|white)"', variable, element)
    return re.sub(r'<svg width="[^"]*" height="[^"]*"', '<svg role="group" aria-label="Layers"', element, count=1)


def _colours() -> str:
    """Every theme as CSS variables; on paper the dark theme turns light."""

    def variables(name: str) -> str:
        return " ".join(f"--{role}: {color};" for role, color in THEMES[name].roles().items())

    rules = [
        f':root[data-theme="{name}"] {{ color-scheme: {"dark" if name == "dark" else "light"}; {variables(name)} }}'
        for name in THEMES
    ]
    return "\n".join([*rules, f'@media print {{ :root[data-theme="dark"] {{ {variables("light")} }} }}'])


def _paper(svg: str) -> str:
    size = re.search(r'viewBox="[\d.-]+ [\d.-]+ ([\d.]+) ([\d.]+)"', svg)
    return "A3 landscape" if size and float(size[1]) > float(size[2]) else "A3 portrait"


def _data(diagram: Diagram) -> dict[str, Any]:
    """Every layer's report; the layers of a second network follow those of the first."""
    layers: list[dict[str, Any]] = []
    for network, picture in zip(diagram.networks, diagram.pictures, strict=True):
        layers += _layers(network, picture, len(layers), several=len(diagram.networks) > 1)
    return {"layers": layers}


def _layers(network: Network, picture: Picture, offset: int, *, several: bool) -> Iterator[dict[str, Any]]:
    """The layers of one network with their places in the list of all."""
    rows = {
        index: row.index
        for card in picture.cards
        for block in card.blocks
        for row in block.rows
        for index in (range(row.index, block.last + 1, len(block.rows)) if block.count > 1 else (row.index,))
    }
    source = Path(network.config.source.name).name
    for facts in layer_facts(network):
        yield asdict(layer_report(facts)) | {
            "name": f"L{facts.index}{f' of {picture.name}' if several else ''}",
            "index": offset + facts.index,
            "row": offset + rows.get(facts.index, facts.index),
            "sources": [offset + i if i >= 0 else -1 for i in facts.node.inputs],
            "readers": [offset + i for i in facts.readers],
            "source": source,
        }


def _json(value: Any) -> str:
    """JSON that cannot end the script element that holds it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _asset(name: str) -> str:
    return (ASSETS / name).read_text("utf-8").strip()
