"""Kinds of detection errors and the average precision that each costs, after TIDE (Bolya et al., ECCV 2020)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from darkparse.datasets.annotations import ImageAnnotation
from darkparse.detect.detections import Detections
from darkparse.detect.nms import Floats
from darkparse.evaluation.average_precision import compute_curves
from darkparse.evaluation.matching import Bools, Integers, Matches, compute_overlaps, find_largest

BACKGROUND_IOU = 0.1
"""A detection whose IoU with every object is at most this is a detection of the background."""


class ErrorKind(StrEnum):
    """Kind of an error."""

    CONFUSED = "confused"
    BADLY_PLACED = "badly placed"
    BOTH = "both"
    DUPLICATE = "duplicate"
    BACKGROUND = "background"
    MISSED = "missed"


MEANINGS = {
    ErrorKind.CONFUSED: "right place, wrong class",
    ErrorKind.BADLY_PLACED: "right class, wrong place",
    ErrorKind.BOTH: "wrong class and wrong place",
    ErrorKind.DUPLICATE: "another detection of a found object",
    ErrorKind.BACKGROUND: "no object there",
    ErrorKind.MISSED: "object that was not found",
}
KINDS = tuple(ErrorKind)
NO_ERROR, NO_OBJECT = -1, -1


@dataclass(frozen=True, slots=True, eq=False)
class ErrorAnalysis:
    """Errors of a detector."""

    matches: Matches
    classes: tuple[int, ...]
    """Evaluated classes."""
    score_threshold: float
    """Minimum score, exclusive, of counted detections."""
    kinds: NDArray[np.int8]
    """(D,): position in KINDS of each false detection of any score, NO_ERROR for the others."""
    targets: Integers
    """(D,): object that an error is about, or NO_OBJECT."""
    target_overlaps: Floats
    """(D,): IoU with that object."""

    @property
    def is_counted(self) -> Bools:
        """(D,): whether each detection has a score over the threshold and does not belong to an ignored object."""
        return (self.matches.scores > np.float32(self.score_threshold)) & ~self.matches.is_ignored

    @property
    def is_missed(self) -> Bools:
        """(T,): whether each object of the evaluated classes has no true detection over the threshold."""
        return self._find_missed(self.is_counted & (self.kinds == NO_ERROR))

    def _find_missed(self, is_true: Bools) -> Bools:
        missed = ~self.matches.is_optional & np.isin(self.matches.object_classes, self.classes)
        missed[self.matches.objects[is_true]] = False
        return missed

    @property
    def counts(self) -> dict[ErrorKind, int]:
        """Number of errors of each kind over the threshold; those but MISSED add up to the false positives."""
        counted = self.kinds[self.is_counted]
        false_positives = {kind: int((counted == code).sum()) for code, kind in enumerate(KINDS)}
        return false_positives | {ErrorKind.MISSED: int(self.is_missed.sum())}

    @property
    def confusion(self) -> Counter[tuple[int, int]]:
        """Number of detections over the threshold by the class of their object and their own class.

        NO_OBJECT is the class of the object of a false positive that is not CONFUSED, and the class of the detection of
        an object that was missed. The entries add up to true positives, false positives and false negatives.
        """
        rows = np.flatnonzero(self.is_counted)
        objects = np.where(self.kinds[rows] == NO_ERROR, self.matches.objects[rows], NO_OBJECT)
        is_confused = self.kinds[rows] == KINDS.index(ErrorKind.CONFUSED)
        objects = np.where(is_confused, self.targets[rows], objects)
        labels = np.where(objects == NO_OBJECT, NO_OBJECT, np.append(self.matches.object_classes, NO_OBJECT)[objects])
        confusion = Counter(zip(labels.tolist(), self.matches.classes[rows].tolist(), strict=True))
        confusion.update((label, NO_OBJECT) for label in self.matches.object_classes[self.is_missed].tolist())
        return confusion

    def compute_costs(self) -> dict[ErrorKind, float]:
        """Compute how much the mean average precision would rise if all errors of a kind, of any score, were corrected.

        A confused or badly placed detection becomes the true detection of its object if that has none, and is removed
        otherwise. Other false positives are removed, and missed objects are no longer counted.
        """
        mean_ap = self._compute_mean_ap(None)
        return {kind: self._compute_mean_ap(kind) - mean_ap for kind in KINDS}

    def _compute_mean_ap(self, corrected: ErrorKind | None) -> float:
        """Compute the mean average precision (area under the curve) with the errors of one kind corrected."""
        matches, order = self.matches, self.matches.by_score
        classes, is_true = matches.classes[order].copy(), self.kinds[order] == NO_ERROR
        is_removed = self.kinds[order] == (NO_ERROR - 1 if corrected is None else KINDS.index(corrected))
        counted_objects = ~matches.is_optional
        if corrected in (ErrorKind.CONFUSED, ErrorKind.BADLY_PLACED):
            unfound = self._find_missed(self.kinds == NO_ERROR)
            rows = np.flatnonzero(is_removed)
            rows = rows[unfound[self.targets[order[rows]]]]
            targets, first = np.unique(self.targets[order[rows]], return_index=True)
            classes[rows[first]], is_true[rows[first]] = matches.object_classes[targets], True
            is_removed[rows[first]] = False
        elif corrected is ErrorKind.MISSED:
            counted_objects = counted_objects & ~self._find_missed(self.kinds == NO_ERROR)
        num_classes = max(self.classes, default=-1) + 1
        objects = np.bincount(matches.object_classes[counted_objects], minlength=num_classes)[:num_classes]
        curves = compute_curves(classes[~is_removed], is_true[~is_removed], objects)
        return sum(curves[i].area for i in self.classes) / len(self.classes) if self.classes else 0.0


def analyze_errors(
    pairs: Sequence[tuple[ImageAnnotation, Detections]],
    matches: Matches,
    classes: Sequence[int],
    *,
    score_threshold: float,
) -> ErrorAnalysis:
    """Find the kind of each false detection.

    A detection that does not belong to the best-scored detections of its objects is, in this order: DUPLICATE if it
    belongs to an object of its class; CONFUSED if its IoU with one of another class exceeds the IoU of a match;
    BADLY_PLACED, or BOTH, if its IoU with an object of its class, or of another, exceeds BACKGROUND_IOU; BACKGROUND.

    Args:
        pairs: Images, each with its detections.
        matches: Result of `match` for these pairs.
        classes: Evaluated classes.
        score_threshold: Minimum score, exclusive, of counted detections.
    """
    own, own_overlaps, other, other_overlaps = _find_nearest(pairs)
    is_wrong = ~matches.find_first(matches.by_score) & ~matches.is_ignored
    background_iou = np.float32(min(BACKGROUND_IOU, matches.iou))
    tests = {
        ErrorKind.DUPLICATE: matches.objects != NO_OBJECT,
        ErrorKind.CONFUSED: other_overlaps > np.float32(matches.iou),
        ErrorKind.BADLY_PLACED: own_overlaps > background_iou,
        ErrorKind.BOTH: other_overlaps > background_iou,
    }
    codes = np.select(list(tests.values()), [KINDS.index(kind) for kind in tests], KINDS.index(ErrorKind.BACKGROUND))
    kinds = np.where(is_wrong, codes, NO_ERROR).astype(np.int8)
    about_other = np.isin(kinds, [KINDS.index(kind) for kind in (ErrorKind.CONFUSED, ErrorKind.BOTH)])
    about_own = np.isin(kinds, [KINDS.index(kind) for kind in (ErrorKind.BADLY_PLACED, ErrorKind.DUPLICATE)])
    targets = np.select([about_other, about_own], [other, own], NO_OBJECT)
    overlaps = np.select([about_other, about_own], [other_overlaps, own_overlaps], np.float32(0))
    return ErrorAnalysis(matches, tuple(classes), score_threshold, kinds, targets, overlaps)


def _find_nearest(pairs: Sequence[tuple[ImageAnnotation, Detections]]) -> tuple[Integers, Floats, Integers, Floats]:
    """Find the object of the same class, and of another class, that each detection overlaps most.

    Returns:
        Number of the object over all images and the IoU with it, of the same class and then of another, (D,) each.
        Objects that may be missed do not take part.
    """
    columns: list[list[NDArray[np.generic]]] = [[np.zeros(0, t)] for t in (np.int64, np.float32) * 2]
    num_objects = 0
    for truth, detections in pairs:
        overlaps = compute_overlaps(detections, truth)
        overlaps[:, truth.ignored] = 0
        is_same = np.array([d.class_id for d in detections], np.int64)[:, None] == truth.classes
        for position, part in ((0, is_same), (2, ~is_same)):
            best, largest = find_largest(np.where(part, overlaps, np.float32(0)))
            columns[position].append(best + num_objects)
            columns[position + 1].append(largest)
        num_objects += len(truth.classes)
    own, own_overlaps, other, other_overlaps = (np.concatenate(column) for column in columns)
    return own, own_overlaps, other, other_overlaps
