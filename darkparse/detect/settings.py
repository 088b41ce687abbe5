"""What counts as a detection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from darkparse.syntax import DarkparseError


@dataclass(frozen=True, slots=True)
class Settings:
    """Thresholds, with Darknet's defaults, and how pictures are read."""

    threshold: float = 0.25
    """Least score, and least objectness; `-thresh` (examples/detector.c, .5 in pjreddie's, .25 in AlexeyAB's)."""
    nms: float = 0.45
    """Boxes of one class that overlap a better one by more than this go; 0 keeps all."""
    hierarchy: float = 0.5
    """Least probability of a class of a word tree; `-hier`."""
    top: int = 5
    """How many classes a classifier names."""
    exif: Literal["auto", "on", "off"] = "auto"
    """Whether a picture is turned as its EXIF note says; auto: where the dialect's Darknet does."""
    channels: Literal["rgb", "bgr"] = "rgb"
    """The order in arrays and tensors; OpenCV's is blue, green, red."""

    def __post_init__(self) -> None:
        for name in ("threshold", "nms", "hierarchy"):
            value: Any = getattr(self, name)
            if not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
                raise DarkparseError(f"{name} is a number from 0 to 1, not {value!r}")
        for name, known in (("exif", ("auto", "on", "off")), ("channels", ("rgb", "bgr"))):
            if getattr(self, name) not in known:
                raise DarkparseError(f"{name} is one of {', '.join(known)}, not {getattr(self, name)!r}")
        if self.top < 1:
            raise DarkparseError(f"top is how many classes a classifier names, not {self.top}")
