"""The words of cells and notes."""

from __future__ import annotations

import pytest

import darkparse
from darkparse.network import Network
from darkparse.views.diagram.build import build_diagram
from darkparse.views.diagram.elements import DiagramModel, DiagramRow
from darkparse.views.formatting.numbers import flops_text, number_text, percent_text
from darkparse.views.formatting.words import layer_names
from darkparse.views.text.table import table
from tests.conftest import needs_shared, original_cfgs
from tests.views.networks import compile_once


def _rows(picture: DiagramModel) -> dict[int, DiagramRow]:
    return {row.index: row for card in picture.cards for row in card.rows}


def _cells(network: Network, index: int) -> tuple[str, str, str]:
    row = _rows(build_diagram(network, fold=False))[index]
    return row.label, row.spatial.text, row.channels.text


@pytest.mark.parametrize(
    ("name", "index", "cells"),
    [
        ("yolov1", 0, ("conv 7×7 /2, 64", "▼ 448→224 (÷2)", "▲ 3→64 (×21.3)")),
        ("yolov1", 6, ("conv 1×1, 256", "= 56", "= 256→256: no reduction, mixes channels only")),
        ("yolov1", 24, ("conv 3×3, 1024", "= 14", "= 1024→1024: no reduction")),
        ("yolov1", 3, ("maxpool 2×2 /2", "▼ 112→56 (÷2)", "= 192")),
        ("yolov1", 30, ("fully connected, 1715 (linear)", "▼ 7×7→vector", "→ 1715 = 7×7 × (3×5 + 20 classes)")),
        ("yolov3", 81, ("conv 1×1, 255 (linear)", "= 19", "→ 255 = 3 × (80 classes + 5)")),
        ("yolov3", 83, ("branch from L79", "= 19", "= 512")),
        ("yolov3", 85, ("upsample ×2", "▲ 19→38 (×2)", "= 256")),
        ("yolov3", 86, ("concat L85 + L61", "= 38", "▲ 256 + 512 = 768 (joined)")),
        ("yolov3", 4, ("add + L1", "= 304", "= 64")),
        ("yolov2", 27, ("reorg /2", "▼ 38→19 (÷2)", "▲ 64→256 (×4)")),
        ("yolov4-tiny", 3, ("branch part 2 of 2", "= 104", "▼ 64→32 (÷2, part 2 of 2)")),
        ("yolov4", 113, ("concat L112, 110, 108, 107", "= 19", "▲ 4 × 512 = 2048 (joined)")),
    ],
)
def test_row_cells_of_known_layers(name: str, index: int, cells: tuple[str, str, str]) -> None:
    assert _cells(darkparse.compile(name, size=608 if name == "yolov2" else None), index) == cells


def test_row_cells_of_rectangular_input_show_both_sides() -> None:
    network = darkparse.compile("yolov3", size=(320, 640))
    assert _cells(network, 1)[1] == "▼ 320×640→160×320 (÷2)"
    assert _cells(network, 2)[1] == "= 160×320"


@needs_shared
def test_row_cell_of_shortcut_names_added_part() -> None:
    network = darkparse.compile(next(p for p in original_cfgs() if p.stem == "resnet152"))
    assert _cells(network, 5)[2] == "= 256 (added part: first 64, stride 1)"
    assert _cells(network, 17)[2] == "= 512 (added part: first 256, stride 2)"


SIDE = """[net]
width=16
height=16
channels=8
[conv]
filters=16
groups=8
size=3
pad=1
[avgpool]
[conv]
filters=16
size=1
[scale_channels]
from=-3
[local_avgpool]
size=2
stride_x=1
stride_y=2
[implicit]
filters=16
"""


def test_row_cell_of_route_of_two_sizes_counts_values() -> None:
    network = darkparse.compile(
        "[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\nfilters=2\n[maxpool]\nstride=2\n[route]\nlayers=-1,-2\n"
    )
    assert _cells(network, 2)[2] == "▲ 32 + 128 = 160 (joined)"


def test_row_cells_of_grouped_route_name_parts() -> None:
    text = (
        "[net]\nwidth=8\nheight=8\nchannels=4\n[conv]\nfilters=4\n[conv]\nfilters=8\n[route]\nlayers=-1,-2\ngroups=2\n"
        "group_id=1\n"
    )
    assert _cells(darkparse.compile(text), 2)[::2] == ("concat part 2 of 2 L1 + L0", "▼ (8 + 4) ÷ 2 = 6 (joined parts)")


def test_card_title_of_unequal_scales_names_both() -> None:
    network = darkparse.compile(
        "[net]\nwidth=64\nheight=32\nchannels=3\n[conv]\nfilters=2\nstride_x=2\nstride_y=1\n[upsample]\nstride=2\n"
    )
    assert [card.title() for card in build_diagram(network).cards] == ["32×32   (1/1 by 1/2)", "64×64   (×2 by 1/1)"]


def test_reduction_of_one_side_is_named_in_every_view() -> None:
    network = darkparse.compile(
        "[net]\nwidth=13\nheight=13\nchannels=3\n[crop]\ncrop_height=13\ncrop_width=12\n[upsample]\nstride=2\n"
    )
    assert _cells(network, 0)[1] == "▼ 13×13→13×12 (width ÷1.08)"
    assert [row.reduction for row in table(network)] == ["H×W width ÷1.08", "H×W ×2"]


def test_card_title_states_stride_not_ratio_of_sizes() -> None:
    """Padded convolutions halve 15×15 to 8×8; behind a global pool nothing has a place in the input."""
    halving = "[conv]\nfilters=2\nsize=3\nstride=2\npad=1\n"
    network = darkparse.compile(
        f"[net]\nwidth=15\nheight=15\nchannels=3\n{halving * 3}[avgpool]\n[upsample]\nstride=5\n[conv]\nsize=1\n"
    )
    titles = ["8×8   (1/2)", "4×4   (1/4)", "2×2   (1/8)", "vector", "5×5"]
    assert [card.title() for card in build_diagram(network).cards] == titles


def test_row_cells_of_gates_and_rare_kinds() -> None:
    network = darkparse.compile(SIDE)
    assert _cells(network, 0)[2] == "▲ 8→16 (×2)"
    assert _cells(network, 1)[1] == "▼ 16×16→1×1"
    assert _cells(network, 2)[1:] == ("= 1×1 (gate path)", "= 16→16: no reduction, mixes channels only")
    assert _cells(network, 3) == ("channel gate L0 × L2", "= 16", "= 16 (gated)")
    assert _cells(network, 4)[1] == "▼ 16×16→8×16 (height ÷2)"
    assert _cells(network, 5)[1:] == ("• no input", "• 16 learned")


def test_diagram_of_layer_range_names_outside_inputs_and_totals() -> None:
    picture = build_diagram(compile_once("yolov3"), layers=range(79, 99))
    labels = {index: row.label for index, row in _rows(picture).items()}
    assert labels[79] == "conv 1×1, 512 (from L78, 19×19×1024)"
    assert labels[80] == "conv 3×3, 1024"
    assert labels[86] == "concat L85 + L61 (from L61, 38×38×512)"
    counts = ("20 layers of 107", "9.81M parameters", "16.1 GFLOPs (8.04G multiply-adds) at 608×608")
    assert picture.totals == (*counts, "leaky activation")
    assert picture.facts[0].startswith("1×1 convolutions: 6 of 6 reduce channels")
    assert build_diagram(compile_once("yolov3"), layers=range(3), facts=("a",)).facts[-1] == "Of the whole network: a"


def test_row_counts_of_card_share_number_format() -> None:
    text = (
        "[net]\nwidth={0}\nheight={0}\nchannels=512\n[maxpool]\n[connected]\noutput=4096\n[dropout]\n[connected]\n"
        "output=1000\n"
    )
    for side, counts in (
        (7, ["▼ 25,088→4,096 (÷6.12)", "= 4,096", "▼ 4,096→1,000 (÷4.1)"]),
        (1, ["▲ 512→4096 (×8)", "= 4096", "▼ 4096→1000 (÷4.1)"]),
    ):
        rows = _rows(build_diagram(darkparse.compile(text.format(side))))
        assert [rows[i].channels.text for i in (1, 2, 3)] == counts


def test_row_cell_of_reorg_extra_counts_appended_zeros() -> None:
    network = darkparse.compile(
        "[net]\nwidth=3\nheight=3\nchannels=1\n[conv]\n[reorg]\nextra=2\n[softmax]\n", dialect="pjreddie"
    )
    assert _cells(network, 1)[2] == "▲ 9→11 (2 zeros appended)"
    assert "9 values in, 11 out, with 2 zeros appended." in str(darkparse.explain(network, 1))
    assert "The values stay 11." in str(darkparse.explain(network, 2))


def test_fact_of_unequal_downsampling_names_both_sides() -> None:
    network = darkparse.compile(
        "[net]\nwidth=16\nheight=16\nchannels=3\n[conv]\nsize=3\npad=1\nstride_x=4\nstride_y=2\n"
    )
    assert build_diagram(network).facts == ("Height×width: 16→8×4 (height ÷2, width ÷4) in 1 step: L0",)


def test_fact_of_single_pointwise_convolution_is_singular() -> None:
    network = darkparse.compile("[net]\nwidth=8\nheight=8\nchannels=6\n[conv]\nfilters=2\n")
    assert build_diagram(network).facts == ("1×1 convolutions: 1 of 1 reduces channels",)
    assert "The only 1×1 convolution reduces the channels." in str(darkparse.explain(network))


def test_layer_names_hides_at_least_two() -> None:
    assert layer_names((1, 2, 3), 2) == "L1, L2, L3"
    assert layer_names((1, 2, 3, 4), 2) == "L1, L2 …"


HEAD = "[yolo]\nclasses=1\nnum=1\nmask=0\nanchors=8,8\n"
CONV = "[conv]\nfilters=6\n"


@pytest.mark.parametrize(
    ("layers", "rows", "heads", "links"),
    [
        (HEAD, [0], [], [(-1, 0)]),
        (HEAD + CONV, [0, 1], [], [(-1, 0)]),
        (CONV + HEAD, [0], [(1, 0)], [(-1, 0)]),
        (CONV + HEAD + HEAD, [0, 1], [(2, 1)], [(-1, 0)]),
        (CONV + HEAD + CONV, [0, 1, 2], [], [(-1, 0)]),
    ],
)
def test_head_that_is_read_or_unconnected_is_a_row(
    layers: str, rows: list[int], heads: list[tuple[int, int]], links: list[tuple[int, int]]
) -> None:
    picture = darkparse.draw(darkparse.compile(f"[net]\nwidth=8\nheight=8\nchannels=6\n{layers}")).models[0]
    assert list(_rows(picture)) == rows
    assert [(head.index, head.source) for head in picture.heads] == heads
    assert [(link.source, link.target) for link in picture.links] == links


def test_head_without_drawn_projection_is_a_row() -> None:
    (row,) = _rows(build_diagram(compile_once("yolov3"), layers=range(82, 83))).values()
    assert row.label == "YOLO head (from L81, 19×19×255)"
    assert row.channels.text == "= 255: 3 × (80 classes + 5)"


@pytest.mark.parametrize(
    ("name", "index", "note"),
    [
        ("yolov1", 10, "bottleneck L9+L10: 1.31M weights, one direct 3×3 512→512: 2.36M, saves 44%"),
        ("yolov1", 7, "block L6+L7: 1.25M weights, one direct 3×3 256→512: 1.18M, costs 6% more"),
        (
            "yolov3",
            80,
            "bottleneck L79+L80: 5.24M weights, one direct 3×3 1024→1024: 9.44M, saves 44% (L79 also feeds L83)",
        ),
        (
            "yolov4",
            24,
            "block L23+L24: 311k weights, one direct 3×3 128→256: 295k, costs 6% more weights, 22% more FLOPs "
            "(L23 at 152×152)",
        ),
    ],
)
def test_row_notes_of_known_bottlenecks(name: str, index: int, note: str) -> None:
    (found,) = _rows(build_diagram(compile_once(name)))[index].notes
    assert found.text == note
    assert found.saves == (" saves " in note)


@needs_shared
def test_row_notes_of_triple_and_grouped_bottlenecks() -> None:
    def note(name: str, index: int) -> str:
        network = darkparse.compile(next(p for p in original_cfgs() if p.stem == name))
        return _rows(build_diagram(network))[index].notes[0].text

    assert note("resnet152", 8) == "bottleneck L6–L8: 69.6k weights, one direct 3×3 256→256: 590k, saves 88%"
    assert note("resnext50", 8).startswith("bottleneck L6–L8 (3×3 in 32 groups): 70.1k weights")
    assert note("efficientnet_b0", 21).startswith("inverted block L15–L21 (24→144→24, with its gate): 10.5k weights")
    assert note("densenet201", 61).endswith("saves 6% … 48% in the last copy")


@needs_shared
def test_row_cells_of_growing_repeat_show_range() -> None:
    network = darkparse.compile(next(p for p in original_cfgs() if p.stem == "densenet201"))
    rows = _rows(build_diagram(network))
    assert rows[60].channels.text == "▼ 256→128 … 1760→128, +32 each"
    assert rows[60].price == "32.8k … 225k"
    assert len(rows) < 60


def test_row_label_of_repeated_block_names_block_input() -> None:
    assert _rows(build_diagram(compile_once("yolov3")))[15].label == "add + block input"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (864, "864"),
        (9408, "9.41k"),
        (999_499, "999k"),
        (999_600, "1M"),
        (1_179_648, "1.18M"),
        (2.5e12, "2.5T"),
        (0, "0"),
    ],
)
def test_number_text_abbreviates(number: float, text: str) -> None:
    assert number_text(number) == text


def test_flops_text_counts_two_per_multiply_add() -> None:
    assert flops_text(500_000_000) == "1 GFLOPs"


def test_percent_text_rounds() -> None:
    assert [percent_text(part, 10_000) for part in (4400, 50, 0, 14_400, 1)] == [
        "44%",
        "0.5%",
        "0%",
        "144%",
        "under 0.1%",
    ]
