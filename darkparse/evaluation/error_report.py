"""The directory that `evaluate --errors` writes: drawings, a list of the errors, a confusion matrix and curves."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from darkparse._utils.files import atomic_write
from darkparse.datasets.annotations import ImageAnnotation
from darkparse.datasets.sources import InputFile
from darkparse.detect import drawing
from darkparse.detect.batch.drawings import plan_drawings
from darkparse.detect.detections import Detections
from darkparse.errors import DarkparseError
from darkparse.evaluation.average_precision import compute_curves
from darkparse.evaluation.classification import ClassificationResult
from darkparse.evaluation.error_analysis import NO_ERROR, ErrorAnalysis
from darkparse.evaluation.error_list import draw_errors, list_errors
from darkparse.views.charts.confusion_matrix import Cells, confusion_matrix_svg
from darkparse.views.charts.precision_recall import Curve, precision_recall_svg

IMAGES, ERROR_LIST = "images", "errors.jsonl"
CONFUSION_MATRIX, PRECISION_RECALL = "confusion-matrix.svg", "precision-recall.svg"
"""Names of files in the directory."""


def check_new_directory(folder: Path) -> None:
    """Raise DarkparseError unless a directory is empty or does not exist."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DarkparseError(f"{folder} is not empty; expected a new or empty directory\nhint: choose another --errors")


def write_error_report(
    folder: Path, analysis: ErrorAnalysis, pairs: Sequence[tuple[ImageAnnotation, Detections]], names: Sequence[str]
) -> int:
    """Write a drawing of each image with errors, the list of errors, the confusion matrix and the curves.

    Args:
        folder: New or empty directory.
        analysis: Result of `analyze_errors` for these pairs.
        pairs: Images, each with its detections.
        names: Name of each class of the network.

    Returns:
        The number of drawings.
    """
    images = list(list_errors(analysis, pairs, names))
    paths = _plan_drawings(folder, [image.truth.image for image in images], [truth.image for truth, _ in pairs])
    lines = []
    for image, path in zip(images, paths, strict=True):
        drawing.save(draw_errors(image), folder / IMAGES / path)
        source = {"image": str(image.truth.image), "drawing": f"{IMAGES}/{path}"}
        lines += [json.dumps(source | error.to_dict(), ensure_ascii=False) for error in image.errors]
    _write_text(folder / ERROR_LIST, "".join(f"{line}\n" for line in lines))
    title = f"Confusion matrix (IoU over {analysis.matches.iou:g}, score over {analysis.score_threshold:g})"
    write_confusion_matrix(folder, analysis.confusion, names, title, ("background", "missed"))
    _write_text(folder / PRECISION_RECALL, _draw_curves(analysis, names))
    return len(images)


def write_classifier_report(
    folder: Path, result: ClassificationResult, wrong: Sequence[tuple[Path, int, Detections]], names: Sequence[str]
) -> int:
    """Write a drawing of each image whose best class is wrong, a list of them, and the confusion matrix.

    Args:
        folder: New or empty directory.
        result: Result of all images.
        wrong: Path, true class and best classes of each image to draw.
        names: Name of each class.

    Returns:
        The number of drawings.
    """
    images = [path for path, _, _ in wrong]
    lines = []
    for (image, label, ranking), path in zip(wrong, _plan_drawings(folder, images, images), strict=True):
        drawing.save(ranking.draw(), folder / IMAGES / path)
        best = [{"name": one.name, "score": one.score} for one in ranking]
        values = {"image": str(image), "drawing": f"{IMAGES}/{path}", "label": names[label] if label >= 0 else None}
        lines.append(json.dumps(values | {"predicted": best}, ensure_ascii=False))
    _write_text(folder / ERROR_LIST, "".join(f"{line}\n" for line in lines))
    title = f"Confusion matrix ({result.top1 * 100:.1f} % of {result.images:,} images are right)"
    write_confusion_matrix(folder, result.confusion, names, title, ("no label", "none"))
    return len(wrong)


def _plan_drawings(folder: Path, images: Sequence[Path], all_images: Sequence[Path]) -> list[str]:
    """Return the path of the drawing of each image: its path below the directory that all images have in common."""
    if not images:
        return []
    root = Path(os.path.commonpath([image.absolute().parent for image in all_images]))
    paths = plan_drawings([InputFile(image.absolute(), root) for image in images], folder / IMAGES)
    return [paths[image.absolute()] for image in images]


def write_confusion_matrix(
    folder: Path,
    counts: Mapping[tuple[int, int], int],
    names: Sequence[str],
    title: str,
    others: tuple[str, str],
) -> None:
    """Write a confusion matrix.

    Args:
        folder: Directory of the file.
        counts: Number of cases by true class and predicted class; -1 for none.
        names: Name of each class.
        title: Title of the chart.
        others: Name of the row without a true class, and of the column without a prediction.
    """
    _write_text(folder / CONFUSION_MATRIX, confusion_matrix_svg(Cells(counts, names, *others), title))


def _draw_curves(analysis: ErrorAnalysis, names: Sequence[str]) -> str:
    """Return the precision-recall curves of the classes that have objects."""
    matches, order = analysis.matches, analysis.matches.by_score
    num_classes = max(analysis.classes, default=-1) + 1
    objects = matches.count_objects(num_classes)
    is_true = analysis.kinds[order] == NO_ERROR
    curves = compute_curves(matches.classes[order], is_true, objects)
    counted = np.bincount(matches.classes[analysis.is_counted], minlength=num_classes)
    charts = []
    for label in analysis.classes:
        if objects[label]:
            curve, last = curves[label], int(counted[label]) - 1
            selected = (float(curve.recall[last]), float(curve.precision[last])) if last >= 0 else None
            charts.append(Curve(names[label], curve.area, curve.corners, selected))
    note = (
        "recall to the right, precision upward, average precision as the area; worst first; "
        f"dot: score {analysis.score_threshold:g}"
    )
    return precision_recall_svg(charts, f"Precision by recall (IoU over {matches.iou:g})", note)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as part:
        part.write_text(text, "utf-8")
