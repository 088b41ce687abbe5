"""Finding and running a renderer, and what is said where there is none."""

from __future__ import annotations

import os
import stat
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import darkparse
from darkparse import DarkparseError, Diagram
from darkparse.cli import main
from darkparse.errors import RendererError
from darkparse.views.diagram import rendering
from darkparse.views.diagram.rendering import render, renderers

needs_renderer = pytest.mark.skipif(not list(renderers("svg")), reason="needs a renderer: pip install graphviz-pure")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any renderer; the folder is the only one on PATH, and stands for that of Python too."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setattr(rendering, "find_spec", lambda name: None)
    return folder


def _script(folder: Path, name: str, body: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


SVG = "/bin/cat > /dev/null; echo '<svg>height×width</svg>'"


@pytest.fixture
def diagram() -> Diagram:
    return darkparse.draw(darkparse.compile("yolov3-tiny"))


@pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")
class TestSearch:
    def test_the_first_hit_wins(self, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pure = _script(bare, "graphviz-pure", SVG)
        assert list(renderers("svg")) == [pure]
        dot = _script(bare, "dot", SVG)
        assert list(renderers("svg")) == [dot, pure]
        monkeypatch.setattr(rendering, "find_spec", lambda name: object())
        assert list(renderers("svg")) == [dot, pure, "pygraphviz"]
        assert list(renderers("pdf")) == [dot, "pygraphviz"]

    def test_what_is_asked_for_stands_alone(self, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _script(bare, "dot", SVG)
        mine, other = _script(bare, "mine", SVG), _script(bare, "other", SVG)
        monkeypatch.setenv("DARKPARSE_DOT", other)
        assert list(renderers("svg")) == [other]
        assert list(renderers("svg", mine)) == [mine]

    def test_what_is_asked_for_must_be_there(self, bare: Path) -> None:
        with pytest.raises(RendererError, match="is no executable"):
            list(renderers("svg", str(bare / "none")))

    def test_messages_of_a_renderer_are_no_failure(self, bare: Path, diagram: Diagram) -> None:
        _script(bare, "dot", f"echo 'Warning: no width' >&2; {SVG}")
        assert "height×width" in diagram.svg()

    def test_lost_labels_are_noticed(self, bare: Path, diagram: Diagram) -> None:
        _script(bare, "dot", "/bin/cat > /dev/null; echo '<svg></svg>'")
        with pytest.raises(RendererError, match="left out the labels"):
            diagram.svg()

    def test_a_failure_is_told(self, bare: Path, diagram: Diagram) -> None:
        _script(bare, "dot", "/bin/cat > /dev/null; echo 'out of paper' >&2; exit 1")
        with pytest.raises(RendererError, match="out of paper"):
            diagram.svg()

    def test_no_global_is_left_changed(self, bare: Path, diagram: Diagram) -> None:
        from graphviz.backend import dot_command

        before = dot_command.DOT_BINARY
        _script(bare, "graphviz-pure", SVG)
        diagram.svg()
        assert before == dot_command.DOT_BINARY


@pytest.mark.parametrize("form", ["svg", "png", "pdf", "html"])
def test_without_a_renderer_the_dot_is_written(
    bare: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / f"net.{form}"
    with pytest.raises(SystemExit) as stop:
        main(["draw", "yolov3-tiny", "-o", str(target)])
    said = " ".join(capsys.readouterr().err.split())
    assert stop.value.code == 3
    assert not target.exists()
    assert (tmp_path / "net.dot").read_text("utf-8").startswith("digraph")
    assert "pip install 'darkparse[pdf]'" in said
    assert ("pip install graphviz-pure" in said) == (form != "pdf")
    assert (
        "run the same command again" if form == "html" else f"dot -T{form} {tmp_path / 'net.dot'} -o {target}"
    ) in said


def test_dot_needs_no_renderer(bare: Path, tmp_path: Path) -> None:
    main(["draw", "yolov3-tiny", "-o", str(tmp_path / "net.dot")])
    assert (tmp_path / "net.dot").read_text("utf-8").startswith("digraph")


def test_a_notebook_without_a_renderer_gets_the_text(bare: Path, diagram: Diagram) -> None:
    bundle = diagram._repr_mimebundle_()
    assert set(bundle) == {"text/plain"}
    assert "no renderer" in bundle["text/plain"]


@needs_renderer
def test_a_notebook_gets_the_picture(diagram: Diagram) -> None:
    assert diagram._repr_mimebundle_()["image/svg+xml"].lstrip().startswith("<?xml")


@needs_renderer
@pytest.mark.parametrize(
    ("form", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("html", b"<!doctype html>"), ("dot", b"digraph")]
)
def test_formats(diagram: Diagram, tmp_path: Path, form: str, start: bytes) -> None:
    path = diagram.render(tmp_path / f"net.{form}")
    assert path.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [f"net.{form}"]


@pytest.mark.skipif(not list(renderers("pdf")), reason="needs a renderer for pdf")
def test_pdf(diagram: Diagram, tmp_path: Path) -> None:
    assert diagram.render(tmp_path / "net.pdf").read_bytes().startswith(b"%PDF")


@needs_renderer
def test_dpi_is_the_size_of_a_png() -> None:
    network = darkparse.compile("yolov3-tiny")

    def width(dpi: float) -> int:
        return int.from_bytes(darkparse.draw(network, dpi=dpi).data("png")[16:20], "big")

    assert width(192) == pytest.approx(2 * width(96), rel=0.01)


def test_a_png_that_no_one_can_open_is_refused() -> None:
    with pytest.raises(DarkparseError, match=r"pixels; lower --dpi, or write \.svg"):
        darkparse.draw(darkparse.compile("yolov4"), dpi=1200).data("png")


def test_an_unknown_suffix_is_refused(diagram: Diagram, tmp_path: Path) -> None:
    with pytest.raises(DarkparseError, match="cannot be written as 'gif'"):
        diagram.render(tmp_path / "net.gif")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        diagram.render(tmp_path / "none" / "net.dot")
    assert list(tmp_path.iterdir()) == []


def test_render_names_the_package_to_install(bare: Path) -> None:
    with pytest.raises(
        RendererError, match="no renderer for pdf was found; install `pip install 'darkparse\\[pdf\\]'`"
    ):
        render("digraph {}", "pdf")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "30-99"], "has layers 0 to 23, and no 30 to 99"),
        (["--layers", "9-3"], "is no range of layers"),
        (["--format", "gif"], "Invalid value"),
        (["yolov1", "yolov2"], "one network, or two to compare, not 3"),
    ],
)
def test_bad_arguments(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["draw", "yolov3-tiny", "-o", str(tmp_path / "x.dot"), *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [{"theme": "pink"}, {"direction": "BT"}])
def test_bad_options(options: dict[str, str]) -> None:
    with pytest.raises(DarkparseError, match="choose"):
        darkparse.draw(darkparse.compile("yolov1"), **options)  # type: ignore[arg-type]


def test_some_layers_only() -> None:
    dot = darkparse.draw(darkparse.compile("yolov3"), layers=range(62, 85)).dot
    assert "layers 62–84" in dot
    assert "<TD " in dot
    assert ">L84<" in dot
    assert ">L61<" not in dot
    assert "input 608" not in dot


def test_a_head_stands_beside_what_projects_to_it() -> None:
    network = darkparse.compile("yolov3")
    assert [head.index for head in darkparse.draw(network, layers=range(82, 106)).pictures[0].heads] == [94]
    assert [head.index for head in darkparse.draw(network, layers=range(81, 107)).pictures[0].heads] == [82, 94, 106]


def test_a_head_of_a_repeated_block() -> None:
    block = "[conv]\nfilters=8\nsize=3\npad=1\n[conv]\nfilters=18\nsize=1\n"
    network = darkparse.compile(f"[net]\nwidth=16\nheight=16\nchannels=18\n{block * 3}[yolo]\nclasses=1\nnum=3\n")
    picture = darkparse.draw(network).pictures[0]
    assert len(picture.cards[0].rows) == 2
    assert [(head.index, head.source) for head in picture.heads] == [(6, 1)]
    assert "cardL0 -> L6" in darkparse.draw(network).dot


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_text_can_be_read_on_its_cell(theme: str) -> None:
    """WCAG's contrast of 4.5 for every pair of text and fill."""
    from darkparse.views.diagram.theme import THEMES

    colours = THEMES[theme]
    pairs = [
        (f"{role}_text", role) for role in ("header", "repeat", "reduced", "kept", "expanded", "projected", "head")
    ]
    pairs += [
        ("header_faint", "header"),
        *((role, "card") for role in ("text", "faint", "saves", "costs")),
        ("text", "changed"),
    ]
    pairs += [("text", "page"), ("faint", "page"), ("reused", "page"), ("head_line", "page")]
    for text, fill in pairs:
        assert _contrast(getattr(colours, text), getattr(colours, fill)) >= 4.5, (text, fill)
    assert len(set(colours.roles().values())) == len(colours.roles())


def test_greys_can_be_told_apart() -> None:
    from darkparse.views.diagram.theme import PRINT

    for a, b in pairwise((PRINT.kept, PRINT.expanded, PRINT.reduced, PRINT.projected)):
        assert _contrast(a, b) >= 1.2, (a, b)


def _contrast(a: str, b: str) -> float:
    light, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
