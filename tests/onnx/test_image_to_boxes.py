"""The code of docs/tutorials/onnx.md, from an image to boxes, gives the detector's boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import darkparse
from darkparse.cli import main
from darkparse.onnx.validate import read_metadata
from tests.conftest import SHARED, needs_shared
from tests.export.test_source import initialized
from tests.export.test_targets import SMALL
from tests.pages.blocks import find_blocks

CLOSE = 0.01
"""Largest difference of a coordinate in pixels."""


def run_page(image: str) -> list[tuple[str, float, tuple[float, ...]]]:
    """Run the page's code in the working directory on another image."""
    (code,) = (block.text for block in find_blocks("docs/tutorials/onnx.md") if "fill_input" in block.text)
    assert code[: code.index("session =")].count("\n") <= 40, "the code that fills the input must stay short"
    variables: dict[str, Any] = {}
    exec(code.replace("shapes1.jpg", image), variables)
    found: list[tuple[str, float, tuple[float, ...]]] = variables["found"]
    return found


def assert_detector_agrees(detector: darkparse.Detector, image: str) -> int:
    """Compare the page's boxes with the detector's, clipped as its are, and return their number."""
    expected, actual = detector.detect(image), run_page(image)
    width, height = expected.width, expected.height
    assert len(actual) == len(expected)
    for detection in expected:
        close = [
            (name, score)
            for name, score, box in actual
            if np.abs(np.clip(box, 0, (width, height) * 2) - detection.xyxy).max() <= CLOSE and name == detection.name
        ]
        assert len(close) == 1
        assert abs(close[0][1] - detection.score) < 1e-4
    return len(actual)


@pytest.mark.slow
def test_page_code_gives_the_detectors_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    main(["demo", "-o", str(tmp_path / "demo")])
    monkeypatch.chdir(tmp_path / "demo")
    main(["convert", "shapes", "shapes.weights", "-o", "shapes.onnx", "--heads", "nms"])
    detector = darkparse.Detector.load("shapes", "shapes.weights")
    assert sum(assert_detector_agrees(detector, f"shapes{i}.jpg") for i in (1, 2, 3)) >= 3


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["alexeyab", "pjreddie"])
def test_page_code_gives_the_detectors_boxes_on_photographs(
    dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AlexeyAB's Darknet stretches an image, pjreddie's keeps its aspect ratio."""
    pytest.importorskip("onnxruntime")
    cfg, weights = (SHARED / "models" / f"yolo-fastest-1.1-xl.{suffix}" for suffix in ("cfg", "weights"))
    main(
        ["convert", str(cfg), str(weights), "-o", str(tmp_path / "shapes.onnx"), "--heads", "nms", "--dialect", dialect]
    )
    monkeypatch.chdir(tmp_path)
    detector, total = darkparse.Detector.load(cfg, weights, dialect=dialect), 0
    for image in sorted((SHARED / "images").glob("*.png"))[:3]:
        Image.open(image).save(tmp_path / "x.png")
        total += assert_detector_agrees(detector, "x.png")
    assert total >= 3


def test_metadata_describe_input_and_heads(tmp_path: Path) -> None:
    text = SMALL.replace("num=2\n", "num=2\nscale_x_y=1.2\nnew_coords=1\n")
    model = initialized(darkparse.compile(text, dialect="alexeyab"))
    darkparse.to_onnx(model, tmp_path / "x.onnx", names=("a", "b", "ü"))
    facts = {key.removeprefix("darkparse."): value for key, value in read_metadata(tmp_path / "x.onnx").items()}
    assert (facts["input"], facts["resize"], facts["fill"]) == ("rgb 0..1 nchw", "stretch", "0.5")
    expected = {"size": [32, 32], "names": ["a", "b", "ü"], "new_coords": [True], "scale_x_y": [1.2]}
    assert {key: json.loads(facts[key]) for key in expected} == expected
