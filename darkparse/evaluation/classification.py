"""Accuracy of a classifier: top-1, top-k and the confusion matrix, as Darknet's `classifier valid` counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from darkparse.datasets.classified_images import NO_CLASS
from darkparse.datasets.data_file import DataFile
from darkparse.detect.detections import Detections
from darkparse.errors import DarkparseError

DEFAULT_TOP = 5
"""Number of classes of top-k accuracy if a `.data` file has no `top`."""


@dataclass(frozen=True, slots=True)
class ClassAccuracy:
    """Accuracy on the images of one class."""

    images: int
    first: int
    """Number of images whose best class is right."""
    among_top: int
    """Number of images whose class is among the best `top`."""


@dataclass(frozen=True, slots=True)
class ClassificationResult:
    """Result of `classifier valid`. An image without a label counts as wrong."""

    top: int
    classes: tuple[ClassAccuracy, ...]
    confusion: Mapping[tuple[int, int], int]
    """Number of images by true and predicted class; NO_CLASS for an image without a label or without a prediction."""

    @property
    def images(self) -> int:
        """Number of images, with those that have no label."""
        return sum(self.confusion.values())

    @property
    def unlabeled(self) -> int:
        """Number of images whose paths contain no label."""
        return sum(count for (label, _), count in self.confusion.items() if label == NO_CLASS)

    @property
    def top1(self) -> float:
        """Fraction of the images whose best class is right."""
        return sum(c.first for c in self.classes) / self.images if self.images else 0.0

    @property
    def score(self) -> float:
        """Top-1 accuracy, by which training selects the best weights."""
        return self.top1

    @property
    def topk(self) -> float:
        """Fraction of the images whose class is among the best `top`."""
        return sum(c.among_top for c in self.classes) / self.images if self.images else 0.0

    @property
    def confused(self) -> list[tuple[int, int, int]]:
        """Wrong predictions, most frequent first: true class, predicted class, number of images."""
        wrong = [(label, predicted, n) for (label, predicted), n in self.confusion.items() if label != predicted]
        return sorted(wrong, key=lambda row: (-row[2], row))


def measure_classification(pairs: Iterable[tuple[int, Detections]], classes: int, top: int) -> ClassificationResult:
    """Count right and wrong predictions (classifier.c validate_classifier_single).

    Args:
        pairs: True class of each image, or NO_CLASS, and at least its `top` best classes, best first.
        classes: Number of classes.
        top: Number of best classes among which the true one must be for top-k accuracy.
    """
    images, first, among_top = Counter[int](), Counter[int](), Counter[int]()
    confusion = Counter[tuple[int, int]]()
    for label, ranking in pairs:
        best = [one.class_id for one in ranking[:top]]
        images[label] += 1
        first[label] += best[:1] == [label]
        among_top[label] += label in best
        confusion[label, best[0] if best else NO_CLASS] += 1
    accuracies = (ClassAccuracy(images[i], first[i], among_top[i]) for i in range(classes))
    return ClassificationResult(top, tuple(accuracies), confusion)


def choose_top(images: Path, classes: int) -> int:
    """Return the K of top-k accuracy: `top` of a `.data` file, or 5, but at most the number of classes.

    Raises:
        DarkparseError: `top` is not a positive integer.
    """
    data = DataFile.read(images) if images.suffix.lower() == ".data" and images.is_file() else None
    top = data.number("top") if data is not None else None
    if data is not None and top is not None and top < 1:
        raise DarkparseError(f"{data.options['top']}: top must be at least 1, got {top}")
    return min(top or DEFAULT_TOP, classes)
