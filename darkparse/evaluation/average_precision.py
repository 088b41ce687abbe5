"""Mean average precision by Darknet's rules and by COCO's."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkparse.datasets.annotations import Annotations, ImageAnnotation
from darkparse.detect.batch.results import coco_rows
from darkparse.detect.detections import Detections
from darkparse.detect.nms import compute_overlap
from darkparse.errors import DarkparseError
from darkparse.network.detection_settings import DetectionSettings

MIN_SCORE = 0.005
"""Minimum score of evaluated detections (detector.c validate_detector_map)."""

COCO_METRICS = (
    ("AP", "IoU .50 to .95"),
    ("AP50", "IoU .50"),
    ("AP75", "IoU .75"),
    ("AP small", "objects up to 32² pixels"),
    ("AP medium", "32² to 96² pixels"),
    ("AP large", "from 96² pixels"),
    ("AR1", "1 detection per image"),
    ("AR10", "10 detections"),
    ("AR100", "100 detections"),
    ("AR small", "objects up to 32² pixels"),
    ("AR medium", "32² to 96² pixels"),
    ("AR large", "from 96² pixels"),
)
"""COCO's twelve metrics, with descriptions."""


@dataclass(frozen=True, slots=True)
class ClassResult:
    """Evaluation result of one class."""

    truths: int
    true_positives: int
    """True positives over `score_threshold` (see `DarknetResult`)."""
    false_positives: int
    """False positives over `score_threshold`."""
    area: float
    """Average precision as the area under the curve (Darknet's `-points 0`; VOC 2010-2012)."""
    points11: float
    """Average precision as the mean at 11 recall levels (`-points 11`; VOC 2007)."""
    points101: float
    """Average precision as the mean at 101 recall levels (`-points 101`)."""


@dataclass(frozen=True, slots=True)
class DarknetResult:
    """Result of `darknet detector map`."""

    classes: tuple[ClassResult, ...]
    iou: float
    """A detection is correct if its IoU with an object of its class exceeds this."""
    score_threshold: float
    """Minimum score, exclusive, of the detections that count for precision and recall."""
    mean_iou: float
    """Mean IoU of all detections over `score_threshold`; false positives count as 0."""

    def mean_ap(self, rule: str, *, occurring: bool = False) -> float:
        """Return the mean average precision.

        Args:
            rule: Field of `ClassResult`: "area", "points11" or "points101".
            occurring: Average only over classes that occur in the annotations, instead of all as Darknet does.
        """
        values: list[float] = [getattr(c, rule) for c in self.classes if c.truths or not occurring]
        return sum(values) / len(values) if values else 0.0

    @property
    def precision(self) -> float:
        true_positives, false_positives = (
            sum(c.true_positives for c in self.classes),
            sum(c.false_positives for c in self.classes),
        )
        return true_positives / (true_positives + false_positives) if true_positives + false_positives else 0.0

    @property
    def recall(self) -> float:
        truths = sum(c.truths for c in self.classes)
        return sum(c.true_positives for c in self.classes) / truths if truths else 0.0

    @property
    def f1(self) -> float:
        return (
            2 * self.precision * self.recall / (self.precision + self.recall) if self.precision + self.recall else 0.0
        )


@dataclass(slots=True)
class _ClassTally:
    """Detections of one class in all images."""

    scores: list[float]
    matched: list[int]
    """Object with the largest overlap, numbered over all images; -1 for none."""
    truths: int = 0
    true_positives: int = 0
    false_positives: int = 0


def darknet_map(
    pairs: Iterable[tuple[ImageAnnotation, Detections]],
    classes: int,
    *,
    iou: float = 0.5,
    score_threshold: float = DetectionSettings.threshold,
    selected: Sequence[int] | None = None,
) -> DarknetResult:
    """Compute average precision by the rules of AlexeyAB's `detector map` (detector.c validate_detector_map).

    A detection is matched to the object of its class that it overlaps most; of several for one object the best is
    correct and the others are false. A detection that overlaps only an ignored object does not count; Darknet excludes
    it from the average precision too, but counts it as false in precision and F1.

    Args:
        pairs: Images, each with its detections.
        classes: Number of classes of the network.
        iou: Minimum IoU, exclusive.
        score_threshold: Minimum score, exclusive, for precision, recall and mean IoU.
        selected: Classes to include; by default all. Detections of other classes must not be in `pairs`.
    """
    tallies = [_ClassTally([], []) for _ in range(classes)]
    num_seen, overlaps = 0, 0.0
    for truth, detections in pairs:
        overlaps += _count_detections(tallies, truth, detections, num_seen, iou, score_threshold)
        num_seen += len(truth.classes)
    tallies = [tallies[i] for i in selected] if selected is not None else tallies
    counted = sum(t.true_positives + t.false_positives for t in tallies)
    return DarknetResult(
        tuple(_compute_class_result(t) for t in tallies), iou, score_threshold, overlaps / counted if counted else 0.0
    )


def _count_detections(
    tallies: list[_ClassTally],
    truth: ImageAnnotation,
    detections: Detections,
    num_seen: int,
    iou: float,
    score_threshold: float,
) -> float:
    """Count the detections of an image; return the summed IoU of its true positives over `score_threshold`."""
    for label in truth.classes[~truth.ignored]:
        tallies[label].truths += 1
    matched: set[int] = set()
    total = 0.0
    for detection in detections:
        tally, box = tallies[detection.class_id], np.array(detection.box, np.float32)
        same_class = truth.classes == detection.class_id
        overlaps = np.where(same_class, compute_overlap(box, truth.boxes), 0) if len(same_class) else np.zeros(0)
        counted = np.where(truth.ignored, 0, overlaps)
        best = int(counted.argmax()) if counted.size and counted.max() > iou else -1
        if best < 0 and bool((overlaps > iou).any()):
            continue
        tally.scores.append(detection.score)
        tally.matched.append(num_seen + best if best >= 0 else -1)
        if detection.score <= score_threshold:
            continue
        if best >= 0 and best not in matched:
            tally.true_positives += 1
            total += float(counted[best])
        else:
            tally.false_positives += 1
        matched.add(best)
    return total


def _compute_class_result(tally: _ClassTally) -> ClassResult:
    order = np.argsort(-np.array(tally.scores), kind="stable")
    matched: set[int] = set()
    is_true = np.zeros(len(order), np.bool_)
    for rank, i in enumerate(order):
        is_true[rank] = tally.matched[i] >= 0 and tally.matched[i] not in matched
        matched.add(tally.matched[i])
    hits = is_true.cumsum()
    precision = hits / np.arange(1, len(hits) + 1)
    recall = hits / tally.truths if tally.truths else np.zeros(len(hits))
    points = [_compute_mean_at_recalls(precision, recall, n) for n in (11, 101)]
    return ClassResult(
        tally.truths, tally.true_positives, tally.false_positives, _compute_area(precision, recall), *points
    )


def _compute_area(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> float:
    """Return the area under the precision-recall curve, with precision made non-increasing."""
    if not precision.size:
        return 0.0
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * best).sum())


def _compute_mean_at_recalls(precision: NDArray[np.float64], recall: NDArray[np.float64], points: int) -> float:
    """Return the mean over evenly spaced recall levels of the best precision at that recall or above."""
    levels = np.arange(points) / (points - 1)
    return float(np.mean([precision[recall >= level].max(initial=0.0) for level in levels]))


def coco_map(
    annotations: Annotations,
    pairs: Sequence[tuple[ImageAnnotation, Detections]],
    *,
    selected: Sequence[int] | None = None,
) -> dict[str, float]:
    """Compute COCO's twelve metrics with pycocotools.

    Args:
        annotations: All images and their objects.
        pairs: The evaluated images, each with its detections.
        selected: Classes to evaluate; by default all.

    Raises:
        DarkparseError: pycocotools is missing.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise DarkparseError("COCO's rule needs pycocotools: pip install 'darkparse[evaluate]'") from None
    rows = [
        row
        for truth, detections in pairs
        for row in coco_rows(detections.to_dict(), image_id=truth.image_id, categories=annotations.categories)
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truths = COCO()
        truths.dataset = (
            _to_coco(annotations) if annotations.coco is None else json.loads(annotations.coco.read_text("utf-8"))
        )
        for number, annotation in enumerate(truths.dataset["annotations"], start=1):
            # pycocotools requires these fields, but not every program writes them.
            annotation.setdefault("id", number)
            annotation.setdefault("iscrowd", 0)
            annotation.setdefault("area", annotation["bbox"][2] * annotation["bbox"][3])
        truths.createIndex()
        if not rows:
            return dict.fromkeys((name for name, _ in COCO_METRICS), 0.0)
        evaluation = COCOeval(truths, truths.loadRes(rows), "bbox")
        evaluation.params.imgIds = [truth.image_id for truth, _ in pairs]
        categories = set(annotations.categories)
        if selected is not None:
            categories = {annotations.categories[i] for i in selected}
        evaluation.params.catIds = [category for category in evaluation.params.catIds if category in categories]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(value) for (name, _), value in zip(COCO_METRICS, evaluation.stats, strict=True)}


def _to_coco(annotations: Annotations) -> dict[str, Any]:
    """Convert annotations of another format to a COCO dataset."""
    objects: list[dict[str, Any]] = []
    for truth in annotations.truths:
        for box, label, ignored in zip(
            truth.bboxes.tolist(), truth.classes.tolist(), truth.ignored.tolist(), strict=True
        ):
            annotation = {
                "id": len(objects) + 1,
                "image_id": truth.image_id,
                "category_id": annotations.categories[label],
            }
            objects.append(annotation | {"bbox": box, "area": box[2] * box[3], "iscrowd": int(ignored)})
    images = [{"id": t.image_id, "height": t.size[0], "width": t.size[1]} for t in annotations.truths]
    return {
        "images": images,
        "annotations": objects,
        "categories": [{"id": c, "name": str(c)} for c in annotations.categories],
    }
