"""What Darknet itself found in the same pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

import darkparse
from darkparse.detect.engines.engine import ENGINES
from tests.detect.reference import IMAGES, Run, disagreements, needs_detections, runs, weights_of

FAST = {
    "torch": "yolo-fastest-1.1.alexeyab.stretch person.png",
    "onnxruntime": "MobileNetV2-YOLO-Fastest-voc.pjreddie.letterbox horses.png",
    "openvino": "yolo-fastest-1.1.alexeyab.stretch person.png",
}
"""The run of each engine that is in fast tests."""


def _marked(engine: str, run: Run) -> object:
    marks = () if FAST[engine] == run.label else pytest.mark.slow
    return pytest.param(engine, run, id=f"{engine}-{run.label}", marks=marks)


@needs_detections
@pytest.mark.parametrize(("engine", "run"), [_marked(engine, run) for engine in ENGINES for run in runs()])
def test_detector_finds_what_darknet_finds(engine: str, run: Run, tmp_path: Path) -> None:
    pytest.importorskip(engine)
    weights = weights_of(run, tmp_path)
    detector = darkparse.Detector.load(run.cfg, weights, dialect=run.dialect, resize=run.resize, engine=engine)
    found = detector.detect(IMAGES / run.image, threshold=run.threshold, nms=0.45, hierarchy=0.5)
    assert disagreements(run.rows, [(d.class_id, d.score, *d.box) for d in found], run.threshold) == []


@needs_detections
def test_detector_on_dog_image_prints_known_lines() -> None:
    model = IMAGES.parent / "models" / "yolo-fastest-1.1-xl"
    detector = darkparse.Detector.load(f"{model}.cfg", f"{model}.weights", dialect="alexeyab", resize="stretch")
    found = detector.detect(IMAGES / "dog.png")
    assert [d.line for d in found] == ["dog: 93%", "bicycle: 90%", "car: 80%", "truck: 46%", "cat: 34%"]
