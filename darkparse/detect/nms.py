"""Non-maximum suppression, one class at a time, in Darknet's four kinds (box.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from darkparse.layers import Head
from darkparse.network import Network

Floats = NDArray[np.float32]
Kind = Literal["default", "greedynms", "diounms", "cornersnms"]

GREEDY_BETA = 0.6
"""The exponent of greedynms (box.c box_diou)."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """How a network's boxes suppress each other."""

    kind: Kind = "default"
    beta: float = GREEDY_BETA
    """The exponent of diounms, `beta_nms`."""

    @property
    def exponent(self) -> float | None:
        """Power of the centres' distance that is taken off the IoU: none for the plain IoU."""
        return {"greedynms": GREEDY_BETA, "diounms": self.beta}.get(self.kind)


def suppression_of(network: Network) -> Suppression:
    """What the last head says; Darknet asks only that (detector.c test_detector)."""
    last = network.nodes[network.heads[-1]].layer
    assert isinstance(last, Head)
    return Suppression(last.nms_kind, last.beta_nms)  # type: ignore[arg-type]


def suppress(
    boxes: Floats, scores: Floats, classes: NDArray[np.int64], threshold: float, how: Suppression
) -> NDArray[np.int64]:
    """The boxes that stay (box.c do_nms_sort, diounms_sort).

    Args:
        boxes: (K, 4), centre x, y, width, height as fractions of the picture.
        scores: (K,).
        classes: (K,); only boxes of one class suppress each other.
        threshold: a box goes where its overlap with a better one is larger.
        how: what counts as overlap.

    Returns:
        Positions of the boxes that stay, the best first.
    """
    order = np.lexsort((np.arange(len(scores)), -scores, classes))
    kept: list[int] = []
    for group in np.split(order, np.flatnonzero(np.diff(classes[order])) + 1):
        while group.size:
            best, rest = group[0], group[1:]
            kept.append(int(best))
            # `not >`, as in C: a box whose overlap is no number stays.
            group = rest[~(overlap(boxes[best], boxes[rest], how.exponent) > threshold)]
    found = np.array(kept, np.int64)
    return found[np.argsort(-scores[found], kind="stable")]


def overlap(box: Floats, others: Floats, exponent: float | None = None) -> Floats:
    """IoU of a box (4,) with others (K, 4), less (d²/c²)^exponent: d between the centres, c the diagonal around both.

    box.c box_iou, box_diounms. In greedynms and diounms the difference is what is compared, which is smaller than the
    IoU.
    """
    low, high = box[:2] - box[2:] / 2, box[:2] + box[2:] / 2
    lows, highs = others[:, :2] - others[:, 2:] / 2, others[:, :2] + others[:, 2:] / 2
    sides = np.minimum(high, highs) - np.maximum(low, lows)
    shared = np.where((sides < 0).any(1), np.float32(0), sides.prod(1))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        iou: Floats = shared / (box[2] * box[3] + others[:, 2] * others[:, 3] - shared)
        iou = np.where(shared == 0, np.float32(0), iou)
        if exponent is None:
            return iou
        around = (np.maximum(high, highs) - np.minimum(low, lows)).astype(np.float64)
        diagonal = (around**2).sum(1)
        distance = ((others[:, :2] - box[:2]).astype(np.float64) ** 2).sum(1)
        return np.where(diagonal == 0, iou, iou - (distance / diagonal) ** exponent).astype(np.float32)
