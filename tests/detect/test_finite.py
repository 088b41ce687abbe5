"""JSON never holds NaN or Infinity: boxes that are not finite are dropped, with one warning."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import darkparse
from darkparse.detect import Detection, Detections, Detector
from darkparse.detect.preprocess import Placement
from tests.conftest import DATA
from tests.detect.reference import picture
from tests.detect.test_command import run

CASE = DATA / "images" / "boxes-infinite"
MODEL = (f"{CASE}.cfg", f"{CASE}.weights")
CLASSIFIER = "[net]\nwidth=8\nheight=8\nchannels=3\n[connected]\noutput=4\nactivation=linear\n[softmax]\n"


def _load_strict(text: str) -> Any:
    """Parse JSON as other languages do: no NaN, no Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("form", ["json", "jsonl", "coco", "csv"])
def test_detect_infinite_boxes_prints_finite_values_and_warns_once(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("detect", *MODEL, f"{CASE}.png", "--format", form, "--out", tmp_path / "out") == 0
    out, err = capsys.readouterr()
    if form == "csv":
        assert ",inf" not in out.lower()
        assert len(out.splitlines()) == 6
    else:
        found = _load_strict(out)
        assert len(found if form == "coco" else (found["images"][0] if form == "json" else found)["detections"]) == 5
    assert err.count("dropped 128 detections with NaN or infinite values") == 1
    record = _load_strict((tmp_path / "out" / "detections.jsonl").read_text("utf-8"))
    assert record["warnings"] == ["dropped 128 detections with NaN or infinite values"]


def test_detector_infinite_boxes_are_dropped_with_warning() -> None:
    with pytest.warns(darkparse.DarkparseWarning, match="dropped 128 detections") as told:
        found = Detector.load(*MODEL).detect(f"{CASE}.png")
    assert len(told) == 1
    assert len(found) == 5
    assert all(one.is_finite for one in found)
    assert np.isfinite(found.numpy()).all()
    assert _load_strict(json.dumps(found.to_dict()))["detections"] == [one.to_dict() for one in found]


def test_classifier_nan_scores_are_dropped_with_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    model = darkparse.build(CLASSIFIER, initialize=True)
    detector = Detector(model, resize="stretch")
    scores = np.array([[np.nan, 0.2, np.inf, 0.5]], np.float32)
    monkeypatch.setattr(detector.engine, "class_scores", lambda _: scores)
    with pytest.warns(darkparse.DarkparseWarning, match="dropped 2 of 4 classes with NaN or infinite scores"):
        found = detector.detect(picture(0))
    assert [one.class_id for one in found] == [3, 1]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("field", ["score", "objectness", "box"])
def test_to_dict_leaves_out_non_finite_detection(field: str, value: float) -> None:
    values = {"score": 0.5, "objectness": 0.5, "box": (0.5, 0.5, 0.2, 0.2)}
    good = Detection(0, "a", image_size=(40, 50), **values)  # type: ignore[arg-type]
    values[field] = (0.5, value, 0.2, 0.2) if field == "box" else value
    bad = Detection(1, "b", image_size=(40, 50), **values)  # type: ignore[arg-type]
    with pytest.warns(darkparse.DarkparseWarning, match="this image: dropped 2 detections") as told:
        record = Detections([bad, good, bad], width=50, height=40).to_dict()
    assert len(told) == 1
    assert [one["class_id"] for one in record["detections"]] == [0]
    assert None in (bad.to_dict()["score"], bad.to_dict()["objectness"], *bad.to_dict()["box"])
    _load_strict(json.dumps([record, bad.to_dict()]))


def test_to_image_boxes_of_largest_floats_does_not_warn() -> None:
    boxes = np.array([[3e38, -3e38, 3e38, 3e38]], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not np.isfinite(Placement((64, 64), (8, 64), (28, 0)).to_image_boxes(boxes)).all()
