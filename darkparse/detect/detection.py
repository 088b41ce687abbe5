"""What is found in a picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from darkparse.detect.drawing import draw

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

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; the box as fractions and in pixels."""
        return {
            "class_id": self.class_id,
            "name": self.name,
            "score": round(self.score, 6),
            "objectness": round(self.objectness, 6),
            "box": [round(value, 6) for value in self.box],
            "xyxy": [round(value, 2) for value in self.xyxy],
        }


class Detections(list[Detection]):
    """All that is found in one picture, the best first: a list, with the picture's size and ways out.

    Args:
        found: the detections.
        width: of the picture in pixels.
        height: of the picture in pixels.
        path: the file, if it came from one.

    >>> found = darkparse.Detections([], width=200, height=100, path="dog.jpg")
    >>> found.numpy().shape
    (0, 6)
    """

    def __init__(
        self, found: Iterable[Detection] = (), *, width: int, height: int, path: str | os.PathLike[str] | None = None
    ) -> None:
        super().__init__(found)
        self.width, self.height = width, height
        self.path = None if path is None else os.fspath(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (list(self), self.width, self.height, self.path)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Detection: ...
    @overload
    def __getitem__(self, index: slice) -> Detections: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Detection | Detections:
        """One, or those of a slice with the same picture."""
        if isinstance(index, slice):
            return _restore(list(self)[index], self.width, self.height, self.path)
        return super().__getitem__(index)

    def filter(self, keep: Callable[[Detection], bool]) -> Detections:
        """Those for which `keep` says so, of the same picture."""
        return _restore([one for one in self if keep(one)], self.width, self.height, self.path)

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
        """Plain values, for JSON."""
        return {
            "image": self.path,
            "width": self.width,
            "height": self.height,
            "detections": [d.to_dict() for d in self],
        }

    def draw(self, image: Any = None) -> PillowImage:
        """A picture with the boxes drawn on it: on the image given, or on the file that they were found in."""
        if image is None and self.path is None:
            raise ValueError("these detections come from no file: draw(image) needs the image")
        return draw(self.path if image is None else image, self)


def _restore(found: list[Detection], width: int, height: int, path: str | None) -> Detections:
    return Detections(found, width=width, height=height, path=path)
