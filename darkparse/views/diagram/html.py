"""Self-contained HTML page of a diagram, with zoom, search and a report on each layer."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from darkparse.diagnostics.source import escape_control
from darkparse.views.diagram.sheet import arrange_sheet
from darkparse.views.diagram.svg import svg_text
from darkparse.views.diagram.theme import DEFAULT_THEME, FONTS, THEMES, css_variables
from darkparse.views.formatting.words import escape_text
from darkparse.views.layer_info import layer_facts
from darkparse.views.text.layer_report import layer_report

if TYPE_CHECKING:
    from darkparse.network import Network
    from darkparse.views.diagram.diagram import Diagram
    from darkparse.views.diagram.elements import DiagramModel

ASSETS = Path(__file__).parent / "assets"


def html_page(diagram: Diagram) -> str:
    """Return the page; its content security policy allows only the script with the matching hash."""
    script = _read_asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    sheet = diagram.sheet
    paper = "A3 landscape" if sheet.width > sheet.height else "A3 portrait"
    return Template(_read_asset("page.html")).substitute(
        theme=diagram.theme,
        title=escape_text(diagram.name),
        script_hash=f"sha256-{digest}",
        colors=_color_rules(),
        style=Template(_read_asset("page.css")).substitute(fonts=FONTS, paper=paper),
        layout="pair" if len(diagram.networks) > 1 else "single",
        svg=svg_text(sheet, ""),
        overview=_overview_element(diagram),
        data=_script_json(_page_data(diagram)),
        script=script,
    )


def _overview_element(diagram: Diagram) -> str:
    """Return the overview of a page of layers, whose stages open their layers; empty for a page of stages."""
    if diagram.detail == "stages":
        return ""
    svg = svg_text(arrange_sheet(diagram.models, "TB", diagram.overviews), "", label="Stages")
    return f'<nav id="overview" aria-label="Overview; choose a stage to open its layers">\n{svg}</nav>'


def _color_rules() -> str:
    """Return every theme as CSS variables; the dark theme is printed as the light one."""
    rules = [
        f':root[data-theme="{name}"] {{ color-scheme: {"dark" if name == "dark" else "light"}; {css_variables(name)} }}'
        for name in THEMES
    ]
    return "\n".join([*rules, f'@media print {{ :root[data-theme="dark"] {{ {css_variables("light")} }} }}'])


def _page_data(diagram: Diagram) -> dict[str, Any]:
    """Return the report on each layer; the layers of a second network follow those of the first."""
    layers: list[dict[str, Any]] = []
    for network, model in zip(diagram.networks, diagram.models, strict=True):
        layers += _layer_data(network, model, len(layers), several=len(diagram.networks) > 1)
    overlay = diagram.models[0].overlay
    # The default theme follows the system's color scheme; others were chosen.
    return {"layers": layers, "overlay": overlay.name if overlay else "", "follows": diagram.theme == DEFAULT_THEME}


def _layer_data(network: Network, model: DiagramModel, offset: int, *, several: bool) -> Iterator[dict[str, Any]]:
    """Yield the reports on one network's layers, with indices into the list of all layers."""
    rows = {index: row.index for card in model.cards for row in card.rows for index in row.copies}
    source = Path(network.config.source.name).name
    for facts in layer_facts(network):
        yield _escape_values(asdict(layer_report(facts))) | {
            "name": f"L{facts.index}{f' of {model.name}' if several else ''}",
            "index": offset + facts.index,
            "row": offset + rows.get(facts.index, facts.index),
            "sources": [offset + i if i >= 0 else -1 for i in facts.node.inputs],
            "readers": [offset + i for i in facts.readers],
            "source": source,
            "overlay": model.overlay.text((facts.index,)) if model.overlay else "",
        }


def _escape_values(value: Any) -> Any:
    """Expand tabs and escape control characters in all texts of a report."""
    if isinstance(value, dict):
        return {key: _escape_values(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_escape_values(item) for item in value]
    return escape_control(value.expandtabs(4)) if isinstance(value, str) else value


def _script_json(value: Any) -> str:
    """Return JSON that is safe inside a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _read_asset(name: str) -> str:
    return (ASSETS / name).read_text("utf-8").strip()
