"""ONNX, torch.export, TorchScript, AOTInductor: each file computes what the module computes."""

from __future__ import annotations

import copy
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import darkparse
from darkparse.cli.exporting import ending_of
from darkparse.export.onnx import OPSET, check_onnx
from darkparse.export.tracing import Free, Heads, step_of
from darkparse.export.verification import compare
from darkparse.model.modules import BatchNorm
from tests.conftest import SHARED, exhaustive, needs_shared
from tests.export.test_source import initialized, outputs

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

HEAD = "[yolo]\nmask=0,1\nanchors=4,5,9,7\nclasses=3\nnum=2\n"
SMALL = (
    "[net]\nwidth=32\nheight=32\nchannels=3\n"
    "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\nstride=2\npad=1\nactivation=leaky\n"
    "[maxpool]\nsize=2\nstride=2\n"
    f"[convolutional]\nfilters=16\nsize=1\nactivation=linear\n{HEAD}"
)
GREEDY = SMALL.replace("num=2\n", "num=2\nnms_kind=greedynms\nbeta_nms=0.6\n")
BOUND = 1e-4


def settled(network: darkparse.Network) -> darkparse.Darknet:
    """A module whose batch norms have the statistics of an input, as after training: no value is far from 1."""
    model = initialized(network).train()
    momenta = {module: module.momentum for module in model.modules() if isinstance(module, BatchNorm)}
    for module in momenta:
        module.momentum = 1.0
    with torch.no_grad():
        model(torch.rand(4, *network.input_shape.tensor))
    for module, momentum in momenta.items():
        module.momentum = momentum
    return model.eval()


def rounding(model: darkparse.Darknet) -> float:
    """Largest difference between a module and itself in float64."""
    x = torch.rand(2, *model.network.input_shape.tensor)
    exact = outputs(copy.deepcopy(model).double(), x.double())
    return max(float((a - b).abs().max()) for a, b in zip(outputs(model, x), exact, strict=True))


def session_of(path: Path) -> Any:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.slow
def test_onnx_keeps_batch_and_size_free_and_tells_layers(tmp_path: Path) -> None:
    model = initialized(darkparse.compile(SMALL))
    checked = darkparse.to_onnx(model, tmp_path / "x.onnx", dynamic_size=True)
    assert checked is not None
    assert checked.difference < BOUND
    session = session_of(tmp_path / "x.onnx")
    assert session.get_inputs()[0].shape == ["batch", 3, "height", "width"]
    assert [output.name for output in session.get_outputs()] == ["yolo_3"]
    for batch, size in ((1, 32), (3, 64)):
        x = torch.rand(batch, 3, size, size)
        (mine,), (theirs,) = outputs(model, x), session.run(None, {"image": x.numpy()})
        assert float(np.abs(mine.numpy() - theirs).max()) < BOUND
    import onnx

    proto = onnx.load(tmp_path / "x.onnx")
    assert any(node.name == "L0_convolutional/Conv" for node in proto.graph.node)
    assert str(Path(darkparse.__file__).parent) not in str(proto)
    facts = {entry.key: entry.value for entry in proto.metadata_props}
    assert darkparse.compile(facts["darkparse.cfg"]).heads == (3,)
    assert (facts["darkparse.classes"], json.loads(facts["darkparse.anchors"])) == ("3", [[[4.0, 5.0], [9.0, 7.0]]])


@pytest.mark.slow
@pytest.mark.parametrize("text", [SMALL, GREEDY], ids=["sort", "greedynms"])
def test_suppression_in_the_graph_is_darknets(text: str, tmp_path: Path) -> None:
    from darkparse.detect import Decoder
    from darkparse.detect.nms import suppress, suppression_of

    network = darkparse.compile(text, dialect="alexeyab")
    model = initialized(network)
    darkparse.to_onnx(model, tmp_path / "n.onnx", heads="nms", threshold=0.2, nms=0.3, verify=False)
    session = session_of(tmp_path / "n.onnx")
    x = torch.rand(2, 3, 32, 32)
    found = session.run(["detections"], {"image": x.numpy()})[0]
    with torch.no_grad():
        boxes, scores, objectness = Decoder(network)(outputs(model, x))
    total = 0
    for image in range(2):
        box, label = ((scores[image] > 0.2) & (objectness[image] > 0.2)[:, None]).nonzero(as_tuple=True)
        values = scores[image, box, label].numpy()
        kept = suppress(boxes[image, box].numpy(), values, label.numpy(), 0.3, suppression_of(network))
        mine = sorted((int(label[i]), round(float(values[i]), 4)) for i in kept)
        theirs = sorted((int(row[1]), round(float(row[2]), 4)) for row in found[found[:, 0] == image])
        assert theirs == mine
        total += len(mine) - len(values)
    assert total < 0, "nothing was suppressed, so the test shows nothing"
    assert (np.diff(found[:, 2]) <= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("heads", ["raw", "nms"])
def test_weights_too_large_for_one_file_are_whole_or_not_there(
    heads: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darkparse.export.onnx.LARGEST_FILE", 0)
    model = initialized(darkparse.compile(SMALL.replace("filters=8", "filters=64")))
    path = tmp_path / "x.onnx"
    runs = []
    for _ in range(2):
        checked = darkparse.to_onnx(model, path, heads=heads)
        assert checked is not None
        assert checked.difference < BOUND
        runs.append({file.name: file.read_bytes() for file in tmp_path.iterdir()})
    assert set(runs[0]) == {"x.onnx", "x.onnx.data"}
    assert runs[0] == runs[1]
    session_of(path)
    monkeypatch.setattr("darkparse.export.verification.FLOAT_BOUND", -1.0)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    with pytest.raises(darkparse.DarkparseError, match="it was not kept"):
        darkparse.to_onnx(model, path, heads=heads)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == runs[0]


@pytest.mark.slow
def test_nothing_found_is_an_empty_table(tmp_path: Path) -> None:
    model = initialized(darkparse.compile(GREEDY, dialect="alexeyab"))
    darkparse.to_onnx(model, tmp_path / "n.onnx", heads="nms", threshold=1.0, verify=False)
    assert session_of(tmp_path / "n.onnx").run(None, {"image": np.zeros((1, 3, 32, 32), np.float32)})[0].shape == (0, 7)


@pytest.mark.slow
def test_torch_export_and_torchscript(tmp_path: Path) -> None:
    model = initialized(darkparse.compile(SMALL))
    for write, name in ((darkparse.to_program, "x.pt2"), (darkparse.to_torchscript, "x.ts")):
        checked = write(model, tmp_path / name, heads="decoded")
        assert checked is not None
        assert checked.difference < BOUND
    loaded = torch.export.load(tmp_path / "x.pt2").module()
    assert loaded(torch.rand(5, 3, 32, 32)).shape == (5, 128, 7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.pt2", "x.ts"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="AOTInductor needs a C++ compiler")
def test_aotinductor(tmp_path: Path) -> None:
    checked = darkparse.to_compiled(initialized(darkparse.compile(SMALL)), tmp_path / "x.aoti.pt2", heads="decoded")
    assert checked is not None
    assert checked.difference < BOUND


@pytest.mark.slow
def test_half_precision_keeps_float32_outside(tmp_path: Path) -> None:
    model = initialized(darkparse.compile(SMALL))
    checked = darkparse.to_program(model, tmp_path / "x.pt2", half=True)
    assert checked is not None
    assert 0 < checked.difference < 1e-2
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (SMALL, {"heads": "boxes"}, "heads must be one of raw, decoded, nms"),
        ("[net]\ninputs=4\n[rnn]\noutput=4\n", {}, "remembers what came before"),
        ("[net]\nwidth=8\nheight=8\nchannels=3\n[avgpool]\n", {"heads": "decoded"}, "has no detection head"),
        (
            "[net]\nwidth=8\nheight=8\nchannels=3\n[connected]\noutput=4\n",
            {"dynamic_size": True},
            "needs maps of one size",
        ),
        (SMALL, {"opset": OPSET - 1}, "opset must be 18 to"),
        (SMALL, {"opset": 999}, "opset must be 18 to"),
    ],
)
def test_what_cannot_be_exported_says_why(text: str, arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(darkparse.DarkparseError, match=message):
        darkparse.to_onnx(initialized(darkparse.compile(text)), tmp_path / "x.onnx", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_model_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(darkparse.NoWeightsError, match="no weights yet"):
        darkparse.to_onnx(darkparse.build(darkparse.compile(SMALL)), tmp_path / "x.onnx")


def test_the_check_notices_a_difference() -> None:
    network = darkparse.compile(SMALL)
    model = initialized(network)
    with pytest.raises(darkparse.DarkparseError, match="differs from the module by"):
        compare(network, lambda x: outputs(model, x), lambda x: [y + 1e-2 for y in outputs(model, x)], Free())


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_a_file_that_is_not_finite_where_the_module_is_is_refused(odd: float) -> None:
    network = darkparse.compile(SMALL)
    one, bad = torch.ones(4), torch.tensor([1, 1, odd, odd])
    for mine, theirs in ((one, bad), (bad, one)):
        with pytest.raises(
            darkparse.DarkparseError, match=r"2 of 4 values are finite in the module or in the exported file alone"
        ):
            compare(network, lambda _, y=mine: [y], lambda _, y=theirs: [y], Free())  # type: ignore[misc]
    assert compare(network, lambda _: [bad], lambda _: [bad], Free()).difference == 0


def test_a_large_output_hides_no_difference_of_a_small_one() -> None:
    network = darkparse.compile(SMALL)
    large, small = torch.full((4,), 1e4), torch.ones(4)
    with pytest.raises(darkparse.DarkparseError, match=r"by 1\.00e-01, more than 1\.0e-03"):
        compare(network, lambda _: [large, small], lambda _: [large, small + 0.1], Free())
    checked = compare(network, lambda _: [large, small], lambda _: [large + 1, small], Free())
    assert (checked.difference, checked.scale) == (1, 1e4)


def test_steps_and_endings() -> None:
    assert step_of(darkparse.compile("yolov3")) == 32
    assert step_of(darkparse.compile("darknet53")) == 32
    assert [ending_of(Path(name)) for name in ("a.onnx", "a.aoti.pt2", "a.pt2", "a.ts", "a.weights")] == [
        ".onnx",
        ".aoti.pt2",
        ".pt2",
        ".ts",
        "",
    ]


LISTED = """
    alexeyab/yolov3 alexeyab/yolov3-spp alexeyab/yolov4 alexeyab/yolov4-tiny alexeyab/yolov4-csp
    alexeyab/yolov7-tiny pjreddie/yolov2 alexeyab/csresnext50-panet-spp alexeyab/efficientnet_b0
    alexeyab/darknet53 pjreddie/yolov1-tiny
"""


SOME = ("alexeyab/yolov4-tiny", "pjreddie/yolov1-tiny")


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SOME else exhaustive) for name in LISTED.split()]
)
def test_original_networks_agree_in_onnx_runtime(name: str, tmp_path: Path) -> None:
    path = SHARED / "cfgs" / f"{name}.cfg"
    fixed = "yolov1" in name
    model = settled(darkparse.compile(path) if fixed else darkparse.compile(path, size=192))
    checked = darkparse.to_onnx(model, tmp_path / "x.onnx", dynamic_size=not fixed)
    assert checked is not None
    # Two float32 computations differ by their rounding, which random weights can make larger than the bound.
    assert checked.difference < max(BOUND * checked.scale, 3 * rounding(model))


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolo-fastest-1.1", "yolo-fastest-1.1-xl", "MobileNetV2-YOLO-Fastest-voc"])
def test_trained_models_agree_in_onnx_runtime_and_find_the_dog_in_opencv(name: str, tmp_path: Path) -> None:
    model = darkparse.load(SHARED / "models" / f"{name}.cfg", SHARED / "models" / f"{name}.weights")
    checked = darkparse.to_onnx(model, tmp_path / "x.onnx", heads="decoded")
    assert checked is not None
    assert checked.difference < BOUND
    assert check_onnx(model, tmp_path / "x.onnx", heads="decoded") is not None
    cv2 = pytest.importorskip("cv2", minversion="5")
    net = model.network.net
    image = cv2.imread(str(SHARED / "images" / "dog.png"))
    blob = cv2.dnn.blobFromImage(image, 1 / 255, (net.width, net.height), swapRB=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader = cv2.dnn.readNetFromONNX(str(tmp_path / "x.onnx"))
        reader.setInput(blob)
        rows = reader.forward()
    expected = session_of(tmp_path / "x.onnx").run(None, {"image": blob})[0]
    assert np.abs(rows.reshape(expected.shape) - expected).max() < 1e-3
    dog = 11 if "voc" in name else 16
    threshold = 0.25  # of `darkparse detect`; Darknet itself finds 0.33, 0.65 and 0.93
    assert rows.reshape(-1, expected.shape[-1])[:, 4 + dog].max() > threshold


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolov3-tiny", "yolov4-tiny"])
def test_torch_compile_breaks_no_graph(name: str) -> None:
    model = initialized(darkparse.compile(name, size=64))
    x = torch.rand(1, 3, 64, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = outputs(torch.compile(model, fullgraph=True, backend="eager"), x)  # type: ignore[arg-type]
    assert all(torch.equal(a, b) for a, b in zip(outputs(model, x), found, strict=True))
