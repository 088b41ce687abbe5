"""Analyses of the shipped networks: a golden text, and small networks with a known answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path

import pytest

import darkparse
from darkparse.network.analysis.memory import compute_memory, compute_training_memory
from darkparse.network.analysis.named_blocks import find_named_blocks
from darkparse.network.analysis.receptive import get_unclipped_field
from darkparse.network.analysis.repeats import find_repeats
from darkparse.network.analysis.scales import find_scale_runs
from darkparse.network.analysis.stages import find_stages
from darkparse.network.analysis.summary import summarize_network
from tests.conftest import ROOT

LARGER = ("yolov4-csp", "yolov4-csp-x-mish", "yolov4-p6", "yolov4x-mish", "yolov7x")
"""Networks with the structure of a smaller one."""
CFGS = [path for path in sorted((ROOT / "cfgs").glob("*.cfg")) if path.stem not in LARGER]


def _join(layers: Iterable[int]) -> str:
    """Format layers as ranges: `0-3 5`."""
    runs = [[i for _, i in run] for _, run in groupby(enumerate(layers), key=lambda pair: pair[1] - pair[0])]
    return " ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs) or "none"


def _list_analyses(network: darkparse.Network) -> Iterator[str]:
    for run in find_scale_runs(network):
        yield f"scale {run.size[0]}x{run.size[1]}: {_join(run.layers)}"
    for b in network.bottlenecks:
        yield (
            f"bottleneck {b.form} {b.size}x{b.size} {b.channels[0]}>{b.middle}>{b.channels[1]} {_join(b.layers)}: "
            f"saves {b.saved_weights} weights, {b.saved_macs} macs; groups {b.groups}, gated {b.gated}, "
            f"also feeds {b.also_feeds}"
        )
    for repeat in find_repeats(network):
        yield f"repeat {repeat.first} {repeat.count}x{repeat.period}{' grows' * repeat.grows}"
    for block in find_named_blocks(network):
        yield f"block {block.count}x {block.name} (depth {block.depth}): {_join(block.layers)}"
    for stage in find_stages(network):
        names = ", ".join(f"{block.count}x {block.name}" for block in stage.blocks) or "no blocks"
        yield f"stage {stage.part} {stage.size[0]}x{stage.size[1]} {_join(stage.layers)} > {stage.output}: {names}"
    summary = summarize_network(network)
    yield f"downsampling {summary.downsampling}"
    yield f"pointwise reducing {_join(summary.pointwise.reducing)}; others {_join(summary.pointwise.not_reducing)}"
    for stats in summary.bottlenecks:
        yield f"{stats.form}: {len(stats.saving)} save {stats.weights} weights, {len(stats.costing)} do not"
    yield f"sees {[get_unclipped_field(network, i) for i in network.outputs]}"
    memory = compute_memory(network)
    yield f"memory {memory.live_bytes[memory.peak]} at {memory.peak}; training {compute_training_memory(network)}"


@pytest.mark.parametrize("path", CFGS, ids=lambda path: path.stem)
def test_analyses_of_shipped_networks_match_golden(path: Path, golden: Callable[[str, str], None]) -> None:
    lines = _list_analyses(darkparse.compile(path))
    golden(f"analysis/{path.stem}.txt", "".join(f"{line}\n" for line in lines))


PATH = """[net]
width={width}
height={height}
channels=4
[convolutional]
filters=4
[maxpool]
size=8
stride=8
[upsample]
stride=8
[shortcut]
from=0
"""


@pytest.mark.parametrize(
    ("height", "width", "scales"), [(8, 8, 1), (8, 16, 3), (16, 8, 3), (16, 16, 3)], ids=lambda value: str(value)
)
def test_scale_of_more_than_one_position_is_no_side_path(height: int, width: int, scales: int) -> None:
    """A map of one position is the pooled path of a gate; a larger one is the deepest scale of the network."""
    network = darkparse.compile(PATH.format(height=height, width=width), dialect="alexeyab")
    assert len(find_scale_runs(network)) == scales


@pytest.mark.parametrize(("period", "repeats"), [(2, [(0, 2, 2)]), (12, [(0, 12, 2)]), (13, [])])
def test_repeat_has_at_most_12_layers(period: int, repeats: list[tuple[int, int, int]]) -> None:
    block = "".join(f"[convolutional]\nfilters=4\nsize={2 * i + 1}\npad=1\n" for i in range(period))
    network = darkparse.compile(f"[net]\nwidth=32\nheight=32\nchannels=4\n{block * 2}")
    assert [(r.first, r.period, r.count) for r in find_repeats(network)] == repeats


SQUARE = "[net]\nwidth=4\nheight=4\nchannels=4\n"
JOIN = "[route]\nlayers=-1,-2\n"


@pytest.mark.parametrize(
    ("block", "repeats"),
    [
        ("[convolutional]\nfilters=4\n" + JOIN, [(4, 2, 3)]),
        (JOIN, []),
    ],
    ids=["same-step", "other-steps"],
)
def test_repeat_grows_by_same_step_only(block: str, repeats: list[tuple[int, int, int]]) -> None:
    """A layer that joins the last two joins has more channels by another step each time: 8, 12, 20, 32."""
    network = darkparse.compile(SQUARE + "[convolutional]\nfilters=4\n" * 2 + block * 4)
    assert [(r.first, r.period, r.count) for r in find_repeats(network) if r.grows] == repeats


@pytest.mark.parametrize("stop", [5, 6, 8])
def test_repeat_ends_with_the_layers_to_search(stop: int) -> None:
    network = darkparse.compile(SQUARE + "[convolutional]\nfilters=4\n" * 8)
    (repeat,) = find_repeats(network, range(1, stop))
    assert repeat.layers == range(1, stop)


@pytest.mark.parametrize(
    ("wide", "last", "after", "form"),
    [
        (2, 8, "", "triple"),
        (4, 8, "", "pair"),
        (2, 6, "", "pair"),
        (2, 8, "[convolutional]\nfilters=2\nsize=3\npad=1\n", "pair"),
        (4, 8, "[shortcut]\nfrom=-4\n", "triple"),
    ],
)
def test_bottleneck_ends_where_it_restores_the_channels_or_is_added(
    wide: int, last: int, after: str, form: str
) -> None:
    conv = "[convolutional]\nfilters={}\nsize={}\npad=1\n"
    text = f"[net]\nwidth=8\nheight=8\nchannels=8\n[dropout]\n{conv.format(2, 1)}{conv.format(wide, 3)}"
    network = darkparse.compile(f"{text}{conv.format(last, 1)}{after}")
    assert network.bottlenecks[0].form == form
