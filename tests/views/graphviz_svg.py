"""Parser for diagrams in SVG written by Graphviz."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import hypot
from xml.etree import ElementTree

import pytest

from darkparse.views.diagram.graphviz.rendering import has_graphviz
from tests.views.svg import SVG

needs_dot = pytest.mark.skipif(
    not has_graphviz(), reason="needs Graphviz's program dot: apt-get install graphviz, or brew install graphviz"
)
Point = tuple[float, float]


@dataclass(frozen=True)
class Node:
    """Node with its corners, texts and the vertical center of each layer's row."""

    left: float
    top: float
    right: float
    bottom: float
    texts: tuple[str, ...]
    rows: dict[str, float]

    def port(self, name: str) -> Point:
        """Return the position of a port such as `o36:e` or `i98:w`, or of a side."""
        *rows, side = name.split(":")
        x = {"w": self.left, "e": self.right}.get(side, (self.left + self.right) / 2)
        if not rows:
            return x, {"n": self.top, "s": self.bottom}.get(side, (self.top + self.bottom) / 2)
        return x, self.rows[f"L{rows[0][1:]}"]


@dataclass(frozen=True)
class Edge:
    """Edge with its source and target ports, lines, arrowheads and texts."""

    source: str
    target: str
    paths: tuple[tuple[Point, Point], ...]
    """First and last point of each line."""
    arrows: tuple[tuple[Point, ...], ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Drawing:
    """Content of the SVG; `texts` are those outside nodes and edges."""

    nodes: dict[str, Node]
    edges: dict[str, Edge]
    texts: tuple[str, ...]


def ends(source: str) -> dict[str, tuple[str, str]]:
    """Return the source and target ports of every edge in a DOT source by edge id, because the SVG omits them."""
    edges = re.findall(r'^\t+(\S+) -> (\S+) (\[.*\bid="([^"]+)".*)', source, re.MULTILINE)
    return {name: (head, tail) if " dir=back " in rest else (tail, head) for tail, head, rest, name in edges}


def read(svg: str, source: str) -> Drawing:
    """Parse an SVG that Graphviz rendered from a DOT source."""
    nodes, edges, texts = {}, {}, list[str]()
    ports = ends(source)
    for element in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        name = element.findtext(f"{SVG}title") or ""
        if element.get("class") == "node":
            nodes[name] = _node(element)
        elif element.get("class") == "edge":
            edges[element.attrib["id"]] = _edge(element, *ports[element.attrib["id"]])
        elif element.get("class") in ("graph", "cluster"):
            texts += [_words(text) for text in element.findall(f"{SVG}text")]
    return Drawing(nodes, edges, tuple(texts))


def faults(drawing: Drawing, *, far: float = 8) -> Iterator[str]:
    """Yield errors of edges: gaps, and ends that miss their port."""
    for name, edge in drawing.edges.items():
        if len(edge.paths) != 1 or len(edge.arrows) != 1:
            yield f"{name}: {len(edge.paths)} lines, {len(edge.arrows)} heads"
            continue
        (arrow,) = edge.arrows
        # Graphviz writes some lines in reverse.
        joint, free = sorted(edge.paths[0], key=lambda end: _distance(arrow, end))
        source, target = (
            drawing.nodes[name].port(port)
            for name, _, port in (end.partition(":") for end in (edge.source, edge.target))
        )
        for what, gap in (
            ("line ends before its head", _distance(arrow, joint)),
            (f"head misses {edge.target}", _distance(arrow, target)),
            (f"line misses {edge.source}", _distance((free,), source)),
        ):
            if gap > far:
                yield f"{name}: the {what} by {gap:.0f} pt"


def _distance(points: tuple[Point, ...], place: Point) -> float:
    return min(hypot(x - place[0], y - place[1]) for x, y in points)


def _node(element: ElementTree.Element) -> Node:
    corners = [point for polygon in element.iter(f"{SVG}polygon") for point in _points(polygon.attrib["points"])]
    texts = [(_words(text), text) for text in element.iter(f"{SVG}text")]
    rows: dict[str, float] = {}
    for words, text in texts:
        number = re.fullmatch(r"(?:[≠+] )?(L\d+)", words)
        # Layer names in headers are larger. The first match counts, because later texts may list other layers.
        if number and text.attrib["font-size"] == "9.00":
            rows.setdefault(number[1], float(text.attrib["y"]) - 3)
    xs, ys = zip(*corners, strict=True)
    return Node(min(xs), min(ys), max(xs), max(ys), tuple(words for words, _ in texts), rows)


def _edge(element: ElementTree.Element, source: str, target: str) -> Edge:
    lines = [_points(path.attrib["d"]) for path in element.iter(f"{SVG}path")]
    return Edge(
        source,
        target,
        tuple((points[0], points[-1]) for points in lines),
        tuple(
            tuple(_points(polygon.attrib["points"]))
            for polygon in element.iter(f"{SVG}polygon")
            if polygon.get("stroke") not in ("none", "transparent")
        ),
        tuple(_words(text) for text in element.iter(f"{SVG}text")),
    )


def _points(text: str) -> list[Point]:
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", text)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _words(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())
