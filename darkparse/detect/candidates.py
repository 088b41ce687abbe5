"""Images and boxes between the stages of a detector."""

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
    """An image that is ready for the network."""

    values: Floats
    """Input of the network, (C, H, W)."""
    placement: Placement
    size: Size
    """Height and width of the image in pixels."""
    path: str | None = None
    pixels: Pixels | None = None
    warnings: tuple[str, ...] = ()
    """Warnings about the image."""
    orientation: int = 1
    """EXIF orientation that was applied."""

    def to_detections(self, detections: Iterable[Detection], *more_warnings: str) -> Detections:
        """Return detections of this image, with its warnings and `more_warnings`."""
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
    """B boxes before non-maximum suppression, and their K class scores over the threshold."""

    image: NDArray[np.int64]
    """(B,), position in the batch."""
    layer: NDArray[np.int64]
    """(B,), layer index of the head."""
    index: NDArray[np.int64]
    """(B,), position among the boxes of the head."""
    boxes: Floats
    """(B, 4), center x, center y, width, height as fractions of the network's input."""
    objectness: Floats
    """(B,)."""
    box: NDArray[np.int64]
    """(K,), position of each score's box among the B boxes."""
    scores: Floats
    classes: NDArray[np.int64]
