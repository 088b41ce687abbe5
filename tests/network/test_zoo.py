"""The cfgs that ship with darkparse: equal to their originals, with a true comment at the top."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise

import pytest

import darkparse
from darkparse.errors import CfgError
from darkparse.network import Network
from darkparse.network.zoo import load_shipped_network, load_shipped_networks, read_title
from darkparse.syntax import find_shipped_cfgs
from tests.conftest import DATA, SHARED, ZOO_SAMPLE, needs_shared

ORIGINALS = {
    **{name: f"pjreddie/{name}" for name in ("yolov1", "yolov1-tiny", "yolov2", "yolov2-tiny", "yolov3")},
    **{name: f"pjreddie/{name}" for name in ("yolov3-tiny", "darknet19", "darknet53", "resnet18", "rnn")},
    **{name: f"alexeyab/{name}" for name in ("yolov3-spp", "yolov3-tiny-prn", "Gaussian_yolov3_BDD", "enet-coco")},
    **{name: f"alexeyab/{name}" for name in ("yolov4", "yolov4-tiny", "yolov4-csp", "yolov4-p5", "yolov4-p6")},
    **{name: f"alexeyab/{name}" for name in ("yolov4-csp-x-mish", "yolov4x-mish", "yolov7", "yolov7-tiny", "yolov7x")},
    **{name: f"alexeyab/{name}" for name in ("resnet50", "densenet201", "efficientnet_b0", "vgg-16")},
    "csresnext50-panet-spp": "alexeyab/csresnext50-panet-spp",
}
WITHOUT_ORIGINAL = ("shapes", "yolov1-paper")
FACTS = json.loads((DATA / "zoo.json").read_text("utf-8"))
"""Layers, floats of the weights file, multiply-adds and detection heads of the original, by name."""


@pytest.fixture(scope="module")
def zoo() -> dict[str, Network]:
    return {entry.name: entry.network for entry in load_shipped_networks()}


def test_zoo_has_original_for_each_cfg() -> None:
    assert sorted((*ORIGINALS, *WITHOUT_ORIGINAL)) == sorted(find_shipped_cfgs())
    assert sorted(FACTS) == sorted(ORIGINALS)
    assert set(ZOO_SAMPLE) <= set(find_shipped_cfgs())


@pytest.mark.parametrize("name", ORIGINALS)
def test_shipped_cfg_has_facts_of_original(name: str, zoo: dict[str, Network]) -> None:
    network = zoo[name]
    assert not network.diagnostics
    facts = [len(network.nodes), network.stored_floats, network.cost.macs, len(network.heads)]
    assert facts == FACTS[name]


@needs_shared
@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        pytest.param(name, dialect, marks=() if original.startswith(dialect) else pytest.mark.slow)
        for name, original in ORIGINALS.items()
        for dialect in ("pjreddie", "alexeyab")
    ],
)
def test_shipped_cfg_equals_original_network(name: str, dialect: str) -> None:
    path = SHARED / "cfgs" / f"{ORIGINALS[name]}.cfg"
    try:
        original = darkparse.compile(path, dialect=dialect)
    except CfgError:
        with pytest.raises(CfgError):
            darkparse.compile(name, dialect=dialect)
        return
    ours = darkparse.compile(name, dialect=dialect)
    assert ours.input_shape == original.input_shape
    for mine, its in zip(ours.nodes, original.nodes, strict=True):
        assert (mine.layer, mine.inputs, mine.out_shape, mine.cost) == (its.layer, its.inputs, its.out_shape, its.cost)


@needs_shared
@pytest.mark.parametrize("name", ORIGINALS)
def test_shipped_cfg_is_not_text_of_original(name: str) -> None:
    """Comments are our own; option lines are facts."""
    comments = [line for line in find_shipped_cfgs()[name].read_text("utf-8").splitlines() if line.startswith("#")]
    original = (SHARED / "cfgs" / f"{ORIGINALS[name]}.cfg").read_text("utf-8", errors="replace").splitlines()
    assert not {line for line in comments if line != "# training"} & set(original)


@pytest.mark.parametrize("name", ORIGINALS)
def test_comment_at_top_has_true_numbers(name: str, zoo: dict[str, Network]) -> None:
    network = zoo[name]
    title = read_title(network.config.source.text)
    weights, size = title["Weights"], title["Size"]
    if count := re.search(r"\(([\d,]+) numbers\)", weights):
        assert int(count[1].replace(",", "")) == network.stored_floats
    else:
        assert weights == "to be trained"
    kinds = Counter(node.kind for node in network.nodes)
    total, *counts = (int(number) for number in re.findall(r"\b\d+\b", size))
    assert total == len(network.nodes)
    listed = dict(re.findall(r"\b(\d+) (\w+)", size)[1:])
    assert {kind: int(number) for number, kind in listed.items()}.items() <= kinds.items()
    assert counts
    if network.input_shape.is_map:
        assert title["Input"].startswith(f"{network.net.width}x{network.net.height}")


@pytest.mark.parametrize("name", ORIGINALS)
def test_stage_comments_cover_every_layer_in_order(name: str, zoo: dict[str, Network]) -> None:
    text = zoo[name].config.source.text
    comments = re.sub(r"\n# ", " ", text)
    ranges = [(int(a), int(b or a)) for a, b in re.findall(r"\(L(\d+)(?:-L(\d+))?\)", comments)]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == len(zoo[name].nodes) - 1
    assert all(end + 1 == start for (_, end), (start, _) in pairwise(ranges))


def test_shipped_network_has_paper_and_reductions() -> None:
    paths = find_shipped_cfgs()
    entry = load_shipped_network(paths["yolov3"])
    assert entry.paper is not None
    assert (entry.paper.title, entry.paper.year) == ("YOLOv3: An Incremental Improvement", 2018)
    assert entry.weights_bytes == 248_007_048
    words = {name: load_shipped_network(paths[name]).reductions for name in ("yolov3", "vgg-16", "yolov1", "rnn")}
    assert words == {"yolov3": "strided", "vgg-16": "pooled", "yolov1": "mixed", "rnn": "none"}


def test_networks_are_sorted_by_year_of_paper() -> None:
    years = [entry.paper.year if entry.paper else None for entry in load_shipped_networks()]
    assert years == [*sorted(filter(None, years)), None]
