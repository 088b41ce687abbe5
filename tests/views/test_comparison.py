"""The diagram of two networks side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

import darkparse
from darkparse.network.diff import diff_networks
from darkparse.views.diagram.elements import Detail
from darkparse.views.diagram.marks import Mark, build_marks, summary_lines
from tests.views.networks import compile_once

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


def test_diagram_of_two_networks_marks_differences(tmp_path: Path) -> None:
    first = darkparse.compile(TEXT)
    second = darkparse.compile(TEXT.replace("[maxpool]", "[dropout]\n[maxpool]"))
    diagram = darkparse.draw(first, second)
    svg = diagram.svg()
    assert ">+ L2<" in svg
    assert "+ only here" in svg
    assert "≠" not in svg
    assert svg.count(">L0<") == 2
    for words in ("no layer differs, 1 layer only there", "no layer differs, 1 layer only here"):
        assert f"{words}; +0 parameters, +0 FLOPs" in diagram.dot


def test_label_of_differing_layer_names_hidden_options() -> None:
    """The second convolution's own label tells its stride; what the first has otherwise no label shows."""
    options = TEXT.replace("filters=8", "batch_normalize=1\nactivation=mish\nfilters=8").replace(
        "filters=4", "activation=leaky\nstride=2\nfilters=4"
    )
    first, second = darkparse.compile(TEXT), darkparse.compile(options)
    assert build_marks(diff_networks(first, second)) == (
        {0: Mark("≠", "logistic, not mish; without batch_normalize"), 1: Mark("≠")},
        {0: Mark("≠", "mish, not logistic; with batch_normalize"), 1: Mark("≠")},
    )
    assert [
        row.label
        for picture in darkparse.draw(first, second).models
        for card in picture.cards
        for row in card.rows
        if row.index == 0
    ] == [
        "conv 3×3, 8 (logistic, not mish; without batch_normalize)",
        "conv 3×3, 8 (mish, not logistic; with batch_normalize)",
    ]


def test_summary_line_counts_layers_and_costs() -> None:
    diff = diff_networks(compile_once("yolov3"), compile_once("yolov4"))
    assert summary_lines(diff, build_marks(diff)) == (
        "Against yolov4: 15 layers differ, 70 layers only here, 125 layers only there; −2.41M parameters, +12.3 GFLOPs",
        "Against yolov3: 15 layers differ, 125 layers only here, 70 layers only there; +2.41M parameters, −12.3 GFLOPs",
    )


def test_links_of_second_network_continue_numbering() -> None:
    """The HTML page tells the layers of both by these numbers."""
    first, second = darkparse.compile("yolov3-tiny"), darkparse.compile("yolov4-tiny")
    svg = darkparse.draw(first, second).svg()
    assert f'href="#L{len(first.nodes) + len(second.nodes) - 1}"' in svg
    assert f'id="L{len(first.nodes) + 0}-L{len(first.nodes) + 1}"' in svg


def test_networks_with_equal_section_sequences_correspond_one_to_one() -> None:
    """Widths of one design differ in every layer, and none is added or removed."""
    wide = (
        TEXT.replace("filters=8", "filters=16").replace("filters=4", "filters=8") + TEXT.partition("[conv]")[1] + "\n"
    )
    network, other = darkparse.compile(TEXT + "[conv]\n"), darkparse.compile(wide)
    diff = diff_networks(network, other)
    assert [(pair.before.index, pair.after.index) for pair in diff.pairs if pair.before and pair.after] == [
        (i, i) for i in range(len(network.nodes))
    ]


def test_comparison_summarizes_blocks_and_activation_by_stage() -> None:
    diagram = darkparse.draw("yolov3", "yolov4")
    first, second = (next(f for f in model.facts if f.startswith("By stage")) for model in diagram.models)
    assert "leaky activation, not mish" in first
    assert "mish activation, not leaky" in second
    assert "backbone CSP, not Residual, at 5 scales" in second
    assert "neck (1/32) SPP, not Conv × 5" in second
    same = darkparse.draw("yolov3", "yolov3").models[0]
    assert not any(fact.startswith("By stage") for fact in same.facts)


def test_comparison_colors_only_layers_that_differ_in_kind() -> None:
    other = TEXT.replace("filters=8\nsize=3", "filters=16\nsize=3").replace("size=1", "size=3")
    model = darkparse.draw(darkparse.compile(TEXT), darkparse.compile(other)).models[0]
    rows = {row.index: row for card in model.cards for row in card.rows}
    assert (rows[0].mark, rows[0].is_colored) == ("±", False)
    assert (rows[1].mark, rows[1].is_colored) == ("≠", True)


@pytest.mark.parametrize("detail", ["layers", "stages"])
def test_comparison_has_one_legend_for_the_marks_of_both(detail: Detail) -> None:
    first, second = darkparse.compile(TEXT), darkparse.compile(TEXT.replace("[maxpool]", "[dropout]\n[maxpool]"))
    diagram = darkparse.draw(first, second, detail=detail)
    svg = diagram.svg()
    name = "share of the weights" if detail == "stages" else "share of the network"
    assert svg.count(name) == 1
    assert svg.count("+ only here") == 1
    assert diagram.dot.count("n2_legend") == 0


def test_legend_of_first_network_explains_a_mark_that_only_the_second_has() -> None:
    first, second = darkparse.compile(TEXT), darkparse.compile(TEXT.replace("[maxpool]", "[dropout]\n[maxpool]"))
    models = darkparse.draw(first, second).models
    assert set(models[0].signs.values()) == set()
    assert models[0].shown_marks == {"+": "only here"}


def test_depthwise_convolutions_of_other_widths_differ_in_size_only() -> None:
    """Their numbers of groups differ too."""
    narrow = TEXT.replace("filters=4\nsize=1", "filters=8\nsize=3\npad=1\ngroups=8")
    diff = diff_networks(*(darkparse.compile(text) for text in (narrow, narrow.replace("=8", "=16"))))
    assert {index: mark.sign for index, mark in build_marks(diff)[0].items()} == {0: "±", 1: "±", 2: "±"}
