"""`.data` files, and the lists of pictures that they name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from darkparse.datasets.labels import label_path
from darkparse.diagnostics.source import Source, Span, quote_safe
from darkparse.errors import DarkparseError
from darkparse.layers.dialect import DIALECTS, Dialect
from darkparse.syntax.files import is_file, read_text, split_lines

MAX_LIST_BYTES = 1 << 28
"""The most that is read of a list; ImageNet's has 60 million."""


NUM_INSPECTED = 100
"""Pictures whose labels say which Darknet they lie for."""


class DatasetImage(NamedTuple):
    """A line of a list."""

    path: str
    """As it can be opened from here."""
    label: str
    """Where the dialect looks for its label."""
    line: int


@dataclass(frozen=True)
class DataFile:
    """A `.data` file (option_list.c read_data_cfg): `key = value` lines, the first of each key.

    Files that it names are looked for in the working directory, where Darknet opens them, beside the `.data` file, and
    in the folder above it, where by custom Darknet is started.
    """

    path: Path
    options: dict[str, Span]
    """The place of each value."""

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> DataFile:
        """Raises DarkparseError if it cannot be read."""
        path = Path(path)
        source = Source(str(path), read_text(path), path)
        options: dict[str, Span] = {}
        start = 0
        for line in split_lines(source.text):
            key, equals, value = line.partition("=")
            if equals and not line.lstrip().startswith(("#", ";")):
                first = start + len(line) - len(value.lstrip())
                options.setdefault(key.strip(), Span(source, first, first + len(value.strip())))
            start += len(line)
        return cls(path, options)

    @property
    def train(self) -> Path:
        """The list of pictures to train with. Raises DarkparseError if none is named, or there is no such file."""
        return self.file("train")

    @property
    def valid(self) -> Path:
        """The list of pictures to measure with; raises as `train`."""
        return self.file("valid")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of a detector's classes; raises as `train`."""
        return read_lines(self.file("names"))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What stands in the paths of a classifier's pictures, by class; raises as `train`."""
        return read_lines(self.file("labels"))

    @property
    def backup(self) -> Path | None:
        """The folder for weights, from the working directory. Raises DarkparseError if no folder can have that name."""
        value = self.options.get("backup")
        if value is not None and "\0" in value.text:
            raise DarkparseError(f"{value}: backup = {quote_safe(value.text)}: a name cannot contain NUL")
        return None if value is None else Path(value.text)

    @property
    def classes(self) -> int | None:
        """Raises DarkparseError if it is no number."""
        return self.number("classes")

    def number(self, key: str) -> int | None:
        """A whole number, None where there is none. Raises DarkparseError with its place if it is none."""
        value = self.options.get(key)
        if value is None:
            return None
        try:
            return int(value.text)
        except ValueError:
            raise DarkparseError(f"{value}: {key} is a whole number, this is {quote_safe(value.text)}") from None

    def file(self, key: str) -> Path:
        """A file that it names. Raises DarkparseError if it names none, or there is no such file."""
        value = self.options.get(key)
        if value is None:
            raise DarkparseError(f"{self.path}: there is no line '{key} = …' in it")
        candidates = (Path(value.text), self.path.parent / value.text, self.path.parent.parent / value.text)
        path = next((candidate for candidate in candidates if is_file(candidate)), None)
        if path is None:
            where = f"no such file here, beside {self.path.name} or in the folder above it"
            raise DarkparseError(f"{value}: {key} = {quote_safe(value.text)}: {where}")
        return path

    def images(self, key: str, dialect: Dialect, limit: int | None = None) -> list[DatasetImage]:
        """The pictures of one of its lists, or its first ones, and where a dialect looks for their labels; raises as
        `train`."""
        path = self.file(key)
        return [
            DatasetImage(os.path.join(folder, text), os.path.join(folder, label_path(text, dialect)), line)  # noqa: PTH118
            for line, text, folder in islice(read_list(path), limit)
        ]

    def guess_dialect(self) -> Dialect:
        """The one by whose rule most of the first pictures of `train` have a label."""

        def count_labels(dialect: Dialect) -> int:
            try:
                return sum(is_file(image.label) for image in self.images("train", dialect, NUM_INSPECTED))
            except DarkparseError:
                return 0

        return max(DIALECTS.values(), key=count_labels)


def read_lines(path: Path, max_bytes: int = MAX_LIST_BYTES) -> tuple[str, ...]:
    """The lines of a file, stripped; empty ones at the end do not count."""
    lines = [line.strip() for line in split_lines(read_text(path, max_bytes))]
    while lines and not lines[-1]:
        lines.pop()
    return tuple(lines)


def read_list(path: Path) -> Iterator[tuple[int, str, str]]:
    """The lines of a list that are not empty: number, text, and the folder that the text is a path from: empty for the
    working directory, where Darknet opens it, or else the list's own."""
    folder = str(path.parent)
    for number, text in enumerate(read_lines(path), start=1):
        if text:
            is_beside = not os.path.exists(text) and os.path.exists(os.path.join(folder, text))  # noqa: PTH110, PTH118
            yield number, text, folder if is_beside else ""
