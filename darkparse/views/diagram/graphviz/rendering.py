"""Rendering of graphs to files with Graphviz."""

from __future__ import annotations

import re
from shutil import which
from typing import TYPE_CHECKING, Literal

from darkparse.errors import RendererError
from darkparse.views.diagram.raster import check_pixels

if TYPE_CHECKING:
    from graphviz import Digraph

GraphvizForm = Literal["svg", "png", "pdf"]
FORMS: tuple[GraphvizForm, ...] = ("svg", "png", "pdf")
INSTALL_HINT = "apt-get install graphviz, brew install graphviz, or winget install graphviz"


def has_graphviz() -> bool:
    """Return whether Graphviz's `dot` program is on PATH."""
    return which("dot") is not None


def render(graph: Digraph, form: GraphvizForm, dpi: float) -> bytes:
    """Render a graph with `dot` and return the bytes of the file.

    Args:
        graph: Graph to render.
        form: Output format.
        dpi: PNG resolution in dots per inch.

    Raises:
        RendererError: Graphviz is not installed, failed, or cannot draw tables.
        DarkparseError: A PNG would be too large.
    """
    # The SVG shows size and texts of the result before memory for pixels is allocated.
    svg = _run_dot(graph, "svg")
    if not re.search(rb">[^<>&]*height\xc3\x97width[^<>&]*<", svg):
        raise RendererError(f"Graphviz cannot draw tables because it was built without expat\nhint: {INSTALL_HINT}")
    if form == "svg":
        return svg
    width, height = map(int, re.findall(rb'\b(?:width|height)="(\d+)pt"', svg)[:2])
    check_pixels(form, width, height, dpi)
    if form == "png":
        graph = graph.copy()
        graph.graph_attr["dpi"] = f"{dpi:g}"
    return _run_dot(graph, form)


def _run_dot(graph: Digraph, form: GraphvizForm) -> bytes:
    import graphviz

    try:
        # `graph.pipe` fails with a broken pipe if dot exits before it has read its input.
        data: bytes = graphviz.pipe("dot", form, graph.source.encode("utf-8", "replace"), quiet=True)
    except graphviz.ExecutableNotFound:
        raise RendererError(f"Graphviz is not installed: no program dot in PATH\nhint: {INSTALL_HINT}") from None
    except graphviz.CalledProcessError as problem:
        reason = (problem.stderr or b"").decode("utf-8", "replace").strip().splitlines()
        raise RendererError(f"dot failed: {reason[0] if reason else f'exit status {problem.returncode}'}") from None
    return data
