"""A picture on its way through the detector, and the boxes that may be in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darkparse.datasets.image_files import Size
from darkparse.detect.detection import Detection
from darkparse.detect.detections import Detections
from darkparse.detect.images import Pixels
from darkparse.detect.preprocess import Floats, Placement


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """A picture on its way into the network."""

    values: Floats
    """(C, H, W), the network's input."""
    placement: Placement
    size: Size
    """Height and width of the picture in pixels."""
    path: str | None = None
    pixels: Pixels | None = None
    warnings: tuple[str, ...] = ()
    """What is to be said of the picture."""
    orientation: int = 1
    """By what EXIF orientation it was turned."""

    def to_detections(self, detections: Iterable[Detection], *more_warnings: str) -> Detections:
        """What is found in it, with more warnings."""
        return Detections(
            detections,
            width=self.size[1],
            height=self.size[0],
            path=self.path,
            warnings=self.warnings + more_warnings,
            orientation=self.orientation,
        )


@dataclass(frozen=True, slots=True)
class Candidates:
    """What is over the threshold before suppression: B boxes, and K times a class that one of them may show."""

    image: NDArray[np.int64]
    """(B,): position in the batch."""
    layer: NDArray[np.int64]
    """(B,): index of the head."""
    index: NDArray[np.int64]
    """(B,): position among the boxes of the head."""
    boxes: Floats
    """(B, 4): centre x, y, width, height as fractions of the network's input."""
    objectness: Floats
    """(B,)."""
    box: NDArray[np.int64]
    """(K,): position of its box."""
    scores: Floats
    classes: NDArray[np.int64]
