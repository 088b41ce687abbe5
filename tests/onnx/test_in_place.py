"""ONNX graphs that refer to the arrays of a `.weights` file: equal outputs, small files, and refusals."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import darkparse
from darkparse.cli import main
from darkparse.network.dynamic_axes import HEAD_FORMS, Heads
from darkparse.onnx.in_place import WeightsReference
from darkparse.onnx.validate import read_metadata
from tests.conftest import SHARED, exhaustive, needs_shared
from tests.export.test_source import initialized
from tests.export.test_targets import SMALL
from tests.model.reference.parameters import network_input, write_weights
from tests.model.test_reference import NUMBERS, REFERENCE
from tests.onnx.onnx_runtime import Runner
from tests.onnx.reference_networks import SMALL_REFERENCES, iterate_references, mark_repeated_references
from tests.onnx.test_onnx import GREEDY

OPENVINO_CLOSE = 1e-5
MODELS = ("MobileNetV2-YOLO-Fastest-voc", "yolo-fastest-1.1", "yolo-fastest-1.1-xl")


def assert_equal_in_place(network: darkparse.Network, folder: Path, inputs: list[Any], **options: Any) -> None:
    """A graph that refers to `x.weights` has the outputs of a graph with copies, bit for bit."""
    weights = folder / "x.weights"
    darkparse.to_onnx(network, folder / "copied.onnx", weights=weights, fold=False, **options)
    darkparse.to_onnx(network, folder / "in_place.onnx", weights=weights, in_place=True, **options)
    copied, in_place = Runner(folder / "copied.onnx"), Runner(folder / "in_place.onnx")
    for x in inputs:
        expected, actual = copied(x), in_place(x)
        assert expected.keys() == actual.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(actual[name], values, strict=True)


def make_inputs(network: darkparse.Network, name: str, numbers: Any) -> list[Any]:
    c, h, w, size = map(int, numbers["input"])
    shape = (1, c, h, w) if c * h * w == size else (1, size)
    steps = range(len(numbers["rms"]))
    return [network_input(name, int(numbers["seed"]), size, step).reshape(shape) for step in steps]


@pytest.mark.parametrize("name", mark_repeated_references(SMALL_REFERENCES))
def test_in_place_graph_of_a_reference_network_equals_the_copied_graph(name: str, tmp_path: Path) -> None:
    numbers, (dialect, unit) = NUMBERS[name], name.split("/")
    write_weights(tmp_path / "x.weights", unit, numbers["arrays"], numbers["seed"], numbers["header"])
    network = darkparse.compile(REFERENCE / "units" / f"{unit}.cfg", dialect=dialect)
    assert_equal_in_place(network, tmp_path, make_inputs(network, unit, numbers))


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("small", [True, pytest.param(False, marks=exhaustive)], ids=["small", "large"])
def test_in_place_graphs_of_the_whole_set_equal_the_copied_graphs(small: bool, tmp_path: Path) -> None:
    compared = 0
    for network, name, numbers in iterate_references(tmp_path, small=small):
        assert_equal_in_place(network, tmp_path, make_inputs(network, name, numbers))
        compared += 1
    assert compared > 80


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Directory with `x.cfg` and its `x.weights`."""
    (tmp_path / "x.cfg").write_text(SMALL)
    darkparse.save_weights(initialized(darkparse.compile(SMALL)), tmp_path / "x.weights")
    return tmp_path


@pytest.mark.parametrize(
    ("heads", "dynamic_size"),
    [
        pytest.param(heads, dynamic, marks=() if not dynamic or heads == "nms" else pytest.mark.slow)
        for heads in HEAD_FORMS
        for dynamic in (False, True)
    ],
)
def test_in_place_graph_has_every_head_form(heads: Heads, dynamic_size: bool, small: Path) -> None:
    network = darkparse.compile(GREEDY, dialect="alexeyab")
    x = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    assert_equal_in_place(network, small, [x], heads=heads, dynamic_size=dynamic_size, threshold=0.2)


def test_in_place_graph_refers_to_every_byte_behind_the_header(small: Path) -> None:
    onnx = pytest.importorskip("onnx")
    network = darkparse.compile("yolov3-tiny", dialect="alexeyab")
    darkparse.to_onnx(network, small / "x.onnx", weights=make_sparse(small / "y.weights"), in_place=True)
    model = onnx.load(small / "x.onnx", load_external_data=False)
    places = [{entry.key: entry.value for entry in t.external_data} for t in model.graph.initializer if t.external_data]
    assert {place["location"] for place in places} == {"y.weights"}
    ends = sorted((int(place["offset"]), int(place["offset"]) + int(place["length"])) for place in places)
    assert ends[0][0] == 20
    assert ends[-1][1] == (small / "y.weights").stat().st_size
    assert all(end == start for (_, end), (start, _) in pairwise(ends))
    assert (small / "x.onnx").stat().st_size < 100_000


def make_sparse(path: Path) -> Path:
    """Write a file of zeros that fits yolov3-tiny."""
    with path.open("wb") as file:
        file.write(np.array([0, 2, 0, 0, 0], np.int32).tobytes())
        file.truncate(20 + 4 * darkparse.compile("yolov3-tiny").stored_floats)
    return path


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_in_place_graph_of_a_trained_network_is_small_and_equal(name: str, tmp_path: Path) -> None:
    (tmp_path / "x.weights").write_bytes((SHARED / "models" / f"{name}.weights").read_bytes())
    network = darkparse.compile(SHARED / "models" / f"{name}.cfg")
    x = np.random.default_rng(0).random((1, *network.input_shape.tensor), np.float32)
    for heads in HEAD_FORMS:
        assert_equal_in_place(network, tmp_path, [x], heads=heads)
        assert (tmp_path / "in_place.onnx").stat().st_size < 130_000


@pytest.mark.parametrize(
    "name",
    [
        *("alexeyab/yolo_scale", "alexeyab/lstm_bn"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("alexeyab/route_groups", "alexeyab/connected_bn")),
    ],
)
def test_openvino_reads_an_in_place_graph(name: str, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    numbers, (dialect, unit) = NUMBERS[name], name.split("/")
    write_weights(tmp_path / "x.weights", unit, numbers["arrays"], numbers["seed"], numbers["header"])
    network = darkparse.compile(REFERENCE / "units" / f"{unit}.cfg", dialect=dialect)
    darkparse.to_onnx(network, tmp_path / "x.onnx", weights=tmp_path / "x.weights", in_place=True, dynamic_batch=False)
    core, runner = openvino.Core(), Runner(tmp_path / "x.onnx")
    compiled = core.compile_model(core.read_model(tmp_path / "x.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    x = make_inputs(network, unit, numbers)[0]
    feeds = {port.any_name: np.zeros(tuple(port.shape), np.float32) for port in compiled.inputs}
    outputs = compiled(feeds | {"image": x})
    for output, expected in runner(x).items():
        scale = max(1.0, float(np.abs(expected).max()))
        assert np.abs(outputs[output] - expected).max() <= OPENVINO_CLOSE * scale


BLOCKED = """
import sys
for name in ("torch", "numpy", "click", "rich"):
    sys.modules[name] = None
import darkparse
from darkparse.network.diff import diff_networks
from darkparse.views.text.table import table
network = darkparse.compile("x.cfg")
assert "<svg" in darkparse.draw(network).data("svg").decode()
assert "conv" in str(darkparse.explain(network)) and "conv" in str(table(network))
assert all(finding.code for finding in network.diagnostics)
assert all(pair.is_alike for pair in diff_networks(network, network).pairs)
assert "class" in darkparse.to_source(network)
report = darkparse.inspect_weights("x.cfg", "x.weights")
assert report.fits and report.header.size == 20 and report.rows[0].floats_in_file
other = darkparse.inspect_weights(darkparse.edit(network, classes=7), "x.weights")
assert not other.fits and other.causes[0].code == "classes", other
darkparse.to_onnx("x.cfg", "blocked.onnx", weights="x.weights", in_place=True, heads="nms")
"""


def test_in_place_graph_and_inspection_need_no_numpy(small: Path) -> None:
    run = subprocess.run([sys.executable, "-c", BLOCKED], cwd=small, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    darkparse.to_onnx(small / "x.cfg", small / "x.onnx", weights=small / "x.weights", in_place=True, heads="nms")
    assert (small / "blocked.onnx").read_bytes() == (small / "x.onnx").read_bytes()


def test_command_writes_and_verifies_an_in_place_graph(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main_in(small, "convert", "x.cfg", "x.weights", "-o", "x.onnx", "--in-place", "--verify")
    assert "largest difference" in capsys.readouterr().err
    reference = WeightsReference.from_metadata(read_metadata(small / "x.onnx"))
    assert reference is not None
    assert (reference.file, reference.bytes) == ("x.weights", (small / "x.weights").stat().st_size)
    assert reference.check(small / "x.onnx") == small / "x.weights"


def main_in(folder: Path, *arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(list(arguments))


@pytest.mark.parametrize("rewritten", ["longer header", "cut", "missing", "version"])
def test_changed_weights_are_refused(rewritten: str, small: Path) -> None:
    path = small / "x.weights"
    old = path.read_bytes()
    path.write_bytes(np.array([0, 1, 0, 0], np.int32).tobytes() + old[20:])
    darkparse.to_onnx(small / "x.cfg", small / "x.onnx", weights=path, in_place=True)
    reference = WeightsReference.from_metadata(read_metadata(small / "x.onnx"))
    assert reference is not None
    assert reference.header_bytes == 16
    assert reference.check(small / "x.onnx") == path
    if rewritten == "missing":
        path.unlink()
    else:
        new = {"longer header": old, "cut": path.read_bytes()[:-4], "version": b"\3" + path.read_bytes()[1:]}
        path.write_bytes(new[rewritten])
    with pytest.raises(darkparse.WeightsError, match="hint: write the graph again"):
        reference.check(small / "x.onnx")


def test_graph_in_another_directory_is_refused(small: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    link = other / "x.weights"
    link.symlink_to(small / "x.weights")
    for weights in (small / "x.weights", link):
        with pytest.raises(darkparse.DarkparseError, match=f"hint: write the graph to {small.resolve()}"):
            darkparse.to_onnx(small / "x.cfg", other / "x.onnx", weights=weights, in_place=True)
    assert [path.name for path in other.iterdir()] == ["x.weights"]


def test_value_without_place_in_weights_file_is_refused(small: Path) -> None:
    weights = small / "x.weights"
    model = darkparse.load(small / "x.cfg", weights)
    darkparse.save(model, small / "x.safetensors")
    for source, options, message in (
        (small / "x.cfg", {"weights": small / "x.safetensors"}, "expected a .weights file to refer to, got a safe"),
        (small / "x.cfg", {"weights": weights.read_bytes()}, "got bytes or a pipe"),
        (small / "x.cfg", {"weights": weights, "half": True}, "got half=True"),
        (model, {}, "got a module"),
    ):
        with pytest.raises(darkparse.DarkparseError, match=message):
            darkparse.to_onnx(source, small / "x.onnx", in_place=True, **options)
    with pytest.raises(darkparse.DarkparseError, match="is the weights file"):
        darkparse.to_onnx(small / "x.cfg", weights, weights=weights, in_place=True)
    assert not (small / "x.onnx").exists()


def test_detector_reads_the_weights_of_an_in_place_graph_and_refuses_changed_ones(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main_in(small, "convert", "x.cfg", "x.weights", "-o", "x.onnx", "--in-place")
    Image.new("RGB", (40, 30), (200, 90, 40)).save(small / "x.png")
    expected = darkparse.Detector.load(small / "x.cfg", small / "x.weights").detect(small / "x.png", threshold=0.1)
    assert darkparse.Detector.load(small / "x.cfg", small / "x.onnx").detect(small / "x.png", threshold=0.1) == expected
    assert list(expected)
    old = (small / "x.weights").read_bytes()
    (small / "x.weights").write_bytes(np.array([0, 1, 0, 0], np.int32).tobytes() + old[20:])
    with pytest.raises(darkparse.WeightsError, match=r"has changed since x\.onnx was written"):
        darkparse.Detector.load(small / "x.cfg", small / "x.onnx")
    for command in (
        ("detect", "x.cfg", "x.onnx", "x.png"),
        ("compare", "x.cfg", "x.weights", "x.png", "--against", "x.onnx"),
    ):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main_in(small, *command)
        assert stop.value.code == 2
        assert "has changed since" in capsys.readouterr().err.replace("\n", " ")
    (small / "x.weights").write_bytes(old)
    darkparse.to_onnx(small / "x.cfg", small / "copied.onnx", weights=small / "x.weights")
    with pytest.raises(darkparse.WeightsError, match="it is an ONNX model"):
        darkparse.Detector.load(small / "x.cfg", small / "copied.onnx")
