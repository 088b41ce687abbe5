"""Counts and average precision of a trained network, beside what Darknet's `detector map` computed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import darkparse
from darkparse.datasets.annotations import ImageAnnotation
from darkparse.datasets.names import shipped_names
from darkparse.detect.candidates import Candidates, PreparedImage
from darkparse.detect.detections import Detections
from darkparse.detect.postprocess import Postprocessor
from darkparse.detect.preprocess import Placement
from darkparse.evaluation.average_precision import DarknetResult, darknet_map
from darkparse.network.detection_settings import MAP_SETTINGS
from darkparse.network.suppression import get_suppression
from tests.conftest import DATA

CFG = """
[net]
width=320
height=320
channels=3

[convolutional]
filters=75
size=1
activation=linear

[yolo]
mask=0,1,2
anchors=1,1, 2,2, 3,3
classes=20
num=3
nms_kind=greedynms
beta_nms=0.6
"""
NAMES = shipped_names(20) or ()
RUNS: list[dict[str, Any]] = json.loads((DATA / "evaluation" / "map.json").read_text("utf-8"))


class Run(NamedTuple):
    """Boxes before suppression and objects of 37 images, as arrays by name.

    The boxes are those of MobileNetV2-YOLO-Fastest-voc with a score over 0.005.
    """

    arrays: dict[str, Any]

    def pairs(self, *, difficult: bool) -> Iterator[tuple[ImageAnnotation, Detections]]:
        """Yield each image's objects and detections."""
        network = darkparse.compile(CFG, dialect="alexeyab")
        postprocessor = Postprocessor(network, NAMES, get_suppression(network))
        arrays, size = self.arrays, (320, 320)
        prepared = PreparedImage(np.zeros((3, *size), np.float32), Placement(size, size, (0, 0)), size)
        ends = np.cumsum(arrays["counts"])
        for image, (count, end) in enumerate(zip(arrays["counts"], ends, strict=True)):
            boxes, rows = arrays["boxes"][arrays["image"] == image], slice(end - count, end)
            zeros = np.zeros(len(boxes), np.int64)
            ones = np.ones(len(boxes), np.float32)
            candidates = Candidates(
                *(zeros, zeros + network.heads[0], zeros, boxes, ones),
                *(arrays["box"][rows].astype(np.int64), arrays["scores"][rows], arrays["classes"][rows].astype(int)),
            )
            yield self._annotation(image, difficult), postprocessor.select_boxes(candidates, 0, prepared, MAP_SETTINGS)

    def _annotation(self, image: int, difficult: bool) -> ImageAnnotation:
        objects, optional = (self.arrays[name] for name in ("objects", "difficult"))
        objects, optional = objects[objects[:, 0] == image], optional[(optional[:, 0] == image) & difficult]
        rows = np.concatenate((objects, optional))
        ignored = np.arange(len(rows)) >= len(objects)
        boxes, classes = rows[:, 2:].astype(np.float32), rows[:, 1].astype(np.int64)
        return ImageAnnotation(Path(f"{image}.png"), image, (320, 320), boxes, classes, ignored)


@pytest.fixture(scope="module")
def pairs() -> dict[bool, list[tuple[ImageAnnotation, Detections]]]:
    """Each image's objects and detections, by whether difficult objects are among them."""
    with np.load(DATA / "evaluation" / "candidates.npz") as arrays:
        run = Run(dict(arrays))
    return {difficult: list(run.pairs(difficult=difficult)) for difficult in (False, True)}


def evaluate(pairs: dict[bool, list[tuple[ImageAnnotation, Detections]]], reference: dict[str, Any]) -> DarknetResult:
    return darknet_map(
        pairs[reference["difficult"]], len(NAMES), iou=reference["iou_thresh"], score_threshold=reference["thresh"]
    )


@pytest.mark.parametrize("reference", RUNS, ids=lambda r: f"{r['thresh']} {r['iou_thresh']} {r['points']}")
def test_darknet_map_equals_darknets_numbers(
    pairs: dict[bool, list[tuple[ImageAnnotation, Detections]]], reference: dict[str, Any]
) -> None:
    result = evaluate(pairs, reference)
    counts, rule = result.darknet, {0: "area", 11: "points11", 101: "points101"}[reference["points"]]
    assert [counts.true_positives, counts.false_positives, counts.false_negatives] == [
        reference[name] for name in ("tp", "fp", "fn")
    ]
    for name in ("precision", "recall", "f1", "mean_iou"):
        assert getattr(counts, name) == pytest.approx(reference[name], abs=1e-6), name
    assert sum(getattr(c, rule) for c in result.classes) / len(NAMES) == pytest.approx(reference["map"], abs=1e-6)
    for name, (ap, true_positives, false_positives) in reference["classes"].items():
        one = result.classes[NAMES.index(name)]
        assert [one.darknet.true_positives, one.darknet.false_positives] == [true_positives, false_positives], name
        assert getattr(one, rule) == pytest.approx(ap, abs=1e-6), name
    # By score, no object is lost behind an earlier detection with a lower score.
    assert result.by_score.true_positives == counts.true_positives + reference["hidden_behind_lower"]
