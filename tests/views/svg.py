"""Parser for diagrams in SVG."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Text:
    """Text with its bounding box; y increases downwards."""

    words: str
    left: float
    right: float
    top: float
    bottom: float
    layer: int | None
    """Layer whose row contains the text."""
    cell: tuple[float, float, float, float] | None
    """Left, top, right and bottom of the filled cell that contains the text."""


def texts(svg: str) -> list[Text]:
    """Return every text in an SVG."""
    found: list[Text] = []
    _walk(ElementTree.fromstring(svg), None, None, found)
    return found


def _walk(
    element: ElementTree.Element, layer: int | None, cell: tuple[float, float, float, float] | None, found: list[Text]
) -> None:
    href = element.get("href")
    if href:
        layer, cell = int(href.removeprefix("#L")), None
    for child in element:
        if child.tag == f"{SVG}rect" and layer is not None and child.get("class") not in ("price", "frame"):
            cell = _bounds(child)
        if child.tag == f"{SVG}text":
            found.append(_text(child, layer, cell))
        _walk(child, layer, cell, found)


def _bounds(rect: ElementTree.Element) -> tuple[float, float, float, float]:
    x, y, width, height = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def _text(element: ElementTree.Element, layer: int | None, cell: tuple[float, float, float, float] | None) -> Text:
    """Compute the bounding box of a text from its `textLength`."""
    words = "".join(element.itertext()).replace("\xa0", " ")
    size, width = float(element.attrib["font-size"]), float(element.attrib["textLength"])
    assert element.get("lengthAdjust") == "spacingAndGlyphs"
    x, y = float(element.attrib["x"]), float(element.attrib["y"])
    left = x - {"start": 0, "middle": width / 2, "end": width}[element.get("text-anchor", "start")]
    return Text(words, left, left + width, y - 0.75 * size, y + 0.22 * size, layer, cell)


def rows(svg: str) -> dict[int, list[str]]:
    """Return the texts of every layer that has a row or a box."""
    by_layer: dict[int, list[str]] = {}
    for text in texts(svg):
        if text.layer is not None:
            by_layer.setdefault(text.layer, []).append(re.sub(r"\s+", " ", text.words).strip())
    return by_layer
