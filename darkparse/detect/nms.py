"""Non-maximum suppression within each class, in Darknet's four kinds (box.c)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from darkparse.network.suppression import Suppression

Floats = NDArray[np.float32]
BLOCK_SIZE = 128
"""Number of boxes that are compared with each other at once."""


def suppress(
    boxes: Floats,
    scores: Floats,
    classes: NDArray[np.int64],
    threshold: float,
    suppression: Suppression,
    *,
    box_indices: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Select the candidates that remain after non-maximum suppression (box.c do_nms_sort, diounms_sort).

    Args:
        boxes: (B, 4), center x, center y, width, height as fractions of the image.
        scores: (K,), score of each candidate: a box and a class.
        classes: (K,); only candidates of the same class suppress each other.
        threshold: A candidate is suppressed if its box's overlap with a better one's exceeds this.
        suppression: Kind of overlap.
        box_indices: (K,), box of each candidate; by default its own position.

    Returns:
        Positions of the remaining candidates, best first.
    """
    box_indices = np.arange(len(scores)) if box_indices is None else box_indices
    overlaps = _Overlaps(boxes, threshold, suppression.exponent, shared=len(scores) > 2 * len(boxes))
    order = np.lexsort((np.arange(len(scores)), -scores, classes))
    selected: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    for group in _split_classes(order, classes[order]):
        while group.size:
            block, group = group[:BLOCK_SIZE], group[BLOCK_SIZE:]
            selected.append(block[overlaps.select_greedily(box_indices[block], classes[block])])
            if group.size:
                group = group[~overlaps.overlaps_any(box_indices[selected[-1]], box_indices[group])]
    keep = np.concatenate(selected)
    return keep[np.argsort(-scores[keep], kind="stable")]


def rank_boxes(
    scores: Floats, classes: NDArray[np.int64], box_indices: NDArray[np.int64], boxes: int
) -> NDArray[np.int64]:
    """Return each box's position after Darknet's suppression, which sorts all boxes again for every class.

    The sort is stable and runs from the first class to the last (box.c do_nms_sort, diounms_sort), so the final order
    is by descending probability of the last class; ties are ordered by the class before it, and so on.

    Args:
        scores: (K,), score of each candidate before suppression.
        classes: (K,).
        box_indices: (K,), box of each candidate.
        boxes: Number of boxes B.

    Returns:
        (B,).
    """
    distinct, columns = np.unique(classes, return_inverse=True)
    table = np.zeros((len(distinct), boxes), np.float32)
    table[columns, box_indices] = -scores
    ranks: NDArray[np.int64] = np.arange(boxes)
    if len(distinct):
        ranks[np.lexsort(table)] = np.arange(boxes)
    return ranks


def _split_classes(order: NDArray[np.int64], classes: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield candidates grouped by class, small classes together: numpy calls cost more than extra comparisons."""
    first = 0
    ends = [*(np.flatnonzero(np.diff(classes)) + 1), len(order)]
    for end, after in zip(ends, [*ends[1:], np.inf], strict=True):
        if after - first > BLOCK_SIZE // 2:
            yield order[first:end]
            first = end


class _Overlaps:
    """Pairs of boxes whose overlap exceeds a threshold.

    Args:
        boxes: (B, 4).
        threshold: Overlap threshold.
        exponent: See `compute_overlap`.
        shared: Most boxes are candidates of several classes; the overlaps of each box are computed once and cached, one
            bit per box.
    """

    def __init__(self, boxes: Floats, threshold: float, exponent: float | None, *, shared: bool) -> None:
        self._boxes, self._threshold, self._exponent, self._shared = boxes, threshold, exponent, shared
        self._is_computed = np.zeros(len(boxes), np.bool_)
        self._bits = np.zeros((len(boxes) if shared else 0, -(-len(boxes) // 8)), np.uint8)

    def select_greedily(self, block: NDArray[np.int64], classes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which boxes (K,), best first within each class, are not suppressed by one of their class."""
        overlapping = self._compare_within(block) & (classes[:, None] == classes)
        keep: NDArray[np.bool_] = np.ones(len(block), np.bool_)
        for i in np.flatnonzero(overlapping.any(1)):
            if keep[i]:
                keep[i + 1 :] &= ~overlapping[i, i + 1 :]
        return keep

    def overlaps_any(self, selected: NDArray[np.int64], rest: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of the remaining boxes (L,) overlap any selected one."""
        if not self._shared:
            return np.logical_or.reduce(self._exceeds_threshold(selected, rest))  # type: ignore[no-any-return]
        bits = np.bitwise_or.reduce(self._bits[selected])
        return np.unpackbits(bits, count=len(self._boxes)).view(np.bool_)[rest]

    def _compare_within(self, block: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which boxes overlap each other, (K, K)."""
        if not self._shared:
            return self._exceeds_threshold(block, block)
        uncomputed = block[~self._is_computed[block]]
        self._is_computed[uncomputed] = True
        self._bits[uncomputed] = np.packbits(self._exceeds_threshold(uncomputed, np.arange(len(self._boxes))), axis=1)
        bits: NDArray[np.uint8] = self._bits[block[:, None], block >> 3] << (block & 7).astype(np.uint8)
        return bits >= 128

    def _exceeds_threshold(self, indices: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether overlaps exceed the threshold, (K, L); as in C, `>` is false for NaN."""
        boxes = self._boxes
        exceeds: NDArray[np.bool_] = compute_overlap(boxes[indices, None], boxes[others]) > self._threshold
        if self._exponent is not None:  # the distance term only lowers the overlap
            i, j = np.nonzero(exceeds)
            exceeds[i, j] = compute_overlap(boxes[indices[i]], boxes[others[j]], self._exponent) > self._threshold
        return exceeds


def compute_overlap(boxes: Floats, others: Floats, exponent: float | None = None) -> Floats:
    """Compute the IoU of boxes, minus (d²/c²)^exponent; d is the distance of the centers, c the diagonal around both.

    See box.c box_iou and box_diounms. greedynms and diounms compare this difference, which is smaller than the IoU.

    Args:
        boxes: (…, 4), center x, center y, width, height.
        others: (…, 4), of a shape that broadcasts with that of `boxes`.
        exponent: Exponent of the distance term; None for the plain IoU.
    """
    with np.errstate(all="ignore"):
        (low, high), (lows, highs) = _compute_corners(boxes), _compute_corners(others)
        width, height = (np.minimum(high[i], highs[i]) - np.maximum(low[i], lows[i]) for i in (0, 1))
        intersection = np.where((width < 0) | (height < 0), np.float32(0), width * height)
        union = boxes[..., 2] * boxes[..., 3] + others[..., 2] * others[..., 3] - intersection
        iou: Floats = np.where(intersection == 0, np.float32(0), intersection / union)
        if exponent is None:
            return iou
        enclosing = [np.maximum(high[i], highs[i]) - np.minimum(low[i], lows[i]) for i in (0, 1)]
        offsets = [others[..., i] - boxes[..., i] for i in (0, 1)]
        diagonal, distance = (x.astype(np.float64) ** 2 + y.astype(np.float64) ** 2 for x, y in (enclosing, offsets))
        return np.where(diagonal == 0, iou, iou - (distance / diagonal) ** exponent).astype(np.float32)


def _compute_corners(boxes: Floats) -> tuple[list[Floats], list[Floats]]:
    """Return the top left and the bottom right corners, as x and y each."""
    half: list[Floats] = [boxes[..., i] / np.float32(2) for i in (2, 3)]
    return [boxes[..., i] - half[i] for i in (0, 1)], [boxes[..., i] + half[i] for i in (0, 1)]
