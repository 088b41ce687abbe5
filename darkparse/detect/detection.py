"""One object detected in an image."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

WHOLE_IMAGE = (0.5, 0.5, 1.0, 1.0)
"""Box of a classifier's result."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One object in an image, or one class of a whole image.

    Attributes:
        class_id: Class ID.
        name: Class name.
        score: Objectness × class probability, in [0, 1]; Darknet prints it as a percentage.
        objectness: Confidence that the box contains any object; 1 for a classifier.
        box: Center x, center y, width, height as fractions of the image, unclipped, as Darknet computes them.
        image_size: Height and width of the image in pixels.
        layer: Layer index of the head that predicted the box; `layer`, `cell` and `anchor` are None for a classifier.
        cell: Row and column of the head's cell.
        anchor: Position in the head's `anchors=`; for a [detection] head, position among the boxes of the cell.

    >>> dog = darkparse.Detection(16, "dog", 0.93, 0.99, (0.5, 0.5, 0.2, 0.4), image_size=(100, 200))
    >>> dog.line, dog.xyxy
    ('dog: 93%', (80.0, 30.0, 120.0, 70.0))
    """

    class_id: int
    name: str
    score: float
    objectness: float
    box: tuple[float, float, float, float]
    image_size: tuple[int, int]
    layer: int | None = None
    cell: tuple[int, int] | None = None
    anchor: int | None = None

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in pixels, clipped to the image."""
        x, y, w, h = self.box
        height, width = self.image_size
        left, right = (min(max(at * width, 0.0), float(width)) for at in (x - w / 2, x + w / 2))
        top, bottom = (min(max(at * height, 0.0), float(height)) for at in (y - h / 2, y + h / 2))
        return left, top, right, bottom

    @property
    def is_whole(self) -> bool:
        """Whether the detection is a classifier's result, for the whole image."""
        return self.box == WHOLE_IMAGE

    @property
    def line(self) -> str:
        """Text as Darknet prints it: `dog: 93%` (image.c draw_detections).

        A classifier's result has two decimals (classifier.c).
        """
        return f"{self.name}: {self.score * 100:.{2 if self.is_whole else 0}f}%"

    @property
    def is_finite(self) -> bool:
        """Whether no value is NaN or infinite; JSON supports neither."""
        return all(map(isfinite, (self.score, self.objectness, *self.box)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: the box as fractions and in pixels, and None for values that are not finite."""
        return {
            "class_id": self.class_id,
            "name": self.name,
            "score": _round_finite(self.score, 6),
            "objectness": _round_finite(self.objectness, 6),
            "box": [_round_finite(value, 6) for value in self.box],
            "xyxy": [_round_finite(value, 2) for value in self.xyxy],
        }


def _round_finite(value: float, digits: int) -> float | None:
    return round(value, digits) if isfinite(value) else None
