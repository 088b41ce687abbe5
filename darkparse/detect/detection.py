"""What is found in a picture."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from darkparse._utils.text import counted
from darkparse.detect.drawing import draw
from darkparse.errors import DarkparseWarning

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

WHOLE = (0.5, 0.5, 1.0, 1.0)
"""The box of a classifier's answer: the whole picture."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One object in a picture, or one class of a whole picture.

    Attributes:
        class_id: number of the class.
        name: its name.
        score: objectness × class probability, 0…1: what Darknet prints in per cent.
        objectness: how sure the network is that the box holds anything at all; 1 from a classifier.
        box: centre x, centre y, width, height as fractions of the picture, unclipped, as Darknet computes them.
        image_size: height and width of the picture in pixels.

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

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in pixels, clipped to the picture."""
        x, y, w, h = self.box
        height, width = self.image_size
        left, right = (min(max(at * width, 0.0), float(width)) for at in (x - w / 2, x + w / 2))
        top, bottom = (min(max(at * height, 0.0), float(height)) for at in (y - h / 2, y + h / 2))
        return left, top, right, bottom

    @property
    def is_whole(self) -> bool:
        """Whether this is a classifier's answer, about the whole picture."""
        return self.box == WHOLE

    @property
    def line(self) -> str:
        """`dog: 93%`, as Darknet prints it (image.c draw_detections);
        a classifier's answer with the decimals of classifier.c."""
        return f"{self.name}: {self.score * 100:.{2 if self.is_whole else 0}f}%"

    @property
    def is_finite(self) -> bool:
        """Whether no value is NaN or infinite, which JSON has no form for."""
        return all(map(isfinite, (self.score, self.objectness, *self.box)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: the box as fractions and in pixels; None for a value that is not finite."""
        return {
            "class_id": self.class_id,
            "name": self.name,
            "score": _rounded(self.score, 6),
            "objectness": _rounded(self.objectness, 6),
            "box": [_rounded(value, 6) for value in self.box],
            "xyxy": [_rounded(value, 2) for value in self.xyxy],
        }


def _rounded(value: float, digits: int) -> float | None:
    return round(value, digits) if isfinite(value) else None


class Detections(list[Detection]):
    """All that is found in one picture, the best first: a list, with the picture's size and ways out.

    Args:
        found: the detections.
        width: of the picture in pixels.
        height: of the picture in pixels.
        path: the file, if it came from one.
        remarks: what is to be said of the picture or of what is found, such as a note that was not followed.
        orientation: the EXIF orientation by which the picture was turned, 1 to 8; 1: it stands as it is stored.

    >>> found = darkparse.Detections([], width=200, height=100, path="dog.jpg")
    >>> found.numpy().shape
    (0, 6)
    """

    def __init__(
        self,
        found: Iterable[Detection] = (),
        *,
        width: int,
        height: int,
        path: str | os.PathLike[str] | None = None,
        remarks: tuple[str, ...] = (),
        orientation: int = 1,
    ) -> None:
        super().__init__(found)
        self.width, self.height = width, height
        self.path = None if path is None else os.fspath(path)
        self.remarks, self.orientation = remarks, orientation

    def _with(self, found: Iterable[Detection]) -> Detections:
        """Others of the same picture."""
        return _restore(list(found), vars(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (list(self), vars(self))

    @overload
    def __getitem__(self, index: SupportsIndex) -> Detection: ...
    @overload
    def __getitem__(self, index: slice) -> Detections: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Detection | Detections:
        """One, or those of a slice with the same picture."""
        if isinstance(index, slice):
            return self._with(list(self)[index])
        return super().__getitem__(index)

    def filter(self, keep: Callable[[Detection], bool]) -> Detections:
        """Those for which `keep` says so, of the same picture."""
        return self._with(one for one in self if keep(one))

    def numpy(self) -> NDArray[np.float32]:
        """(K, 6): left, top, right, bottom in pixels, score, class."""
        rows = [(*d.xyxy, d.score, d.class_id) for d in self]
        return np.array(rows, np.float32).reshape(-1, 6)

    def supervision(self) -> dict[str, Any]:
        """The arguments of `supervision.Detections(**…)`: xyxy (K, 4), confidence (K,), class_id (K,), data."""
        return {
            "xyxy": self.numpy()[:, :4],
            "confidence": np.array([d.score for d in self], np.float32),
            "class_id": np.array([d.class_id for d in self], np.int64),
            "data": {"class_name": np.array([d.name for d in self], np.str_)},
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with the remarks and the orientation if there are any.

        Detections with NaN or infinite values are left out, with one DarkparseWarning; a `Detector` returns none.
        """
        values: dict[str, Any] = {"image": self.path, "width": self.width, "height": self.height}
        values["detections"] = [d.to_dict() for d in self if d.is_finite]
        if dropped := len(self) - len(values["detections"]):
            sentence = f"dropped {counted(dropped, 'detection')} with NaN or infinite values"
            warnings.warn(f"{self.path or 'this image'}: {sentence}", DarkparseWarning, stacklevel=2)
        values |= {"remarks": list(self.remarks)} if self.remarks else {}
        return values | ({"orientation": self.orientation} if self.orientation != 1 else {})

    def draw(self, image: Any = None) -> PillowImage:
        """A picture with the boxes drawn on it: on the image given, or on the file that they were found in."""
        if image is None and self.path is None:
            raise ValueError("these detections come from no file: draw(image) needs the image")
        return draw(self.path if image is None else image, self)


def _restore(found: list[Detection], image: dict[str, Any]) -> Detections:
    return Detections(found, **image)


def warned(found: Detections) -> Detections:
    """The same, after its remarks were given as warnings to the caller's caller."""
    for remark in found.remarks:
        warnings.warn(f"{found.path or 'this picture'}: {remark}", DarkparseWarning, stacklevel=3)
    return found
