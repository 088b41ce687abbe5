"""ONNX files in OpenVINO with float32 arithmetic, beside ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import darkparse
from tests.conftest import exhaustive, needs_shared
from tests.model.reference.parameters import write_weights
from tests.model.test_reference import NUMBERS, REFERENCE
from tests.onnx.onnx_runtime import Runner
from tests.onnx.reference_networks import iterate_references
from tests.onnx.test_in_place import OPENVINO_CLOSE, make_inputs

SAMPLE = [
    "alexeyab/detection_softmax",
    "alexeyab/gaussian_yolo",
    "alexeyab/reorg",
    "alexeyab/route_groups_multi",
    "alexeyab/upsample",
    "pjreddie/region",
    "pjreddie/route_3",
]


def assert_openvino_agrees(network: darkparse.Network, folder: Path, x: Any) -> None:
    """OpenVINO's outputs of `x.weights` are within rounding of ONNX Runtime's, or finite at the same places."""
    openvino = pytest.importorskip("openvino")
    darkparse.to_onnx(network, folder / "x.onnx", weights=folder / "x.weights", dynamic_batch=False)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(folder / "x.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    feeds = {port.any_name: np.zeros(tuple(port.shape), np.float32) for port in compiled.inputs}
    outputs = compiled(feeds | {"image": x})
    for name, expected in Runner(folder / "x.onnx")(x).items():
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(np.isfinite(outputs[name]), finite)
        scale = max(1.0, float(np.abs(expected[finite]).max(initial=0)))
        assert np.abs(outputs[name][finite] - expected[finite]).max(initial=0) <= OPENVINO_CLOSE * scale, network.name


@pytest.mark.parametrize("name", SAMPLE)
def test_openvino_outputs_of_a_unit_network_equal_onnx_runtime(name: str, tmp_path: Path) -> None:
    numbers, (dialect, unit) = NUMBERS[name], name.split("/")
    write_weights(tmp_path / "x.weights", unit, numbers["arrays"], numbers["seed"], numbers["header"])
    network = darkparse.compile(REFERENCE / "units" / f"{unit}.cfg", dialect=dialect)
    assert_openvino_agrees(network, tmp_path, make_inputs(network, unit, numbers)[0])


@needs_shared
@pytest.mark.long
@pytest.mark.parametrize("small", [True, pytest.param(False, marks=exhaustive)], ids=["small", "large"])
def test_openvino_outputs_of_the_whole_set_equal_onnx_runtime(small: bool, tmp_path: Path) -> None:
    compared = 0
    for network, name, numbers in iterate_references(tmp_path, small=small):
        assert_openvino_agrees(network, tmp_path, make_inputs(network, name, numbers)[0])
        compared += 1
    assert compared > 80
