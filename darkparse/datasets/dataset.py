"""Data sets for training and evaluation: the interface that every format implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import ClassVar, NamedTuple

from darkparse.datasets.labels import Label, label_lines, read_labels
from darkparse.diagnostics.source import Span, quote_safe
from darkparse.errors import DarkparseError
from darkparse.layers.dialect import DIALECTS, Dialect
from darkparse.syntax.files import is_file

NUM_INSPECTED = 100
"""Number of images whose labels decide which dialect the dataset is laid out for."""


class DatasetImage(NamedTuple):
    """An image of a data set."""

    path: str
    """Path to open, absolute or relative to the working directory."""
    label: str
    """Path where the dialect looks for the image's label, or the file of its annotation."""
    line: int
    """Line of the image in its list; 0 in formats without lists."""
    objects: tuple[Label, ...] | None = None
    """Objects of an annotation that was read with the data set; None: `label` has them."""

    @property
    def has_label(self) -> bool:
        return self.objects is not None or is_file(self.label)

    def read_labels(self) -> list[Label]:
        """Return the objects; raise DarkparseError if the label file cannot be read or is malformed."""
        return read_labels(Path(self.label)) if self.objects is None else list(self.objects)

    def label_lines(self) -> Iterator[tuple[int, Label | str]]:
        """Yield the line number and the object of each line, or its text if it is malformed."""
        if self.objects is None:
            yield from label_lines(Path(self.label))
        else:
            yield from ((label.line, label) for label in self.objects)


class Dataset(ABC):
    """Images in splits, their objects and the class names.

    Attributes:
        path: File or directory that describes the data set.
        options: Place of each value in its text; empty in formats without lines.
        is_darknet: Whether the dialect decides where labels are.
    """

    path: Path
    options: Mapping[str, Span]
    is_darknet: ClassVar[bool] = False
    titles: ClassVar[Mapping[str, str]] = {}
    """The format's own word for a key of a `.data` file."""

    @property
    def keys(self) -> AbstractSet[str]:
        """What the data set states, in the words of a `.data` file: train, valid, names, labels, classes."""
        return self.options.keys()

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Class names of a detector. Raises DarkparseError if they are missing or invalid."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Text that marks each class in a classifier's image paths; raises DarkparseError if it is missing."""
        raise DarkparseError(f"{self.path}: a data set for a classifier requires a .data file with 'labels = FILE'")

    @property
    def backup(self) -> Path | None:
        """Directory for weights, relative to the working directory; None if the data set names none."""
        return None

    @abstractmethod
    def file(self, key: str) -> Path:
        """Return the file or directory that lists a split; raise DarkparseError if it is missing."""

    @abstractmethod
    def images(self, key: str, dialect: Dialect, limit: int | None = None) -> list[DatasetImage]:
        """Return the images of a split.

        Args:
            key: `train` or `valid`.
            dialect: Darknet fork whose rule locates the labels, if `is_darknet`.
            limit: Maximum number of images; None: all of them.

        Raises:
            DarkparseError: The split is missing, or a file cannot be read.
        """

    @property
    def train(self) -> Path:
        """List of the training images. Raises DarkparseError if `train` or its file is missing."""
        return self.file("train")

    @property
    def valid(self) -> Path:
        """List of the validation images. Raises DarkparseError if `valid` or its file is missing."""
        return self.file("valid")

    @property
    def classes(self) -> int | None:
        """Number of classes, None if not given. Raises DarkparseError if it is not an integer."""
        return self.number("classes")

    def number(self, key: str) -> int | None:
        """Return an integer option, None if it is missing; raise DarkparseError with its location if it is invalid."""
        value = self.options.get(key)
        if value is None:
            return None
        try:
            return int(value.text)
        except ValueError:
            title = self.titles.get(key, key)
            raise DarkparseError(f"{value}: {title} must be an integer, got {quote_safe(value.text)}") from None

    def count_classes(self, *, is_detector: bool) -> int | None:
        """Return the number of classes; None if the data set does not state it.

        Raises:
            DarkparseError: A file is missing, or `classes` contradicts the names.
        """
        key = "names" if is_detector or "labels" not in self.keys else "labels"
        if key not in self.keys:
            return self.classes
        count = len(self.names if key == "names" else self.labels)
        if self.classes not in (None, count):
            classes = self.titles.get("classes", "classes")
            raise DarkparseError(
                f"{self.options['classes']}: {classes} contradicts {key}, got {self.classes}; expected {count}"
            )
        return count

    def guess_dialect(self) -> Dialect:
        """Return the dialect whose rule finds labels for most of the first images of `train`."""

        def count_labels(dialect: Dialect) -> int:
            try:
                return sum(image.has_label for image in self.images("train", dialect, NUM_INSPECTED))
            except DarkparseError:
                return 0

        return max(DIALECTS.values(), key=count_labels)
