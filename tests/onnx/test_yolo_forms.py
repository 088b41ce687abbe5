"""Boxes in the layouts of YOLOv5 and YOLOv8, beside the decoded form and the raw outputs of the heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import darkparse
from darkparse.cli import main
from darkparse.model.tracing import ExportModule
from darkparse.network.heads import get_head
from tests.conftest import DATA, needs_shared
from tests.export.test_source import initialized
from tests.export.test_targets import SMALL
from tests.model.reference.parameters import write_weights
from tests.model.test_reference import NUMBERS, REFERENCE
from tests.onnx.onnx_runtime import Floats, Runner
from tests.onnx.reference_networks import iterate_references

CLOSE = 2e-6
"""Largest difference from the decoded form, as a part of the largest value: rounding of products."""
LAYOUTS = ("yolov5", "yolov8")


def run_forms(network: darkparse.Network, folder: Path, x: Floats, **options: Any) -> list[Floats]:
    """Write the decoded form and both layouts from `x.weights`, and return the output of each."""
    values = []
    for heads in ("decoded", *LAYOUTS):
        darkparse.to_onnx(network, folder / "x.onnx", weights=folder / "x.weights", heads=heads, **options)  # type: ignore[arg-type]
        values.append(next(iter(Runner(folder / "x.onnx")(x).values())))
    return values


def assert_close(actual: Floats, expected: Floats) -> None:
    assert actual.shape == expected.shape
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(finite, np.isfinite(actual))
    scale = max(1.0, float(np.abs(expected[finite]).max(initial=0)))
    assert np.abs(actual[finite] - expected[finite]).max(initial=0) <= CLOSE * scale


def assert_layouts_equal_decoded(network: darkparse.Network, folder: Path) -> None:
    """Both layouts are the decoded boxes in pixels; YOLOv5's objectness times its probabilities are the scores."""
    x = np.random.default_rng(0).random((2, *network.input_shape.tensor), np.float32)
    decoded, yolov5, yolov8 = run_forms(network, folder, x)
    pixels = np.array((network.net.width, network.net.height) * 2, np.float32)
    boxes, scores = decoded[..., :4] * pixels, decoded[..., 4:]
    assert_close(yolov8.transpose(0, 2, 1)[..., :4], boxes)
    assert_close(yolov8.transpose(0, 2, 1)[..., 4:], scores)
    assert_close(yolov5[..., :4], boxes)
    assert_close(yolov5[..., 4:5] * yolov5[..., 5:], scores)
    assert np.ptp(yolov5[..., 4]) > 0, "the objectness must differ between boxes"


def is_plain(network: darkparse.Network) -> bool:
    """Return whether the scores of all boxes are products with an objectness, of the same number of classes."""
    heads = [network.nodes[i] for i in network.heads]
    if not heads or any(node.layer.has_state for node in network.nodes):
        return False
    trees = any(getattr(node.layer, "tree", None) and network.dialect.region_interleaved for node in heads)
    same_classes = len({get_head(node).classes for node in heads}) == 1
    return all(get_head(node).has_objectness for node in heads) and not trees and same_classes


@pytest.mark.slow
def test_layouts_of_the_reference_networks_equal_the_decoded_form(tmp_path: Path) -> None:
    compared = set()
    for name, numbers in NUMBERS.items():
        dialect, unit = name.split("/")
        network = darkparse.compile(REFERENCE / "units" / f"{unit}.cfg", dialect=dialect)
        if is_plain(network):
            write_weights(tmp_path / "x.weights", unit, numbers["arrays"], numbers["seed"], numbers["header"])
            assert_layouts_equal_decoded(network, tmp_path)
            compared |= {network.nodes[i].kind for i in network.heads}
    assert {"yolo", "Gaussian_yolo", "region", "detection"} <= compared


@needs_shared
@pytest.mark.long
def test_layouts_of_the_whole_small_set_equal_the_decoded_form(tmp_path: Path) -> None:
    compared = 0
    for network, _, _ in iterate_references(tmp_path, small=True):
        if is_plain(network):
            assert_layouts_equal_decoded(network, tmp_path)
            compared += 1
    assert compared > 10


@pytest.mark.parametrize("heads", LAYOUTS)
def test_layouts_with_a_dynamic_size_equal_the_module(heads: Any, tmp_path: Path) -> None:
    model = initialized(darkparse.compile(SMALL))
    darkparse.to_onnx(model, tmp_path / "x.onnx", heads=heads, dynamic_size=True)
    run, module = Runner(tmp_path / "x.onnx"), ExportModule(model, heads).eval()
    for batch, size in ((1, (32, 32)), (2, (64, 32))):
        x = torch.rand(batch, 3, *size)
        with torch.no_grad():
            assert_close(run(x.numpy())["output0"], module(x).numpy())


def test_layouts_have_fixed_shapes_for_a_fixed_size(tmp_path: Path) -> None:
    model = initialized(darkparse.compile(SMALL))
    for heads, shape in (("decoded", [1, 128, 7]), ("yolov5", [1, 128, 8]), ("yolov8", [1, 7, 128])):
        checked = darkparse.to_onnx(model, tmp_path / "x.onnx", heads=heads, dynamic_batch=False, verify=True)  # type: ignore[arg-type]
        assert checked is not None
        assert Runner(tmp_path / "x.onnx").session.get_outputs()[0].shape == shape


@pytest.mark.parametrize(
    ("name", "dialect", "objectness"),
    [("region_background", "pjreddie", False), ("region_tree", "pjreddie", True), ("region_tree", "alexeyab", True)],
)
def test_layouts_of_other_region_heads(name: str, dialect: str, objectness: bool, tmp_path: Path) -> None:
    """Without objectness YOLOv5's layout is refused; a tree's probabilities are multiplied in YOLOv8's."""
    model = initialized(darkparse.compile(DATA / "kinds" / f"{name}.cfg", dialect=dialect))
    darkparse.save_weights(model, tmp_path / "x.weights")
    x = np.random.default_rng(0).random((1, *model.network.input_shape.tensor), np.float32)
    if not objectness:
        with pytest.raises(darkparse.DarkparseError, match=r"\[region\] has no objectness; .*\nhint: .*--heads yolov8"):
            darkparse.to_onnx(model, tmp_path / "x.onnx", heads="yolov5")
        with pytest.raises(darkparse.DarkparseError, match="has no objectness"):
            darkparse.to_torchscript(model, tmp_path / "x.ts", heads="yolov5")
        assert {path.name for path in tmp_path.iterdir()} == {"x.weights"}
        darkparse.to_onnx(model, tmp_path / "x.onnx", heads="yolov8", verify=True)
        return
    _, yolov5, yolov8 = run_forms(model.network, tmp_path, x, verify=True)
    assert_close(yolov8.transpose(0, 2, 1)[..., 4:], yolov5[..., 4:5] * yolov5[..., 5:])


def test_layouts_of_a_network_without_heads_or_image_are_refused(tmp_path: Path) -> None:
    for text, message in (
        ("[net]\nwidth=8\nheight=8\nchannels=3\n[avgpool]\n", "has no detection head"),
        (
            "[net]\ninputs=12\n[connected]\noutput=20\nactivation=linear\n"
            "[detection]\nside=2\nnum=1\nclasses=0\ncoords=4\n",
            "takes a vector; expected an image",
        ),
    ):
        model = initialized(darkparse.compile(text))
        with pytest.raises(darkparse.DarkparseError, match=message):
            darkparse.to_onnx(model, tmp_path / "x.onnx", heads="yolov5")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("heads", LAYOUTS)
def test_compare_finds_the_boxes_of_both_layouts(
    heads: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "x.cfg").write_text(SMALL)
    darkparse.save_weights(initialized(darkparse.compile(SMALL)), tmp_path / "x.weights")
    Image.new("RGB", (40, 30), (90, 160, 30)).save(tmp_path / "x.png")
    cfg, weights, onnx, image = (str(tmp_path / f"x.{suffix}") for suffix in ("cfg", "weights", "onnx", "png"))
    main(["convert", cfg, weights, "-o", onnx, "--heads", heads])
    with pytest.raises(SystemExit) as stop:
        main(["compare", cfg, weights, image, "--against", onnx])
    assert stop.value.code == 0
    assert "boxes of 1 head agree (centers in pixels)" in capsys.readouterr().out
