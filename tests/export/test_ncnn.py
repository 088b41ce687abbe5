"""Networks through pnnx in ncnn, which takes every value that nothing reads for an output."""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import darkparse
from tests.conftest import DATA
from tests.export.test_source import initialized
from tests.model.test_reference import REFERENCE

KINDS = sorted((DATA / "kinds").glob("*.cfg"))
GROUPED = sorted((REFERENCE / "units").glob("route_groups*.cfg"))
CLOSE = 1e-5


def trace(module: Any, x: torch.Tensor) -> Any:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return torch.jit.trace(module, x, check_trace=False)


@pytest.mark.parametrize("path", [*KINDS, *GROUPED], ids=lambda path: path.stem)
def test_traced_module_reads_every_part_of_a_split(path: Path) -> None:
    network = darkparse.compile(path)
    if any(node.layer.has_state for node in network.nodes):
        pytest.skip("not possible: a stateful network is not traced")
    graph = trace(initialized(network), torch.rand(1, *network.input_shape.tensor)).inlined_graph
    unread = [node for node in graph.findAllNodes("prim::ListUnpack") for value in node.outputs() if not value.uses()]
    assert not unread
    assert not any(str(node.kind()) == "aten::chunk" for node in graph.nodes())


def make_source_module(model: darkparse.Darknet) -> Any:
    """Return the module of the emitted source, with the model's weights."""
    names: dict[str, Any] = {"__name__": "emitted"}
    exec(darkparse.to_source(model.network), names)
    module = names["YOLOv4Tiny"]().eval()
    module.load_state_dict(model.state_dict(), assign=True)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("form", ["module", "source"])
def test_yolov4_tiny_in_ncnn_equals_module(form: str, tmp_path: Path) -> None:
    pnnx = pytest.importorskip("pnnx", reason="needs pnnx: pip install 'darkparse[bench]'")
    ncnn = pytest.importorskip("ncnn", reason="needs ncnn: pip install 'darkparse[bench]'")
    model = initialized(darkparse.compile("yolov4-tiny", size=64))
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = model(x)
    trace(darkparse.fuse(model) if form == "module" else make_source_module(model), x).save(str(tmp_path / "x.pt"))
    command = [pnnx.EXEC_PATH, "x.pt", "inputshape=[1,3,64,64]", "fp16=0"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    net = ncnn.Net()
    net.load_param(str(tmp_path / "x.ncnn.param"))
    net.load_model(str(tmp_path / "x.ncnn.bin"))
    extractor = net.create_extractor()
    extractor.input("in0", ncnn.Mat(x[0].numpy()).clone())
    assert list(net.output_names()) == ["out0", "out1"]
    for name, output in zip(net.output_names(), expected, strict=True):
        actual = np.array(extractor.extract(name)[1])
        assert np.abs(actual - output[0].numpy()).max() <= CLOSE * max(1.0, float(output.abs().max()))
        assert float(output.std()) > 0.01, "the outputs must differ from one place to another"
