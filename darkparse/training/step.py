"""Result of one training batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """Result of one training batch.

    Attributes:
        batch: Batch number, from 1.
        rate: Learning rate of the batch.
        loss: Loss as Darknet prints it: the mean of the heads' costs, divided by the number of images.
        average: Moving average of the losses; the newest has a weight of 0.1.
        heads: Values of each head by layer index; see `summarize_heads`.
        images: Number of images in the batch.
        size: Height and width of the network's input.
        seconds: Duration of the batch, including the wait for data.
        data_time: Seconds spent waiting for data.
        mean_ap: Mean average precision of a detector, if it was measured after this batch.
        top1: Top-1 accuracy of a classifier, if it was measured after this batch.
        valid_loss: Loss on `valid`, if it was computed after this batch.
        saved: Weights files written after this batch.
        warnings: Messages about heads that learn nothing.
    """

    batch: int
    rate: float
    loss: float
    average: float
    heads: Mapping[int, Mapping[str, float | None]]
    images: int
    size: tuple[int, int]
    seconds: float
    data_time: float
    mean_ap: float | None = None
    top1: float | None = None
    valid_loss: float | None = None
    saved: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = asdict(self)
        values["saved"] = [str(path) for path in self.saved]
        return values | {"images_per_second": self.images / self.seconds}
