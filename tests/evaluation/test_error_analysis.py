"""Errors by kind: their counts, what they cost, and what `evaluate --errors` writes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageDraw

import darkparse
from darkparse.cli import main
from darkparse.datasets.annotations import ImageAnnotation
from darkparse.detect import Detections
from darkparse.evaluation.average_precision import darknet_map, evaluate_matches
from darkparse.evaluation.error_analysis import KINDS, NO_ERROR, ErrorAnalysis, ErrorKind, analyze_errors
from darkparse.evaluation.error_list import (
    COLORS,
    DetectionError,
    ObjectBox,
    _draw_dashed,
    draw_errors,
    list_errors,
)
from darkparse.evaluation.error_report import _draw_curves
from darkparse.evaluation.matching import match
from tests.detect.reference import picture, tiny_weights
from tests.evaluation.test_average_precision import NAMES, found, random_pairs, truth

Pairs = Sequence[tuple[ImageAnnotation, Detections]]
BOX = (0.5, 0.5, 0.2, 0.2)
IOU_3 = (0.6076, 0.5, 0.2, 0.2)
"""A box with an IoU of 0.3 with BOX."""
IOU_06 = (0.6774, 0.5, 0.2, 0.2)
"""A box with an IoU of 0.06 with BOX."""


def analyze(pairs: Pairs, threshold: float = 0.25, classes: Sequence[int] = (0, 1, 2)) -> ErrorAnalysis:
    return analyze_errors(pairs, match(pairs, 0.5), classes, score_threshold=threshold)


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([(1, 0.9, BOX)], ErrorKind.CONFUSED),
        ([(0, 0.9, IOU_3)], ErrorKind.BADLY_PLACED),
        ([(1, 0.9, IOU_3)], ErrorKind.BOTH),
        ([(0, 0.9, BOX), (0, 0.8, BOX)], ErrorKind.DUPLICATE),
        ([(0, 0.9, IOU_06)], ErrorKind.BACKGROUND),
        ([(1, 0.9, (0.1, 0.1, 0.1, 0.1))], ErrorKind.BACKGROUND),
    ],
)
def test_analyze_errors_finds_the_kind_of_a_false_detection(rows: list[Any], kind: ErrorKind) -> None:
    analysis = analyze([(truth([(0, BOX)]), found(rows))])
    is_missed = kind is not ErrorKind.DUPLICATE
    assert {k: n for k, n in analysis.counts.items() if n} == {kind: 1} | ({ErrorKind.MISSED: 1} if is_missed else {})


def test_overlap_of_error_is_that_with_its_object() -> None:
    rows = [(1, 0.9, BOX), (0, 0.8, IOU_3), (0, 0.7, IOU_06), (2, 0.6, (0.1, 0.1, 0.1, 0.1))]
    analysis = analyze([(truth([(0, BOX)]), found(rows))])
    assert [KINDS[kind] for kind in analysis.kinds] == [
        *(ErrorKind.CONFUSED, ErrorKind.BADLY_PLACED, ErrorKind.BACKGROUND, ErrorKind.BACKGROUND),
    ]
    assert analysis.target_overlaps.tolist() == pytest.approx([1, 0.3, 0, 0], abs=1e-3)


def test_analyze_errors_ignores_detections_of_difficult_objects() -> None:
    analysis = analyze([(truth([(0, BOX)], ignored=(True,)), found([(0, 0.9, BOX), (1, 0.9, BOX)]))])
    assert {k: n for k, n in analysis.counts.items() if n} == {ErrorKind.BACKGROUND: 1}


def test_analyze_errors_with_low_iou_has_no_badly_placed_detections() -> None:
    pairs = [(truth([(0, BOX)]), found([(0, 0.9, IOU_06), (1, 0.8, IOU_06)]))]
    analysis = analyze_errors(pairs, match(pairs, 0.05), (0, 1, 2), score_threshold=0.25)
    assert {k: n for k, n in analysis.counts.items() if n} == {ErrorKind.CONFUSED: 1}


def test_overlap_of_exactly_a_bound_does_not_exceed_it() -> None:
    tall, half = (0.5, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5, 0.25)
    analysis = analyze([(truth([(0, tall)]), found([(0, 0.9, half), (1, 0.8, half)]))])
    kinds = (ErrorKind.BADLY_PLACED, ErrorKind.BOTH, ErrorKind.MISSED)
    assert {k: n for k, n in analysis.counts.items() if n} == dict.fromkeys(kinds, 1)
    optional = [(truth([(0, tall)], ignored=(True,)), found([(0, 0.9, half)]))]
    assert match(optional, 0.5).is_ignored.tolist() == [False]
    wide, tenth = (0.5, 0.5, 0.625, 1), (0.5, 0.5, 0.0625, 1)
    analysis = analyze([(truth([(0, wide)]), found([(0, 0.9, tenth), (1, 0.8, tenth)]))])
    assert analysis.counts[ErrorKind.BACKGROUND] == 2


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.0, 0.5])
@pytest.mark.parametrize("classes", [(0, 1, 2), (1,)], ids=str)
def test_error_counts_and_confusion_add_up_to_totals(seed: int, threshold: float, classes: tuple[int, ...]) -> None:
    pairs = [(true, one.filter(lambda d: d.class_id in classes)) for true, one in random_pairs(seed)]
    analysis = analyze(pairs, threshold, classes)
    totals = evaluate_matches(analysis.matches, classes, score_threshold=threshold).by_score
    counts = analysis.counts
    assert counts[ErrorKind.MISSED] == totals.false_negatives
    assert sum(counts.values()) - counts[ErrorKind.MISSED] == totals.false_positives
    assert totals.false_positives > 0 or len(classes) == 1
    confusion = analysis.confusion
    assert sum(confusion.values()) == totals.true_positives + totals.false_positives + totals.false_negatives
    assert sum(n for (label, predicted), n in confusion.items() if label == predicted) == totals.true_positives
    listed = [error for image in list_errors(analysis, pairs, NAMES) for error in image.errors]
    assert {kind: sum(error.kind is kind for error in listed) for kind in ErrorKind} == counts


@pytest.mark.parametrize("seed", range(5))
def test_error_costs_of_removed_detections_equal_average_precision_without_them(seed: int) -> None:
    pairs = random_pairs(seed)
    analysis = analyze(pairs)
    costs, before = analysis.compute_costs(), darknet_map(pairs, 3).mean_ap("area")
    assert all(cost >= -1e-12 for cost in costs.values())
    for kind in (ErrorKind.BOTH, ErrorKind.DUPLICATE, ErrorKind.BACKGROUND):
        rest, first = [], 0
        for true, detections in pairs:
            codes = analysis.kinds[first : first + len(detections)]
            kept = [d for d, code in zip(detections, codes, strict=True) if code == NO_ERROR or KINDS[code] is not kind]
            rest.append((true, Detections(kept, width=200, height=100)))
            first += len(detections)
        assert costs[kind] == pytest.approx(darknet_map(rest, 3).mean_ap("area") - before), kind


def test_error_costs_of_known_cases() -> None:
    """Class 0 has two objects: one is taken for class 1, whose only object is found with a lower score."""
    far, other = (0.1, 0.1, 0.1, 0.1), (0.9, 0.9, 0.1, 0.1)
    objects = truth([(0, BOX), (0, far), (1, other)])
    costs = analyze([(objects, found([(1, 0.9, BOX), (0, 0.8, far), (1, 0.7, other)]))]).compute_costs()
    # Corrected, class 0 rises from 1/2 to 1 and class 1 from 1/2 to 1; the mean is over three classes.
    assert costs[ErrorKind.CONFUSED] == pytest.approx((0.5 + 0.5) / 3)
    assert costs[ErrorKind.MISSED] == pytest.approx(0.5 / 3)
    assert costs[ErrorKind.BACKGROUND] == 0
    # The object of a badly placed detection is found already, so that correcting it only removes the detection.
    costs = analyze([(truth([(0, BOX)]), found([(0, 0.9, IOU_3), (0, 0.8, BOX)]))]).compute_costs()
    assert costs[ErrorKind.BADLY_PLACED] == pytest.approx(0.5 / 3)


def test_analyze_errors_of_nothing_is_empty() -> None:
    analysis = analyze([])
    assert set(analysis.counts.values()) == {0}
    assert set(analysis.compute_costs().values()) == {0}
    assert not analysis.confusion


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ErrorKind.CONFUSED, "cat 83%: is dog"),
        (ErrorKind.BADLY_PLACED, "cat 83%: IoU 0.42"),
        (ErrorKind.BOTH, "cat 83%: is dog, IoU 0.42"),
        (ErrorKind.DUPLICATE, "cat 83%: duplicate"),
        (ErrorKind.BACKGROUND, "cat 83%: background"),
    ],
)
def test_detection_error_text_names_kind_and_object(kind: ErrorKind, text: str) -> None:
    assert DetectionError(kind, "cat", BOX, 0.83, ObjectBox("dog", BOX), 0.42).text == text
    assert DetectionError(ErrorKind.MISSED, "cat", BOX).text == "missed cat"


def test_draw_errors_enlarges_small_images_and_uses_the_color_of_the_kind(tmp_path: Path) -> None:
    path = tmp_path / "1.png"
    Image.new("RGB", (200, 100)).save(path)
    pairs = [(replace(truth([(0, BOX)]), image=path), found([(1, 0.9, BOX)]))]
    (errors,) = list_errors(analyze(pairs), pairs, NAMES)
    drawing = draw_errors(errors)
    assert drawing.size == (1000, 500)
    colors = {color for _, color in drawing.getcolors(1 << 20) or []}
    assert COLORS[ErrorKind.CONFUSED] in colors
    assert COLORS[ErrorKind.DUPLICATE] not in colors
    left, bottom = round((BOX[0] - BOX[2] / 2) * 1000), round((BOX[1] - BOX[3] / 2) * 500)
    above = np.asarray(drawing)[: bottom - 5, left:]
    assert (above == COLORS[ErrorKind.CONFUSED]).all(-1).sum() > 500, "the background of the label"


def test_draw_dashed_draws_within_the_corners_with_gaps() -> None:
    drawing = Image.new("RGB", (60, 60))
    _draw_dashed(ImageDraw.Draw(drawing), (10, 10, 40, 40), (255, 255, 255), 1)
    pixels = np.asarray(drawing)[..., 0] > 0
    assert drawing.getbbox() == (10, 10, 41, 41)
    for side in (pixels[10], pixels[40], pixels[:, 10], pixels[:, 40]):
        assert np.flatnonzero(~side[10:41]).tolist() == [*range(7, 12), *range(19, 24)]


def test_curves_have_the_average_precision_of_each_class_with_objects() -> None:
    pairs = [(truth([(0, BOX)]), found([(0, 0.9, BOX)])), (truth([(1, BOX)]), found([(1, 0.9, IOU_06)]))]
    texts = re.findall(r">([^<>\n]+)<", _draw_curves(analyze(pairs), NAMES))
    assert [texts[texts.index(name) + 1] for name in ("cat", "dog")] == ["100.0 %", "0.0 %"]
    assert "owl" not in texts


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """An evaluation of three images whose labels are moved detections."""
    cfg, weights = tiny_weights(tmp_path)
    images = tmp_path / "images"
    images.mkdir()
    detector = darkparse.Detector.load(cfg, weights)
    for number in range(3):
        Image.fromarray(picture(number)).save(images / f"{number}.png")
        x, y, w, h = detector.detect(images / f"{number}.png")[0].box
        (images / f"{number}.txt").write_text(f"{number % 2} {x + w / 4 * number:.6f} {y:.6f} {w:.6f} {h:.6f}\n")
    return ["evaluate", str(cfg), str(weights), "--images", str(images), "--rule", "darknet", "--at", "0.3"]


def test_evaluate_errors_writes_drawings_list_and_charts(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*command, "--errors", str(tmp_path / "errors"), "--json"])
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    totals = document["darknet"]["by_score"]
    counts = {one["kind"]: one["count"] for one in document["errors"]["kinds"]}
    assert counts.pop("missed") == totals["false_negatives"]
    assert sum(counts.values()) == totals["false_positives"] > 0
    lines = [json.loads(line) for line in (tmp_path / "errors" / "errors.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == totals["false_positives"] + totals["false_negatives"]
    assert {line["kind"] for line in lines} <= {str(kind) for kind in ErrorKind}
    drawings = {line["drawing"] for line in lines}
    assert drawings == {
        path.relative_to(tmp_path / "errors").as_posix() for path in (tmp_path / "errors").rglob("*.png")
    }
    for name in ("confusion-matrix.svg", "precision-recall.svg"):
        assert ElementTree.fromstring((tmp_path / "errors" / name).read_text("utf-8")).tag.endswith("svg")
    assert f"{len(drawings)} images with errors" in printed.err
    main([*command, "--errors", str(tmp_path / "again")])
    assert f"sum: FP {totals['false_positives']}, FN {totals['false_negatives']}" in capsys.readouterr().out


def test_evaluate_errors_into_used_directory_exits_2(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command, "--errors", str(tmp_path)])
    assert stop.value.code == 2
    assert "is not empty; expected a new or empty directory" in capsys.readouterr().err


def test_errors_of_an_image_come_with_the_boxes_of_its_true_detections() -> None:
    far = (0.1, 0.1, 0.1, 0.1)
    pairs = [
        (truth([(0, far)]), found([(0, 0.9, far)])),
        (truth([(0, BOX), (0, far)]), found([(0, 0.9, far), (1, 0.8, BOX), (0, 0.1, BOX)])),
    ]
    (errors,) = list_errors(analyze(pairs), pairs, NAMES)  # the first image has none
    assert errors.truth is pairs[1][0]
    assert [tuple(box) for box in errors.right] == [pytest.approx(far)]
    assert [error.kind for error in errors.errors] == [ErrorKind.CONFUSED, ErrorKind.MISSED]
