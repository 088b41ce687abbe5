"""The representation: shapes, costs, reductions, bottlenecks, and the dialect that evidence chooses."""

from __future__ import annotations

import dataclasses
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import darkparse
from darkparse.layers import DIALECTS
from darkparse.network import Network, Node
from darkparse.network.analysis.receptive import get_receptive_fields
from darkparse.network.detect_dialect import choose_dialect
from darkparse.syntax import read
from tests.conftest import needs_shared, original_cfgs
from tests.timing import measure_cpu_seconds


def _layer(node: Node) -> Any:
    """The layer of a node, whatever its class."""
    return node.layer


def _convolutions(network: Network, size: int) -> list[Node]:
    return [n for n in network.nodes if n.kind == "convolutional" and _layer(n).size == size]


def _directions(network: Network) -> dict[str, list[int]]:
    """The 1×1 convolutions by what they do to the channels."""
    found: dict[str, list[int]] = {}
    for node in _convolutions(network, 1):
        channels = network.reductions[node.index].channels
        assert channels is not None
        found.setdefault(channels.direction, []).append(node.index)
    return found


def test_yolov1_has_7_reducing_and_2_mixing_1x1_convolutions() -> None:
    network = darkparse.compile("yolov1")
    by_direction = _directions(network)
    assert (len(by_direction["reduced"]), by_direction["kept"]) == (7, [6, 17])
    pairs = {pair.first: pair for pair in network.bottlenecks}
    assert (pairs[6].weights, pairs[6].direct_weights, pairs[6].saves) == (1_245_184, 1_179_648, False)
    saving = [pair for pair in pairs.values() if pair.saves]
    assert len(saving) == 7
    assert sum(pair.saved_weights for pair in saving) == 12_705_792
    assert sum(2 * pair.saved_macs for pair in saving) == 10_635_706_368


def test_yolov3_reduces_with_every_1x1_convolution() -> None:
    by_direction = _directions(darkparse.compile("yolov3"))
    assert {direction: len(layers) for direction, layers in by_direction.items()} == {"reduced": 34, "projected": 3}


def test_yolov4_reduces_with_30_of_63_1x1_convolutions() -> None:
    by_direction = _directions(darkparse.compile("yolov4"))
    assert {direction: len(layers) for direction, layers in by_direction.items()} == {
        "reduced": 30,
        "kept": 33,
        "projected": 3,
    }


@pytest.mark.parametrize(
    ("name", "size", "params", "floats", "bflops"),
    [
        ("yolov3", 416, 61_949_149, 62_001_757, 65.879),
        ("yolov3", 608, 61_949_149, 62_001_757, 140.723),
        ("yolov4", 608, 64_363_101, 64_429_405, 128.459),
        ("yolov1", None, 197_301_875, 197_328_243, 40.16),
    ],
)
def test_network_totals_equal_published_numbers(
    name: str, size: int | None, params: int, floats: int, bflops: float
) -> None:
    network = darkparse.compile(name, size=size)
    assert (network.cost.params, network.stored_floats) == (params, floats)
    assert network.bflops == pytest.approx(bflops, abs=5e-3)


def test_compile_at_rectangular_size_scales_heads() -> None:
    network = darkparse.compile("yolov3", size=(320, 608))
    assert tuple(network.input_shape) == (3, 320, 608)
    assert [tuple(network.nodes[i].out_shape) for i in network.heads] == [(255, 10, 19), (255, 20, 38), (255, 40, 76)]


@pytest.mark.parametrize(
    ("body", "asked", "fitting"),
    [
        ("[conv]\nsize=4\nstride=4\n", 2, "multiples of 4 do, such as 4×4"),
        ("[conv]\nsize=4\n", 2, "the cfg's own 12×12 does"),
        ("[conv]\nsize=3\nstride=2\n", 1, "the cfg's own 12×12 does"),
        ("[reorg]\nstride=4\n", (6, 9), "multiples of 4 do, such as 4×8"),
        ("[maxpool]\nstride=3\nsize=9\npadding=0\n[reorg]\nstride=2\n", 15, "multiples of 6 do, such as 12×12"),
    ],
)
def test_compile_size_that_does_not_fit_names_one_that_does(body: str, asked: Any, fitting: str) -> None:
    cfg = f"[net]\nwidth=12\nheight=12\nchannels=3\n{body}"
    with pytest.raises(darkparse.CfgError, match=f"does not fit; {fitting}"):
        darkparse.compile(cfg, darkparse.CompileOptions(reorg="reorg3d"), size=asked)
    if "such as" in fitting:
        height, width = map(int, fitting.rpartition(" ")[2].split("×"))
        darkparse.compile(cfg, darkparse.CompileOptions(reorg="reorg3d"), size=(height, width))


def test_compile_size_below_minimum_names_smallest_that_fits() -> None:
    with pytest.raises(darkparse.CfgError, match="multiples of 4 do, such as 4×4"):
        darkparse.compile("[net]\nwidth=4\nheight=4\nchannels=3\n[conv]\nsize=4\nstride=4\n", size=2)


def test_compile_error_at_cfgs_own_size_suggests_no_size() -> None:
    with pytest.raises(darkparse.CfgError) as told:
        darkparse.compile("[net]\nwidth=3\nheight=3\nchannels=3\n[conv]\nsize=4\n", size=2)
    assert "does not fit" not in str(told.value)


def test_reductions_have_axis_before_after_factor_and_mechanism() -> None:
    network = darkparse.compile("yolov2")
    rows: dict[tuple[int, str], tuple[Any, ...]] = {}
    for node in network.nodes:
        for r in network.reductions[node.index].all:
            rows[node.index, r.axis] = (r.before, r.after, r.direction, round(r.factor, 3), r.mechanism)
    assert rows[1, "spatial"] == ((608, 608), (304, 304), "reduced", 2, "pool")
    assert rows[5, "channels"] == ((128,), (64,), "reduced", 2, "projection")
    assert rows[0, "channels"] == ((3,), (32,), "expanded", 10.667, "convolution")
    reorg = next(n.index for n in network.nodes if n.kind == "reorg")
    assert rows[reorg, "spatial"] == ((38, 38), (19, 19), "reduced", 2, "rearrangement")
    assert all(r.keeps_values for r in network.reductions[reorg].all)
    concat = reorg + 1
    assert rows[concat, "channels"][:3] == ((256, 1024), (1280,), "expanded")
    head = network.heads[0]
    assert rows[head - 1, "channels"][2] == "projected"


def test_node_weights_count_multiplying_parameters_only() -> None:
    """The factors of an addition and a learned constant are parameters, and project nothing to a head."""
    network = darkparse.compile(
        "[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\nfilters=18\nbatch_normalize=1\n[conv]\nfilters=18\n"
        "[shortcut]\nfrom=-2\nweights_type=per_channel\n[yolo]\nclasses=1\nnum=3\n[implicit]\nfilters=18\n[batchnorm]\n"
    )
    assert [node.weights for node in network.nodes] == [3 * 18, 18 * 18, 0, 0, 0, 0]
    assert [node.params for node in network.nodes] == [3 * 18 + 2 * 18, 18 * 18 + 18, 2 * 18, 0, 18, 2 * 18]
    assert network.find_projected_head(2) is None


def test_bottleneck_triple_replaces_its_pair() -> None:
    block = "[conv]\nfilters=16\n[conv]\nfilters=16\nsize=3\npad=1\n[conv]\nfilters=64\n[shortcut]\nfrom=-4\n"
    network = darkparse.compile(f"[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\nfilters=64\nsize=3\npad=1\n{block}")
    (triple,) = network.bottlenecks
    assert (triple.form, triple.first, triple.last) == ("triple", 1, 3)
    assert (triple.weights, triple.direct_weights) == (64 * 16 + 9 * 16 * 16 + 16 * 64, 9 * 64 * 64)


def test_last_reads_are_indices_of_last_readers() -> None:
    network = darkparse.compile("yolov3")
    assert network.last_reads[36] == 98
    assert network.last_reads[61] == 86
    assert all(network.last_reads[head] == len(network.nodes) for head in network.heads)
    assert network.readers[79] == (80, 83)


def test_outputs_exclude_cost_layer() -> None:
    network = darkparse.compile("[net]\ninputs=4\n[connected]\noutput=2\n[softmax]\n[cost]\n")
    assert network.outputs == (1,)


WINDOWS = {
    "dilated": "[conv]\nfilters=2\nsize=3\npad=1\ndilation=2\n",
    "blurred": "[conv]\nfilters=2\nsize=3\npad=1\nstride=2\nantialiasing=1\n",
    "averaged": "[conv]\nfilters=2\nsize=3\npad=1\nstride=2\nantialiasing=2\n",
    "blurred pool": "[maxpool]\nsize=2\nstride=2\nantialiasing=1\n",
    "averaged pool": "[maxpool]\nsize=2\nstride=2\nantialiasing=2\n",
    "flat pool": "[maxpool]\nsize=3\nstride_x=1\nstride_y=2\n[conv]\nsize=3\npad=1\n",
    "depth": "[maxpool]\nsize=3\nstride=3\nmaxpool_depth=1\nout_channels=4\n",
    "mean": "[local_avgpool]\nsize=3\nstride=2\n",
    "local": "[local]\nsize=3\nstride=2\n",
    "deconvolution": "[deconv]\nfilters=2\nsize=4\nstride=2\npadding=1\n[conv]\nsize=3\npad=1\n",
    "upsample": "[conv]\nsize=3\nstride=2\npad=1\n[upsample]\nstride=2\n[conv]\nsize=3\npad=1\n",
    "block sum": "[upsample]\nstride=-2\n[conv]\nsize=3\npad=1\n",
    "reorg": "[reorg]\nstride=2\n",
    "reorg of straddling blocks": "[crop]\ncrop_width=38\ncrop_height=38\n[reorg]\nstride=2\n",
    "reorg back": "[reorg]\nstride=2\nreverse=1\n[conv]\nsize=3\npad=1\n",
    "reorg3d": "[reorg3d]\nstride=2\n[conv]\nsize=3\npad=1\n",
    "reorg3d back": "[reorg3d]\nstride=2\nreverse=1\n",
    "reorg3d back, and a window over it": "[reorg3d]\nstride=2\nreverse=1\n[conv]\nsize=3\npad=1\n",
    "reorg3d back, and two": "[reorg3d]\nstride=2\nreverse=1\n[conv]\nsize=1\n[conv]\nsize=5\npad=1\n",
    "crop": "[crop]\ncrop_width=30\ncrop_height=30\n[conv]\nsize=5\npad=1\n",
    "join": "[conv]\nsize=5\nfilters=4\npad=1\n[conv]\nsize=3\npad=1\n[route]\nlayers=-1,-2\n",
    "sum": (
        "[conv]\nsize=5\nfilters=16\nstride=2\npad=1\n[conv]\nfilters=16\n[maxpool]\nsize=5\nstride=1\n[shortcut]\n"
        "from=-3\n"
    ),
    "constant gate": "[conv]\nsize=3\nfilters=16\npad=1\n[implicit]\nfilters=16\n[scale_channels]\nfrom=-2\n",
    "global gate": "[conv]\nsize=3\nfilters=16\npad=1\n[avgpool]\n[scale_channels]\nfrom=-2\n",
    "lrn": "[lrn]\n[conv]\nsize=3\npad=1\n",
    "history": "[history]\n[conv]\nsize=3\npad=1\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("body", WINDOWS.values(), ids=WINDOWS)
def test_receptive_field_equals_spread_of_nan(body: str) -> None:
    """By oracle: a row or column that is not a number spoils the values that see it; at the border they see less."""
    import torch

    network = darkparse.compile(f"[net]\nwidth=40\nheight=40\nchannels=16\n{body}", dialect="alexeyab")
    seen = []
    for axis in (2, 3):
        model = darkparse.build(network, initialize=True, dtype=torch.double).eval()
        pictures = torch.ones(40, 16, 40, 40, dtype=torch.double)
        pictures.transpose(2, axis)[range(40), :, range(40)] = torch.nan
        with torch.no_grad():
            spoiled = model(pictures).transpose(2, axis).isnan().any(3).any(1)
        quarter = spoiled.shape[1] // 4
        places = [spoiled[:, i].nonzero() for i in range(quarter, spoiled.shape[1] - quarter)]
        seen.append(max(int(p.max() - p.min()) + 1 for p in places))
    assert get_receptive_fields(network)[-1] == tuple(seen)


def test_receptive_field_of_1x1_convolution_is_that_of_its_input_whatever_its_stride() -> None:
    network = darkparse.compile(
        "[net]\nwidth=40\nheight=40\nchannels=3\n[conv]\nsize=1\n[conv]\nsize=1\nstride=2\n[conv]\nsize=3\n[conv]\nsize=1\n"
        "[conv]\nsize=3\nstride=2\n[conv]\nsize=2\n"
    )
    sides = (1, 1, 1 + 2 * 2, 5, 5 + 2 * 2, 9 + 4)
    assert get_receptive_fields(network) == tuple((side, side) for side in sides)
    assert [stride and stride[0] for stride in network.strides] == [1, 2, 2, 2, 4, 4]


def test_receptive_field_of_recurrent_layer_is_whole_input() -> None:
    network = darkparse.compile(
        "[net]\nwidth=40\nheight=30\nchannels=3\n[conv]\nsize=3\nstride=2\npad=1\nfilters=4\n[crnn]\nhidden=4\noutput=4\npad=1\n"
        "[implicit]\nfilters=4\n[conv]\n[conv]\nsize=1\n"
    )
    assert get_receptive_fields(network) == ((3, 3), (30, 40), None, None, None)
    assert network.strides == ((Fraction(2),) * 2, (Fraction(2),) * 2, None, None, None)


EIGHT_HALVINGS = (
    "[net]\nwidth=300\nheight=300\nchannels=3\n" + "[conv]\nfilters=8\nsize=3\nstride=2\npad=1\nactivation=leaky\n" * 8
)


def test_strides_of_padded_halvings_are_powers_of_two() -> None:
    network = darkparse.compile(EIGHT_HALVINGS)
    assert network.strides == tuple((2**n, 2**n) for n in range(1, 9))
    assert network.nodes[-1].out_shape.h == 2


def test_strides_of_upsample_deconvolution_and_gate() -> None:
    wider = "[upsample]\nstride=2\n[deconv]\nfilters=2\nsize=3\nstride=3\n[maxpool]\nsize=2\nstride_x=4\nstride_y=2\n"
    gate = "[avgpool]\n[conv]\nfilters=2\n[scale_channels]\nfrom=-3\n[connected]\noutput=4\n"
    network = darkparse.compile(f"[net]\nwidth=24\nheight=24\nchannels=2\n{wider}{gate}")
    third = Fraction(1, 3)
    assert network.strides == (
        (Fraction(1, 2),) * 2,
        (third / 2,) * 2,
        (third, 2 * third),
        None,
        None,
        (third, 2 * third),
        None,
    )
    assert darkparse.compile("[net]\ninputs=4\n[gru]\noutput=2\n[connected]\noutput=2\n").strides == (None, None)


def test_exported_metadata_has_true_strides() -> None:
    from darkparse.network.dynamic_axes import compute_size_step
    from darkparse.onnx.metadata import collect_metadata

    head = "[conv]\nfilters=18\nsize=1\nactivation=linear\n[yolo]\nclasses=1\nnum=3\nanchors=1,2,3,4,5,6\n"
    network = darkparse.compile(EIGHT_HALVINGS + head)
    assert collect_metadata(network, "raw", threshold=0.25, nms=0.45)["strides"] == "[256]"
    assert compute_size_step(network) == 4, "no other stride divides the size"


def test_network_is_frozen_and_picklable() -> None:
    network = darkparse.compile("yolov3-tiny")
    with pytest.raises(dataclasses.FrozenInstanceError):
        network.nodes[0].index = 3  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(network)) == network


def test_to_yaml_lists_every_layer() -> None:
    import yaml

    network = darkparse.compile("yolov3-tiny")
    document = yaml.safe_load(network.to_yaml())
    assert [row["kind"] for row in document["layers"]] == [node.kind for node in network.nodes]
    assert document["layers"][0]["output"] == [16, 416, 416]
    assert document["layers"][0]["options"]["filters"] == 16
    assert "stride_x" not in document["layers"][1]["options"], "what follows from other options is left out"
    assert document["parameters"] == network.cost.params


# The dialect.


@pytest.mark.parametrize(
    ("text", "dialect", "reason"),
    [
        ("[net]\n[conv]\nactivation=leaky\n", "pjreddie", "no evidence in the cfg, so the original"),
        ("[net]\nmosaic=1\n[conv]\n", "alexeyab", "only AlexeyAB/darknet supports mosaic"),
        ("[net]\n[conv]\nactivation=mish\n", "alexeyab", "only AlexeyAB/darknet supports activation=mish"),
        ("[net]\n[conv]\n[sam]\nfrom=0\n", "alexeyab", "only AlexeyAB/darknet supports [sam]"),
        ("[net]\n[deconv]\n", "pjreddie", "only pjreddie/darknet supports [deconv]"),
        ("[net]\n[reorg]\nflatten=1\n", "pjreddie", "only pjreddie/darknet supports flatten"),
    ],
)
def test_choose_dialect_follows_evidence(text: str, dialect: str, reason: str) -> None:
    choice = choose_dialect(read(text))
    assert (choice.dialect.name, choice.reason) == (dialect, reason)


def test_choose_dialect_with_evidence_for_parent_alone_selects_it(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = DIALECTS["alexeyab"]
    monkeypatch.setitem(DIALECTS, "newer", dataclasses.replace(parent, name="newer", parent=parent))
    assert choose_dialect(read("[net]\n[conv]\nactivation=mish\n")).dialect is parent


def test_choose_dialect_without_evidence_uses_weights_version() -> None:
    config = read("[net]\n[conv]\n")
    assert choose_dialect(config, version=(0, 2, 5)).dialect.name == "alexeyab"
    assert choose_dialect(config, version=(0, 2, 0)).dialect.name == "pjreddie"
    assert choose_dialect(read("[net]\n[conv]\nactivation=mish\n"), version=(0, 2, 0)).dialect.name == "alexeyab"


def test_dialect_ignores_unsupported_option_with_warning() -> None:
    conv = "[conv]\nfilters=4\ndilation=2\nsize=3\npad=1\nactivation=mish\n"
    text = f"[net]\nwidth=8\nheight=8\nchannels=4\n{conv}[route]\nlayers=-1\ngroups=2\n"
    ab, pj = (darkparse.compile(text, dialect=d) for d in ("alexeyab", "pjreddie"))
    assert (_layer(ab.nodes[0]).dilation, _layer(pj.nodes[0]).dilation) == (2, 1)
    assert (_layer(ab.nodes[0]).activation, _layer(pj.nodes[0]).activation) == ("mish", "relu")
    assert (ab.nodes[1].out_shape.c, pj.nodes[1].out_shape.c) == (2, 4)
    assert [d.code for d in pj.diagnostics] == ["foreign-option", "unknown-activation", "foreign-option"]
    assert not ab.diagnostics


def test_kind_of_other_fork_compiles_with_warning() -> None:
    network = darkparse.compile("[net]\nwidth=8\nheight=8\nchannels=4\n[conv]\n[l2norm]\n", dialect="alexeyab")
    assert [d.code for d in network.diagnostics] == ["foreign-kind"]


def test_compile_reorg_option_reads_reorg_as_reorg3d() -> None:
    assert any(
        node.kind == "reorg3d" for node in darkparse.compile("yolov2", darkparse.CompileOptions(reorg="reorg3d")).nodes
    )


def test_side_files_are_found_beside_cfg_and_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[net]\ninputs=4\n[connected]\noutput=3\n[softmax]\ntree=data/x.tree\n"
    (tmp_path / "cfg").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.tree").write_text("a -1\nb -1\nc 0\n")
    (tmp_path / "cfg" / "x.cfg").write_text(text)
    monkeypatch.chdir(tmp_path / "data")
    network = darkparse.compile(tmp_path / "cfg" / "x.cfg")
    assert network.nodes[1].modules[0].kwargs["group_sizes"] == (2, 1)
    assert not network.diagnostics
    assert [d.code for d in darkparse.compile(text).diagnostics] == ["no-file"]


@pytest.mark.slow
@needs_shared
def test_original_cfgs_compile_in_3_seconds() -> None:
    paths = original_cfgs()
    assert len(paths) == 140

    def compile_all() -> None:
        for path in paths:
            darkparse.compile(path)

    assert measure_cpu_seconds(compile_all) < 3


def test_yolov1_paper_has_24_convolutions_and_2_connected() -> None:
    network = darkparse.compile("yolov1-paper")
    kinds = [node.kind for node in network.nodes]
    assert (kinds.count("convolutional"), kinds.count("connected")) == (24, 2)
    assert [node.out_shape.size for node in network.nodes if node.kind == "connected"] == [4096, 7 * 7 * 30]
