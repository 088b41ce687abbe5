"""Values of each head in a batch: costs, mean IoU, number of objects; and warnings about heads that learn nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from torch import Tensor

from darkparse.training.losses.network import Loss

HeadValues = dict[str, float | None]

PATIENCE = 100
"""Number of batches after which a head that learns nothing is reported."""
MIN_OBJECTNESS = 0.005
"""Highest objectness below which a head finds nothing: the minimum score of an evaluation."""


def iterate_values(loss: Loss) -> Iterator[tuple[tuple[int, str], Tensor]]:
    """Yield the values of a mini-batch to sum over a batch, by head and name."""
    for index, cost in loss.costs.items():
        yield (index, "cost"), cost
        for name, component in loss.components.get(index, {}).items():
            yield (index, name), component
        if index in loss.overlaps:
            overlaps = loss.overlaps[index]
            yield (index, "iou"), overlaps.sum()
            yield (index, "objects"), cost.new_tensor(len(overlaps))
            yield (index, "confidence"), loss.objectness[index].to(cost)


def summarize_heads(sums: Mapping[tuple[int, str], float], images: int, mini_batches: int) -> dict[int, HeadValues]:
    """Return the values of each head by layer index.

    Args:
        sums: Sums over all mini-batches and processes.
        images: Number of images in the batch.
        mini_batches: Number of mini-batches in the batch, over all processes.

    Returns:
        `cost` and the squared deltas of `box`, `objectness` and `class`, per image; `iou`, the mean IoU of the
        predictors with their objects (None without objects), and the number of `objects`, as Darknet prints them;
        `confidence`, the mean over the mini-batches of the highest objectness.
    """
    heads: dict[int, HeadValues] = {}
    for (index, name), total in sums.items():
        values = heads.setdefault(index, {})
        match name:
            case "iou":
                objects = sums[index, "objects"]
                values[name] = total / objects if objects else None
            case "objects":
                values[name] = round(total)
            case "confidence":
                values[name] = total / mini_batches
            case _:
                values[name] = total / images
    return heads


class HeadMonitor:
    """Counts the batches in which a head learns nothing."""

    def __init__(self) -> None:
        self._without_objects, self._silent = Counter[int](), Counter[int]()

    def update(self, heads: Mapping[int, HeadValues], *, is_burnt_in: bool) -> tuple[str, ...]:
        """Count one batch and return messages about heads that learned nothing in the last `PATIENCE` batches.

        Args:
            heads: Values of each head.
            is_burnt_in: Whether `burn_in` is over; before it, a head without predictions is normal.
        """
        messages = []
        for index, values in heads.items():
            if "objects" not in values:
                continue
            has_objects = bool(values["objects"])
            self._without_objects[index] = 0 if has_objects else self._without_objects[index] + 1
            is_silent = is_burnt_in and (values["confidence"] or 0.0) < MIN_OBJECTNESS
            self._silent[index] = self._silent[index] + 1 if is_silent else 0
            if self._without_objects[index] == PATIENCE:
                messages.append(
                    f"L{index} was assigned no object in {PATIENCE} batches: no object has the shape of its anchors; "
                    "`darkparse edit CFG --data DATA --fit-anchors -o NEW` fits them"
                )
            elif self._silent[index] == PATIENCE:
                messages.append(
                    f"L{index} predicted nothing in {PATIENCE} batches: its objectness stays below {MIN_OBJECTNESS}; "
                    "look at the boxes with --dry-run, and try objectness_smooth=0 or another learning_rate="
                )
        return tuple(messages)
