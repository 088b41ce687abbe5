"""Two networks side by side."""

from __future__ import annotations

from pathlib import Path

import darkparse
from darkparse.views.comparison import compare

TEXT = """[net]
width=32
height=32
channels=3
[conv]
filters=8
size=3
pad=1
[conv]
filters=4
size=1
[maxpool]
size=2
stride=2
"""


def test_a_network_is_like_itself() -> None:
    network = darkparse.compile("yolov3")
    comparison = compare(network, darkparse.compile("yolov3", size=320))
    assert comparison.marks == ({}, {})
    assert comparison.pairs == {i: i for i in range(len(network.nodes))}


def test_a_changed_layer_and_a_new_one() -> None:
    first = darkparse.compile(TEXT)
    second = darkparse.compile(TEXT.replace("filters=8\nsize=3", "filters=8\nsize=5").replace("[maxpool]", "[dropout]\n[maxpool]"))
    comparison = compare(first, second)
    assert comparison.marks == ({0: "≠"}, {0: "≠", 2: "+"})
    assert comparison.pairs == {0: 0, 1: 1, 2: 3}


def test_the_picture_marks_them(tmp_path: Path) -> None:
    first = darkparse.compile(TEXT)
    second = darkparse.compile(TEXT.replace("[maxpool]", "[dropout]\n[maxpool]"))
    diagram = darkparse.draw(first, second)
    assert ">+ L2<" in diagram.dot
    assert "+ only here" in diagram.dot
    assert "≠" not in diagram.dot
    assert diagram.dot.count(">L0<") == 2
    assert "1 only here; +0 parameters" in diagram.dot


def test_links_of_the_second_network_go_on_counting() -> None:
    """The HTML page tells the layers of both by these numbers."""
    first, second = darkparse.compile("yolov3-tiny"), darkparse.compile("yolov4-tiny")
    dot = darkparse.draw(first, second).dot
    assert f'HREF="#L{len(first.nodes) + len(second.nodes) - 1}"' in dot
    assert f'id="L{len(first.nodes) + 0}-L{len(first.nodes) + 1}"' in dot
