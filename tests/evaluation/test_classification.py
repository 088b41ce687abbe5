"""Accuracy of classifiers, beside what both Darknets' `classifier valid` counted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import darkparse
from darkparse.cli import main
from darkparse.datasets.classified_images import NO_CLASS, read_classified_images
from darkparse.detect import Detection, Detections
from darkparse.detect.detection import WHOLE_IMAGE
from darkparse.evaluation.classification import choose_top, measure_classification
from darkparse.training.validation_run import Validation
from tests.conftest import DATA

pytest.importorskip("PIL")

DIGITS = DATA / "evaluation" / "digits"
RUNS: list[dict[str, Any]] = json.loads((DIGITS / "valid.json").read_text("utf-8"))
NAMES = tuple((DIGITS / "labels.txt").read_text("utf-8").split())
CFG, WEIGHTS = str(DIGITS / "digits.cfg"), str(DIGITS / "digits.weights")
MODEL = [CFG, WEIGHTS, "--names", str(DIGITS / "labels.txt")]


def ranking(*classes: int) -> Detections:
    """Return the classes of an image, best first."""
    return Detections(
        (Detection(c, str(c), 1 / (i + 1), 1.0, WHOLE_IMAGE, (8, 8)) for i, c in enumerate(classes)), width=8, height=8
    )


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run['fork']} top {run['top']}")
def test_classifier_is_right_on_the_images_on_which_darknet_is(run: dict[str, Any]) -> None:
    detector = darkparse.Detector.load(CFG, WEIGHTS, names=NAMES, dialect=run["fork"])
    images = read_classified_images(DIGITS / "images", NAMES)
    results = list(detector.stream([image.path for image in images], top=run["top"]))
    pairs = list(zip(images, results, strict=True))
    assert [i.path.name for i, r in pairs if r[0].class_id != i.label] == run["wrong_first"]
    assert [i.path.name for i, r in pairs if i.label not in [d.class_id for d in r]] == run["not_in_top"]
    result = measure_classification(((i.label, r) for i, r in pairs), len(NAMES), run["top"])
    assert result.top1 == pytest.approx(1 - len(run["wrong_first"]) / len(images))
    assert result.topk == pytest.approx(1 - len(run["not_in_top"]) / len(images))


def test_measure_classification_counts_by_class() -> None:
    pairs = [(0, ranking(0, 1)), (0, ranking(1, 0)), (1, ranking(2, 0)), (NO_CLASS, ranking(2, 1)), (2, ranking())]
    result = measure_classification(pairs, 3, 2)
    assert [(c.images, c.first, c.among_top) for c in result.classes] == [(2, 1, 2), (1, 0, 0), (1, 0, 0)]
    assert (result.images, result.unlabeled) == (5, 1)
    assert (result.top1, result.topk) == (0.2, 0.4)
    assert result.confused[0] == (NO_CLASS, 2, 1)
    assert sum(count for _, _, count in result.confused) == 4
    empty = measure_classification([], 3, 2)
    assert (empty.top1, empty.topk, empty.confused) == (0, 0, [])


def test_choose_top_is_limited_to_the_number_of_classes(tmp_path: Path) -> None:
    data = tmp_path / "x.data"
    data.write_text("top = 2\n")
    assert choose_top(data, 10) == 2
    assert choose_top(tmp_path, 10) == 5
    assert choose_top(tmp_path, 3) == 3
    data.write_text("top = 0\n")
    with pytest.raises(darkparse.DarkparseError, match=r"x.data:1:7: top must be at least 1, got 0"):
        choose_top(data, 10)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A `.data` file of the digits."""
    (tmp_path / "valid.txt").write_text("".join(f"{p}\n" for p in sorted((DIGITS / "images").glob("*.png"))))
    shutil.copy(DIGITS / "labels.txt", tmp_path)
    path = tmp_path / "digits.data"
    path.write_text("classes=10\nvalid=valid.txt\nlabels=labels.txt\ntop=3\n")
    return path


@pytest.mark.parametrize("fork", ["pjreddie", "alexeyab"])
def test_evaluate_classifier_prints_accuracy_and_confusion(
    data: Path, fork: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (run,) = (run for run in RUNS if (run["fork"], run["top"]) == (fork, 3))
    arguments = ["evaluate", *MODEL, "--dialect", fork, "--images", str(data)]
    main([*arguments, "--json"])
    document = json.loads(capsys.readouterr().out)
    numbers = document["classification"]
    assert (document["images"], document["darknet"], document["coco"], numbers["top"]) == (25, None, None, 3)
    assert numbers["top1"] == pytest.approx(1 - len(run["wrong_first"]) / 25)
    assert numbers["topk"] == pytest.approx(1 - len(run["not_in_top"]) / 25)
    assert sum(entry["images"] for entry in numbers["confusion"]) == 25
    right = sum(entry["images"] for entry in numbers["confusion"] if entry["label"] == entry["predicted"])
    assert right == 25 - len(run["wrong_first"])
    main(arguments)
    text = capsys.readouterr().out
    assert f"top-1 = {numbers['top1'] * 100:6.2f} %  {right} of 25 images" in text
    assert f"top-3 = {numbers['topk'] * 100:6.2f} %" in text
    assert "true \\ predicted" in text


def test_evaluate_classifier_reports_unlabeled_and_unreadable_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = next((DIGITS / "images").glob("zero*.png"))
    shutil.copy(image, tmp_path / "zero.png")
    shutil.copy(image, tmp_path / "ten.png")
    (tmp_path / "one.png").write_bytes(b"?")
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *MODEL, "--images", str(tmp_path), "--top", "1"])
    printed = capsys.readouterr()
    assert stop.value.code == 1
    assert "1 of 2 images have no label in their path and count as wrong" in printed.err
    assert "1 of 3 images could not be read" in printed.err
    assert "top-1" in printed.out
    assert "top-5" not in printed.out


@pytest.mark.parametrize("option", ["--iou .5", "--rule coco", "--nms .4", "--annotations {images}"])
def test_evaluate_classifier_rejects_options_of_detectors(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    images = str(DIGITS / "images")
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *MODEL, "--images", images, *option.format(images=images).split()])
    assert stop.value.code == 2
    assert f"{option.split()[0]} does not apply to a classifier" in capsys.readouterr().err


@pytest.mark.parametrize("fork", ["pjreddie", "alexeyab"])
def test_validation_of_classifier_measures_top1(data: Path, fork: str) -> None:
    (run,) = (run for run in RUNS if (run["fork"], run["top"]) == (fork, 3))
    model = darkparse.load(CFG, WEIGHTS, dialect=fork)
    validation = Validation(model.network, data, NAMES)
    assert validation.classifies
    assert validation(model).score == pytest.approx(1 - len(run["wrong_first"]) / 25)


def test_evaluate_classifier_errors_writes_wrong_images_and_confusion_matrix(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run,) = (run for run in RUNS if (run["fork"], run["top"]) == ("pjreddie", 3))
    folder = tmp_path / "errors"
    main(["evaluate", *MODEL, "--dialect", "pjreddie", "--images", str(data), "--errors", str(folder), "--json"])
    assert json.loads(capsys.readouterr().out)["errors"] is None
    lines = [json.loads(line) for line in (folder / "errors.jsonl").read_text("utf-8").splitlines()]
    assert sorted(Path(line["image"]).name for line in lines) == run["wrong_first"]
    assert all((folder / line["drawing"]).is_file() and len(line["predicted"]) == 3 for line in lines)
    assert "true class" in (folder / "confusion-matrix.svg").read_text("utf-8")


@pytest.mark.filterwarnings("ignore:.* NaN or infinite value")
def test_evaluate_classifier_with_nan_scores_counts_all_images_as_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = darkparse.load(CFG, WEIGHTS)
    with torch.no_grad():
        model.get_parameter("layers.5.conv.bias").fill_(float("nan"))
    darkparse.save_weights(model, tmp_path / "nan.weights")
    folder = tmp_path / "errors"
    model_arguments = [CFG, str(tmp_path / "nan.weights"), "--names", str(DIGITS / "labels.txt")]
    main(["evaluate", *model_arguments, "--images", str(DIGITS / "images"), "--errors", str(folder)])
    assert "top-1 =   0.00 %  0 of 25 images" in capsys.readouterr().out
    assert len((folder / "errors.jsonl").read_text("utf-8").splitlines()) == 25
