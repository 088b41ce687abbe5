"""ONNX files, written from the representation: the numbers are Darknet's and the module's, in ONNX Runtime."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import darkparse
from darkparse.detect.nms import suppress
from darkparse.model import Decoder
from darkparse.network.dynamic_axes import Heads
from darkparse.network.suppression import get_suppression
from darkparse.onnx.serialization import MIN_EXTERNAL_SIZE
from darkparse.onnx.validate import check_structure
from darkparse.onnx.write import OPSETS
from tests.conftest import DATA, SHARED, examples, exhaustive, needs_shared
from tests.export.test_agreement import BLOCKS, grown
from tests.export.test_source import initialized, outputs
from tests.export.test_targets import SMALL
from tests.model.reference.parameters import network_input, sampled, write_weights
from tests.model.test_reference import NUMBERS, REFERENCE, TOLERANCE
from tests.onnx.onnx_runtime import Runner
from tests.onnx.reference_networks import SMALL_REFERENCES, iterate_references

GREEDY = SMALL.replace("num=2\n", "num=2\nnms_kind=greedynms\nbeta_nms=0.6\n")
KINDS = sorted((DATA / "kinds").glob("*.cfg"))
CLOSE = 1e-5
"""Largest difference from the module, as a part of the largest value (or of 1): rounding."""


def assert_close(found: Any, want: Any, close: float = CLOSE) -> None:
    assert found.shape == want.shape
    assert np.abs(found - want).max(initial=0) <= close * max(1, np.abs(want).max(initial=0))


def assert_same(model: darkparse.Darknet, path: Path, batch: int = 2, **arguments: Any) -> None:
    """The file gives what the module gives, for two inputs one after the other."""
    darkparse.to_onnx(model, path, **arguments)
    run = Runner(path)
    model.reset_state()
    for _ in range(2):
        x = torch.rand(batch, *model.network.input_shape.tensor) - 0.3
        for want, found in zip(outputs(model, x), run(x.numpy()).values(), strict=True):
            assert_close(found, want.numpy())


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SMALL_REFERENCES else pytest.mark.slow) for name in NUMBERS]
)
def test_onnx_outputs_equal_darknet(name: str, tmp_path: Path) -> None:
    numbers, (dialect, network) = NUMBERS[name], name.split("/")
    write_weights(tmp_path / "x.weights", network, numbers["arrays"], numbers["seed"], numbers["header"])
    compiled = darkparse.compile(REFERENCE / "units" / f"{network}.cfg", dialect=dialect)
    assert_darknets(compiled, network, tmp_path, numbers)


def assert_darknets(network: darkparse.Network, name: str, folder: Path, numbers: Any) -> None:
    """The outputs of a file made of `x.weights` are those that Darknet computed, batch norm folded or not."""
    for fold in (True, False):
        darkparse.to_onnx(network, folder / "x.onnx", weights=folder / "x.weights", fold=fold)
        run, (c, h, w, inputs) = Runner(folder / "x.onnx"), map(int, numbers["input"])
        for step in range(len(numbers["rms"])):
            x = network_input(name, int(numbers["seed"]), inputs, step)
            found = run(x.reshape((1, c, h, w) if c * h * w == inputs else (1, inputs)))
            for index, ours in zip(network.outputs, found.values(), strict=True):
                want, rms = np.array(numbers["sample"][step][index]), float(numbers["rms"][step][index])
                places = sampled(int(numbers["outputs"][index]), len(want))
                if ours.size < int(numbers["outputs"][index]):  # blurred: the start of Darknet's buffer
                    want, places = want[places < ours.size], places[places < ours.size]
                assert np.abs(ours.reshape(-1)[places] - want).max() <= TOLERANCE * max(rms, 1e-6), (index, step)


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("small", [True, pytest.param(False, marks=exhaustive)], ids=["small", "large"])
def test_onnx_outputs_of_whole_reference_set_equal_darknet(small: bool, tmp_path: Path) -> None:
    """All of it has a graph form: networks with a memory take and give their states."""
    checked = 0
    for network, name, numbers in iterate_references(tmp_path, small=small):
        assert_darknets(network, name, tmp_path, numbers)
        checked += 1
    assert checked > 80


@pytest.mark.parametrize("path", KINDS, ids=lambda path: path.stem)
@pytest.mark.parametrize("dialect", ["pjreddie", "alexeyab"])
def test_onnx_of_every_kind_equals_module(path: Path, dialect: str, tmp_path: Path) -> None:
    try:
        network = darkparse.compile(path, dialect=dialect)
    except darkparse.CfgError:
        pytest.skip(f"not possible: {dialect} does not know these kinds")
    assert_same(initialized(network), tmp_path / "x.onnx")


@pytest.mark.slow
@examples(60)
@given(
    blocks=st.lists(BLOCKS, min_size=1, max_size=3),
    dialect=st.sampled_from(["pjreddie", "alexeyab"]),
    fold=st.booleans(),
)
def test_onnx_of_any_network_equals_module(
    blocks: list[list[str]], dialect: str, fold: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = initialized(grown((more for block in blocks for more in block), dialect))
    # A maximum over nothing but padding is the lowest number, whose sums overflow.
    assume(all(bool((x.abs() < 1e20).all()) for x in model.layer_outputs(torch.rand(1, 3, 12, 10))))
    assert_same(model, tmp_path_factory.mktemp("any") / "x.onnx", fold=fold)


MAPS = """
[net]
width=32
height=32
channels=4
[convolutional]
filters=16
size=3
pad=1
activation=mish
[reorg]
stride=2
[reorg3d]
stride=2
reverse=1
[reorg3d]
stride=2
[reorg]
stride=2
reverse=1
[maxpool]
size=3
stride=2
[upsample]
stride=2
[local_avgpool]
size=2
stride=2
padding=3
[implicit]
filters=16
[scale_channels]
from=-2
[shortcut]
from=-3
weights_type=per_channel
weights_normalization=relu
"""


@pytest.mark.parametrize(("text", "heads"), [(SMALL, "raw"), (SMALL, "decoded"), (MAPS, "raw")])
def test_onnx_dynamic_batch_and_size_equal_module(text: str, heads: Heads, tmp_path: Path) -> None:
    network = darkparse.compile(text, dialect="alexeyab")
    model = initialized(network)
    darkparse.to_onnx(model, tmp_path / "x.onnx", heads=heads, dynamic_size=True)
    run = Runner(tmp_path / "x.onnx")
    assert run.session.get_inputs()[0].shape == ["batch", network.net.channels, "height", "width"]
    for batch, size in ((1, (32, 32)), (3, (64, 32))):
        x = torch.rand(batch, network.net.channels, *size)
        (want,) = outputs(model, x)
        if heads == "decoded":
            boxes, scores, _ = Decoder(network)([want], size)
            want = torch.cat((boxes, scores), 2)
        assert_close(next(iter(run(x.numpy()).values())), want.numpy())


def test_onnx_file_names_layers_and_network(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = initialized(darkparse.compile(SMALL))
    darkparse.to_onnx(model, tmp_path / "x.onnx", fold=False)
    proto = onnx.load(tmp_path / "x.onnx")
    assert [output.name for output in proto.graph.output] == ["yolo_3"]
    assert proto.graph.node[0].name == "L0_convolutional/Conv"
    assert {tensor.name for tensor in proto.graph.initializer if tensor.name.startswith("layers")} == set(
        model.state_dict()
    )
    facts = {entry.key: entry.value for entry in proto.metadata_props}
    assert darkparse.compile(facts["darkparse.cfg"]).heads == (3,)
    assert (facts["darkparse.classes"], json.loads(facts["darkparse.anchors"])) == ("3", [[[4.0, 5.0], [9.0, 7.0]]])


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("heads", ["raw", "decoded", "nms"])
def test_onnx_file_passes_checker(heads: Heads, opset: int, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    for half, text in ((False, GREEDY), (True, SMALL)):
        model = initialized(darkparse.compile(text, dialect="alexeyab"))
        darkparse.to_onnx(model, tmp_path / "x.onnx", heads=heads, half=half, opset=opset, dynamic_size=True)
        onnx.checker.check_model(onnx.load(tmp_path / "x.onnx"), full_check=True)


@pytest.mark.parametrize("text", [SMALL, GREEDY], ids=["sort", "greedynms"])
def test_onnx_nms_equals_suppress(text: str, tmp_path: Path) -> None:
    network = darkparse.compile(text, dialect="alexeyab")
    model = initialized(network)
    darkparse.to_onnx(model, tmp_path / "n.onnx", heads="nms", threshold=0.2, nms=0.3)
    x = torch.rand(2, 3, 32, 32)
    found = Runner(tmp_path / "n.onnx")(x.numpy())["detections"]
    with torch.no_grad():
        boxes, scores, objectness = Decoder(network)(outputs(model, x))
    total = 0
    for image in range(2):
        box, label = ((scores[image] > 0.2) & (objectness[image] > 0.2)[:, None]).nonzero(as_tuple=True)
        values = scores[image, box, label].numpy()
        kept = suppress(boxes[image, box].numpy(), values, label.numpy(), 0.3, get_suppression(network))
        mine = sorted((int(label[i]), round(float(values[i]), 4)) for i in kept)
        theirs = sorted((int(row[1]), round(float(row[2]), 4)) for row in found[found[:, 0] == image])
        assert theirs == mine
        total += len(mine) - len(values)
    assert total < 0, "nothing was suppressed, so the test shows nothing"
    assert (np.diff(found[:, 2]) <= 0).all()


@pytest.mark.parametrize("text", [SMALL, GREEDY], ids=["sort", "greedynms"])
def test_onnx_nms_without_detections_is_empty(text: str, tmp_path: Path) -> None:
    model = initialized(darkparse.compile(text, dialect="alexeyab"))
    darkparse.to_onnx(model, tmp_path / "n.onnx", heads="nms", threshold=1.0)
    assert Runner(tmp_path / "n.onnx")(np.zeros((1, 3, 32, 32), np.float32))["detections"].shape == (0, 7)


TREES = [(name, dialect) for name in ("region_tree", "region_background") for dialect in ("pjreddie", "alexeyab")]
UNITS = ("region", "yolo_scale", "yolo_new_coords", "gaussian_yolo", "detection_softmax")


@pytest.mark.parametrize(("name", "dialect"), [*TREES, *((name, "alexeyab") for name in UNITS)])
def test_onnx_decoded_heads_equal_decoder(name: str, dialect: str, tmp_path: Path) -> None:
    folder = REFERENCE / "units" if name in UNITS else DATA / "kinds"
    network = darkparse.compile(folder / f"{name}.cfg", dialect=dialect)
    model = initialized(network)
    darkparse.to_onnx(model, tmp_path / "x.onnx", heads="decoded")
    x = torch.rand(2, *network.input_shape.tensor)
    boxes, scores, _ = Decoder(network)(outputs(model, x))
    assert_close(Runner(tmp_path / "x.onnx")(x.numpy())["boxes"], torch.cat((boxes, scores), 2).numpy())
    assert bool((scores != 0).any())


@pytest.mark.parametrize("heads", ["raw", "nms"])
def test_onnx_external_data_is_whole_or_absent(heads: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkparse.onnx.serialization.MAX_INLINE_SIZE", 0)
    model = initialized(darkparse.compile(SMALL.replace("filters=8", "filters=64")))
    path = tmp_path / "x.onnx"
    runs = []
    for _ in range(2):
        checked = darkparse.to_onnx(model, path, heads=heads, verify=True)
        assert checked is not None
        assert checked.difference < CLOSE * checked.scale
        runs.append({file.name: file.read_bytes() for file in tmp_path.iterdir()})
    assert set(runs[0]) == {"x.onnx", "x.onnx.data"}
    assert runs[0] == runs[1]
    assert len(runs[0]["x.onnx.data"]) > MIN_EXTERNAL_SIZE
    Runner(path)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    monkeypatch.setattr("darkparse.model.verification.MAX_FLOAT_DIFFERENCE", -1.0)
    with pytest.raises(darkparse.DarkparseError, match="was deleted"):
        darkparse.to_onnx(model, path, heads=heads, verify=True)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == runs[0]


def test_check_structure_of_damaged_file_raises(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    darkparse.to_onnx(initialized(darkparse.compile(SMALL)), path)
    whole = path.read_bytes()
    check_structure(path)
    middle = len(whole) // 2
    for damaged, message in (
        (whole[:-1], "exceeds its message"),
        (whole[:middle] + whole[middle + 4 :], "exceeds its message"),
        (whole.replace(b"L1_maxpool/MaxPool", b"L1_maxpool/MaxPoor", 1), "which no earlier node produces"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(darkparse.DarkparseError, match=message):
            check_structure(path)


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (SMALL, {"heads": "boxes"}, "heads must be one of raw, decoded, yolov5, yolov8, nms"),
        ("[net]\nwidth=8\nheight=8\nchannels=3\n[avgpool]\n", {"heads": "decoded"}, "has no detection head"),
        (
            "[net]\nwidth=8\nheight=8\nchannels=3\n[connected]\noutput=4\n",
            {"dynamic_size": True},
            "requires a fixed input size",
        ),
        (
            GREEDY.replace("greedynms", "cornersnms")
            .replace("[yolo]", "[Gaussian_yolo]")
            .replace("filters=16", "filters=24"),
            {"heads": "nms"},
            "cornersnms cannot be exported",
        ),
        (SMALL, {"opset": OPSETS[0] - 1}, "opset must be 18 to"),
        (SMALL, {"opset": 999}, "opset must be 18 to"),
        (SMALL, {"heads": "nms", "classes": ()}, "classes must name at least one class, got none"),
        (SMALL, {"heads": "nms", "classes": (3,)}, "unknown class 3; expected a number from 0 to 2"),
        (SMALL, {"heads": "nms", "classes": (-1,)}, "unknown class -1; expected a number from 0 to 2"),
        (
            "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=4\n[maxpool]\nsize=2\nstride=2\n[shortcut]\nfrom=0\n",
            {"dynamic_size": True},
            r"layer 2 \[shortcut\] adds maps of different sizes, so height and width cannot be dynamic",
        ),
        (
            "[net]\nwidth=8\nheight=8\nchannels=3\n[connected]\noutput=160\n[detection]\nside=4\nnum=2\nclasses=2\ncoords=3\n",
            {"heads": "decoded"},
            r"cannot decode boxes of a \[detection\] head with coords=3; expected coords=4",
        ),
    ],
)
def test_to_onnx_unsupported_options_raise(text: str, arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    model = initialized(darkparse.compile(text, dialect="alexeyab"))
    with pytest.raises(darkparse.DarkparseError, match=message):
        darkparse.to_onnx(model, tmp_path / "x.onnx", **arguments)
    assert not list(tmp_path.iterdir())


def test_to_onnx_without_weights_raises(tmp_path: Path) -> None:
    network = darkparse.compile(SMALL)
    with pytest.raises(darkparse.NoWeightsError, match="no weights yet"):
        darkparse.to_onnx(darkparse.build(network), tmp_path / "x.onnx")
    with pytest.raises(darkparse.DarkparseError, match="no weights to export"):
        darkparse.to_onnx(network, tmp_path / "x.onnx")


def test_to_onnx_half_keeps_float32_inputs_and_outputs(tmp_path: Path) -> None:
    model = initialized(darkparse.compile(SMALL))
    checked = darkparse.to_onnx(model, tmp_path / "x.onnx", half=True, verify=True)
    assert checked is not None
    assert 0 < checked.difference < 1e-2
    run = Runner(tmp_path / "x.onnx").session
    assert {value.type for value in (*run.get_inputs(), *run.get_outputs())} == {"tensor(float)"}


XNOR = """
[net]
width=64
height=64
channels=3
[convolutional]
batch_normalize=1
filters=8
size=3
pad=1
activation=leaky
"""


@pytest.mark.parametrize("dialect", ["pjreddie", "alexeyab"])
def test_onnx_sign_of_zero_sum_equals_module(dialect: str, tmp_path: Path) -> None:
    """Filters of signs add up to 0 often, and what comes behind takes the sign of that."""
    layer = XNOR.partition("[convolutional]")[2]
    text = XNOR + f"[convolutional]{layer}xnor=1\n" * 2
    model = darkparse.build(darkparse.compile(text, dialect=dialect), initialize=True).eval()
    checked = darkparse.to_onnx(model, tmp_path / "x.onnx", verify=True)
    assert checked is not None
    assert checked.difference < CLOSE


def test_convert_to_onnx_imports_neither_torch_nor_onnx(tmp_path: Path) -> None:
    (tmp_path / "x.cfg").write_text(SMALL)
    darkparse.save_weights(initialized(darkparse.compile(SMALL)), tmp_path / "x.weights")
    script = """
import sys
from darkparse.cli import main
try:
    main(["convert", "x.cfg", "x.weights", "-o", "x.onnx", "--heads", "nms"])
except SystemExit as stop:
    assert stop.code in (None, 0)
assert not {"torch", "onnx", "onnxruntime"} & set(sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "not run" in run.stderr
    assert Runner(tmp_path / "x.onnx")(np.zeros((1, 3, 32, 32), np.float32))["detections"].shape[1] == 7


MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, capture_output=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


@pytest.mark.slow
def test_convert_yolov3_to_onnx_is_fast_and_small(tmp_path: Path) -> None:
    """As a whole process; the weights are a file with a hole."""
    pytest.importorskip("resource")
    floats = darkparse.compile("yolov3").stored_floats
    with (tmp_path / "x.weights").open("wb") as file:
        file.write(np.array([0, 2, 0, 0, 0], np.int32).tobytes())
        file.truncate(20 + 4 * floats)
    command = [sys.executable, "-m", "darkparse", "convert", "yolov3", "x.weights", "-o", "x.onnx"]
    run = subprocess.run(
        [sys.executable, "-c", MEASURED, *command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    seconds, memory = map(float, run.stdout.split())
    assert seconds < 2.5
    assert memory < 350e6
    assert (tmp_path / "x.onnx").stat().st_size > 0.99 * 4 * floats


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolo-fastest-1.1", "yolo-fastest-1.1-xl", "MobileNetV2-YOLO-Fastest-voc"])
def test_trained_model_in_onnx_finds_dog_in_opencv(name: str, tmp_path: Path) -> None:
    model = darkparse.load(SHARED / "models" / f"{name}.cfg", SHARED / "models" / f"{name}.weights")
    checked = darkparse.to_onnx(model, tmp_path / "x.onnx", heads="decoded", verify=True)
    assert checked is not None
    assert checked.difference < 1e-4
    cv2 = pytest.importorskip("cv2", minversion="5")
    net = model.network.net
    image = cv2.imread(str(SHARED / "images" / "dog.png"))
    blob = cv2.dnn.blobFromImage(image, 1 / 255, (net.width, net.height), swapRB=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader = cv2.dnn.readNetFromONNX(str(tmp_path / "x.onnx"))
        reader.setInput(blob)
        rows = reader.forward()
    expected = Runner(tmp_path / "x.onnx")(blob)["boxes"]
    assert np.abs(rows.reshape(expected.shape) - expected).max() < 1e-3
    dog = 11 if "voc" in name else 16
    threshold = 0.25  # of `darkparse detect`; Darknet itself finds 0.33, 0.65 and 0.93
    assert rows.reshape(-1, expected.shape[-1])[:, 4 + dog].max() > threshold


def test_check_structure_of_value_that_is_produced_twice_raises(tmp_path: Path) -> None:
    onnx, path = pytest.importorskip("onnx"), tmp_path / "x.onnx"
    darkparse.to_onnx(initialized(darkparse.compile(SMALL)), path)
    model = onnx.load(path)
    model.graph.node.append(model.graph.node[0])
    onnx.save(model, path)
    with pytest.raises(darkparse.DarkparseError, match="is produced twice"):
        check_structure(path)


def test_to_onnx_deletes_file_that_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise darkparse.DarkparseError("damaged")

    monkeypatch.setattr("darkparse.onnx.write.check_structure", refuse)
    with pytest.raises(darkparse.DarkparseError, match="damaged"):
        darkparse.to_onnx(initialized(darkparse.compile(SMALL)), tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())
