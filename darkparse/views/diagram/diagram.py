"""Network diagrams: `draw`, `to_graphviz`, and rendering in every format."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from darkparse._utils.files import atomic_write
from darkparse.errors import DarkparseError, DarkparseWarning, RendererError
from darkparse.network import Network, compile
from darkparse.network.diff import diff_networks
from darkparse.syntax import Config
from darkparse.views.diagram.build import build_diagram
from darkparse.views.diagram.elements import DETAILS, MEASURES, Detail, DiagramModel, Measure
from darkparse.views.diagram.fitting import fit_sheet, parse_length
from darkparse.views.diagram.graphviz.graph import build_digraph
from darkparse.views.diagram.graphviz.rendering import FORMS, INSTALL_HINT, has_graphviz, render
from darkparse.views.diagram.graphviz.stages import build_stage_digraph
from darkparse.views.diagram.html import html_page
from darkparse.views.diagram.layout.page import Direction
from darkparse.views.diagram.marks import build_marks, summary_lines
from darkparse.views.diagram.mermaid import markdown_page, mermaid_text
from darkparse.views.diagram.overview.content import Overview, build_overview
from darkparse.views.diagram.raster import MODULES, check_pixels, has_rasterizer, rasterize
from darkparse.views.diagram.raster import Form as RasterForm
from darkparse.views.diagram.sheet import Sheet, arrange_sheet
from darkparse.views.diagram.stage_diff import stage_lines
from darkparse.views.diagram.svg import svg_text
from darkparse.views.diagram.theme import THEMES, ThemeName
from darkparse.views.formatting.words import COLUMN_SEPARATOR
from darkparse.views.overlay import OVERLAYS, Overlay

if TYPE_CHECKING:
    from graphviz import Digraph

Layout = Literal["darkparse", "graphviz"]
SUFFIXES = ("svg", "png", "pdf", "html", "dot", "gv", "mmd", "md")
FITTED = 'style="max-width:100%;height:auto"'
ZOOM_STYLE = "<style>.darkparse-zoom:checked~div svg{max-width:none!important}</style>"
"""Rule that shows diagrams in a notebook at full size while a box is checked, without a script."""
DPI = 150
"""Default PNG resolution in DPI. At 96, small text is hard to read when the whole page is visible."""


@dataclass(frozen=True)
class Diagram:
    """Network diagram, as returned by `draw`. Notebooks display it inline.

    Attributes:
        networks: One network, or the two networks of a comparison.
        models: Diagram content of each network.
        theme: `"light"`, `"dark"` or `"print"`.
        direction: `"TB"` or `"LR"`.
        dpi: PNG resolution in dots per inch.
        layout: `"darkparse"` or `"graphviz"`.
        detail: `"layers"` or `"stages"`; None chooses what fits the width.
        width: Width of the page in points; None for its natural width.

    >>> diagram = darkparse.draw("yolov3-tiny")
    >>> diagram.name, diagram.svg()[:4]
    ('yolov3-tiny', '<svg')
    """

    networks: tuple[Network, ...]
    models: tuple[DiagramModel, ...]
    theme: ThemeName = "light"
    direction: Direction = "TB"
    dpi: float = DPI
    layout: Layout = "darkparse"
    detail: Detail | None = "layers"
    width: float | None = None

    def __post_init__(self) -> None:
        if self.detail is None:
            detail: Detail = "stages" if self.sheet.is_overview else "layers"
            object.__setattr__(self, "detail", detail)

    @property
    def name(self) -> str:
        """Names of the networks, joined by `and`."""
        return " and ".join(model.name for model in self.models)

    @cached_property
    def sheet(self) -> Sheet:
        """Diagram content with its layout."""
        if self.width is not None:
            return fit_sheet(self.models, self.overviews, self.width, direction=self.direction, detail=self.detail)
        return arrange_sheet(self.models, self.direction, self.overviews if self.detail == "stages" else ())

    @cached_property
    def overviews(self) -> tuple[Overview, ...]:
        """Stages of each network."""
        sides = zip(self.networks, self.models, strict=True)
        return tuple(build_overview(one, layers=m.span, by=m.by, marks=m.signs) for one, m in sides)

    @property
    def graph(self) -> Digraph:
        """New Graphviz graph with the same cards and links; Graphviz computes its own layout."""
        if self.detail == "stages":
            return build_stage_digraph(self.models, self.overviews, self.theme, self.direction)
        return build_digraph(self.models, self.theme, self.direction)

    @property
    def dot(self) -> str:
        """Graph as DOT source."""
        source: str = self.graph.source
        return source

    def svg(self) -> str:
        """Return the diagram as SVG."""
        if self.layout == "graphviz":
            return render(self.graph, "svg", self.dpi).decode()
        return svg_text(self.sheet, self.theme)

    def render(self, path: str | os.PathLike[str], form: str | None = None) -> Path:
        """Write the diagram to a file.

        Args:
            path: Output file; its suffix selects the format.
            form: Format that overrides the suffix: svg, png, pdf, html, dot or gv (DOT source), mmd (Mermaid), or md
                (Mermaid in Markdown).

        Returns:
            The path of the file.

        Raises:
            RendererError: No installed renderer supports this format.
            DarkparseError: The format is unknown, or a PNG would be too large.
            OSError: The file cannot be written.
        """
        target = Path(path)
        data = self.data(form or target.suffix.removeprefix(".").lower())
        with atomic_write(target) as partial:
            partial.write_bytes(data)
        return target

    def data(self, form: str) -> bytes:
        """Return the diagram as the bytes of a file in this format.

        Raises:
            RendererError: No installed renderer supports this format.
            DarkparseError: The format is unknown, or a PNG would be too large.
        """
        if form not in SUFFIXES:
            endings = ", ".join(f".{suffix}" for suffix in SUFFIXES)
            raise DarkparseError(f"unsupported diagram format {form!r}; expected a name that ends with {endings}")
        if form in ("dot", "gv"):
            return _encode(self.dot)
        if self.layout == "graphviz":
            if form not in FORMS:
                raise DarkparseError(
                    f"unsupported format {form!r} for layout graphviz; expected svg, png, pdf, dot or gv"
                )
            return render(self.graph, form, self.dpi)
        if form in MODULES:
            return self._rasterize(form)
        if form in ("mmd", "md"):
            write = mermaid_text if form == "mmd" else markdown_page
            overviews = self.overviews if self.detail == "stages" else ()
            return _encode(write(self.models, self.theme, direction=self.direction, overviews=overviews))
        return _encode(html_page(self) if form == "html" else self.svg())

    def _rasterize(self, form: RasterForm) -> bytes:
        """Return a PNG or PDF; fall back to Graphviz if the package for this format is not installed."""
        package = MODULES[form].replace("_", "-")
        if has_rasterizer(form):
            width, height = (side * self.sheet.scale for side in self.sheet.size)
            check_pixels(form, width, height, self.dpi)
            dpi = self.dpi if form == "png" else None
            return rasterize(svg_text(self.sheet, self.theme, plain=True, dpi=dpi), form)
        missing = f"{form.upper()} requires {package}: pip install 'darkparse[pdf]'"
        if not has_graphviz():
            raise RendererError(f"{missing}\nhint: or install Graphviz: {INSTALL_HINT}")
        warnings.warn(f"{missing}; laid out by Graphviz instead", DarkparseWarning, stacklevel=4)
        return render(self.graph, form, self.dpi)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Return the diagram for notebooks, limited to the width of the cell; as HTML with overview and zoom."""
        # Graphviz writes an XML declaration before the element.
        element = f"<svg {FITTED} {self.svg().partition('<svg ')[2]}"
        return {"text/html": self._html_cell(element), "image/svg+xml": element, "text/plain": repr(self)}

    def _html_cell(self, element: str) -> str:
        """Return the overview, unless the diagram is one, above the diagram, with a box that zooms to full size."""
        overview = ""
        if self.detail == "layers" and self.layout == "darkparse":
            svg = svg_text(arrange_sheet(self.models, self.direction, self.overviews), self.theme, label="Stages")
            overview = f"<div>{svg.replace('<svg ', f'<svg {FITTED} ', 1)}</div>"
        box = '<input type="checkbox" class="darkparse-zoom" aria-label="Full size"> full size'
        return f'{ZOOM_STYLE}{box}{overview}<div style="overflow:auto">{element}</div>'

    def __repr__(self) -> str:
        return f"Diagram({self.name}: {COLUMN_SEPARATOR.join(self.models[0].totals)})"


def draw(
    network: str | os.PathLike[str] | Config | Network,
    other: str | os.PathLike[str] | Config | Network | None = None,
    *,
    fold: bool = True,
    notes: bool = True,
    layers: range | None = None,
    direction: Direction = "TB",
    theme: ThemeName = "light",
    dpi: float = DPI,
    layout: Layout = "darkparse",
    by: Measure = "weights",
    overlay: Overlay | Literal["memory", "receptive"] | None = None,
    detail: Detail | None = None,
    width: float | str | None = None,
    title: bool = True,
) -> Diagram:
    """Draw a network with one card per scale and one row per layer that shows what the layer reduces.

    With `detail="stages"`, draw an overview with one box per stage of backbone, neck and heads.

    Args:
        network: Compiled network, or any argument of `compile`.
        other: Second network to draw beside the first, with the differences marked.
        fold: Show repeated blocks once, with the number of copies.
        notes: Print below each bottleneck what it saves compared with a direct convolution.
        layers: Layers to draw, such as `range(62, 85)`; None for all.
        direction: `"TB"` for scales from top to bottom, `"LR"` from left to right.
        theme: `"light"`, `"dark"` or `"print"` (grayscale).
        dpi: PNG resolution in dots per inch.
        layout: `"darkparse"` for the built-in layout, `"graphviz"` to let an installed Graphviz lay out the diagram.
        by: Quantity whose shares the bars show, `"weights"` or `"flops"`.
        overlay: Additional column: `"memory"` (bytes of each output), `"receptive"` (receptive fields), or the result
            of `time_overlay` for measured seconds. Requires detail `"layers"`.
        detail: `"layers"` or `"stages"`; None for `"layers"`, or for what fits a given width.
        width: Width of the page in points, or a length such as `"17cm"`. Detail and layout are chosen so that all type
            is at least 6 points.
        title: Print name, summary and facts above the diagram.

    Returns:
        The diagram; `render` writes it to a file.

    Raises:
        DarkparseError: The layers or the value of an option are not valid.
        CfgError: A cfg is invalid.

    >>> diagram = darkparse.draw("yolov3-tiny", theme="dark")
    >>> diagram.render("tiny.dot")
    PosixPath('tiny.dot')
    """
    options_with_choices = (
        ("theme", theme, THEMES),
        ("direction", direction, get_args(Direction)),
        ("layout", layout, get_args(Layout)),
        ("measure", by, MEASURES),
        ("detail", detail or "layers", DETAILS),
    )
    for option, value, choices in options_with_choices:
        if value not in choices:
            raise DarkparseError(f"unknown {option} {value!r}; expected one of {', '.join(choices)}")
    if isinstance(overlay, str) and overlay not in OVERLAYS:
        raise DarkparseError(f"unknown overlay {overlay!r}; expected one of {', '.join(OVERLAYS)}")
    if overlay is not None and detail == "stages":
        raise DarkparseError("an overlay requires detail 'layers', got 'stages'")
    points = None if width is None else parse_length(width)
    if points is not None and layout == "graphviz":
        raise DarkparseError("a width requires layout 'darkparse', got 'graphviz'")
    if detail is None and (points is None or overlay is not None):
        detail = "layers"
    networks = tuple(compile(one) for one in (network, other) if one is not None)
    for one in networks if layers is not None else ():
        if not layers or layers[0] < 0 or layers[-1] >= len(one.nodes) or layers.step != 1:
            expected = f"expected layers from 0 to {len(one.nodes) - 1}"
            raise DarkparseError(f"invalid layers of {one.name}, got {_span_text(layers)}; {expected}")
    overlays = [OVERLAYS[overlay](one) if isinstance(overlay, str) else overlay for one in networks]
    build = partial(build_diagram, fold=fold, notes=notes, layers=layers, by=by, title=title)
    models: tuple[DiagramModel, ...]
    if len(networks) == 2:
        diff = diff_networks(*networks)
        marks = build_marks(diff)
        lines = zip(summary_lines(diff, marks), stage_lines(*networks), strict=True)
        sides = zip(networks, overlays, marks, lines, strict=True)
        models = tuple(
            build(one, overlay=column, marks=side, facts=tuple(filter(None, facts)))
            for one, column, side, facts in sides
        )
        models = (replace(models[0], compared=models[1]), replace(models[1], has_legend=False))
    else:
        models = (build(networks[0], overlay=overlays[0]),)
    return Diagram(networks, models, theme, direction, dpi, layout, detail, points)


def to_graphviz(
    network: str | os.PathLike[str] | Config | Network,
    other: str | os.PathLike[str] | Config | Network | None = None,
    *,
    fold: bool = True,
    notes: bool = True,
    layers: range | None = None,
    theme: ThemeName = "light",
    direction: Direction = "TB",
    detail: Detail = "layers",
) -> Digraph:
    """Return the diagram as a graph of the `graphviz` package.

    Its `source` is DOT. `render`, `pipe`, `view` and notebooks require an installed Graphviz. Attributes and nodes can
    be edited before rendering.

    Args:
        network: Compiled network, or any argument of `compile`.
        other: Second network to draw beside the first, with the differences marked.
        fold: Show repeated blocks once, with the number of copies.
        notes: Print below each bottleneck what it saves compared with a direct convolution.
        layers: Layers to draw, such as `range(62, 85)`; None for all.
        theme: `"light"`, `"dark"` or `"print"` (grayscale).
        direction: `"TB"` for scales from top to bottom, `"LR"` from left to right.
        detail: `"layers"`, or `"stages"` for an overview.

    Returns:
        A `graphviz.Digraph` with one node per card and head, or per stage.

    Raises:
        DarkparseError: The layers or the value of an option are not valid.
        CfgError: A cfg is invalid.

    >>> graph = darkparse.to_graphviz("yolov3-tiny")
    >>> graph.graph_attr["ranksep"] = "1"
    >>> graph.source.splitlines()[0]
    'digraph "yolov3-tiny" {'
    """
    return draw(
        network, other, fold=fold, notes=notes, layers=layers, theme=theme, direction=direction, detail=detail
    ).graph


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _span_text(layers: range | None) -> str:
    return f"{layers[0]} to {layers[-1]}" if layers else "an empty range"
