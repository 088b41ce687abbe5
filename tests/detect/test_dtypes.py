"""Boxes in bfloat16 beside those in float32, and dtypes that an engine does not compute in."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import darkparse
from darkparse import Detection, Detector
from darkparse.detect.engines import runtimes
from darkparse.detect.engines.engine import DTYPES, choose_engine
from darkparse.syntax.reader import locate_cfg
from tests.commands import run_command
from tests.detect.reference import IMAGES, MODELS, picture, tiny_weights

TRAINED = ("MobileNetV2-YOLO-Fastest-voc", "yolo-fastest-1.1", "yolo-fastest-1.1-xl")
NAMES = ("dog.jpg", "dog.png", "eagle.png", "giraffe.png", "horses.png", "person.png")
CROPS = ((0.0, 0.0, 0.5, 0.5), (0.5, 0.0, 1.0, 0.5), (0.0, 0.5, 0.5, 1.0), (0.5, 0.5, 1.0, 1.0))
"""Left, top, right and bottom of the crops of each image, as fractions of it."""
MIN_MEAN_IOU, MAX_SCORE_DIFFERENCE = 0.98, 0.10
SHAPES = locate_cfg("shapes").with_suffix("")
"""Directory with the weights and images of a small detector."""

needs_openvino = pytest.mark.skipif(
    find_spec("openvino") is None, reason="needs openvino: pip install 'darkparse[openvino]'"
)


def crop_images(paths: list[Path]) -> Iterator[NDArray[np.uint8]]:
    """Yield each image and its crops."""
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        height, width = pixels.shape[:2]
        for left, top, right, bottom in ((0.0, 0.0, 1.0, 1.0), *CROPS):
            yield pixels[int(top * height) : int(bottom * height), int(left * width) : int(right * width)]


def compute_iou(a: Detection, b: Detection) -> float:
    corners = zip(a.xyxy[:2], b.xyxy[:2], strict=True), zip(a.xyxy[2:], b.xyxy[2:], strict=True)
    left, top = (max(pair) for pair in corners[0])
    right, bottom = (min(pair) for pair in corners[1])
    shared = max(0.0, right - left) * max(0.0, bottom - top)
    areas = ((d.xyxy[2] - d.xyxy[0]) * (d.xyxy[3] - d.xyxy[1]) for d in (a, b))
    return shared / (sum(areas) - shared)


def compare_boxes(exact: Detector, other: Detector, images: list[NDArray[np.uint8]]) -> tuple[list[float], list[float]]:
    """Return the IoU and the difference in score of each object and the box of the same head, cell, anchor and class.

    Suppression is left out of the second result: of two boxes that overlap it keeps the other one if their scores are
    nearly equal, however small the rounding.
    """
    overlaps, differences = [], []
    for image in images:
        boxes = {(d.layer, d.cell, d.anchor, d.class_id): d for d in other.detect(image, threshold=0.02, nms=0)}
        for wanted in exact.detect(image):
            found = boxes[wanted.layer, wanted.cell, wanted.anchor, wanted.class_id]
            overlaps.append(compute_iou(wanted, found))
            differences.append(abs(wanted.score - found.score))
    return overlaps, differences


def check_boxes(cfg: Path, weights: Path, paths: list[Path], *, min_boxes: int) -> None:
    exact, other = (
        Detector.load(cfg, weights, engine="torch", device="cpu", dtype=dtype) for dtype in ("float32", "bfloat16")
    )
    overlaps, differences = compare_boxes(exact, other, list(crop_images(paths)))
    assert len(overlaps) >= min_boxes
    print(f"{cfg.stem}: {len(overlaps)} boxes, IoU {np.mean(overlaps):.4f}, score {max(differences):.3f}")
    assert np.mean(overlaps) >= MIN_MEAN_IOU
    assert max(differences) <= MAX_SCORE_DIFFERENCE


@pytest.mark.slow
@pytest.mark.skipif(not MODELS.is_dir(), reason="needs trained models in ../shared/models, which are not published")
@pytest.mark.parametrize("name", TRAINED)
def test_trained_network_in_bfloat16_finds_boxes_of_float32(name: str) -> None:
    images = [IMAGES / image for image in NAMES]
    check_boxes(MODELS / f"{name}.cfg", MODELS / f"{name}.weights", images, min_boxes=40)


def test_shapes_in_bfloat16_finds_boxes_of_float32() -> None:
    check_boxes(SHAPES.with_suffix(".cfg"), SHAPES / "shapes.weights", sorted(SHAPES.glob("*.jpg")), min_boxes=8)


@needs_openvino
@pytest.mark.parametrize(
    "dtype", [pytest.param(dtype, marks=[pytest.mark.slow] * (dtype == "float16")) for dtype in DTYPES]
)
def test_openvino_computes_in_dtype_or_refuses_it(dtype: str) -> None:
    import openvino

    supported = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    exact = Detector.load("shapes", SHAPES / "shapes.weights", engine="openvino")
    if runtimes.PRECISIONS[dtype][1] in supported:
        other = Detector.load("shapes", SHAPES / "shapes.weights", engine="openvino", dtype=dtype)
        overlaps, differences = compare_boxes(exact, other, list(crop_images(sorted(SHAPES.glob("*.jpg")))))
        assert np.mean(overlaps) > 0.9
        assert (max(differences) == 0) == (dtype == "float32")
        return
    with pytest.raises(darkparse.DarkparseError, match=f"does not compute in {dtype} on this processor"):
        Detector.load("shapes", SHAPES / "shapes.weights", engine="openvino", dtype=dtype)


@needs_openvino
def test_openvino_on_processor_without_dtype_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Core:
        def get_property(self, device: str, name: str) -> list[str]:
            return ["FP32", "INT8"]

    monkeypatch.setattr(runtimes, "_load_openvino_core", Core)
    runtimes.check_dtype("openvino", "float32")
    message = "does not compute in bfloat16 on this processor; expected float32\nhint: use engine torch"
    with pytest.raises(darkparse.DarkparseError, match=message):
        runtimes.check_dtype("openvino", "bfloat16")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_onnxruntime_with_16_bits_names_other_engines(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    message = (
        f"engine onnxruntime does not compute in {dtype}; expected float32\n"
        f"hint: use engine openvino or torch for {dtype}"
    )
    with pytest.raises(darkparse.DarkparseError, match=re.escape(message)):
        choose_engine("onnxruntime", dtype=dtype)
    monkeypatch.setattr("darkparse.detect.engines.engine.find_spec", lambda name: name != "openvino" or None)
    assert choose_engine("auto", dtype="float32") == "onnxruntime"
    assert choose_engine("auto", dtype=dtype) == "torch"


def test_unknown_dtype_names_supported_ones(tmp_path: Path) -> None:
    import torch

    for dtype in ("int8", torch.int8):
        with pytest.raises(darkparse.DarkparseError, match="unsupported dtype int8; expected one of float32, bfloat16"):
            Detector.load(*tiny_weights(tmp_path), dtype=dtype)


@needs_openvino
def test_detect_command_with_dtype_does_not_import_torch(tmp_path: Path) -> None:
    tiny_weights(tmp_path)
    Image.fromarray(picture(0)).save(tmp_path / "x.png")
    command = "detect tiny.cfg tiny.weights x.png --engine openvino --dtype float32 --threshold 0.01"
    script = f"""
import sys
from darkparse.cli import main
try:
    main({command.split()!r})
except SystemExit as stop:
    assert not stop.code
assert "torch" not in sys.modules
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout


def test_commands_compute_in_dtype(tmp_path: Path) -> None:
    cfg, weights = tiny_weights(tmp_path)
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    lines: dict[str, Any] = {}
    for dtype in ("float32", "bfloat16"):
        options = ("--engine", "torch", "--dtype", dtype, "--threshold", "0.01", "--format", "jsonl")
        result = run_command("detect", cfg, weights, tmp_path / "a.png", *options)
        assert result.returncode == 0
        lines[dtype] = result.stdout
    assert lines["float32"] != lines["bfloat16"]
    result = run_command("detect", cfg, weights, tmp_path / "a.png", "--engine", "onnxruntime", "--dtype", "bfloat16")
    assert result.returncode == 2
    assert "hint: use engine openvino or torch for bfloat16" in result.stderr


def test_compare_command_in_bfloat16_differs_by_rounding(tmp_path: Path) -> None:
    cfg, weights = tiny_weights(tmp_path)
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    model, detector = darkparse.load(cfg, weights), Detector.load(cfg, weights)
    import torch

    values = torch.from_numpy(detector.prepare(tmp_path / "a.png").values[None])
    with torch.inference_mode():
        outputs: dict[str, Any] = {str(i): output.numpy() for i, output in enumerate(model.layer_outputs(values))}
    np.savez(tmp_path / "x.npz", **outputs)
    command = ("compare", cfg, weights, tmp_path / "a.png", "--against", tmp_path / "x.npz")
    assert run_command(*command).returncode == 0
    assert run_command(*command, "--dtype", "bfloat16").returncode == 1
    result = run_command(*command, "--dtype", "bfloat16", "--tolerance", "0.2")
    assert result.returncode == 0
    assert "layers agree" in result.stdout
