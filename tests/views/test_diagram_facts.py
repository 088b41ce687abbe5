"""Scales, repeats, bottlenecks and the facts in sum."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

import darkparse
from darkparse.network import Network
from darkparse.network.analysis.receptive import get_receptive_fields
from darkparse.network.analysis.repeats import find_repeats
from darkparse.network.analysis.scales import find_scale_runs
from darkparse.network.analysis.summary import summarize_network
from darkparse.views.formatting.summary import fact_lines
from tests.conftest import needs_shared, original_cfgs
from tests.timing import measure_cpu_seconds
from tests.views.networks import CFGS, compile_once


def _shared(name: str) -> Network:
    return darkparse.compile(next(path for path in original_cfgs() if path.stem == name))


@pytest.mark.parametrize(
    ("name", "repeats"),
    [
        ("yolov1", [(9, 2, 4), (20, 2, 2)]),
        ("yolov3", [(6, 3, 2), (13, 3, 8), (38, 3, 8), (63, 3, 4), (75, 2, 2), (101, 2, 2)]),
        ("darknet19", [(13, 2, 2), (19, 2, 2)]),
    ],
)
def test_find_repeats_of_known_networks(name: str, repeats: list[tuple[int, int, int]]) -> None:
    assert [(r.first, r.period, r.count) for r in find_repeats(compile_once(name))] == repeats


def test_find_repeats_folds_layers_joined_by_route() -> None:
    """Not where a layer of the middle is read at another scale, where no row would stand for it alone."""
    conv = "[conv]\nfilters=4\nsize=3\npad=1\n"
    net = f"[net]\nwidth=8\nheight=8\nchannels=4\n{conv * 5}[route]\nlayers=-1,-3,-5\n"
    assert [(r.first, r.period, r.count) for r in find_repeats(darkparse.compile(net))] == [(0, 1, 5)]
    elsewhere = f"{net}[maxpool]\nsize=2\nstride=2\n[route]\nlayers=3\n"
    assert [(r.first, r.period, r.count) for r in find_repeats(darkparse.compile(elsewhere))] == [(0, 1, 4)]


@needs_shared
def test_find_repeats_of_resnet_stages() -> None:
    assert [r.count for r in find_repeats(_shared("resnet152"))] == [2, 7, 35, 2]


@needs_shared
def test_find_repeats_of_dense_blocks_grow() -> None:
    repeats = find_repeats(_shared("densenet201"))
    assert [(r.first, r.count, r.grows) for r in repeats][-2:] == [(60, 48, True), (206, 32, True)]


@pytest.mark.parametrize("path", CFGS)
def test_repeated_copies_are_alike_and_closed(path: Path) -> None:
    """The conditions of folding, stated again:
    equal work in every copy, and no reader but where the picture shows it: a copy's last layer on its own card."""
    network = compile_once(path)
    runs = [run.layers for run in find_scale_runs(network)]
    taken: set[int] = set()
    inside = {i for b in network.bottlenecks for i in range(b.first + 1, b.last + 1)}
    for repeat in find_repeats(network):
        assert taken.isdisjoint(repeat.layers)
        taken.update(repeat.layers)
        for index in repeat.window:
            nodes = [network.nodes[i] for i in repeat.copies(index)]
            assert len(nodes) == repeat.count
            assert len({(n.kind, n.summary.split()[0], tuple(i - n.index for i in n.inputs)) for n in nodes}) == 1
            assert len({n.in_shapes for n in nodes}) == 1 or repeat.grows
            assert index not in inside or index != repeat.first
        for index in repeat.layers[:-1]:
            copy = (index - repeat.first) // repeat.period
            is_last = (index - repeat.first) % repeat.period == repeat.period - 1
            for reader in network.readers[index]:
                inner = reader in repeat.layers and (reader - repeat.first) // repeat.period == copy
                assert inner or (is_last and any(index in run and reader in run for run in runs))


@pytest.mark.parametrize("path", CFGS)
def test_scale_runs_contain_every_layer_once(path: Path) -> None:
    network = compile_once(path)
    runs = find_scale_runs(network)
    assert [i for run in runs for i in run.layers] == list(range(len(network.nodes)))
    assert all(a.size != b.size for a, b in pairwise(runs))


@pytest.mark.parametrize(
    ("name", "reducing", "total", "projecting"),
    [("yolov1", 7, 9, 0), ("yolov3", 34, 34, 3), ("yolov4", 30, 63, 3), ("yolov2", 7, 7, 1)],
)
def test_pointwise_stats_of_known_networks(name: str, reducing: int, total: int, projecting: int) -> None:
    facts = summarize_network(compile_once(name)).pointwise
    assert (len(facts.reducing), facts.total, len(facts.projecting)) == (reducing, total, projecting)


def test_pointwise_stats_of_yolov1_name_not_reducing() -> None:
    assert summarize_network(darkparse.compile("yolov1")).pointwise.not_reducing == (6, 17)


@pytest.mark.parametrize(
    ("name", "saving", "weights", "macs", "costing"),
    [
        ("yolov1", 7, 12_705_792, 5_317_853_184, 2),
        ("yolov3", 32, 45_318_144, 51_670_155_264, 0),
        ("yolov4", 15, 35_995_648, 25_361_907_712, 25),
    ],
)
def test_bottleneck_stats_of_known_networks(name: str, saving: int, weights: int, macs: int, costing: int) -> None:
    (savings,) = summarize_network(compile_once(name)).bottlenecks
    assert (savings.form, len(savings.saving), savings.weights, savings.macs, len(savings.costing)) == (
        "pair",
        saving,
        weights,
        macs,
        costing,
    )


def test_bottleneck_pair_cost_equals_hand_calculation() -> None:
    network = darkparse.compile("yolov1")
    pair = next(b for b in network.bottlenecks if b.first == 6)
    assert pair.weights == 256 * 256 + 9 * 256 * 512
    assert pair.direct_weights == 9 * 256 * 512
    assert (pair.macs, pair.direct_macs) == (pair.weights * 56 * 56, pair.direct_weights * 56 * 56)
    assert not pair.saves


def test_downsampling_of_yolov1_names_layers() -> None:
    descent = summarize_network(darkparse.compile("yolov1")).downsampling
    assert descent is not None
    assert (descent.before, descent.after, descent.layers, descent.halves) == (
        (448, 448),
        (7, 7),
        (0, 1, 3, 8, 19, 25),
        True,
    )


@pytest.mark.parametrize(("side", "halves"), [(16, True), (10, False)])
def test_downsampling_that_rounds_is_not_halving(side: int, halves: bool) -> None:
    """A padded 3×3 with stride 2 makes 10 to 5, to 3, to 2: ÷5 and not ÷8 in three steps."""
    step = "[conv]\nfilters=2\nsize=3\nstride=2\npad=1\n"
    facts = summarize_network(darkparse.compile(f"[net]\nwidth={side}\nheight={side}\nchannels=3\n{step * 3}"))
    assert facts.downsampling is not None
    assert (facts.downsampling.halves, facts.downsampling.after) == (halves, (2, 2))
    steps = "halving steps" if halves else "steps"
    assert fact_lines(facts)[0] == f"Height×width: {side}→2 (÷{side // 2}) in 3 {steps}: L0, L1, L2"


def test_summary_of_layer_range_covers_only_these() -> None:
    network = compile_once("yolov3")
    facts = summarize_network(network, range(30, 80))
    assert facts.downsampling is not None
    assert (facts.downsampling.before, facts.downsampling.after, facts.downsampling.layers) == (
        (76, 76),
        (19, 19),
        (37, 62),
    )
    assert set(facts.pointwise.reducing) < set(range(30, 80))
    assert all(30 <= b.first < b.last < 80 for savings in facts.bottlenecks for b in savings.saving)
    assert summarize_network(network, range(84, 90)).downsampling is None
    assert summarize_network(network, range(len(network.nodes))) == summarize_network(network)


INVERTED = """[net]
width=16
height=16
channels=8
[conv]
filters=48
size=1
[conv]
filters=48
groups=48
size=3
pad=1
[avgpool]
[conv]
filters=4
size=1
[conv]
filters=48
size=1
[scale_channels]
from=-4
[conv]
filters=8
size=1
"""


def test_inverted_bottleneck_with_gate_is_recognized() -> None:
    network = darkparse.compile(INVERTED)
    (block,) = network.bottlenecks
    assert (block.form, block.first, block.last, block.channels, block.middle, block.gated) == (
        "inverted",
        0,
        6,
        (8, 8),
        48,
        True,
    )
    assert block.weights == 8 * 48 + 9 * 48 + 48 * 4 + 4 * 48 + 48 * 8
    assert block.direct_weights == 9 * 8 * 8
    assert [run.layers for run in find_scale_runs(network)] == [range(7)]


def test_separable_convolution_is_recognized() -> None:
    network = darkparse.compile("""[net]
width=16
height=16
channels=8
[conv]
filters=8
groups=8
size=3
pad=1
[conv]
filters=32
size=1
""")
    (block,) = network.bottlenecks
    assert (block.form, block.weights, block.direct_weights, block.saves) == (
        "separable",
        9 * 8 + 8 * 32,
        9 * 8 * 32,
        True,
    )


@needs_shared
def test_grouped_triple_counts_groups() -> None:
    block = _shared("resnext50").bottlenecks[1]
    assert (block.form, block.groups, block.weights) == ("triple", 32, 256 * 128 + 9 * 128 * 128 // 32 + 128 * 256)
    assert block.direct_weights == 9 * 256 * 256


def test_receptive_fields_of_yolov1_equal_hand_calculation() -> None:
    fields = get_receptive_fields(darkparse.compile("yolov1"))
    # 7×7 /2, 2×2 /2, 3×3: 7, 7 + 2, 9 + 2·4.
    assert fields[:3] == ((7, 7), (9, 9), (17, 17))
    assert fields[30] == (448, 448)


@needs_shared
def test_receptive_fields_of_vectors_are_none() -> None:
    assert set(get_receptive_fields(_shared("rnn"))) == {None}


def test_bottleneck_pairs_in_a_row_are_not_a_triple() -> None:
    """1×1 and 3×3 in turn, all of one width: the next pair's 1×1 ends no block."""
    pair = "[conv]\nfilters=8\nsize=1\n[conv]\nfilters=8\nsize=3\npad=1\n"
    network = darkparse.compile(f"[net]\nwidth=16\nheight=16\nchannels=8\n{pair * 3}[conv]\nfilters=8\nsize=1\n")
    assert [(b.form, b.first, b.last) for b in network.bottlenecks] == [
        ("pair", 0, 1),
        ("pair", 2, 3),
        ("triple", 4, 6),
    ]


@pytest.mark.slow
def test_find_repeats_of_1000_layers_is_fast() -> None:
    layer = "[convolutional]\nfilters=8\nsize=3\npad=1\nactivation=leaky\n"
    scales = f"{layer}[maxpool]\nsize=2\nstride=2\n{layer}[upsample]\nstride=2\n"
    for body, found in ((layer * 1000, [(1, 1, 999)]), (scales * 250, [(1, 4, 249)])):
        network = darkparse.compile(f"[net]\nwidth=16\nheight=16\nchannels=3\n{body}")
        assert [(r.first, r.period, r.count) for r in find_repeats(network)] == found
        # Counting from every start took 20 s.
        assert measure_cpu_seconds(partial(find_repeats, network), repeats=1) < 5
