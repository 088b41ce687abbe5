"""A diagram of a network: DOT text that renders itself."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from darkparse.errors import RendererError
from darkparse.files import unfinished
from darkparse.network import Network, compile
from darkparse.syntax import Config, DarkparseError
from darkparse.views.diagram import rendering
from darkparse.views.diagram.dot import dot_text
from darkparse.views.diagram.html import html_page
from darkparse.views.diagram.model import Picture
from darkparse.views.diagram.page import Direction
from darkparse.views.diagram.picture import picture_of
from darkparse.views.diagram.theme import FONTS, THEMES
from darkparse.views.phrases.words import WIDE
from darkparse.views.text.comparison import compare

ThemeName = Literal["light", "dark", "print"]
SUFFIXES = ("svg", "png", "pdf", "html", "dot")
MAX_PNG = 30_000
"""Pixels; cairo draws nothing beyond 32,767."""


@dataclass(frozen=True)
class Diagram:
    """A picture of a network, which `draw` makes. `dot` is its text; a notebook shows it.

    Attributes:
        networks: one network, or the two of a comparison.
        pictures: what is drawn of each.
        theme: `"light"`, `"dark"` or `"print"`.
        direction: `"TB"` or `"LR"`.
        dpi: dots an inch of a PNG.
        executable: Graphviz's `dot`, instead of the first renderer found.

    >>> diagram = darkparse.draw("yolov3-tiny")
    >>> diagram.name, diagram.dot[:7]
    ('yolov3-tiny', 'digraph')
    """

    networks: tuple[Network, ...]
    pictures: tuple[Picture, ...]
    theme: ThemeName = "light"
    direction: Direction = "TB"
    dpi: float = 96
    executable: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What the page shows."""
        return " and ".join(picture.name for picture in self.pictures)

    @cached_property
    def dot(self) -> str:
        """The diagram in Graphviz's language."""
        return dot_text(self.pictures, THEMES[self.theme], direction=self.direction)

    def svg(self) -> str:
        """The diagram as SVG.

        Raises:
            RendererError: there is no renderer, or it failed.
        """
        data = rendering.render(self._placed("svg"), "svg", executable=self.executable, label="height×width")
        return re.sub(r'font-family="(Arial|Helvetica,sans-Serif)"', f'font-family="{FONTS}"', data.decode("utf-8"))

    def render(self, path: str | os.PathLike[str], form: str | None = None) -> Path:
        """Write the diagram; the suffix says how, or `form`: svg, png, pdf, html or dot.

        Raises:
            RendererError: there is no renderer for this format, or it failed.
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
        if form == "dot":
            return self.dot.encode("utf-8", "replace")
        if form == "svg":
            return self.svg().encode("utf-8", "replace")
        if form == "html":
            return html_page(self).encode("utf-8", "replace")
        if form not in SUFFIXES:
            raise DarkparseError(
                f"a diagram cannot be written as {form!r}; end the name with {', '.join('.' + s for s in SUFFIXES)}"
            )
        if form == "png":
            self._check_pixels()
        return rendering.render(self._placed(form), form, dpi=self.dpi, executable=self.executable)

    def _placed(self, form: str) -> str:
        """The DOT with a face for bold text: Graphviz puts `<B>` one or two points above the rest of its row.

        An SVG and graphviz-pure want the face's PostScript name, which other renderers' PNG and PDF do not find.
        graphviz-pure knows no widths of it, so text in the middle of a cell, which stands alone, stays as it is.
        """
        renderer = next(rendering.renderers(form, self.executable), "")
        face = "Helvetica-Bold" if form == "svg" or "graphviz-pure" in Path(renderer).name else "Arial Bold"

        def with_face(cell: re.Match[str]) -> str:
            return cell[0].replace("<B>", f'<FONT FACE="{face}">').replace("</B>", "</FONT>")

        return re.sub(r'<TD[^>]*ALIGN="LEFT".*?</TD>', with_face, self.dot)

    def _check_pixels(self) -> None:
        box = re.search(r'bb="0,0,([\d.]+),([\d.]+)"', self.dot)
        assert box is not None
        width, height = (round(float(points) * self.dpi / 72) for points in box.groups())
        if max(width, height) > MAX_PNG:
            raise DarkparseError(
                f"a PNG would have {width}×{height} pixels; lower --dpi, or write .svg, which has no such limit"
            )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """For notebooks: the picture, or its DOT where nothing can render it."""
        try:
            return {"image/svg+xml": self.svg(), "text/plain": repr(self)}
        except RendererError as problem:
            return {"text/plain": f"{problem}\n{self.dot}"}

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
    dpi: float = 96,
    executable: str | None = None,
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
        dpi: dots an inch of a PNG.
        executable: Graphviz's `dot`, instead of the first renderer found.

    Returns:
        The diagram, which renders itself.

    Raises:
        DarkparseError: the layers or an option's value are not there.
        CfgError: a cfg is wrong.

    >>> diagram = darkparse.draw("yolov3-tiny", theme="dark")
    >>> diagram.render("tiny.dot")
    PosixPath('tiny.dot')
    """
    if theme not in THEMES:
        raise DarkparseError(f"there is no theme {theme!r}; choose one of {', '.join(THEMES)}")
    if direction not in ("TB", "LR"):
        raise DarkparseError(f"there is no direction {direction!r}; choose TB or LR")
    networks = tuple(compile(one) for one in (network, other) if one is not None)
    for one in networks if layers is not None else ():
        if not layers or layers[0] < 0 or layers[-1] >= len(one.nodes) or layers.step != 1:
            raise DarkparseError(f"{one.name} has layers 0 to {len(one.nodes) - 1}, and no {_span(layers)}")
    options: dict[str, Any] = {"fold": fold, "notes": notes, "layers": layers}
    if len(networks) == 1:
        pictures: tuple[Picture, ...] = (picture_of(networks[0], **options),)
    else:
        comparison = compare(*networks)
        lines = comparison.lines((networks[0], networks[1]))
        pictures = tuple(
            picture_of(one, **options, marks=marks, facts=facts)
            for one, marks, facts in zip(networks, comparison.marks, lines, strict=True)
        )
    return Diagram(networks, pictures, theme, direction, dpi, executable)


def _span(layers: range | None) -> str:
    return f"{layers[0]} to {layers[-1]}" if layers else "empty range"
