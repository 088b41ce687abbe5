"""The diagram through Graphviz: its source without Graphviz, and what `dot` draws of it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

import darkparse
from darkparse import Diagram
from darkparse.errors import RendererError
from darkparse.views.diagram.graphviz.rendering import render
from darkparse.views.diagram.layout.grid import build_grid
from darkparse.views.diagram.layout.labels import source_names, source_text
from darkparse.views.diagram.layout.passes import labels, run_passes
from darkparse.views.diagram.sheet import PlacedPage, Sheet
from darkparse.views.diagram.svg import svg_text
from tests.conftest import ROOT, original_cfgs, shipped_cfgs
from tests.views.graphviz_svg import Drawing, ends, faults, needs_dot, read
from tests.views.networks import CFGS
from tests.views.svg import SVG

FAST = ("yolov1", "yolov3", "yolov4", "yolov3-tiny", "shapes")
SMALL = sorted((ROOT / "tests").rglob("*.cfg"))


def _params() -> list[object]:
    paths = {path.relative_to(ROOT.parent).as_posix(): path for path in (*shipped_cfgs(), *SMALL, *original_cfgs())}
    fast = {f"{ROOT.name}/cfgs/{name}.cfg" for name in FAST}
    return [
        pytest.param(path, id=name.partition("/")[2], marks=() if name in fast else pytest.mark.slow)
        for name, path in paths.items()
    ]


def _diagram(path: Path) -> Diagram:
    try:
        return darkparse.draw(path)
    except darkparse.CfgError:
        assert path in SMALL
        pytest.skip("not possible: the cfg is broken on purpose")


def _drawn(diagram: Diagram) -> Drawing:
    graph = diagram.graph
    return read(render(graph, "svg", 96).decode(), graph.source)


@needs_dot
@pytest.mark.parametrize("path", _params())
def test_dot_drawing_has_whole_edges_and_texts_of_svg(path: Path) -> None:
    diagram = _diagram(path)
    drawing = _drawn(diagram)
    assert not list(faults(drawing))
    assert _edge_texts(drawing) == _expected_edge_texts(diagram)
    title, cards = _texts_of_svg(diagram)
    legend = drawing.nodes["legend"].texts
    assert " ".join((*drawing.texts, *legend)).split() == " ".join(title).split()
    assert Counter(words for name, node in drawing.nodes.items() if name != "legend" for words in node.texts) == cards


def _edge_texts(drawing: Drawing) -> dict[str, tuple[str, ...]]:
    return {name: edge.texts for name, edge in drawing.edges.items()}


def _expected_edge_texts(diagram: Diagram) -> dict[str, tuple[str, ...]]:
    """Every link with the text that the SVG gives it where there is room, and every head without."""
    (model,) = diagram.models
    names = source_names(model)
    texts = {(head.source, head.index): () for head in model.heads} | {
        (link.source, link.target): (link.label if link.kind == "chain" else source_text(link, names),)
        for link in model.links
    }
    return {f"{f'L{a}' if a >= 0 else 'input'}-L{b}": text for (a, b), text in texts.items()}


def _texts_of_svg(diagram: Diagram) -> tuple[list[str], Counter[str]]:
    """The texts of the title, and those of cards and heads, in the layout whose columns Graphviz gets."""
    (model,) = diagram.models
    page = labels(run_passes(build_grid(model), diagram.direction))
    root = ElementTree.fromstring(
        svg_text(Sheet((PlacedPage(page, 0, 0, ""),), page.width, page.height), diagram.theme)
    )
    (sheet,) = root.findall(f"{SVG}g")
    groups = {child.get("id"): _words(child) for child in sheet}
    others = [child for child in sheet if child.get("id") not in groups or child.get("id") not in ("title", "notes")]
    cards = (words for child in others if not child.get("class", "").startswith("edge") for words in _words(child))
    return [*groups["title"], *groups["notes"]], Counter(cards)


def _words(element: ElementTree.Element) -> list[str]:
    return [" ".join("".join(text.itertext()).split()) for text in element.iter(f"{SVG}text")]


@needs_dot
@pytest.mark.parametrize(
    "options",
    [{"direction": "LR"}, {"fold": False, "notes": False}, {"overlay": "memory", "theme": "dark"}],
    ids=lambda options: next(iter(options)),
)
@pytest.mark.parametrize("path", [path for path in CFGS if not path.marks])
@pytest.mark.slow
def test_dot_drawing_with_any_option_has_whole_edges(path: Path, options: dict[str, object]) -> None:
    drawing = _drawn(darkparse.draw(path, **options))  # type: ignore[arg-type]
    assert drawing.edges
    assert not list(faults(drawing))


@needs_dot
def test_dot_drawing_of_two_networks_has_whole_edges() -> None:
    diagram = darkparse.draw("yolov3", "yolov4")
    drawing = _drawn(diagram)
    assert len(drawing.edges) == sum(len(model.links) + len(model.heads) for model in diagram.models)
    assert {name.partition("_")[0] for name in drawing.nodes if "_" in name} == {"n2"}
    assert not list(faults(drawing))


@needs_dot
def test_dot_drawing_cards_have_one_width() -> None:
    nodes = _drawn(darkparse.draw("yolov4")).nodes
    widths = [node.right - node.left for name, node in nodes.items() if name.startswith("card")]
    assert len(widths) == 10
    assert max(widths) - min(widths) <= 1  # Graphviz rounds


@needs_dot
@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (r'(<g id="L15&#45;L98".*?d="M[^C]*C).*?"', r'\g<1>1,1 2,2 3,3"', "the line ends before its head by"),
        (r'(<g id="L15&#45;L98".*?)<polygon.*?/>', r"\1", "1 lines, 0 heads"),
        (r'(<g id="L15&#45;L98".*?)(<path.*?/>)', r"\1\2\2", "2 lines, 1 heads"),
        (r'(<g id="L15&#45;L98".*?d="M)\d+', r"\g<1>0", "the line misses cardL12:o15:e by"),
    ],
)
def test_faults_of_broken_edge_are_found(old: str, new: str, fault: str) -> None:
    graph = darkparse.to_graphviz("yolov3")
    svg, count = re.subn(old, new, graph.pipe("svg", encoding="utf-8"), count=1, flags=re.DOTALL)
    assert count == 1
    found = list(faults(read(svg, graph.source)))
    assert found[0].startswith(f"L15-L98: {fault}")
    assert {text.partition(":")[0] for text in found} == {"L15-L98"}


def test_graph_source_has_two_ports_per_row() -> None:
    graph = darkparse.to_graphviz("yolov3")
    (model,) = darkparse.draw("yolov3").models
    rows = [row.index for card in model.cards for row in card.rows]
    assert re.findall(r'PORT="i(\d+)"', graph.source) == [str(index) for index in rows]
    assert re.findall(r'PORT="o(\d+)"', graph.source) == [str(index) for index in rows]
    assert graph.source.count("ROWSPAN=") == sum(block.count > 1 for card in model.cards for block in card.blocks)


def test_graph_source_has_ranks_and_weights() -> None:
    source = darkparse.to_graphviz("yolov3").source
    ranks = re.findall(r"{\n\t+graph \[rank=same\](.*?)}", source, re.DOTALL)
    same = [set(re.findall(r"\bcard\w+|\bL\d+", rank)) for rank in ranks]
    assert {"cardL37", "cardL85", "L94"} in same
    assert {"cardL62", "L82"} in same
    edges = ends(source)
    assert edges["L40-L86"] == ("cardL37:o40:e", "cardL85:i86:w")
    assert edges["L96-L97"] == ("cardL85:n", "cardL97:s")
    lines = {name: next(line for line in source.splitlines() if f'id="{name}"' in line) for name in edges}
    assert "dir=back" in lines["L96-L97"]
    assert "weight=20" in lines["L96-L97"]
    assert "weight=50" in lines["L0-L1"]
    assert "weight=1 xlabel=" in lines["L40-L86"]


def test_graph_attributes_can_be_edited() -> None:
    graph = darkparse.to_graphviz("yolov3-tiny", theme="dark", direction="LR", layers=range(8), fold=False, notes=False)
    assert "rankdir=LR" in graph.source
    assert "layers 0–7" in graph.source
    graph.graph_attr["rankdir"] = "BT"
    graph.node("mine", "a note")
    assert "rankdir=BT" in graph.source
    assert 'mine [label="a note"]' in graph.source


@needs_dot
def test_graph_renders_in_notebook_and_to_files(tmp_path: Path) -> None:
    graph = darkparse.to_graphviz("yolov3-tiny")
    assert "<svg" in graph._repr_mimebundle_()["image/svg+xml"]
    assert graph.pipe("pdf").startswith(b"%PDF")
    written = Path(graph.render(directory=tmp_path, format="svg"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["yolov3-tiny.gv", "yolov3-tiny.gv.svg"]
    assert "conv 3×3, 16" in written.read_text("utf-8")


@needs_dot
@pytest.mark.parametrize(
    ("form", "start"), [("svg", b"<?xml"), pytest.param("png", b"\x89PNG", marks=pytest.mark.slow), ("pdf", b"%PDF")]
)
def test_layout_graphviz_renders(form: str, start: bytes) -> None:
    assert darkparse.draw("yolov3-tiny", layout="graphviz").data(form).startswith(start)


@needs_dot
@pytest.mark.slow
def test_layout_graphviz_scales_with_dpi() -> None:
    diagrams = [darkparse.draw("yolov3-tiny", layout="graphviz", dpi=dpi) for dpi in (36, 72)]
    low, high = (int.from_bytes(diagram.data("png")[16:20], "big") for diagram in diagrams)
    assert high == pytest.approx(2 * low, abs=2)
    with pytest.raises(darkparse.DarkparseError, match="pixels\nhint: lower --dpi"):
        darkparse.draw("yolov4", layout="graphviz", dpi=1200).data("png")


@needs_dot
def test_layout_graphviz_renders_in_notebook() -> None:
    shown = darkparse.draw("yolov3-tiny", layout="graphviz")._repr_mimebundle_()["image/svg+xml"]
    root = ElementTree.fromstring(shown)
    assert root.get("style") == "max-width:100%;height:auto"


def _stand_in(folder: Path, script: str) -> None:
    program = folder / "dot"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.skipif("sys.platform == 'win32'")
@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'Error: no memory' >&2; exit 1", "dot failed: Error: no memory"),
        ("exit 3", "dot failed: exit status 3"),
        ('echo \'<svg width="8pt" height="8pt"></svg>\'', "cannot draw tables because it was built without expat"),
    ],
)
def test_dot_failure_is_one_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, message: str) -> None:
    _stand_in(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(RendererError, match=re.escape(message)):
        darkparse.draw("yolov3-tiny", layout="graphviz").data("svg")
