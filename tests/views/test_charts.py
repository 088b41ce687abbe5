"""Charts of an evaluation."""

from __future__ import annotations

from xml.etree import ElementTree

from darkparse.views.charts.confusion_matrix import MAX_CLASSES, Cells, confusion_matrix_svg
from darkparse.views.charts.precision_recall import Curve, precision_recall_svg


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_confusion_matrix_svg_shows_every_count() -> None:
    counts = {(0, 0): 1234, (0, 2): 5, (2, -1): 6, (-1, 0): 7}
    svg = confusion_matrix_svg(Cells(counts, ["<cat>", "dog", "owl"], "background", "missed"), "T & C")
    shown = texts(svg)
    assert {"T & C", "<cat>", "owl", "background", "missed", "1,234", "5", "6", "7"} <= set(shown)
    assert "dog" not in shown
    assert "&lt;cat&gt; → owl: 5 of 1,239" in svg


def test_confusion_matrix_svg_of_many_classes_shows_those_with_most_errors() -> None:
    counts = {(i, i): 1 for i in range(500)} | {(499, 498): 3}
    cells = Cells(counts, [f"class {i}" for i in range(500)], "none", "none")
    assert {498, 499} <= set(cells.select_classes())
    assert len(cells.select_classes()) == MAX_CLASSES
    assert any(text.startswith(f"the {MAX_CLASSES} of 500 classes") for text in texts(confusion_matrix_svg(cells, "M")))


def test_confusion_matrix_svg_without_counts_is_valid() -> None:
    assert texts(confusion_matrix_svg(Cells({}, ["cat"], "none", "none"), "M"))[0] == "M"


def test_precision_recall_svg_shows_worst_class_first() -> None:
    curves = [
        Curve("cat", 0.9, [(0.5, 1.0), (1.0, 0.8)], (1.0, 0.8)),
        Curve("a name that is much too long for a chart", 0.25, [(0.25, 1.0)], None),
        Curve("owl", 0.0, [], None),
    ]
    svg = precision_recall_svg(curves, "P", "note")
    shown = texts(svg)
    assert shown.index("0.0 %") < shown.index("25.0 %") < shown.index("90.0 %")
    assert any(text.startswith("a name that") and text.endswith("…") for text in shown)
    assert svg.count("<circle") == 1


def test_precision_recall_svg_without_curves_is_valid() -> None:
    assert texts(precision_recall_svg([], "P", "note")) == ["P", "note"]
