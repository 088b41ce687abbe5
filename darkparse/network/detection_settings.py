"""Settings of detection: thresholds, and how images are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, Literal

from darkparse.errors import DarkparseError

EXIF_MODES = ("auto", "on", "off")
CHANNEL_ORDERS = ("rgb", "bgr")
BOX_ORDERS = ("score", "nms")


@dataclass(frozen=True)
class DetectionSettings:
    """Thresholds of detection, with Darknet's defaults, and how images are read.

    Functions that detect take `threshold`, `nms`, `hierarchy` and `top` as keywords too, which override these fields.

    Attributes:
        threshold: minimum score and objectness, 0 to 1; `-thresh` (detector.c: .25 in AlexeyAB's, .5 in pjreddie's).
        nms: IoU above which the lower-scoring box of a class is removed; 0 disables NMS.
        hierarchy: minimum probability of a class in a WordTree; `-hier`.
        top: number of classes that a classifier reports, whatever their score.
        exif: whether EXIF orientation is applied; auto: if the dialect's Darknet does.
        channels: channel order of arrays and tensors; OpenCV's is bgr.
        classes: names or numbers of the classes to return; None for all.
        order: order of the detections of an image: by score, or "nms" for the order of the boxes after Darknet's
            suppression, in which `detector map` counts them.

    Raises:
        DarkparseError: A value is out of range.

    >>> darkparse.DetectionSettings(threshold=0.5)
    DetectionSettings(threshold=0.5, nms=0.45, hierarchy=0.5, top=5, exif='auto', channels='rgb', classes=None,
                      order='score')
    """

    threshold: float = 0.25
    nms: float = 0.45
    hierarchy: float = 0.5
    top: int = 5
    exif: Literal["auto", "on", "off"] = "auto"
    channels: Literal["rgb", "bgr"] = "rgb"
    classes: tuple[int | str, ...] | None = None
    order: Literal["score", "nms"] = "score"

    def __post_init__(self) -> None:
        values: dict[str, Any] = vars(self)
        for name in ("threshold", "nms", "hierarchy"):
            if not isinstance(values[name], Real) or not 0 <= values[name] <= 1:
                raise DarkparseError(f"{name} must be a number from 0 to 1, got {values[name]!r}")
        if not isinstance(values["top"], Integral) or values["top"] < 1:
            raise DarkparseError(f"top must be a positive number of classes, got {self.top!r}")
        for name, choices in (("exif", EXIF_MODES), ("channels", CHANNEL_ORDERS), ("order", BOX_ORDERS)):
            if values[name] not in choices:
                raise DarkparseError(f"{name} must be one of {', '.join(choices)}, got {values[name]!r}")

        classes = values["classes"]
        if classes is not None and (isinstance(classes, str) or not classes):
            raise DarkparseError(f"classes must be a tuple of class names or numbers, got {classes!r}")

    def override(
        self,
        *,
        threshold: float | None = None,
        nms: float | None = None,
        hierarchy: float | None = None,
        top: int | None = None,
    ) -> DetectionSettings:
        """Return a copy with each value that is not None."""
        return replace(
            self,
            threshold=self.threshold if threshold is None else threshold,
            nms=self.nms if nms is None else nms,
            hierarchy=self.hierarchy if hierarchy is None else hierarchy,
            top=self.top if top is None else top,
        )


MAP_SETTINGS = DetectionSettings(threshold=0.005, hierarchy=0.0, order="nms")
"""Settings with which `detector map` detects (AlexeyAB detector.c validate_detector_map)."""
