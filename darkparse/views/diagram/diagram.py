"""A diagram of a network: what is shown, laid out once, and written in any format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from darkparse.errors import RendererError
from darkparse.files import unfinished
from darkparse.network import Network, compile
from darkparse.syntax import Config, DarkparseError
from darkparse.views.diagram.dot import dot_text
from darkparse.views.diagram.html import html_page
from darkparse.views.diagram.mermaid import markdown_page, mermaid_text
from darkparse.views.diagram.model import MEASURES, Measure, Picture
from darkparse.views.diagram.page import Direction
from darkparse.views.diagram.picture import picture_of
from darkparse.views.diagram.raster import MODULES, check_pixels, has_rasterizer, rasterize
from darkparse.views.diagram.sheet import Sheet, sheet_of
from darkparse.views.diagram.svg import svg_text
from darkparse.views.diagram.theme import THEMES, ThemeName
from darkparse.views.overlay import OVERLAYS, Overlay
from darkparse.views.phrases.words import WIDE
from darkparse.views.text.comparison import compare

SUFFIXES = ("svg", "png", "pdf", "html", "dot", "mmd", "md")
DPI = 150
"""Of a PNG. At 96 the small print is hard to read on a page that is shown whole."""


@dataclass(frozen=True)
class Diagram:
    """A picture of a network, which `draw` makes; a notebook shows it.

    Attributes:
        networks: one network, or the two of a comparison.
        pictures: what is drawn of each.
        theme: `"light"`, `"dark"` or `"print"`.
        direction: `"TB"` or `"LR"`.
        dpi: resolution of a PNG in dots per inch.

    >>> diagram = darkparse.draw("yolov3-tiny")
    >>> diagram.name, diagram.svg()[:4]
    ('yolov3-tiny', '<svg')
    """

    networks: tuple[Network, ...]
    pictures: tuple[Picture, ...]
    theme: ThemeName = "light"
    direction: Direction = "TB"
    dpi: float = DPI

    @property
    def name(self) -> str:
        """What the page shows."""
        return " and ".join(picture.name for picture in self.pictures)

    @cached_property
    def sheet(self) -> Sheet:
        """Everything in its place."""
        return sheet_of(self.pictures, self.direction)

    @cached_property
    def dot(self) -> str:
        """The same boxes and links in Graphviz's language, without places."""
        return dot_text(self.pictures, self.theme, direction=self.direction)

    def svg(self) -> str:
        """The diagram as SVG."""
        return svg_text(self.sheet, self.theme)

    def render(self, path: str | os.PathLike[str], form: str | None = None) -> Path:
        """Write the diagram; the suffix says how, or `form`: svg, png, pdf, html,
        dot, mmd or md (Mermaid, alone or in Markdown).

        Raises:
            RendererError: PNG without resvg-py, or PDF without typst.
            DarkparseError: the suffix is none of these, or a PNG would be too large.
            OSError: the file cannot be written.
        """
        target = Path(path)
        data = self.data(form or target.suffix.removeprefix(".").lower())
        with unfinished(target) as partial:
            partial.write_bytes(data)
        return target

    def data(self, form: str) -> bytes:
        """The bytes of a file of this format."""
        if form not in SUFFIXES:
            endings = ", ".join(f".{suffix}" for suffix in SUFFIXES)
            raise DarkparseError(f"a diagram cannot be written as {form!r}; end the name with {endings}")
        if form in MODULES:
            if not has_rasterizer(form):
                package = MODULES[form].replace("_", "-")
                raise RendererError(f"{form.upper()} needs {package}: pip install 'darkparse[pdf]'")
            check_pixels(form, self.sheet.width, self.sheet.height, self.dpi)
            dpi = self.dpi if form == "png" else None
            return rasterize(svg_text(self.sheet, self.theme, plain=True, dpi=dpi), form)
        graph = {"dot": dot_text, "mmd": mermaid_text, "md": markdown_page}.get(form)
        if graph is not None:
            text = graph(self.pictures, self.theme, direction=self.direction)
        else:
            text = html_page(self) if form == "html" else self.svg()
        return text.encode("utf-8", "replace")

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """For notebooks: the picture, no wider than its cell."""
        fitted = self.svg().replace("<svg ", '<svg style="max-width:100%;height:auto" ', 1)
        return {"image/svg+xml": fitted, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"Diagram({self.name}: {WIDE.join(self.pictures[0].totals)})"


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
    by: Measure = "weights",
    overlay: Overlay | Literal["memory", "receptive"] | None = None,
) -> Diagram:
    """Draw a network: a card a scale, a row a layer, and what every layer reduces.

    Args:
        network: what `compile` made, or takes.
        other: a second network to draw beside it, with what differs marked.
        fold: show a repeated block once, with the number of its copies.
        notes: say below each bottleneck what it saves over a direct convolution.
        layers: draw these layers only, as `range(62, 85)`.
        direction: `"TB"` for scales from top to bottom, `"LR"` from left to right.
        theme: `"light"`, `"dark"` or `"print"` (greys).
        dpi: resolution of a PNG in dots per inch.
        by: what the bars are a share of, `"weights"` or `"flops"`.
        overlay: one more column: `"memory"`, the bytes of each output, `"receptive"`, what a layer sees of the input,
            or what `time_overlay` makes of measured seconds.

    Returns:
        The diagram, which renders itself.

    Raises:
        DarkparseError: the layers or an option's value are not there.
        CfgError: a cfg is wrong.

    >>> diagram = darkparse.draw("yolov3-tiny", theme="dark")
    >>> diagram.render("tiny.dot")
    PosixPath('tiny.dot')
    """
    given = (("theme", theme, THEMES), ("direction", direction, ("TB", "LR")), ("measure", by, MEASURES))
    for what, value, choices in given:
        if value not in choices:
            raise DarkparseError(f"there is no {what} {value!r}; choose one of {', '.join(choices)}")
    if isinstance(overlay, str) and overlay not in OVERLAYS:
        raise DarkparseError(f"there is no overlay {overlay!r}; choose one of {', '.join(OVERLAYS)}")
    networks = tuple(compile(one) for one in (network, other) if one is not None)
    for one in networks if layers is not None else ():
        if not layers or layers[0] < 0 or layers[-1] >= len(one.nodes) or layers.step != 1:
            raise DarkparseError(f"{one.name} has layers 0 to {len(one.nodes) - 1}, and no {_span(layers)}")
    options: dict[str, Any] = {"fold": fold, "notes": notes, "layers": layers, "by": by}
    laid = [OVERLAYS[overlay](one) if isinstance(overlay, str) else overlay for one in networks]
    if len(networks) == 1:
        pictures: tuple[Picture, ...] = (picture_of(networks[0], **options, overlay=laid[0]),)
    else:
        comparison = compare(*networks)
        lines = comparison.lines((networks[0], networks[1]))
        pictures = tuple(
            picture_of(one, **options, marks=marks, facts=facts, overlay=over)
            for one, marks, facts, over in zip(networks, comparison.marks, lines, laid, strict=True)
        )
    return Diagram(networks, pictures, theme, direction, dpi)


def _span(layers: range | None) -> str:
    return f"{layers[0]} to {layers[-1]}" if layers else "empty range"
