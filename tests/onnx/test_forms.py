"""Forms of an ONNX file's outputs: what each contains, and networks that do not have one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import darkparse
from darkparse.network.dynamic_axes import Heads
from tests.conftest import DATA
from tests.export.test_source import initialized
from tests.export.test_targets import SMALL

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
