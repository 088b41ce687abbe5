"""Mean average precision by the rules of Darknet's `detector map`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from darkparse.datasets.annotations import ImageAnnotation
from darkparse.detect.detections import Detections
from darkparse.evaluation.matching import Bools, Integers, Matches, match
from darkparse.network.detection_settings import DetectionSettings

Rule = Literal["area", "points11", "points101"]


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of true and false detections over a score, and the metrics derived from them."""

    objects: int = 0
    true_positives: int = 0
    false_positives: int = 0
    overlap: float = 0.0
    """Summed IoU of the true positives."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.objects + other.objects,
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.overlap + other.overlap,
        )

    @property
    def false_negatives(self) -> int:
        return self.objects - self.true_positives

    @property
    def precision(self) -> float:
        return _divide(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        return _divide(self.true_positives, self.objects)

    @property
    def f1(self) -> float:
        return _divide(2 * self.precision * self.recall, self.precision + self.recall)

    @property
    def mean_iou(self) -> float:
        """Mean IoU of all detections; false positives count as 0."""
        return _divide(self.overlap, self.true_positives + self.false_positives)


def _divide(dividend: float, divisor: float) -> float:
    return dividend / divisor if divisor else 0.0


@dataclass(frozen=True, slots=True)
class ClassResult:
    """Evaluation result of one class."""

    darknet: Counts
    """Darknet's counts: a detection is false if an earlier one of any score belongs to the same object."""
    by_score: Counts
    """The highest-scoring detection of an object is true; ignored detections do not count."""
    area: float
    """Average precision as the area under the curve (Darknet's `-points 0`; VOC 2010-2012)."""
    points11: float
    """Average precision as the mean at 11 recall levels (`-points 11`; VOC 2007)."""
    points101: float
    """Average precision as the mean at 101 recall levels (`-points 101`)."""

    @property
    def occurs(self) -> bool:
        """Whether the class has objects or counted detections."""
        return bool(self.darknet.objects or self.darknet.true_positives or self.darknet.false_positives)


@dataclass(frozen=True, slots=True)
class DarknetResult:
    """Result of `darknet detector map`."""

    classes: tuple[ClassResult, ...]
    iou: float
    """A detection belongs to an object of its class if their IoU exceeds this."""
    score_threshold: float
    """Minimum score, exclusive, of counted detections."""

    def mean_ap(self, rule: Rule, *, occurring: bool = False) -> float:
        """Return the mean average precision.

        Args:
            rule: How average precision is computed.
            occurring: Average only over classes that occur in the annotations, instead of all as Darknet does.
        """
        values: list[float] = [getattr(c, rule) for c in self.classes if c.darknet.objects or not occurring]
        return _divide(sum(values), len(values))

    @property
    def score(self) -> float:
        """Mean average precision as the area under the curve, by which training selects the best weights."""
        return self.mean_ap("area")

    @property
    def darknet(self) -> Counts:
        """Darknet's counts of all classes."""
        return reduce(add, (c.darknet for c in self.classes), Counts())

    @property
    def by_score(self) -> Counts:
        """Counts of all classes by score alone."""
        return reduce(add, (c.by_score for c in self.classes), Counts())


def darknet_map(
    pairs: Iterable[tuple[ImageAnnotation, Detections]],
    classes: int,
    *,
    iou: float = 0.5,
    score_threshold: float = DetectionSettings.threshold,
    selected: Sequence[int] | None = None,
) -> DarknetResult:
    """Compute average precision by the rules of AlexeyAB's `detector map` (detector.c validate_detector_map).

    A detection belongs to the object of its class that it overlaps most. Average precision is computed by score: the
    best detection of an object is true, and the others are false. A detection that overlaps only an ignored object does
    not count for average precision, but is false in Darknet's counts.

    Args:
        pairs: Images, each with its detections as `MAP_SETTINGS` detects and orders them.
        classes: Number of classes of the network.
        iou: Minimum IoU, exclusive.
        score_threshold: Minimum score, exclusive, of counted detections.
        selected: Classes to include; by default all. Detections of other classes must not be in `pairs`.
    """
    return evaluate_matches(match(pairs, iou), selected or range(classes), score_threshold=score_threshold)


def evaluate_matches(matches: Matches, classes: Sequence[int], *, score_threshold: float) -> DarknetResult:
    """Compute the counts and the average precision of matched detections.

    Args:
        matches: Detections matched to objects.
        classes: Classes to include.
        score_threshold: Minimum score, exclusive, of counted detections.
    """
    is_counted = matches.scores > np.float32(score_threshold)
    order = matches.by_score
    is_best = matches.find_first(order)
    # A detection of any score makes later ones of the same object false (detector.c:1158).
    is_first = matches.find_first(np.arange(len(matches.scores)))
    num_classes = max(classes, default=-1) + 1
    darknet = _count_classes(matches, is_counted, is_first, num_classes)
    by_score = _count_classes(matches, is_counted & ~matches.is_ignored, is_best, num_classes)
    curves = compute_curves(matches.classes[order], is_best[order], matches.count_objects(num_classes))
    results = (
        ClassResult(darknet[i], by_score[i], curves[i].area, curves[i].mean_at(11), curves[i].mean_at(101))
        for i in classes
    )
    return DarknetResult(tuple(results), matches.iou, score_threshold)


def _count_classes(matches: Matches, rows: Bools, is_true: Bools, num_classes: int) -> list[Counts]:
    """Count the detections of each class among `rows`."""
    true = rows & is_true
    columns = (
        matches.count_objects(num_classes),
        np.bincount(matches.classes[true], minlength=num_classes),
        np.bincount(matches.classes[rows & ~is_true], minlength=num_classes),
        np.bincount(matches.classes[true], matches.overlaps[true], minlength=num_classes),
    )
    return [Counts(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecall:
    """Precision and recall of a class after each of its detections, best first."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    @classmethod
    def compute(cls, is_true: Bools, objects: int) -> PrecisionRecall:
        """Compute the curve.

        Args:
            is_true: (D,), whether each detection is true, best first.
            objects: Number of objects of the class.
        """
        hits: Integers = is_true.cumsum()
        recall = hits / objects if objects else np.zeros(len(hits))
        return cls(hits / np.arange(1, len(hits) + 1), recall)

    @property
    def best_precision(self) -> NDArray[np.float64]:
        """Best precision at each recall or above."""
        return np.maximum.accumulate(self.precision[::-1])[::-1]

    @property
    def area(self) -> float:
        """Area under the curve, with precision made non-increasing."""
        return float((np.diff(self.recall, prepend=0.0) * self.best_precision).sum())

    @property
    def corners(self) -> list[tuple[float, float]]:
        """Recall and best precision where a step of the non-increasing curve ends."""
        is_true = np.diff(self.recall, prepend=0.0) > 0
        recall, best = self.recall[is_true], self.best_precision[is_true]
        is_end = np.append(np.diff(best) != 0, True)[: len(best)]
        return list(zip(recall[is_end].tolist(), best[is_end].tolist(), strict=True))

    def mean_at(self, points: int) -> float:
        """Return the mean over evenly spaced recall levels of the best precision at that recall or above."""
        levels = np.arange(points) / (points - 1)
        return float(np.mean([self.precision[self.recall >= level].max(initial=0.0) for level in levels]))


def compute_curves(classes: Integers, is_true: Bools, objects: Integers) -> list[PrecisionRecall]:
    """Compute the precision-recall curve of each class.

    Args:
        classes: (D,), class of each detection, best first.
        is_true: (D,), whether each detection is true.
        objects: (C,), number of objects of each class.
    """
    order = np.argsort(classes, kind="stable")
    ends = np.searchsorted(classes[order], np.arange(len(objects)), side="right")
    groups = np.split(is_true[order], ends)[: len(objects)]
    return [PrecisionRecall.compute(group, int(count)) for group, count in zip(groups, objects, strict=True)]
