"""Matching of detections to annotated objects by the rule of Darknet's `detector map`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkparse.datasets.annotations import ImageAnnotation
from darkparse.detect.detections import Detections
from darkparse.detect.nms import Floats, compute_overlap

Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Matches:
    """The D detections of all images, matched to their T annotated objects.

    Detections of an image are in the order in which Darknet counts them.
    """

    iou: float
    """Minimum IoU, exclusive."""
    images: Integers
    """(D,): position of the image."""
    classes: Integers
    """(D,): class."""
    scores: Floats
    """(D,): score."""
    objects: Integers
    """(D,): object of the same class with the largest IoU, if that exceeds the threshold; otherwise -1."""
    overlaps: Floats
    """(D,): IoU with that object, 0 without one."""
    is_ignored: Bools
    """(D,): whether the detection belongs to no object but overlaps one that may be missed."""
    object_images: Integers
    """(T,): position of the image of each object."""
    object_classes: Integers
    """(T,): class of each object."""
    is_optional: Bools
    """(T,): whether the object may be missed; such an object has no detections."""

    def find_first(self, order: Integers) -> Bools:
        """Return which detections (D,) come first among those of their object.

        Args:
            order: Positions of detections; only these take part, in this order.
        """
        order = order[self.objects[order] >= 0]
        _, first = np.unique(self.objects[order], return_index=True)
        is_first: Bools = np.zeros(len(self.objects), np.bool_)
        is_first[order[first]] = True
        return is_first

    def count_objects(self, num_classes: int) -> Integers:
        """Return the number of objects of each class (num_classes,) that must not be missed."""
        counts: Integers = np.bincount(self.object_classes[~self.is_optional], minlength=num_classes)
        return counts[:num_classes]

    @property
    def by_score(self) -> Integers:
        """Positions of the detections that count for average precision, best first."""
        order = np.argsort(-self.scores, kind="stable")
        return order[~self.is_ignored[order]]


def match(pairs: Iterable[tuple[ImageAnnotation, Detections]], iou: float) -> Matches:
    """Match the detections of images to the objects of their class.

    Args:
        pairs: Images, each with its detections in the order in which Darknet counts them (`order="nms"`).
        iou: Minimum IoU, exclusive.
    """
    rows: list[tuple[Any, ...]] = []
    object_rows: list[tuple[Any, ...]] = []
    num_objects = 0
    for image, (truth, detections) in enumerate(pairs):
        classes = np.array([d.class_id for d in detections], np.int64)
        scores = np.array([d.score for d in detections], np.float32)
        overlaps = compute_overlaps(detections, truth)
        overlaps[classes[:, None] != truth.classes] = 0
        is_over_optional = (overlaps[:, truth.ignored] > np.float32(iou)).any(1)
        overlaps[:, truth.ignored] = 0
        best, largest = find_largest(overlaps)
        belongs = largest > np.float32(iou)
        rows.append(
            (
                np.full(len(classes), image),
                classes,
                scores,
                np.where(belongs, best + num_objects, -1),
                np.where(belongs, largest, np.float32(0)),
                ~belongs & is_over_optional,
            )
        )
        object_rows.append((np.full(len(truth.classes), image), truth.classes, truth.ignored))
        num_objects += len(truth.classes)
    columns = _concatenate(rows, (np.int64, np.int64, np.float32, np.int64, np.float32, np.bool_))
    columns += _concatenate(object_rows, (np.int64, np.int64, np.bool_))
    return Matches(iou, *columns)


def compute_overlaps(detections: Detections, truth: ImageAnnotation) -> Floats:
    """Return the IoU of each detection with each object of its image, (D, T)."""
    boxes = np.array([d.box for d in detections], np.float32).reshape(-1, 4)
    return compute_overlap(boxes[:, None], truth.boxes)


def find_largest(overlaps: Floats) -> tuple[Integers, Floats]:
    """Return the first column with the largest value of each row, and the value; 0 without columns."""
    if not overlaps.shape[1]:
        return np.zeros(len(overlaps), np.int64), np.zeros(len(overlaps), np.float32)
    best = overlaps.argmax(1)
    return best, overlaps[np.arange(len(best)), best]


def _concatenate(rows: list[tuple[Any, ...]], types: tuple[type, ...]) -> list[Any]:
    """Concatenate the arrays of all images, column by column; without images, return empty arrays of these types."""
    if not rows:
        return [np.zeros(0, dtype) for dtype in types]
    return [np.concatenate(arrays) for arrays in zip(*rows, strict=True)]
