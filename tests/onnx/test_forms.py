"""Forms of an ONNX file's outputs: what each contains, and networks that do not have one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import darkparse
from darkparse.network.dynamic_axes import Heads
from darkparse.onnx.check import _make_runner
from darkparse.onnx.context import EmitContext
from darkparse.onnx.graph import Graph, Value
from darkparse.onnx.protobuf import encode_block
from darkparse.onnx.validate import check_structure
from tests.conftest import DATA
from tests.export.test_source import initialized
from tests.export.test_targets import SMALL
from tests.model.test_reference import REFERENCE

HEADS_DIFFER = DATA / "cases" / "heads-differ.cfg"


@pytest.mark.parametrize(("heads", "suffix"), [("decoded", "onnx"), ("nms", "onnx"), ("decoded", "pt2")])
def test_heads_with_different_classes_are_refused_before_a_file_is_written(
    heads: Heads, suffix: str, tmp_path: Path
) -> None:
    model = initialized(darkparse.compile(HEADS_DIFFER))
    write = darkparse.to_onnx if suffix == "onnx" else darkparse.to_program
    with pytest.raises(darkparse.DarkparseError, match=r"got 2 and 5; (.|\n)*--heads raw"):
        write(model, tmp_path / f"x.{suffix}", heads=heads)
    assert not list(tmp_path.iterdir())
    darkparse.to_onnx(model, tmp_path / "x.onnx", verify=True)


def test_file_that_onnx_runtime_rejects_is_an_error_and_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("darkparse.onnx.serialization.IR_VERSION", 2000)
    model = initialized(darkparse.compile(SMALL))
    with pytest.raises(darkparse.DarkparseError, match=r"ONNX Runtime cannot run the written file: .*it was deleted"):
        darkparse.to_onnx(model, tmp_path / "x.onnx", verify=True)
    assert not list(tmp_path.iterdir())


def test_features_are_the_maps_before_the_heads(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from tests.onnx.onnx_runtime import Runner

    model = initialized(darkparse.compile(HEADS_DIFFER))
    darkparse.to_onnx(model, tmp_path / "x.onnx", heads="features", verify=True)
    graph = onnx.load(tmp_path / "x.onnx").graph
    assert not {"Sigmoid", "Where", "Split"} & {node.op_type for node in graph.node}
    network = model.network
    before = [network.nodes[i].inputs[0] for i in network.heads]
    assert [output.name for output in graph.output] == [f"convolutional_{i}" for i in before]
    x = torch.rand(2, *network.input_shape.tensor)
    with torch.no_grad():
        values = model.layer_outputs(x)
    for index, actual in zip(before, Runner(tmp_path / "x.onnx")(x.numpy()).values(), strict=True):
        np.testing.assert_allclose(actual, values[index].numpy(), atol=1e-5)
    with pytest.raises(darkparse.DarkparseError, match=r"heads features is for \.onnx"):
        darkparse.to_torchscript(model, tmp_path / "x.ts", heads="features")


POOLS = "[maxpool]\nsize={size}\nstride={stride}\npadding={padding}\n"


@pytest.mark.parametrize("side", [12, 13, 14])
@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(2, 2, 1), (3, 2, 2), (2, 3, 4), (5, 1, 4), (3, 4, 3), (2, 1, 1)]
)
def test_padding_that_no_pooling_window_reaches_is_dropped(
    side: int, size: int, stride: int, padding: int, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    from tests.onnx.onnx_runtime import Runner

    net = f"[net]\nwidth={side + 1}\nheight={side}\nchannels=2\n"
    model = darkparse.build(darkparse.compile(net + POOLS.format(size=size, stride=stride, padding=padding))).eval()
    network, x = model.network, torch.rand(1, 2, side, side + 1) - 2
    for dynamic in (False, True):
        darkparse.to_onnx(model, tmp_path / "x.onnx", dynamic_size=dynamic)
        (output,) = Runner(tmp_path / "x.onnx")(x.numpy()).values()
        np.testing.assert_array_equal(output, model(x).numpy())
    darkparse.to_onnx(model, tmp_path / "x.onnx")
    nodes = {node.op_type: node for node in onnx.load(tmp_path / "x.onnx").graph.node}
    if "Pad" in nodes:
        return
    pads = next((list(a.ints) for a in nodes["MaxPool"].attribute if a.name == "pads"), [0, 0, 0, 0])
    shape = network.nodes[0].out_shape
    for length, count, before, after in zip((side, side + 1), (shape.h, shape.w), pads[:2], pads[2:], strict=True):
        assert before + length + after == max((count - 1) * stride + size, before + length)


def test_graph_reads_every_part_of_a_split(tmp_path: Path) -> None:
    """An operator may leave a part unread, which some compilers take for an output."""
    onnx = pytest.importorskip("onnx")
    units = sorted((REFERENCE / "units").glob("*route*.cfg"))
    for path in (*sorted((DATA / "kinds").glob("*.cfg")), *units):
        model = initialized(darkparse.compile(path))
        darkparse.to_onnx(model, tmp_path / "x.onnx")
        graph = onnx.load(tmp_path / "x.onnx").graph
        read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
        unread = [node.name for node in graph.node if node.op_type == "Split" and not set(node.output) <= read]
        assert not unread, path.name
        assert {tensor.name for tensor in graph.initializer} <= read, path.name


@pytest.mark.parametrize("kind", ["rnn", "lstm", "crnn"])
def test_verified_stateful_network_is_compared_in_its_second_step(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the second step reads the states, so a file that does not return them must be refused."""
    pytest.importorskip("onnxruntime")
    text = f"[net]\nwidth=4\nheight=4\nchannels=2\n[{kind}]\nhidden=3\noutput=3\nsize=3\npad=1\n"
    model = initialized(darkparse.compile(text, dialect="alexeyab"))
    checked = darkparse.to_onnx(model, tmp_path / "x.onnx", verify=True)
    assert checked is not None
    assert checked.difference < 1e-5
    write_state = EmitContext.write_state
    monkeypatch.setattr(
        EmitContext, "write_state", lambda ctx, name, x, *shape: write_state(ctx, name, x * 2.0, *shape)
    )
    with pytest.raises(darkparse.DarkparseError, match="the exported file differs from the module"):
        darkparse.to_onnx(model, tmp_path / "y.onnx", verify=True)


SHORTCUTS = {
    "larger": "[convolutional]\nfilters={filters}\n[maxpool]\nsize={factor}\nstride={factor}\n",
    "smaller": "[avgpool]\n[upsample]\nstride={factor}\n[convolutional]\nfilters={filters}\n",
    "cropped": "[convolutional]\nfilters={filters}\n[maxpool]\nsize=5\nstride=5\n[upsample]\nstride=5\n",
}
"""Sections whose first map is added to the last one."""


@pytest.mark.parametrize("dialect", [pytest.param("pjreddie", marks=pytest.mark.slow), "alexeyab"])
@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("filters", [3, 4, 6])
@pytest.mark.parametrize("sections", SHORTCUTS.values(), ids=SHORTCUTS)
def test_shortcut_of_maps_of_other_sizes_equals_module(
    dialect: str, factor: int, filters: int, sections: str, tmp_path: Path
) -> None:
    """Darknet adds where both maps have values, every n-th if one is larger (blas.c shortcut_cpu)."""
    from tests.onnx.onnx_runtime import Runner

    sections = sections.format(factor=factor, filters=filters)
    text = f"[net]\nwidth=12\nheight=6\nchannels=4\n{sections}[shortcut]\nfrom=0\nactivation=leaky\n"
    model = initialized(darkparse.compile(text, dialect=dialect))
    darkparse.to_onnx(model, tmp_path / "x.onnx")
    x = torch.rand(2, 4, 6, 12) - 0.5
    (found,) = Runner(tmp_path / "x.onnx")(x.numpy()).values()
    with torch.no_grad():
        np.testing.assert_allclose(found, model(x).numpy(), atol=1e-5)


def test_shortcut_with_alpha_scales_only_channels_of_both_maps(tmp_path: Path) -> None:
    from tests.onnx.onnx_runtime import Runner

    text = "[net]\nwidth=4\nheight=4\nchannels=3\n[convolutional]\nfilters=2\n[convolutional]\nfilters=4\n"
    model = initialized(darkparse.compile(text + "[shortcut]\nfrom=0\nalpha=0.5\n", dialect="pjreddie"))
    darkparse.to_onnx(model, tmp_path / "x.onnx")
    x = torch.rand(2, 3, 4, 4)
    (found,) = Runner(tmp_path / "x.onnx")(x.numpy()).values()
    with torch.no_grad():
        np.testing.assert_allclose(found, model(x).numpy(), atol=1e-5)


def test_runner_of_stateful_network_starts_anew_with_each_input() -> None:
    model = initialized(darkparse.compile("[net]\ninputs=3\n[rnn]\nhidden=2\noutput=2\nactivation=tanh\n"))
    x = torch.rand(2, 3)
    with torch.no_grad():
        run = _make_runner(model, "raw", 0.25, steps=2)
        (first,), (again,) = run(x), run(x)
        (one_step,) = _make_runner(model, "raw", 0.25, steps=1)(x)
    assert torch.equal(first, again)
    assert not torch.equal(first, one_step)


def test_prune_keeps_what_only_a_loop_body_reads_or_returns() -> None:
    graph = Graph("")
    x = graph.input("x", (2,))
    read, returned, _ = graph.op("Neg", x), graph.op("Abs", x), graph.op("Exp", x)
    body = graph.body("loop")
    body.output("inner", body.op("Sqrt", read), (2,))
    body.output("outer", returned, (2,))
    graph.output("y", graph.op("Loop", body=body), (2,))
    graph.prune()
    assert [operator.kind for operator in graph.operators] == ["Neg", "Abs", "Loop"]


def test_check_structure_of_loop_body_that_reads_a_missing_value_raises(tmp_path: Path) -> None:
    graph, path = Graph(""), tmp_path / "x.onnx"
    body = graph.body("loop")
    body.output("inner", body.op("Sqrt", Value(graph, "lost")), (2,))
    graph.output("y", graph.op("Loop", body=body), (2,))
    path.write_bytes(encode_block(7, graph.encode()))
    with pytest.raises(darkparse.DarkparseError, match="reads lost, which no earlier node produces"):
        check_structure(path)
    graph.input("lost", (2,))
    path.write_bytes(encode_block(7, graph.encode()))
    check_structure(path)


def test_constant_and_input_keep_their_names_as_outputs() -> None:
    """Other operators read them by these names."""
    graph = Graph("")
    for name, value in (("y", graph.constant((1.0, 2.0))), ("z", graph.input("x", (2,)))):
        before = value.name
        graph.output(name, value, (2,))
        assert (value.name, graph.outputs[-1].value.name, graph.operators[-1].kind) == (before, name, "Identity")


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("heads", ["raw", "decoded", "yolov5", "yolov8", "nms", "features"])
def test_stated_shapes_are_those_of_the_outputs(heads: Heads, dynamic: bool, tmp_path: Path) -> None:
    """Read from the file, because ONNX Runtime replaces them by what it infers."""
    onnx = pytest.importorskip("onnx")
    from tests.onnx.onnx_runtime import Runner

    model = initialized(darkparse.compile(SMALL, dialect="alexeyab"))
    darkparse.to_onnx(model, tmp_path / "x.onnx", heads=heads, dynamic_size=dynamic)
    run = Runner(tmp_path / "x.onnx")
    _, height, width = model.network.input_shape
    sizes = [(1, height, width), *([(3, 2 * height, width), (1, height, 2 * width)] if dynamic else [])]
    shapes = [{name: x.shape for name, x in run(np.ones((n, 3, h, w), np.float32)).items()} for n, h, w in sizes]
    for output in onnx.load(tmp_path / "x.onnx").graph.output:
        dims = output.type.tensor_type.shape.dim
        for dim, *actual in zip(dims, *(shape[output.name] for shape in shapes), strict=True):
            if dim.dim_param:
                assert dynamic or dim.dim_param == "batch" or heads == "nms", output.name
            else:
                assert {dim.dim_value} == set(actual), output.name
