"""The formats of a diagram, what is said where PNG and PDF cannot be written, and text that no format can hold."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from html import unescape
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

import darkparse
from darkparse import DarkparseError, Diagram
from darkparse.cli import main
from darkparse.cli.draw import FORMATS
from darkparse.errors import RendererError
from darkparse.views.diagram.diagram import SUFFIXES
from darkparse.views.diagram.graphviz.rendering import has_graphviz, render
from darkparse.views.diagram.raster import MODULES, Form, rasterize
from tests.views.graphviz_svg import needs_dot, read
from tests.views.svg import texts


@pytest.fixture
def diagram() -> Diagram:
    return darkparse.draw(darkparse.compile("yolov3-tiny"), dpi=48)


@pytest.mark.parametrize(("form", "package"), [("png", "resvg-py"), ("pdf", "typst")])
def test_draw_without_renderer_names_both_alternatives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str, package: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as stop:
        main(["draw", "yolov3-tiny", "-o", str(tmp_path / f"net.{form}")])
    assert stop.value.code == 3
    error = capsys.readouterr().err
    assert f"error: {form.upper()} requires {package}: pip install 'darkparse[pdf]'" in error
    assert "hint: or install Graphviz: apt-get install graphviz" in error
    assert not list(tmp_path.iterdir())


@needs_dot
@pytest.mark.parametrize(("form", "package", "start"), [("png", "resvg_py", b"\x89PNG"), ("pdf", "typst", b"%PDF")])
def test_draw_without_package_falls_back_to_graphviz_with_warning(
    monkeypatch: pytest.MonkeyPatch, diagram: Diagram, form: str, package: str, start: bytes
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.warns(
        darkparse.DarkparseWarning, match=r"pip install 'darkparse\[pdf\]'; laid out by Graphviz"
    ) as notices:
        assert diagram.data(form).startswith(start)
    assert len(notices) == 1


def test_layout_graphviz_never_falls_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for form in ("svg", "png", "pdf"):
        with pytest.raises(SystemExit) as stop:
            main(["draw", "yolov3-tiny", "--layout", "graphviz", "-o", str(tmp_path / f"net.{form}")])
        assert stop.value.code == 3
        error = capsys.readouterr().err
        assert "error: Graphviz is not installed: no program dot in PATH" in error
        assert "apt-get install graphviz" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["svg", "html", "mmd"])
def test_draw_starts_no_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "subprocess", None)
    monkeypatch.setattr(os, "posix_spawn", None, raising=False)
    monkeypatch.setattr(os, "fork", None, raising=False)
    main(["draw", "yolov3-tiny", "-o", str(tmp_path / f"net.{form}")])
    assert (tmp_path / f"net.{form}").stat().st_size > 2000


@pytest.mark.parametrize("form", MODULES)
def test_rasterize_failure_is_renderer_error(form: Form) -> None:
    pytest.importorskip(MODULES[form], reason="needs pip install 'darkparse[pdf]'")
    with pytest.raises(RendererError, match=f"{MODULES[form]} failed: "):
        rasterize("<svg", form)


def test_formats_of_command_equal_library() -> None:
    assert FORMATS == SUFFIXES


def test_notebook_svg_fits_its_cell(diagram: Diagram) -> None:
    network = diagram.networks[0]
    for shown in (diagram._repr_mimebundle_(), network._repr_mimebundle_()):
        root = ElementTree.fromstring(shown["image/svg+xml"])
        assert root.get("style") == "max-width:100%;height:auto"
    assert network._repr_mimebundle_()["text/plain"] == repr(network)


def test_notebook_shows_tables_and_text() -> None:
    network = darkparse.compile("yolov1")
    layer = network.nodes[6]._repr_mimebundle_()["text/html"]
    assert re.findall("<td>(.*?)</td>", layer) == [
        *("L6", "conv 1×1, 256", "56×56×256", "56×56×256", "66,048", "411 MFLOPs (206M multiply-adds)")
    ]
    module = darkparse.build(darkparse.compile("yolov3-tiny"))._repr_mimebundle_()
    assert module["text/html"].count("<tr>") == 25
    assert module["text/plain"].startswith("Darknet(")
    assert darkparse.explain(network)._repr_markdown_().startswith("# yolov1")


@pytest.mark.parametrize(
    ("form", "start"),
    [
        ("svg", b"<svg"),
        ("png", b"\x89PNG"),
        ("pdf", b"%PDF"),
        ("html", b"<!doctype html>"),
        ("dot", b"digraph"),
        ("gv", b"digraph"),
        ("mmd", b"%%{init"),
        ("md", b"# yolov3-tiny"),
    ],
)
def test_render_writes_format(
    diagram: Diagram, tmp_path: Path, form: str, start: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    if form in MODULES:
        pytest.importorskip(MODULES[form], reason="needs pip install 'darkparse[pdf]'")
    path = diagram.render(tmp_path / f"net.{form}")
    assert path.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [f"net.{form}"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_draw_dpi_scales_png() -> None:
    pytest.importorskip("resvg_py", reason="needs resvg-py: pip install 'darkparse[pdf]'")
    network = darkparse.compile("yolov3-tiny")

    def width(dpi: float) -> int:
        return int.from_bytes(darkparse.draw(network, dpi=dpi).data("png")[16:20], "big")

    assert width(72) == pytest.approx(2 * width(36), rel=0.01)


def test_draw_too_large_png_raises() -> None:
    with pytest.raises(DarkparseError, match=r"pixels\nhint: lower --dpi or write \.svg"):
        darkparse.draw(darkparse.compile("yolov4"), dpi=1200).data("png")


def test_render_unknown_suffix_or_directory_raises(diagram: Diagram, tmp_path: Path) -> None:
    with pytest.raises(DarkparseError, match="unsupported diagram format 'gif'"):
        diagram.render(tmp_path / "net.gif")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        diagram.render(tmp_path / "none" / "net.dot")
    assert list(tmp_path.iterdir()) == []


NAMES = [
    "a & b",
    "&copy; &#9660;",
    "\"quoted\" 'name'",
    "<b>bold</b>",
    "</style></svg>",
    "back\\slash\\n",
    "]]>",
    "é ▼ 網",
]


@pytest.mark.skipif(os.name == "nt", reason="needs file names that Windows does not allow: run it on Linux or macOS")
@pytest.mark.parametrize("name", NAMES)
def test_draw_any_name_keeps_it_in_every_format(name: str, tmp_path: Path) -> None:
    """In SVG by a reader of XML, in HTML by one of HTML, in DOT by undoing its quotes."""
    network = darkparse.compile("[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\nfilters=4\nsize=1\n")
    named = replace(
        network, config=replace(network.config, source=replace(network.config.source, path=Path(f"{name}.cfg")))
    )
    shown = named.name
    diagram = darkparse.draw(named)
    assert shown in [text.words for text in texts(diagram.svg())]
    title = re.search(r"<title>(.*?)</title>", diagram.data("html").decode())
    assert title is not None
    assert unescape(title[1]) == shown
    quoted = re.match(r'digraph (\w+|"(?:[^"\\]|\\.)*") {', diagram.dot)
    assert quoted is not None
    assert unescape(re.sub(r"\\(.)", r"\1", quoted[1].strip('"'))) == shown
    if has_graphviz():
        graph = diagram.graph
        assert shown in read(render(graph, "svg", 96).decode(), graph.source).texts


def test_draw_writes_no_control_characters() -> None:
    text = "[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\nfilters=4\nsize=1\nactivation=re\x1b[31mlu\x07\u202e\n"
    diagram = darkparse.draw(darkparse.compile(text))
    for form in ("svg", "html", "dot"):
        said = diagram.data(form).decode()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", said), form
    ElementTree.fromstring(diagram.svg())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "30-99"], "expected layers from 0 to 23"),
        (["--layers", "9-3"], "expected a range, e.g. 62-84"),
        (["--format", "gif"], "Invalid value"),
        (["--layout", "neato"], "Invalid value"),
        (
            ["--layout", "graphviz", "--format", "html"],
            "unsupported format 'html' for layout graphviz; expected svg, png,",
        ),
        (["yolov1", "yolov2"], "too many networks, got 3"),
    ],
)
def test_draw_command_with_wrong_arguments_exits_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["draw", "yolov3-tiny", "-o", str(tmp_path / "x.dot"), *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [{"theme": "pink"}, {"direction": "BT"}, {"by": "bytes"}, {"layout": "neato"}])
def test_draw_with_unknown_option_value_raises(options: dict[str, str]) -> None:
    with pytest.raises(DarkparseError, match="expected one of"):
        darkparse.draw(darkparse.compile("yolov1"), **options)  # type: ignore[arg-type]


def test_draw_layer_range_contains_only_these() -> None:
    dot = darkparse.draw(darkparse.compile("yolov3"), layers=range(62, 85)).dot
    assert "layers 62–84" in dot
    assert ">L84<" in dot
    assert ">L61<" not in dot
    assert "input 608" not in dot


def test_draw_layer_range_keeps_heads_with_projection() -> None:
    network = darkparse.compile("yolov3")
    assert [head.index for head in darkparse.draw(network, layers=range(82, 106)).models[0].heads] == [94]
    assert [head.index for head in darkparse.draw(network, layers=range(81, 107)).models[0].heads] == [82, 94, 106]


def test_draw_head_of_repeated_block_links_to_first_copy() -> None:
    block = "[conv]\nfilters=8\nsize=3\npad=1\n[conv]\nfilters=18\nsize=1\n"
    network = darkparse.compile(f"[net]\nwidth=16\nheight=16\nchannels=18\n{block * 3}[yolo]\nclasses=1\nnum=3\n")
    picture = darkparse.draw(network).models[0]
    assert len(picture.cards[0].rows) == 2
    assert [(head.index, head.source) for head in picture.heads] == [(6, 1)]
    assert "cardL0:o1:e -> L6:w" in darkparse.draw(network).dot


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_theme_text_has_contrast_of_4_5(theme: str) -> None:
    """WCAG's contrast of 4.5 for every pair of text and fill."""
    from darkparse.views.diagram.theme import THEMES

    colors = THEMES[theme]
    pairs = [
        (f"{role}_text", role) for role in ("header", "repeat", "reduced", "kept", "expanded", "projected", "head")
    ]
    pairs += [*((role, "card") for role in ("text", "faint", "saves")), ("text", "changed")]
    pairs += [("price_text", "price"), ("faint", "price"), ("overlay_text", "overlay"), ("faint", "overlay")]
    pairs += [("text", "page"), ("faint", "page"), ("reused", "page"), ("head_line", "page")]
    for text, fill in pairs:
        assert _contrast(colors[text], colors[fill]) >= 4.5, (text, fill)


def test_print_theme_grays_are_distinguishable() -> None:
    from darkparse.views.diagram.theme import THEMES

    for a, b in pairwise(THEMES["print"][role] for role in ("kept", "expanded", "reduced", "projected")):
        assert _contrast(a, b) >= 1.2, (a, b)


def _contrast(a: str, b: str) -> float:
    light, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
