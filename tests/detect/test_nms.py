"""Suppression, beside a transcription of box.c."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import darkparse
from darkparse.detect.nms import compute_overlap, rank_boxes, suppress
from darkparse.network.suppression import Suppression, get_suppression
from tests.timing import measure_cpu_seconds


def iou_in_c(a: Any, b: Any) -> float:
    """box.c box_iou."""

    def shared(x1: float, w1: float, x2: float, w2: float) -> float:
        return min(x1 + w1 / 2, x2 + w2 / 2) - max(x1 - w1 / 2, x2 - w2 / 2)

    w, h = shared(a[0], a[2], b[0], b[2]), shared(a[1], a[3], b[1], b[3])
    both = 0.0 if w < 0 or h < 0 else w * h
    union = a[2] * a[3] + b[2] * b[3] - both
    return both / union if both and union else 0.0


def distance_in_c(a: Any, b: Any, beta: float) -> float:
    """box.c box_diounms: IoU - (d/c)^beta."""
    w = max(a[0] + a[2] / 2, b[0] + b[2] / 2) - min(a[0] - a[2] / 2, b[0] - b[2] / 2)
    h = max(a[1] + a[3] / 2, b[1] + b[3] / 2) - min(a[1] - a[3] / 2, b[1] - b[3] / 2)
    c = w * w + h * h
    d = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
    return iou_in_c(a, b) - (math.pow(d / c, beta) if c else 0.0)


def kept_in_c(boxes: Any, scores: Any, classes: Any, threshold: float, how: Suppression) -> set[int]:
    """box.c do_nms_sort and diounms_sort."""
    left = [float(s) for s in scores]
    for label in set(classes.tolist()):
        order = sorted((i for i in range(len(left)) if classes[i] == label), key=lambda i: -scores[i])
        for at, i in enumerate(order):
            for j in order[at + 1 :] if left[i] else ():
                if how.kind in ("default", "cornersnms"):
                    value = iou_in_c(boxes[i], boxes[j])
                else:
                    value = distance_in_c(boxes[i], boxes[j], 0.6 if how.kind == "greedynms" else how.beta)
                if value > threshold:
                    left[j] = 0.0
    return {i for i, score in enumerate(left) if score}


@given(
    st.integers(0, 10_000),
    st.sampled_from(["default", "greedynms", "diounms", "cornersnms"]),
    st.sampled_from([0.3, 0.45, 0.6]),
)
def test_suppress_keeps_boxes_that_darknet_keeps(seed: int, kind: Any, threshold: float) -> None:
    random = np.random.RandomState(seed)
    boxes = np.concatenate((random.uniform(0.3, 0.7, (30, 2)), random.uniform(0.1, 0.5, (30, 2))), 1).astype(np.float32)
    scores, classes = ((random.permutation(30) + 1) / 31).astype(np.float32), random.randint(0, 3, 30)
    how = Suppression(kind, 0.8)
    kept = suppress(boxes, scores, classes, threshold, how)
    assert set(kept.tolist()) == kept_in_c(boxes.astype(np.float64), scores, classes, threshold, how)
    assert (np.diff(scores[kept]) <= 0).all()


def one_by_one(boxes: Any, scores: Any, classes: Any, threshold: float, how: Suppression) -> list[int]:
    """Suppression a box at a time, in float32: the best first, of equal ones that of the first class."""
    kept: list[int] = []
    for label in sorted(set(classes.tolist())):
        group = np.flatnonzero(classes == label)
        group = group[np.argsort(-scores[group], kind="stable")]
        while group.size:
            kept.append(int(group[0]))
            group = group[1:][~(compute_overlap(boxes[group[0]], boxes[group[1:]], how.exponent) > threshold)]
    return sorted(kept, key=lambda i: -scores[i])


@pytest.mark.parametrize("kind", ["default", "greedynms", "diounms", "cornersnms"])
@pytest.mark.parametrize("several", [False, True], ids=["one class a box", "ten classes a box"])
@pytest.mark.parametrize("seeds", [range(1), pytest.param(range(1, 3), marks=pytest.mark.slow)])
def test_suppress_in_blocks_equals_one_by_one(kind: Any, several: bool, seeds: range) -> None:
    for seed in seeds:
        random = np.random.RandomState(seed)
        count = 100 if several else 1000
        sizes = random.exponential(0.15, (count, 2))
        boxes = np.concatenate((random.uniform(0.2, 0.8, (count, 2)), sizes), 1).astype(np.float32)
        boxes[random.randint(0, count, 9), random.randint(0, 4, 9)] = np.array([np.inf, np.nan, 0] * 3)
        of = np.repeat(np.arange(count), 10 if several else 1)
        classes = np.tile(np.arange(10), count) if several else random.randint(0, 2, count)
        scores = random.uniform(0.25, 1, 1000).round(2).astype(np.float32)
        how = Suppression(kind, 0.8)
        kept = suppress(boxes, scores, classes, 0.45, how, box_indices=of)
        assert kept.tolist() == one_by_one(boxes[of], scores, classes, 0.45, how)


def boxes_sorted_in_c(probabilities: Any) -> list[int]:
    """box.c do_nms_sort: all boxes are sorted anew for every class; nothing is suppressed."""
    order = list(range(len(probabilities)))
    for label in range(probabilities.shape[1]):
        order.sort(key=lambda box: -probabilities[box, label])
    return order


@pytest.mark.parametrize("seed", range(5))
def test_rank_boxes_equals_sorting_class_by_class(seed: int) -> None:
    random = np.random.RandomState(seed)
    probabilities = random.choice([0, 0, 0.25, 0.5, 0.75], (20, 4)).astype(np.float32)  # many ties
    boxes, classes = np.nonzero(probabilities)
    shuffled = random.permutation(len(boxes))
    boxes, classes = boxes[shuffled], classes[shuffled]
    ranks = rank_boxes(probabilities[boxes, classes], classes, boxes, len(probabilities))
    assert np.argsort(ranks).tolist() == boxes_sorted_in_c(probabilities)


def test_rank_boxes_without_candidates_keeps_order() -> None:
    nothing = np.zeros(0, np.int64)
    assert rank_boxes(np.zeros(0, np.float32), nothing, nothing, 2).tolist() == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize(("count", "seconds"), [(2535, 1), (10_647, 20)], ids=["yolov3-tiny", "yolov3"])
def test_suppress_every_box_in_80_classes_is_fast(count: int, seconds: float) -> None:
    random = np.random.RandomState(0)
    boxes = np.concatenate((random.uniform(0, 1, (count, 2)), random.exponential(0.2, (count, 2))), 1).astype(
        np.float32
    )
    scores = random.uniform(0.25, 1, count * 80).astype(np.float32)
    of, classes = np.repeat(np.arange(count), 80), np.tile(np.arange(80), count)

    def suppress_all() -> None:
        suppress(boxes, scores, classes, 0.45, Suppression(), box_indices=of)

    assert measure_cpu_seconds(suppress_all) < seconds


def test_greedynms_compares_distance_reduced_iou() -> None:
    """Two unit boxes .25 apart: IoU .6, and .6 - (.0625 / 2.5625)^.6 = .492 is what yolov4's cfg compares."""
    boxes = np.array([[0.5, 0.5, 1, 1], [0.75, 0.5, 1, 1]], np.float32)
    assert compute_overlap(boxes[0], boxes[1:])[0] == pytest.approx(0.6, abs=1e-6)
    assert compute_overlap(boxes[0], boxes[1:], 0.6)[0] == pytest.approx(0.4922, abs=1e-4)
    scores, classes = np.array([0.9, 0.8], np.float32), np.zeros(2, np.int64)
    assert len(suppress(boxes, scores, classes, 0.5, Suppression("default"))) == 1
    assert len(suppress(boxes, scores, classes, 0.5, Suppression("greedynms"))) == 2


def test_suppress_boxes_without_area_keeps_all() -> None:
    boxes = np.zeros((3, 4), np.float32)
    assert len(suppress(boxes, np.ones(3, np.float32), np.zeros(3, np.int64), 0.45, Suppression("diounms"))) == 3


@pytest.mark.parametrize(
    ("cfg", "dialect", "kind"),
    [
        ("yolov4", "alexeyab", "greedynms"),
        ("yolov4", "pjreddie", "default"),
        ("yolov3", None, "default"),
        ("yolov2", None, "default"),
    ],
)
def test_get_suppression_returns_kind_of_last_head(cfg: str, dialect: str | None, kind: str) -> None:
    assert get_suppression(darkparse.compile(cfg, dialect=dialect)).kind == kind


@pytest.mark.parametrize("count", [2, 40])
def test_suppress_keeps_boxes_that_overlap_by_the_threshold(count: int) -> None:
    """Darknet suppresses above the threshold only; the second box is half of the first, in each pair."""
    boxes = np.array([(10 * i, 0.5, 1, 1 - 0.5 * (i % 2)) for i in range(count)], np.float32)
    boxes[1::2, 0] = boxes[::2, 0]
    scores, classes = np.linspace(1, 0.5, count, dtype=np.float32), np.zeros(count, np.int64)
    for threshold, kept in ((0.5, count), (0.4999, count // 2)):
        assert len(suppress(boxes, scores, classes, threshold, Suppression())) == kept
