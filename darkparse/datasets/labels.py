"""Darknet label files: paths and contents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from darkparse.diagnostics.source import quote_safe
from darkparse.errors import DarkparseError
from darkparse.layers.dialect import DIALECTS, Dialect
from darkparse.syntax.files import read_text, split_lines

Box = tuple[float, float, float, float]
"""Center x, center y, width, height, as fractions of the image."""


MAX_VALUE = 1e6
"""Exclusive bound on class IDs and box coordinates; smaller values are exact or finite in float32."""


class Label(NamedTuple):
    """A labeled object of an image."""

    line: int
    number: int
    """Class ID."""
    box: Box


def read_labels(path: Path) -> list[Label]:
    """Return the objects of an image.

    Darknet stops silently at the first malformed line (data.c read_boxes); this function raises instead.

    Raises:
        DarkparseError: The file cannot be read, or a line is malformed.
    """
    labels = []
    for line, label in label_lines(path):
        if isinstance(label, str):
            text = quote_safe(label.rstrip())
            raise DarkparseError(f"{path}:{line}: invalid label, got {text}; expected a class and four numbers")
        labels.append(label)
    return labels


def label_lines(path: Path) -> Iterator[tuple[int, Label | str]]:
    """Yield each non-empty line of a label file: its line number and its label, or its text if it is malformed.

    A line has the form `class x y width height`.

    Raises:
        DarkparseError: The file cannot be read.
    """
    for line, text in enumerate(split_lines(read_text(path)), start=1):
        parts = text.split()
        if not parts:
            continue
        try:
            number, (x, y, w, h) = int(parts[0]), map(float, parts[1:])
        except ValueError:
            yield line, text
            continue
        is_in_range = all(abs(value) < MAX_VALUE for value in (number, x, y, w, h))
        yield line, Label(line, number, (x, y, w, h)) if is_in_range else text


def label_path(image: str, dialect: Dialect) -> str:
    """Return the path where a dialect looks for an image's label, derived from the image path.

    Follows pjreddie data.c fill_truth_detection and AlexeyAB utils.c replace_image_to_label.
    """
    for old, new in dialect.training.label_folders:
        image = image.replace(old, new, 1)
    if not dialect.training.replaces_extension_at_end:
        for ending in dialect.training.image_extensions:
            image = image.replace(ending, ".txt", 1)
        return image
    image = image.strip(" \t")
    ending = next(filter(image.endswith, dialect.training.image_extensions), "")
    return image.removesuffix(ending) + ".txt" if ending else image


def label_candidates(image: Path) -> list[Path]:
    """Return all paths where programs look for an image's label.

    These are the image's own directory, the path with the last `images` or `JPEGImages` replaced by `labels`, and the
    paths of the dialects.
    """
    sibling = image.with_suffix(".txt")
    parts = list(sibling.parts)
    folder_index = max((i for i, part in enumerate(parts) if part in ("images", "JPEGImages")), default=None)
    if folder_index is not None:
        parts[folder_index] = "labels"
    dialect_paths = (Path(label_path(str(image), dialect)) for dialect in DIALECTS.values())
    return list(dict.fromkeys(path for path in (sibling, Path(*parts), *dialect_paths) if path.suffix == ".txt"))


def find_label(image: Path) -> Path | None:
    """Return the existing label file of an image, from the usual places."""
    return next((path for path in label_candidates(image) if path.is_file()), None)
