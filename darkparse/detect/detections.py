"""All objects detected in one image."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from darkparse._utils.text import pluralize
from darkparse.detect.detection import Detection
from darkparse.detect.drawing import draw
from darkparse.detect.notebook import to_html
from darkparse.errors import DarkparseError, DarkparseWarning

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image as PillowImage
    from supervision import Detections as SupervisionDetections


class Detections(list[Detection]):
    """List of all objects detected in one image, best first, with the image's size and conversions.

    Args:
        detections: The detections.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        path: Path of the image, if it came from a file.
        warnings: Warnings about the image or the detections, such as an EXIF orientation that was not applied.
        orientation: EXIF orientation that was applied, 1 to 8; 1 means the stored orientation.

    >>> detections = darkparse.Detections([], width=200, height=100, path="dog.jpg")
    >>> detections.numpy().shape
    (0, 6)
    """

    def __init__(
        self,
        detections: Iterable[Detection] = (),
        *,
        width: int,
        height: int,
        path: str | os.PathLike[str] | None = None,
        warnings: tuple[str, ...] = (),
        orientation: int = 1,
    ) -> None:
        super().__init__(detections)
        self.width, self.height = width, height
        self.path = None if path is None else os.fspath(path)
        self.warnings, self.orientation = warnings, orientation

    def _copy_with(self, detections: Iterable[Detection]) -> Detections:
        """Return other detections of the same image."""
        return _restore(list(detections), vars(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (list(self), vars(self))

    @overload
    def __getitem__(self, index: SupportsIndex) -> Detection: ...
    @overload
    def __getitem__(self, index: slice) -> Detections: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Detection | Detections:
        """Return one detection, or the `Detections` of a slice."""
        if isinstance(index, slice):
            return self._copy_with(list(self)[index])
        return super().__getitem__(index)

    def filter(self, keep: Callable[[Detection], bool]) -> Detections:
        """Return the detections for which `keep` returns True, for the same image."""
        return self._copy_with(detection for detection in self if keep(detection))

    def numpy(self) -> NDArray[np.float32]:
        """Return an array (K, 6): left, top, right, bottom in pixels, score, class."""
        rows = [(*d.xyxy, d.score, d.class_id) for d in self]
        return np.array(rows, np.float32).reshape(-1, 6)

    def supervision(self) -> SupervisionDetections:
        """Return `supervision.Detections`: xyxy in pixels, confidence, class_id, and data["class_name"].

        Raises:
            DarkparseError: supervision is not installed.
        """
        try:
            import supervision
        except ImportError:
            raise DarkparseError("supervision() requires supervision\nhint: pip install supervision") from None
        return supervision.Detections(
            xyxy=self.numpy()[:, :4],
            confidence=np.array([d.score for d in self], np.float32),
            class_id=np.array([d.class_id for d in self], np.int64),
            data={"class_name": np.array([d.name for d in self], np.str_)},
        )

    def to_df(self) -> DataFrame:
        """Return a pandas DataFrame, one row per detection, with boxes in pixels.

        Raises:
            DarkparseError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise DarkparseError("to_df() requires pandas\nhint: pip install pandas") from None
        columns = ("name", "class_id", "score", "objectness", "left", "top", "right", "bottom", "layer", "anchor")
        rows = [(d.name, d.class_id, d.score, d.objectness, *d.xyxy, d.layer, d.anchor) for d in self]
        return pandas.DataFrame(rows, columns=list(columns))

    def _repr_html_(self) -> str:
        """Return HTML for notebooks: a table, and the image with its boxes if it came from a file."""
        try:
            image = self.draw() if self.path is not None else None
        except (DarkparseError, OSError):  # the file was moved or is a video
            image = None
        return to_html(self, image)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with the warnings and the orientation if there are any.

        Detections with NaN or infinite values are dropped with a DarkparseWarning; a `Detector` returns none.
        """
        values: dict[str, Any] = {"image": self.path, "width": self.width, "height": self.height}
        values["detections"] = [d.to_dict() for d in self if d.is_finite]
        if dropped := len(self) - len(values["detections"]):
            message = f"dropped {pluralize(dropped, 'detection')} with NaN or infinite values"
            warnings.warn(f"{self.path or 'this image'}: {message}", DarkparseWarning, stacklevel=2)
        values |= {"warnings": list(self.warnings)} if self.warnings else {}
        return values | ({"orientation": self.orientation} if self.orientation != 1 else {})

    def draw(self, image: Any = None) -> PillowImage:
        """Return an image with the boxes drawn on it, by default the image that they were detected in.

        Args:
            image: A path, a Pillow image, an array or a tensor; None reads the file at `path`.

        Raises:
            ValueError: No image is given, and the detections do not come from a file.
            DarkparseError: The image has another size or cannot be read.
        """
        if image is None and self.path is None:
            raise ValueError("detections have no image file; pass the image to draw(image)")
        return draw(
            self.path if image is None else image, self, (self.height, self.width), apply_exif=self.orientation != 1
        )


def _restore(detections: list[Detection], image: dict[str, Any]) -> Detections:
    return Detections(detections, **image)


def emit_warnings(detections: Detections) -> Detections:
    """Emit the detections' warnings for the caller's caller; return the detections."""
    for message in detections.warnings:
        warnings.warn(f"{detections.path or 'this image'}: {message}", DarkparseWarning, stacklevel=3)
    return detections
