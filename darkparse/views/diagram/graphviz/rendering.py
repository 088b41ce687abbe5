"""Files that Graphviz renders of a graph."""

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
    """Return whether Graphviz's `dot` is on the PATH."""
    return which("dot") is not None


def render(graph: Digraph, form: GraphvizForm, dpi: float) -> bytes:
    """Lay out a graph with `dot` and return the bytes of a file.

    Args:
        graph: the cards and their edges.
        form: format of the file.
        dpi: resolution of a PNG in dots per inch.

    Raises:
        RendererError: Graphviz is not installed, failed, or cannot draw tables.
        DarkparseError: a PNG would be too large.
    """
    # Its size and its texts are known from the SVG, before pixels take memory.
    svg = _run_dot(graph, "svg")
    if b">height\xc3\x97width<" not in svg:
        raise RendererError(f"this Graphviz cannot draw tables: it was built without expat\nhint: {INSTALL_HINT}")
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
        # Not `graph.pipe`: it ends in a broken pipe where dot fails before it has read everything.
        data: bytes = graphviz.pipe("dot", form, graph.source.encode("utf-8", "replace"), quiet=True)
    except graphviz.ExecutableNotFound:
        raise RendererError(f"Graphviz is not installed: no program dot on the PATH\nhint: {INSTALL_HINT}") from None
    except graphviz.CalledProcessError as problem:
        reason = (problem.stderr or b"").decode("utf-8", "replace").strip().splitlines()
        raise RendererError(f"dot failed: {reason[0] if reason else f'exit status {problem.returncode}'}") from None
    return data
