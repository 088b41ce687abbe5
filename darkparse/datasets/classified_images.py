"""Images of a classifier's data set, whose paths contain their class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from darkparse.datasets.data_file import DataFile, read_list
from darkparse.datasets.image_files import find_images
from darkparse.diagnostics.source import quote_safe
from darkparse.errors import DarkparseError

NO_CLASS = -1
"""Class of an image whose path contains no label."""


class ClassifiedImage(NamedTuple):
    """An image and its class."""

    path: Path
    label: int
    """Class, or NO_CLASS."""


def read_classified_images(images: Path, labels: Sequence[str]) -> list[ClassifiedImage]:
    """Return the images of a directory, a list or a `.data` file with the classes that their paths contain.

    Labels are searched in the path as the list contains it, or in the path below the directory, so parent directories
    do not matter.

    Args:
        images: Directory, list of images, or `.data` file whose `valid` names such a list.
        labels: Text that marks each class.

    Raises:
        DarkparseError: A file is missing, there are no images, or no path contains a label.
    """
    if images.is_dir():
        entries = [(path, path.relative_to(images).as_posix()) for path in find_images(images)]
    else:
        file = DataFile.read(images).valid if images.suffix.lower() == ".data" else images
        entries = [(Path(folder, text), text) for _, text, folder in read_list(file)]
    if not entries:
        raise DarkparseError(f"{images}: no images found")
    classified = [ClassifiedImage(path, find_label_class(text, labels)) for path, text in entries]
    if all(image.label == NO_CLASS for image in classified):
        raise DarkparseError(
            f"{images}: no path of an image contains a label, got {quote_safe(entries[0][1])}; expected one such as "
            f"{quote_safe(labels[0] + '/1.png')}"
        )
    return classified


def find_label_class(path: str, labels: Sequence[str]) -> int:
    """Return the first class whose label a path contains, or NO_CLASS (classifier.c validate_classifier_single)."""
    return next((number for number, label in enumerate(labels) if label in path), NO_CLASS)


def read_path_labels(images: Path, names: Sequence[str]) -> Sequence[str]:
    """Return the text that marks each class in image paths: `labels` of a `.data` file, otherwise the class names.

    Raises:
        DarkparseError: A file cannot be read, or its number of labels is not the number of names.
    """
    if images.suffix.lower() != ".data" or not images.is_file():
        return names
    data = DataFile.read(images)
    if not {"labels", "names"} & data.options.keys():
        return names
    labels = data.labels if "labels" in data.options else data.names
    if len(labels) != len(names):
        raise DarkparseError(
            f"{images}: got {len(labels)} labels; expected {len(names)}, one for each class of the network"
        )
    return labels
